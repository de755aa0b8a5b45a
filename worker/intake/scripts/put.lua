-- Put messages of a source into the inbox, all or none; join the two events of a logged inference by their key.
-- KEYS: inbox.
-- ARGV: source, entries at which the inbox is full, halves that may wait, ms that ids are remembered,
--   ms that a half waits, strict ('1': an id that comes again with other content refuses all, or ''),
--   number of messages, then eight of each: form, body, id or '', digest, key of the pair or '', side of the pair or '',
--   traceparent or '', tracestate or ''.
-- Returns 'full', or 'conflict' and the number of the message; or one {state, entry id} of each:
--   state 'new', 'repeated' (the same id and content are known), 'waiting' (for its other half) or 'joined'.
local inbox, source = KEYS[1], ARGV[1]
local remember, patience, strict = ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1'
local n = tonumber(ARGV[7])
local FIRST, EACH = 8, 8
local waiting, counts = inbox .. ':halves', inbox .. ':pairs'

local function once(id) return inbox .. ':once:' .. id end

local halves = 0 -- that would wait; those whose other half waits already make room
for i = 0, n - 1 do
  local key = ARGV[FIRST + EACH * i + 4]
  if key ~= '' and redis.call('EXISTS', inbox .. ':half:' .. key) == 0 then halves = halves + 1 end
end
if redis.call('XLEN', inbox) >= tonumber(ARGV[2]) then return { 'full' } end
if halves > 0 and redis.call('ZCARD', waiting) + halves > tonumber(ARGV[3]) then return { 'full' } end
if strict then
  for i = 0, n - 1 do
    local at = FIRST + EACH * i
    local known = ARGV[at + 2] ~= '' and redis.call('GET', once(ARGV[at + 2]))
    if known and string.match(known, '^%x+') ~= ARGV[at + 3] then return { 'conflict', i } end
  end
end

-- A full memory stops the script here, before anything is written.
redis.call('HINCRBY', counts, 'joined', 0)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function remembered(at)
  if ARGV[at + 2] == '' then return nil end
  local known = redis.call('GET', once(ARGV[at + 2]))
  if known and string.match(known, '^%x+') == ARGV[at + 3] then return string.match(known, ':(.*)$') end
end

local function add(form, body, parent, state)
  local fields = { form, body, 'source', source }
  if parent and parent ~= '' then
    fields[5], fields[6] = 'traceparent', parent
    if state and state ~= '' then fields[7], fields[8] = 'tracestate', state end
  end
  return redis.call('XADD', inbox, '*', unpack(fields))
end

local function put(at)
  local known = remembered(at)
  if known then return { 'repeated', known } end
  local id = add(ARGV[at], ARGV[at + 1], ARGV[at + 6], ARGV[at + 7])
  if ARGV[at + 2] ~= '' then redis.call('SET', once(ARGV[at + 2]), ARGV[at + 3] .. ':' .. id, 'PX', remember) end
  return { 'new', id }
end

local function pair(at)
  local half, body, side = inbox .. ':half:' .. ARGV[at + 4], ARGV[at + 1], ARGV[at + 5]
  local known = redis.call('HMGET', half, 'side', 'body', 'traceparent', 'tracestate')
  if known[1] == side or known[1] == 'joined' then
    redis.call('HINCRBY', counts, 'repeated', 1)
    return { 'repeated', '' }
  end
  if not known[1] then
    redis.call('HSET', half, 'side', side, 'body', body, 'source', source)
    if ARGV[at + 6] ~= '' then redis.call('HSET', half, 'traceparent', ARGV[at + 6], 'tracestate', ARGV[at + 7]) end
    redis.call('ZADD', waiting, now + patience, half)
    return { 'waiting', '' }
  end
  local request, response = known[2], body
  if side == 'request' then request, response = body, known[2] end
  local joined = '{"request":' .. request .. ',"response":' .. response .. '}'
  local parent, state = known[3], known[4]
  if not parent then parent, state = ARGV[at + 6], ARGV[at + 7] end
  local id = add('pair', joined, parent, state)
  redis.call('HDEL', half, 'body', 'source', 'traceparent', 'tracestate')
  redis.call('HSET', half, 'side', 'joined')
  redis.call('PEXPIRE', half, patience)
  redis.call('ZREM', waiting, half)
  redis.call('HINCRBY', counts, 'joined', 1)
  return { 'joined', id }
end

local result = { 'put' }
for i = 0, n - 1 do
  local at = FIRST + EACH * i
  result[#result + 1] = ARGV[at + 4] ~= '' and pair(at) or put(at)
end
return result
