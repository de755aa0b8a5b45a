-- Drop a dead letter for good. ARGV: prefix, letter id. Returns 1 when it was there.
local P, id = ARGV[1], ARGV[2]
local found = redis.call('XRANGE', P .. 'dead', id, id)
if #found == 0 then return 0 end
local field = {}
for n = 1, #found[1][2], 2 do field[found[1][2][n]] = found[1][2][n + 1] end
redis.call('XDEL', P .. 'dead', id)
redis.call('ZREM', P .. 'dead:of:' .. field.cause, id)
if redis.call('HINCRBY', P .. 'dead:causes', field.cause, -1) <= 0 then
  redis.call('HDEL', P .. 'dead:causes', field.cause)
end
for _, ledger in ipairs({ P .. 'ledger', P .. 'ledger:' .. field.project }) do
  redis.call('HINCRBY', ledger, 'dead', -1)
  redis.call('HINCRBY', ledger, 'dropped', 1)
end
return 1
