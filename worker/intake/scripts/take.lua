-- Bring whole envelopes from the broker's lists into the inbox, then read the inbox for one consumer.
-- KEYS: inbox, then the lists of the Celery queue, most urgent first.
-- ARGV: group, consumer, entries to read, bytes to move and to read, insist ('1' or '').
-- An envelope is written to the inbox before it leaves its list: a full memory refuses the first write and
-- stops the script with nothing lost; one that insists begins with a write that passes.
local inbox, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local items, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local AT_ONCE = 8 -- entries of unknown size

if ARGV[5] == '1' then redis.call('DEL', inbox .. ':nothing') end
local moved, size = 0, 0
for n = 2, #KEYS do
  while moved < items and size < bytes and redis.call('TYPE', KEYS[n]).ok == 'list' do
    local envelope = redis.call('LINDEX', KEYS[n], -1)
    redis.call('XADD', inbox, '*', 'envelope', envelope)
    redis.call('RPOP', KEYS[n])
    moved, size = moved + 1, size + #envelope
  end
end

if redis.call('EXISTS', inbox) == 0 then return { moved, {} } end
local entries, read, largest = {}, 0, 1
while #entries < items and read < bytes do
  local want = math.min(AT_ONCE, items - #entries, math.max(1, math.floor((bytes - read) / largest)))
  local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', want, 'STREAMS', inbox, '>')
  if not reply then break end
  for _, entry in ipairs(reply[1][2]) do
    local own = 0
    for _, value in ipairs(entry[2]) do own = own + #value end
    entries[#entries + 1] = entry
    read, largest = read + own, math.max(largest, own)
  end
  if #reply[1][2] < want then break end
end
return { moved, entries }
