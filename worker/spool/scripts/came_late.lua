-- The calls of a wave whose lock had ended are over: what was put off because they might come late is sent again at once.
-- ARGV: prefix, project, then of each entry in those calls: lane, id, asset id.
-- Returns how many of these entries others may have overtaken without knowing that they might come late.
local P, project = ARGV[1], ARGV[2]
redis.call('DEL', P .. 'nothing') -- a first write that a full memory does not refuse lets the others through
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local late, later = P .. 'late:' .. project, P .. 'later:' .. project

local function is_known(asset)
  local row = redis.call('HGET', late, asset)
  return row and tonumber(string.match(row, '^%d+')) > now
end

-- Nobody has had the project since: entries that another holder recovers are no longer the wave's.
local function is_untouched(lane, id)
  local key = P .. 'lane:' .. lane .. ':' .. project
  if redis.call('EXISTS', key) == 0 then return false end
  return #redis.call('XPENDING', key, 'delivery', id, id, 1, 'wave') > 0
end

local overtaken = 0
for i = 3, #ARGV, 3 do
  if not is_known(ARGV[i + 2]) and not is_untouched(ARGV[i], ARGV[i + 1]) then overtaken = overtaken + 1 end
end
if redis.call('EXISTS', late) == 1 then
  for _, member in ipairs(redis.call('ZRANGE', later, 0, -1)) do redis.call('ZADD', later, 0, member) end
  redis.call('HDEL', P .. 'notbefore', project)
end
return overtaken
