-- Which projects a wave should be sent for now.
-- ARGV: prefix, full batch, linger in ms, silence between two hints for a project in ms.
-- A project without a lock that has leased entries is due at once: their wave is dead.
-- A paused endpoint lets one project through when its pause is over: the probe.
local P, full, linger, silence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
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

local function ready(project, since)
  if redis.call('EXISTS', P .. 'lock:' .. project) == 1 then return false end
  if (pauses['project:' .. project] or 0) > now then return false end
  if tonumber(redis.call('HGET', P .. 'notbefore', project) or 0) > now then return false end
  return now - since >= linger or count(project, 'waiting') >= full
end

local due = {}

local function hint(project, since)
  if endpoint and #due > 0 then return end
  if ready(project, since) and redis.call('SET', P .. 'hint:' .. project, '1', 'NX', 'PX', silence) then
    due[#due + 1] = project
  end
end

for _, project in ipairs(redis.call('SMEMBERS', P .. 'held')) do
  if count(project, 'leased') > 0 then
    hint(project, 0)
  elseif redis.call('EXISTS', P .. 'lock:' .. project) == 0 then
    redis.call('SREM', P .. 'held', project)
    -- what workers that know nothing of tries have left behind
    if count(project, 'waiting') <= 0 then redis.call('DEL', P .. 'tries:' .. project) end
  end
end
local work = redis.call('ZRANGE', P .. 'work', 0, -1, 'WITHSCORES')
for n = 1, #work, 2 do
  if count(work[n], 'waiting') > 0 then
    hint(work[n], tonumber(work[n + 1]))
  else
    redis.call('ZREM', P .. 'work', work[n])
  end
end
return due
