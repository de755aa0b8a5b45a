-- Which projects a wave should be sent for now.
-- ARGV: prefix, full batch, linger in ms, silence between two hints for a project in ms.
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

local function ready(project, since)
  local waiting = tonumber(redis.call('HGET', P .. 'ledger:' .. project, 'waiting') or 0)
  if waiting <= 0 then
    redis.call('ZREM', P .. 'work', project)
    return false
  end
  if (pauses['project:' .. project] or 0) > now then return false end
  if tonumber(redis.call('HGET', P .. 'notbefore', project) or 0) > now then return false end
  if waiting < full and now - since < linger then return false end
  return redis.call('EXISTS', P .. 'lock:' .. project) == 0
end

local due = {}
local work = redis.call('ZRANGE', P .. 'work', 0, -1, 'WITHSCORES')
for n = 1, #work, 2 do
  if ready(work[n], tonumber(work[n + 1])) and
    redis.call('SET', P .. 'hint:' .. work[n], '1', 'NX', 'PX', silence) then
    due[#due + 1] = work[n]
    if endpoint then break end
  end
end
return due
