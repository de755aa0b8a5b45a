-- Settle leased entries, each by its own outcome.
-- ARGV: prefix, project, token, remember in ms, then per entry ten fields:
--   lane, id, outcome, asset id, model, stamp, digest, cause, letter, original
-- Outcomes: delivered, superseded, sampled_out, dead, dropped, returned (cause unused), later (cause is the delay in
-- ms). Of the last two the letter is what to keep of attempts in vain, or nothing where that has not changed.
-- Returns the number of settled entries, or -1 when the lock is lost and nothing was changed.
local P, project, token, remember = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', P .. 'lock:' .. project) ~= token then return -1 end
redis.call('DEL', P .. 'nothing') -- a first write that a full memory does not refuse lets the others through

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = {}
local settled = 0

local function count(name, by) moved[name] = (moved[name] or 0) + by end

local function forget_in_time(record)
  for _, state in ipairs(redis.call('HVALS', record)) do
    if string.sub(state, -1) == 'w' then return end
  end
  redis.call('PEXPIRE', record, remember)
end

local function note_on_record(i, delivered)
  local record, model = P .. 'asset:' .. ARGV[i + 3], ARGV[i + 4]
  local own = ARGV[i + 5] .. ':' .. ARGV[i + 6]
  if redis.call('HGET', record, model) == own .. ':w' then
    if delivered then
      redis.call('HSET', record, model, own .. ':d')
    else
      redis.call('HDEL', record, model)
    end
    redis.call('HDEL', record, 'bare:' .. model)
  end
  forget_in_time(record)
end

local function bury(i)
  local cause = ARGV[i + 7]
  local id = redis.call('XADD', P .. 'dead', '*', 'project', project, 'cause', cause,
    'letter', ARGV[i + 8], 'original', ARGV[i + 9])
  redis.call('HINCRBY', P .. 'dead:causes', cause, 1)
  redis.call('ZADD', P .. 'dead:of:' .. cause, now, id)
end

local function finish(i, key, id, outcome)
  if redis.call('XACK', key, 'delivery', id) == 0 then return end
  if outcome == 'dead' then bury(i) end
  redis.call('XDEL', key, id)
  redis.call('HDEL', P .. 'tries:' .. project, ARGV[i] .. '/' .. id)
  note_on_record(i, outcome == 'delivered')
  count('leased', -1)
  count(outcome, 1)
  settled = settled + 1
end

local function give_back(i, key, id, outcome)
  local consumer = outcome == 'later' and 'later' or 'returned'
  if #redis.call('XCLAIM', key, 'delivery', consumer, 0, id, 'JUSTID') == 0 then return end
  if outcome == 'later' then
    redis.call('ZADD', P .. 'later:' .. project, now + tonumber(ARGV[i + 7]), ARGV[i] .. '/' .. id)
  end
  if ARGV[i + 8] ~= '' then redis.call('HSET', P .. 'tries:' .. project, ARGV[i] .. '/' .. id, ARGV[i + 8]) end
  count('leased', -1)
  count('waiting', 1)
  settled = settled + 1
end

for i = 5, #ARGV, 10 do
  local key, id, outcome = P .. 'lane:' .. ARGV[i] .. ':' .. project, ARGV[i + 1], ARGV[i + 2]
  if outcome == 'returned' or outcome == 'later' then
    give_back(i, key, id, outcome)
  else
    finish(i, key, id, outcome)
  end
end

for name, by in pairs(moved) do
  redis.call('HINCRBY', P .. 'ledger', name, by)
  redis.call('HINCRBY', P .. 'ledger:' .. project, name, by)
end
if (moved.waiting or 0) > 0 then redis.call('ZADD', P .. 'work', 'NX', now, project) end
return settled
