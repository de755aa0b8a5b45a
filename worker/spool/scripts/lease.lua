-- Lease what goes next: the lowest lane first, with a share for a lane that has waited long.
-- ARGV: prefix, project, token, lanes to take from, items, bytes, aging in ms, lanes in all.
-- Returns nil when the lock is lost, else {superseded, entries, now in ms}, the entries one after the other, each as
-- lane, id, deliveries, what is known of attempts in vain, asset id, model, stamp, digest, payload, decision.
local P, project, token = ARGV[1], ARGV[2], ARGV[3]
local lanes, items, bytes, aging = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if redis.call('GET', P .. 'lock:' .. project) ~= token then return false end
redis.call('DEL', P .. 'nothing')

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local AT_ONCE = 8 -- entries of unknown size
local send = redis.send
local entries, taken, superseded, size, largest = {}, 0, 0, 0, 1

local tries = P .. 'tries:' .. project
local are_tries = redis.call('EXISTS', tries) == 1

local function lane_key(lane) return P .. 'lane:' .. lane .. ':' .. project end

-- An older answer may bring the asset that the newest one waits for, having no content itself.
local function is_wanted(record, model, payload, known)
  if redis.call('HGET', record, 'bare:' .. model) ~= known then return false end
  return string.find(payload, '"asset"', 1, true) ~= nil
end

local function is_stale(asset, model, own_stamp, own_digest, payload)
  local record = P .. 'asset:' .. asset
  local known = send('HGET', record, model)
  if not known or known == own_stamp .. ':' .. own_digest .. ':w' then return false end
  local stamp, digest, state = string.match(known, '^(%-?%d+):(%x+):(%a)$')
  stamp, own_stamp = tonumber(stamp), tonumber(own_stamp)
  if own_stamp ~= stamp then return own_stamp < stamp and not is_wanted(record, model, payload, known) end
  if own_digest ~= digest then return own_digest < digest and not is_wanted(record, model, payload, known) end
  return state ~= 'w'
end

-- Admission, of this release and of every one before, writes the fields in one order.
local function consider(lane, id, fields, deliveries)
  local asset, model, stamp, digest, payload = fields[2], fields[4], fields[6], fields[8], fields[10]
  if is_stale(asset, model, stamp, digest, payload) then
    redis.call('XACK', lane_key(lane), 'delivery', id)
    redis.call('XDEL', lane_key(lane), id)
    if are_tries then redis.call('HDEL', tries, lane .. '/' .. id) end
    superseded = superseded + 1
    return
  end
  local n = 10 * taken
  entries[n + 1], entries[n + 2], entries[n + 3] = lane, id, deliveries
  entries[n + 4] = are_tries and redis.call('HGET', tries, lane .. '/' .. id) or ''
  entries[n + 5], entries[n + 6], entries[n + 7], entries[n + 8] = asset, model, stamp, digest
  entries[n + 9], entries[n + 10] = payload, fields[12]
  taken, size, largest = taken + 1, size + #payload, math.max(largest, #payload)
end

local function take_returned(lane, want)
  local rows = redis.call('XPENDING', lane_key(lane), 'delivery', '-', '+', want, 'returned')
  if #rows == 0 then return 0 end
  local ids, deliveries = {}, {}
  for n, row in ipairs(rows) do
    ids[n] = row[1]
    deliveries[row[1]] = row[4] + 1
  end
  for _, entry in ipairs(redis.call('XCLAIM', lane_key(lane), 'delivery', 'wave', 0, unpack(ids))) do
    consider(lane, entry[1], entry[2], deliveries[entry[1]])
  end
  return #rows
end

local function take_new(lane, want)
  local reply = redis.call('XREADGROUP', 'GROUP', 'delivery', 'wave', 'COUNT', want, 'STREAMS', lane_key(lane), '>')
  if not reply then return 0 end
  for _, entry in ipairs(reply[1][2]) do consider(lane, entry[1], entry[2], 1) end
  return #reply[1][2]
end

local function take(lane, limit)
  if redis.call('EXISTS', lane_key(lane)) == 0 then return end
  for _, source in ipairs({ take_returned, take_new }) do
    while taken < limit and size < bytes do
      local want = math.min(AT_ONCE, limit - taken, math.max(1, math.floor((bytes - size) / largest)))
      if source(lane, want) == 0 then break end
    end
  end
end

local function head_age(lane)
  local key = lane_key(lane)
  if redis.call('EXISTS', key) == 0 then return 0 end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local about = {}
    for n = 1, #group, 2 do about[group[n]] = group[n + 1] end
    local head = redis.call('XRANGE', key, '(' .. about['last-delivered-id'], '+', 'COUNT', 1)
    if #head == 1 then return now - tonumber(string.match(head[1][1], '^%d+')) end
  end
  return 0
end

local function oldest_lane()
  local oldest, age = nil, aging
  for lane = 1, lanes - 1 do
    local here = head_age(lane)
    if here > age then oldest, age = lane, here end
  end
  return oldest
end

local later = P .. 'later:' .. project
for _, member in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now)) do
  local lane, id = string.match(member, '^(%d+)/(.+)$')
  redis.call('XCLAIM', lane_key(lane), 'delivery', 'returned', 0, id, 'JUSTID')
  redis.call('ZREM', later, member)
end

local aged = oldest_lane()
if aged then take(aged, math.ceil(items / 10)) end
for lane = 0, lanes - 1 do take(lane, items) end

for _, ledger in ipairs({ P .. 'ledger', P .. 'ledger:' .. project }) do
  redis.call('HINCRBY', ledger, 'waiting', -(taken + superseded))
  redis.call('HINCRBY', ledger, 'leased', taken)
  redis.call('HINCRBY', ledger, 'superseded', superseded)
end
if taken > 0 then redis.call('SADD', P .. 'held', project) end
if tonumber(redis.call('HGET', P .. 'ledger:' .. project, 'waiting')) <= 0 then
  redis.call('ZREM', P .. 'work', project)
elseif taken == 0 and lanes == tonumber(ARGV[8]) then
  local first = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
  if #first > 0 then redis.call('HSET', P .. 'notbefore', project, first[2]) end
end
return { superseded, entries, now }
