-- When the oldest entry of the inbox came, in ms since the epoch; '' when it is empty. KEYS: inbox.
-- The entry stays here: it may be large.
local head = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
return #head == 1 and string.match(head[1][1], '^%d+') or ''
