-- Which projects a wave should be sent for now.
-- ARGV: prefix, full batch, linger in ms, for how long a project is not offered again in ms, how many at most (0: all).
-- The fleet remembers who was offered last: those behind come first, so that each has its turn.
-- (The key is called hint since workers of before sent a message for each project.)
-- A project without a lock that has leased entries is due at once: their wave is dead.
-- A paused endpoint lets one project through when its pause is over: the probe.
local P, full, linger, silence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local most = tonumber(ARGV[5])
redis.call('DEL', P .. 'nothing')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local pauses = {}
local flat = redis.call('HGETALL', P .. 'pauses')
for n = 1, #flat, 2 do pauses[flat[n]] = cjson.decode(flat[n + 1])['until'] end
local endpoint = pauses['endpoint']
if endpoint and endpoint > now then return {} end

local function count(project, name)
  return tonumber(redis.call('HGET', P .. 'ledger:' .. project, name) or 0)
end

local due, last = {}, nil

local function is_full() return (endpoint and #due > 0) or (most > 0 and #due >= most) end

local function ready(project, since)
  if is_full() or redis.call('EXISTS', P .. 'lock:' .. project) == 1 then return false end
  if (pauses['project:' .. project] or 0) > now then return false end
  if tonumber(redis.call('HGET', P .. 'notbefore', project) or 0) > now then return false end
  return now - since >= linger or count(project, 'waiting') >= full
end

local function offer(project, since)
  if ready(project, since) and redis.call('SET', P .. 'hint:' .. project, '1', 'NX', 'PX', silence) then
    due[#due + 1] = project
    return true
  end
  return false
end

for _, project in ipairs(redis.call('SMEMBERS', P .. 'held')) do
  if count(project, 'leased') > 0 then
    offer(project, 0)
  elseif redis.call('EXISTS', P .. 'lock:' .. project) == 0 then
    redis.call('SREM', P .. 'held', project)
    -- what workers that know nothing of tries have left behind
    if count(project, 'waiting') <= 0 then redis.call('DEL', P .. 'tries:' .. project) end
  end
end
local work = redis.call('ZRANGE', P .. 'work', 0, -1, 'WITHSCORES')
local first = 0
local turn = redis.call('GET', P .. 'turn')
if turn then
  local since, project = string.match(turn, '^(%d+) (.*)$')
  since = tonumber(since)
  while first < #work do
    local score = tonumber(work[first + 2])
    if score > since or (score == since and work[first + 1] > project) then break end
    first = first + 2
  end
end
for step = 0, #work - 1, 2 do
  if is_full() then break end
  local n = (first + step) % #work + 1
  if count(work[n], 'waiting') > 0 then
    if offer(work[n], tonumber(work[n + 1])) then last = string.format('%.0f %s', work[n + 1], work[n]) end
  else
    redis.call('ZREM', P .. 'work', work[n])
  end
end
if last then redis.call('SET', P .. 'turn', last, 'EX', 3600) end
return due
