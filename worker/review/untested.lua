-- Takes scores that were compared with those before them out of the pool; one process of the fleet does it.
-- KEYS  1 pool (hash: epoch:bin to count, and how often it was taken from)
--       2 all scores (hash: epoch:bin to count, seen, jumps)
-- ARGV  1 how often it had been taken from when it was read
--       2 whether the scores have shifted (1 or 0): then the new ones count as of the epoch that begins
--       3 scores of an epoch   4 epochs that pass at once   5 seconds that both are kept
--       6, 7 … field, count
-- Returns 1, or 0 when another process was faster.
local pool, scores = KEYS[1], KEYS[2]
if (redis.call('HGET', pool, 'taken') or '0') ~= ARGV[1] then
    return 0
end
redis.call('HINCRBY', pool, 'taken', 1)
local epoch = false
if ARGV[2] == '1' then
    local jumps = redis.call('HINCRBY', scores, 'jumps', 1)
    local seen = tonumber(redis.call('HGET', scores, 'seen') or '0')
    epoch = string.format('%.0f', math.floor(seen / tonumber(ARGV[3])) + tonumber(ARGV[4]) * jumps)
end
for n = 6, #ARGV, 2 do
    local field, count = ARGV[n], tonumber(ARGV[n + 1])
    if redis.call('HINCRBY', pool, field, -count) <= 0 then
        redis.call('HDEL', pool, field)
    end
    local moved = epoch and math.min(count, tonumber(redis.call('HGET', scores, field) or '0')) or 0
    if moved > 0 then
        if redis.call('HINCRBY', scores, field, -moved) == 0 then
            redis.call('HDEL', scores, field)
        end
        redis.call('HINCRBY', scores, epoch .. string.match(field, ':.*'), moved)
    end
end
redis.call('EXPIRE', pool, ARGV[5])
redis.call('EXPIRE', scores, ARGV[5])
return 1
