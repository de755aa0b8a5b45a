-- End the wait of logged events whose other half has not come in time: a response goes into the inbox, where it becomes
-- a dead letter or a prediction by itself; a request holds no prediction and is only counted.
-- KEYS: inbox.
-- ARGV: most halves at once.
-- Returns how many have ended.
local inbox = KEYS[1]
local waiting, counts = inbox .. ':halves', inbox .. ':pairs'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local late = redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, ARGV[1])
for _, half in ipairs(late) do
  local known = redis.call('HMGET', half, 'side', 'body', 'source', 'traceparent', 'tracestate')
  if known[1] == 'response' then
    local fields = { 'event', known[2], 'source', known[3] }
    if known[4] then fields[5], fields[6], fields[7], fields[8] = 'traceparent', known[4], 'tracestate', known[5] end
    redis.call('XADD', inbox, '*', unpack(fields))
  end
  if known[1] then redis.call('HINCRBY', counts, 'orphan_' .. known[1] .. 's', 1) end
  redis.call('DEL', half)
  redis.call('ZREM', waiting, half)
end
return #late
