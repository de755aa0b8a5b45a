-- Take a project for one wave at a time; what a dead holder had leased waits again, ahead of its lane.
-- What the dead holder had leased may still come to Kili, when it only stood still: its assets are remembered for a while.
-- ARGV: prefix, project, token, lease in ms, number of lanes, that while in ms (0: not at all).
-- Returns {taken 0|1, recovered, late}; late has three values for each such asset: its id, for how many ms yet, and the
-- entry (lane/id) that may come late, '*' for several.
local P, project, token, lanes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
redis.call('DEL', P .. 'nothing') -- a first write that a full memory does not refuse lets the others through
local lock = P .. 'lock:' .. project
local is_new = redis.call('SET', lock, token, 'NX', 'PX', ARGV[4])
if not is_new and redis.call('GET', lock) ~= token then return { 0, 0, {} } end

local time = redis.call('TIME')
redis.call('ZADD', P .. 'projects', 'NX', time[1] * 1000, project) -- of a worker that kept no such set

local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window = is_new and tonumber(ARGV[6]) or 0 -- who has the lock and recovers its own makes no call any more
local late = P .. 'late:' .. project

local function asset_of(key, id)
  local entry = redis.call('XRANGE', key, id, id)[1]
  for n = 1, entry and #entry[2] or 0, 2 do
    if entry[2][n] == 'asset' then return entry[2][n + 1] end
  end
end

local function note_late(lane, key, id)
  local asset, name = asset_of(key, id), lane .. '/' .. id
  if not asset then return end
  local before = redis.call('HGET', late, asset)
  if before and string.match(before, ' (.*)$') ~= name then name = '*' end
  redis.call('HSET', late, asset, string.format('%.0f %s', now + window, name))
end

local recovered = 0
for lane = 0, lanes - 1 do
  local key = P .. 'lane:' .. lane .. ':' .. project
  while redis.call('EXISTS', key) == 1 do
    local held = redis.call('XPENDING', key, 'delivery', '-', '+', 500, 'wave')
    if #held == 0 then break end
    local claim = { 'XCLAIM', key, 'delivery', 'returned', 0 }
    for _, row in ipairs(held) do
      claim[#claim + 1] = row[1]
      if window > 0 then note_late(lane, key, row[1]) end
    end
    claim[#claim + 1] = 'JUSTID'
    redis.call(unpack(claim))
    recovered = recovered + #held
  end
end
if recovered > 0 then
  for _, ledger in ipairs({ P .. 'ledger', P .. 'ledger:' .. project }) do
    redis.call('HINCRBY', ledger, 'leased', -recovered)
    redis.call('HINCRBY', ledger, 'waiting', recovered)
  end
  redis.call('ZADD', P .. 'work', 'NX', 0, project)
  if window > 0 then redis.call('PEXPIRE', late, window) end
end

local found = {}
local rows = window > 0 and redis.call('HGETALL', late) or {}
for n = 1, #rows, 2 do
  local until_ms, name = string.match(rows[n + 1], '^(%d+) (.*)$')
  if tonumber(until_ms) > now then
    found[#found + 1] = rows[n]
    found[#found + 1] = tonumber(until_ms) - now
    found[#found + 1] = name
  else
    redis.call('HDEL', late, rows[n])
  end
end
return { 1, recovered, found }
