-- Admit messages: into a lane, or into the dead letters, and out of the inbox; all or nothing.
-- ARGV: prefix, inbox key (or '' when the inbox is in another Redis), inbox group, insist ('1' or ''),
--   id of the letter that is replayed or '', number of heads, number of entries,
--   then per head, which is what items have in common, four texts:
--     'waiting', project, model, name of the source or ''
--     'dead',    project, cause, name of the source or ''
--     'counted', project, '',    name of the source or ''
--   then per entry, in the order of their ids: entry id or '', number of items,
--   and per item the number of its head, counted from 1, and six fields:
--     of one that waits: lane, asset id, stamp, digest, payload, decision
--     of a dead one:     letter, original, '', '', '', ''
--     of a counted one:  '', '', '', '', '', ''
-- Returns {admitted, superseded, dead, skipped, sampled_out}, in items; skipped were admitted by somebody else.
local ARGV, send = ARGV, redis.send
local P, inbox, group, letter = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local AT_ONCE = 1000 -- ids of one command

-- A full memory stops the script here, before anything has moved; one that insists begins with a write that passes.
if ARGV[4] == '1' then redis.call('DEL', P .. 'nothing') end
redis.call('HINCRBY', P .. 'ledger', 'received', 0)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved, since, from, heads = {}, {}, {}, {}
local entries, i = tonumber(ARGV[7]), 8

for number = 1, tonumber(ARGV[6]) do
  heads[tostring(number)] = {
    kind = ARGV[i], project = ARGV[i + 1], model = ARGV[i + 2], cause = ARGV[i + 2], source = ARGV[i + 3], lanes = {},
    received = 0, waiting = 0, superseded = 0, dead = 0, sampled_out = 0,
  }
  i = i + 4
end

local function count(project, name, by)
  moved[project] = moved[project] or {}
  moved[project][name] = (moved[project][name] or 0) + by
end

local function take_from_dead(id)
  local found = redis.call('XRANGE', P .. 'dead', id, id)
  if #found == 0 then return false end
  local fields = found[1][2]
  for n = 1, #fields, 2 do
    if fields[n] == 'cause' then
      if redis.call('HINCRBY', P .. 'dead:causes', fields[n + 1], -1) <= 0 then
        redis.call('HDEL', P .. 'dead:causes', fields[n + 1])
      end
      redis.call('ZREM', P .. 'dead:of:' .. fields[n + 1], id)
    elseif fields[n] == 'project' then
      count(fields[n + 1], 'dead', -1)
      count(fields[n + 1], 'received', -1)
    end
  end
  redis.call('XDEL', P .. 'dead', id)
  return true
end

-- Entries in hand are pending until they are admitted, so one look finds most of them without their content.
local pending = {}
local function look_for_pending()
  local first, last, at = nil, nil, i
  for _ = 1, entries do
    local id = ARGV[at]
    if id ~= '' then first, last = first or id, id end
    at = at + 2 + 7 * ARGV[at + 1]
  end
  if not first then return end
  local rows = redis.pcall('XPENDING', inbox, group, first, last, 2 * entries)
  if rows.err then return end -- no group: somebody destroyed it
  for _, row in ipairs(rows) do pending[row[1]] = true end
end

-- An entry in another Redis cannot leave with this transaction: its id is kept until it has left.
local function is_here(id)
  if id == '' or pending[id] then return true end
  if inbox ~= '' then return #redis.call('XRANGE', inbox, id, id) == 1 end
  return redis.call('ZADD', P .. 'admitted', 'NX', now, id) == 1
end

-- A prediction waits since it came to its source; another Redis has another clock.
local function arrived(id)
  if inbox == '' or id == '' then return now end
  return math.min(now, tonumber(string.match(id, '^%d+')))
end

local function older(stamp, digest, known)
  local known_stamp, known_digest, state = string.match(known, '^(%-?%d+):(%x+):(%a)$')
  known_stamp = tonumber(known_stamp)
  if stamp ~= known_stamp then return stamp < known_stamp end
  if digest ~= known_digest then return digest < known_digest end
  return state == 'w'
end

-- Whether a payload may hold an asset's content; one that only looks like it is delivered in vain, no more.
local function may_hold_content(payload)
  return string.find(payload, '"asset"', 1, true) ~= nil
end

-- What is known of an asset's model: its state, its state if it waits without content, and whether there is a record.
local function known_of(record, model)
  local fields, bare = send('HGETALL', record), 'bare:' .. model
  local state, without
  for n = 1, #fields, 2 do
    if fields[n] == model then
      state = fields[n + 1]
    elseif fields[n] == bare then
      without = fields[n + 1]
    end
  end
  return state, without, #fields > 0
end

local function lane_key(head, lane)
  local key = head.lanes[lane]
  if not key then
    key = P .. 'lane:' .. lane .. ':' .. head.project
    if redis.call('EXISTS', key) == 0 then redis.call('XGROUP', 'CREATE', key, 'delivery', '0', 'MKSTREAM') end
    head.lanes[lane] = key
  end
  return key
end

local function wait(head, at, id)
  local model, record = head.model, P .. 'asset:' .. ARGV[at + 2]
  local stamp, digest, payload = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local known, bare, exists = known_of(record, model)
  local is_older = known and older(tonumber(stamp), digest, known)
  local has_content = may_hold_content(payload)
  -- An older answer is admitted all the same when it may bring the asset that the newest one waits for, having none.
  if is_older and not (bare == known and has_content) then
    head.superseded = head.superseded + 1
    return
  end
  send('XADD', lane_key(head, ARGV[at + 1]), '*', 'asset', ARGV[at + 2], 'model', model, 'stamp', stamp,
    'digest', digest, 'payload', payload, 'decision', ARGV[at + 6])
  if not is_older then
    local state = stamp .. ':' .. digest .. ':w'
    if has_content then
      send('HSET', record, model, state)
      if bare then send('HDEL', record, 'bare:' .. model) end
    else
      send('HSET', record, model, state, 'bare:' .. model, state)
    end
  end
  if exists then send('PERSIST', record) end
  if not since[head.project] then since[head.project] = arrived(id) end
  head.waiting = head.waiting + 1
end

local function dead_letter(head, at)
  local id = redis.call('XADD', P .. 'dead', '*', 'project', head.project, 'cause', head.cause,
    'letter', ARGV[at + 1], 'original', ARGV[at + 2])
  redis.call('HINCRBY', P .. 'dead:causes', head.cause, 1)
  redis.call('ZADD', P .. 'dead:of:' .. head.cause, now, id)
  head.dead = head.dead + 1
end

local function sample_out(head)
  head.sampled_out = head.sampled_out + 1
end

local admit = { waiting = wait, dead = dead_letter, counted = sample_out }
local done, skipped = {}, 0
if inbox ~= '' then look_for_pending() end
for _ = 1, entries do
  local id, items = ARGV[i], tonumber(ARGV[i + 1])
  i = i + 2
  local here = is_here(id) and (letter == '' or take_from_dead(letter))
  for _ = 1, items do
    if here then
      local head = heads[ARGV[i]]
      head.received = head.received + 1
      admit[head.kind](head, i, id)
    else
      skipped = skipped + 1
    end
    i = i + 7
  end
  if id ~= '' and inbox ~= '' then done[#done + 1] = id end
end

local result = { waiting = 0, superseded = 0, dead = 0, sampled_out = 0 }
for _, head in pairs(heads) do
  if head.received > 0 then
    count(head.project, 'received', head.received)
    if head.source ~= '' then from[head.source] = (from[head.source] or 0) + head.received end
  end
  for name, so_far in pairs(result) do
    if head[name] > 0 then
      count(head.project, name, head[name])
      result[name] = so_far + head[name]
    end
  end
end
for project, names in pairs(moved) do
  redis.call('ZADD', P .. 'projects', now, project)
  if since[project] then
    redis.call('ZADD', P .. 'work', 'NX', since[project], project)
    redis.call('HDEL', P .. 'notbefore', project)
  end
  for name, by in pairs(names) do
    redis.call('HINCRBY', P .. 'ledger', name, by)
    redis.call('HINCRBY', P .. 'ledger:' .. project, name, by)
  end
end
for source, items in pairs(from) do redis.call('HINCRBY', P .. 'sources', source, items) end
redis.call('ZREMRANGEBYSCORE', P .. 'admitted', '-inf', now - 86400000)
for first = 1, #done, AT_ONCE do
  local last = math.min(first + AT_ONCE - 1, #done)
  send('XACK', inbox, group, unpack(done, first, last))
  send('XDEL', inbox, unpack(done, first, last))
end
return { result.waiting, result.superseded, result.dead, skipped, result.sampled_out }
