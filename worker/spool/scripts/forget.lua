-- Forget a project that nothing has come for since a moment and that holds nothing; the totals keep its counts.
-- ARGV: prefix, project, that moment in ms, number of lanes. Returns 1 when it is forgotten.
local P, project, lanes = ARGV[1], ARGV[2], tonumber(ARGV[4])
local seen = redis.call('ZSCORE', P .. 'projects', project)
if not seen or tonumber(seen) > tonumber(ARGV[3]) then return 0 end
if redis.call('EXISTS', P .. 'lock:' .. project) == 1 then return 0 end
local ledger = P .. 'ledger:' .. project
for _, held in ipairs(redis.call('HMGET', ledger, 'waiting', 'leased', 'dead')) do
  if held and tonumber(held) ~= 0 then return 0 end
end
for lane = 0, lanes - 1 do
  redis.call('DEL', P .. 'lane:' .. lane .. ':' .. project)
end
redis.call('DEL', ledger, P .. 'hint:' .. project, P .. 'later:' .. project, P .. 'tries:' .. project,
  P .. 'interface:' .. project, P .. 'late:' .. project)
redis.call('HDEL', P .. 'pauses', 'project:' .. project)
redis.call('HDEL', P .. 'notbefore', project)
redis.call('ZREM', P .. 'work', project)
redis.call('SREM', P .. 'held', project)
return redis.call('ZREM', P .. 'projects', project)
