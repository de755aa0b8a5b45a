-- How much there may be to take or to take over: entries of the inbox, and lists of the Celery queue that exist.
-- KEYS: inbox, then the lists. An entry leaves the inbox when it is admitted, so those in hand count too.
local lists = 0
if #KEYS > 1 then lists = redis.call('EXISTS', unpack(KEYS, 2)) end
return redis.call('XLEN', KEYS[1]) + lists
