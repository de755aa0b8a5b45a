-- Remember which assets were made, and forget those of long ago. KEYS: made.
-- ARGV: before when they are forgotten, how long the key is kept in seconds, then of each asset when and its id.
redis.call('DEL', KEYS[1] .. ':nothing') -- a first write that a full memory does not refuse lets the others through
local AT_ONCE = 1000 -- words of one command
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for first = 3, #ARGV, AT_ONCE do
  redis.call('ZADD', KEYS[1], unpack(ARGV, first, math.min(first + AT_ONCE - 1, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
