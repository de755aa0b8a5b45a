-- Take a project for one wave at a time; what a dead holder had leased waits again, ahead of its lane.
-- ARGV: prefix, project, token, lease in ms, number of lanes. Returns {taken 0|1, recovered}.
local P, project, token, lanes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
redis.call('DEL', P .. 'nothing') -- a first write that a full memory does not refuse lets the others through
local lock = P .. 'lock:' .. project
if not redis.call('SET', lock, token, 'NX', 'PX', ARGV[4]) and redis.call('GET', lock) ~= token then return { 0, 0 } end

local time = redis.call('TIME')
redis.call('ZADD', P .. 'projects', 'NX', time[1] * 1000, project) -- of a worker that kept no such set

local recovered = 0
for lane = 0, lanes - 1 do
  local key = P .. 'lane:' .. lane .. ':' .. project
  while redis.call('EXISTS', key) == 1 do
    local held = redis.call('XPENDING', key, 'delivery', '-', '+', 500, 'wave')
    if #held == 0 then break end
    local claim = { 'XCLAIM', key, 'delivery', 'returned', 0 }
    for _, row in ipairs(held) do claim[#claim + 1] = row[1] end
    claim[#claim + 1] = 'JUSTID'
    redis.call(unpack(claim))
    recovered = recovered + #held
  end
end
if recovered > 0 then
  for _, ledger in ipairs({ P .. 'ledger', P .. 'ledger:' .. project }) do
    redis.call('HINCRBY', ledger, 'leased', -recovered)
    redis.call('HINCRBY', ledger, 'waiting', recovered)
  end
  redis.call('ZADD', P .. 'work', 'NX', 0, project)
end
return { 1, recovered }
