-- One budget of calls for all processes, on the clock of Redis. Times in microseconds.
-- KEYS  1 log of the admissions in the window (list, oldest first)
--       2 theoretical arrival time of the next call (GCRA)
--       3 pause that the server asked for (exists while it lasts)
-- ARGV  1 verb: take | peek | pause
--       2 calls per window   3 window   4 burst
--       5 length of a new pause in milliseconds (verb pause)
-- Returns {admitted (0 or 1), wait until the next call, calls in the window, rest of the pause in milliseconds}
-- Its first write is one that a full memory does not refuse, so the others go through: calls to Kili free memory.
local log, arrival, pause = KEYS[1], KEYS[2], KEYS[3]
redis.call('DEL', log .. ':nothing')
local verb = ARGV[1]
local limit, window, burst = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local interval = window / limit

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- A clock that was set back leaves times in the future: count all admissions as made now, so that none is forgotten.
local newest = redis.call('LINDEX', log, -1)
if newest and tonumber(newest) > now then
    local length = redis.call('LLEN', log)
    redis.call('DEL', log, arrival, pause)
    for _ = 1, length do
        redis.call('RPUSH', log, now)
    end
end

if verb == 'pause' then
    local length = tonumber(ARGV[5])
    if length > redis.call('PTTL', pause) then
        redis.call('SET', pause, '1', 'PX', length)
    end
end

local oldest = redis.call('LINDEX', log, 0)
while oldest and tonumber(oldest) <= now - window do
    redis.call('LPOP', log)
    oldest = redis.call('LINDEX', log, 0)
end

local used = redis.call('LLEN', log)
local rest = math.max(redis.call('PTTL', pause), 0)
local wait = rest * 1000
if used >= limit then
    wait = math.max(wait, tonumber(redis.call('LINDEX', log, used - limit)) + window - now)
end
local expected = math.max(tonumber(redis.call('GET', arrival) or '0'), now)
wait = math.ceil(math.max(wait, expected - (burst - 1) * interval - now))

if verb ~= 'take' or wait > 0 then
    return {0, wait, used, rest}
end
redis.call('RPUSH', log, now)
redis.call('PEXPIRE', log, math.ceil(window / 1000) + 1000)
redis.call('SET', arrival, expected + interval, 'PX', math.ceil(burst * interval / 1000) + 1000)
return {1, 0, used + 1, rest}
