-- Let what was put off wait no longer. ARGV: prefix, project, token.
-- Returns the number of entries, or -1 when the lock is lost.
local P, project = ARGV[1], ARGV[2]
if redis.call('GET', P .. 'lock:' .. project) ~= ARGV[3] then return -1 end
redis.call('DEL', P .. 'nothing') -- a first write that a full memory does not refuse lets the others through
local later = redis.call('ZRANGE', P .. 'later:' .. project, 0, -1)
for _, member in ipairs(later) do redis.call('ZADD', P .. 'later:' .. project, 0, member) end
return #later
