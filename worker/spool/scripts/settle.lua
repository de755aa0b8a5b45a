-- Settle leased entries, each by its own outcome.
-- ARGV: prefix, project, token, remember in ms, then per entry
--   lane, id, outcome, asset id, model, rank (stamp:digest),
--   and of one that is dead: cause, letter, original; of one that waits again: delay in ms, attempts in vain.
-- Outcomes: delivered, superseded, sampled_out, dead, dropped; returned and later wait again. The attempts are nothing
-- where what is known of them has not changed.
-- Returns the number of settled entries, or -1 when the lock is lost and nothing was changed.
local P, project, token, remember = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', P .. 'lock:' .. project) ~= token then return -1 end
redis.call('DEL', P .. 'nothing') -- a first write that a full memory does not refuse lets the others through

local ARGV, send = ARGV, redis.send
local AT_ONCE = 1000 -- ids of one command
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tries = P .. 'tries:' .. project
local are_tries = redis.call('EXISTS', tries) == 1
local moved, leaving = {}, {}
local settled = 0

local function count(name, by) moved[name] = (moved[name] or 0) + by end

-- One look at the record of an asset: the model's own state, and whether a prediction of it still waits.
local function note_on_record(i, delivered)
  local record, model, own = P .. 'asset:' .. ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local fields, bare = send('HGETALL', record), 'bare:' .. model
  local is_own, is_bare, one_waits = false, false, false
  for n = 1, #fields, 2 do
    local name, state = fields[n], fields[n + 1]
    if name == model and state == own .. ':w' then
      is_own = true
    elseif name == bare then
      is_bare = true
    elseif string.sub(state, -1) == 'w' then
      one_waits = true
    end
  end
  if is_own then
    if is_bare then send('HDEL', record, bare) end
    if delivered then send('HSET', record, model, own .. ':d') else send('HDEL', record, model) end
  end
  if not one_waits and (is_own or not is_bare) then send('PEXPIRE', record, remember) end
end

local function dead_letter(i)
  local cause = ARGV[i + 6]
  local id = redis.call('XADD', P .. 'dead', '*', 'project', project, 'cause', cause,
    'letter', ARGV[i + 7], 'original', ARGV[i + 8])
  redis.call('HINCRBY', P .. 'dead:causes', cause, 1)
  redis.call('ZADD', P .. 'dead:of:' .. cause, now, id)
end

local function leave(key, outcome, ...)
  local left = send('XACK', key, 'delivery', ...)
  send('XDEL', key, ...)
  count('leased', -left)
  count(outcome, left)
  settled = settled + left
  return left > 0
end

-- Entries leave together, a lane's at once; a dead one alone, since one that has left before must not leave a second
-- letter. To look at its record twice changes nothing.
local function finish(i, key, id, outcome)
  if outcome == 'dead' then
    if not leave(key, outcome, id) then return end
    dead_letter(i)
  else
    leaving[outcome] = leaving[outcome] or {}
    local ids = leaving[outcome][key] or {}
    leaving[outcome][key], ids[#ids + 1] = ids, id
  end
  if are_tries then redis.call('HDEL', tries, ARGV[i] .. '/' .. id) end
  note_on_record(i, outcome == 'delivered')
end

local function give_back(i, key, id, outcome)
  local consumer = outcome == 'later' and 'later' or 'returned'
  if #redis.call('XCLAIM', key, 'delivery', consumer, 0, id, 'JUSTID') == 0 then return end
  if outcome == 'later' then
    redis.call('ZADD', P .. 'later:' .. project, now + tonumber(ARGV[i + 6]), ARGV[i] .. '/' .. id)
  end
  if ARGV[i + 7] ~= '' then redis.call('HSET', tries, ARGV[i] .. '/' .. id, ARGV[i + 7]) end
  count('leased', -1)
  count('waiting', 1)
  settled = settled + 1
end

local i = 5
while i <= #ARGV do
  local key, id, outcome = P .. 'lane:' .. ARGV[i] .. ':' .. project, ARGV[i + 1], ARGV[i + 2]
  if outcome == 'returned' or outcome == 'later' then
    give_back(i, key, id, outcome)
    i = i + 8
  else
    finish(i, key, id, outcome)
    i = i + (outcome == 'dead' and 9 or 6)
  end
end

for outcome, lanes in pairs(leaving) do
  for key, ids in pairs(lanes) do
    for first = 1, #ids, AT_ONCE do leave(key, outcome, unpack(ids, first, math.min(first + AT_ONCE - 1, #ids))) end
  end
end
for name, by in pairs(moved) do
  redis.call('HINCRBY', P .. 'ledger', name, by)
  redis.call('HINCRBY', P .. 'ledger:' .. project, name, by)
end
if (moved.waiting or 0) > 0 then redis.call('ZADD', P .. 'work', 'NX', now, project) end
return settled
