-- What is in each lane of some projects. ARGV: prefix, number of lanes, projects.
-- Returns per project and lane three numbers: entries, those that a wave has leased, and when the oldest was admitted
-- (ms since the epoch; 0 when the lane is empty).
local P, lanes = ARGV[1], tonumber(ARGV[2])
local found = {}

local function leased(key)
  for _, consumer in ipairs(redis.call('XPENDING', key, 'delivery')[4] or {}) do
    if consumer[1] == 'wave' then return tonumber(consumer[2]) end
  end
  return 0
end

for place = 3, #ARGV do
  for lane = 0, lanes - 1 do
    local key = P .. 'lane:' .. lane .. ':' .. ARGV[place]
    local entries, taken, oldest = redis.call('XLEN', key), 0, 0
    if entries > 0 then
      taken = leased(key)
      oldest = tonumber(string.match(redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1][1], '^%d+'))
    end
    found[#found + 1] = entries
    found[#found + 1] = taken
    found[#found + 1] = oldest
  end
end
return found
