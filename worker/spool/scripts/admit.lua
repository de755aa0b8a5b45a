-- Admit messages: into a lane, or into the dead letters, and out of the inbox; all or nothing.
-- ARGV: prefix, inbox key (or '' when the inbox is in another Redis), inbox group, insist ('1' or ''),
--   number of entries,
--   then per entry: entry id or '', id of the replayed letter or '', number of items, name of the source or '',
--   and per item nine fields:
--     'waiting', project, lane, asset id, model, stamp, digest, payload, decision
--     'dead',    project, cause, letter, original, '', '', '', ''
--     'counted', project, '', '', '', '', '', '', ''
-- Returns {admitted, superseded, dead, skipped, sampled_out}, in items; skipped were admitted by somebody else.
local P, inbox, group = ARGV[1], ARGV[2], ARGV[3]
local AT_ONCE = 1000 -- ids of one command

-- A full memory stops the script here, before anything has moved; one that insists begins with a write that passes.
if ARGV[4] == '1' then redis.call('DEL', P .. 'nothing') end
redis.call('HINCRBY', P .. 'ledger', 'received', 0)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved, opened, since = {}, {}, {}

local function count(project, name, by)
  moved[project] = moved[project] or {}
  moved[project][name] = (moved[project][name] or 0) + by
end

local function take_from_dead(id)
  local found = redis.call('XRANGE', P .. 'dead', id, id)
  if #found == 0 then return false end
  local fields = found[1][2]
  for i = 1, #fields, 2 do
    if fields[i] == 'cause' then
      if redis.call('HINCRBY', P .. 'dead:causes', fields[i + 1], -1) <= 0 then
        redis.call('HDEL', P .. 'dead:causes', fields[i + 1])
      end
      redis.call('ZREM', P .. 'dead:of:' .. fields[i + 1], id)
    elseif fields[i] == 'project' then
      count(fields[i + 1], 'dead', -1)
      count(fields[i + 1], 'received', -1)
    end
  end
  redis.call('XDEL', P .. 'dead', id)
  return true
end

-- Entries in hand are pending until they are admitted, so one look finds most of them without their content.
local entries_from, pending = 6, {}
local function look_for_pending()
  local first, last, n, i = nil, nil, tonumber(ARGV[5]), entries_from
  for _ = 1, n do
    local id = ARGV[i]
    if id ~= '' then first, last = first or id, id end
    i = i + 4 + 9 * tonumber(ARGV[i + 2])
  end
  if not first then return end
  local rows = redis.pcall('XPENDING', inbox, group, first, last, 2 * n)
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
local arrived = now
local function note_arrival(id)
  arrived = now
  if inbox ~= '' and id ~= '' then arrived = math.min(now, tonumber(string.match(id, '^%d+'))) end
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
  local fields, bare = redis.call('HGETALL', record), 'bare:' .. model
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

local function wait(i)
  local project, lane, asset, model = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local stamp, digest, payload = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local record = P .. 'asset:' .. asset
  local known, bare, exists = known_of(record, model)
  local is_older = known and older(tonumber(stamp), digest, known)
  local has_content = may_hold_content(payload)
  -- An older answer is admitted all the same when it may bring the asset that the newest one waits for, having none.
  if is_older and not (bare == known and has_content) then
    count(project, 'superseded', 1)
    return 'superseded'
  end
  local key = P .. 'lane:' .. lane .. ':' .. project
  if not opened[key] then
    if redis.call('EXISTS', key) == 0 then redis.call('XGROUP', 'CREATE', key, 'delivery', '0', 'MKSTREAM') end
    opened[key] = true
  end
  redis.call('XADD', key, '*', 'asset', asset, 'model', model, 'stamp', stamp, 'digest', digest,
    'payload', payload, 'decision', ARGV[i + 8])
  if not is_older then
    local state = stamp .. ':' .. digest .. ':w'
    if has_content then
      redis.call('HSET', record, model, state)
      if bare then redis.call('HDEL', record, 'bare:' .. model) end
    else
      redis.call('HSET', record, model, state, 'bare:' .. model, state)
    end
  end
  if exists then redis.call('PERSIST', record) end
  since[project] = math.min(since[project] or now, arrived)
  count(project, 'waiting', 1)
  return 'admitted'
end

local function dead_letter(i)
  local project, cause = ARGV[i + 1], ARGV[i + 2]
  local id = redis.call('XADD', P .. 'dead', '*', 'project', project, 'cause', cause,
    'letter', ARGV[i + 3], 'original', ARGV[i + 4])
  redis.call('HINCRBY', P .. 'dead:causes', cause, 1)
  redis.call('ZADD', P .. 'dead:of:' .. cause, now, id)
  count(project, 'dead', 1)
  return 'dead'
end

local function sample_out(i)
  count(ARGV[i + 1], 'sampled_out', 1)
  return 'sampled_out'
end

local admit = { waiting = wait, dead = dead_letter, counted = sample_out }
local result = { admitted = 0, superseded = 0, dead = 0, skipped = 0, sampled_out = 0 }
local done, from = {}, {}
if inbox ~= '' then look_for_pending() end
local i = entries_from
for _ = 1, tonumber(ARGV[5]) do
  local id, letter, items, source = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  i = i + 4
  note_arrival(id)
  local here = is_here(id) and (letter == '' or take_from_dead(letter))
  for _ = 1, items do
    if here then
      count(ARGV[i + 1], 'received', 1)
      local what = admit[ARGV[i]](i)
      result[what] = result[what] + 1
    else
      result.skipped = result.skipped + 1
    end
    i = i + 9
  end
  if here and source ~= '' then from[source] = (from[source] or 0) + items end
  if id ~= '' and inbox ~= '' then done[#done + 1] = id end
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
  redis.call('XACK', inbox, group, unpack(done, first, last))
  redis.call('XDEL', inbox, unpack(done, first, last))
end
return { result.admitted, result.superseded, result.dead, result.skipped, result.sampled_out }
