-- When the oldest prediction of a project was admitted, in ms since the epoch; '' when there is none.
-- ARGV: prefix, project, number of lanes.
local oldest = ''
for lane = 0, tonumber(ARGV[3]) - 1 do
  local head = redis.call('XRANGE', ARGV[1] .. 'lane:' .. lane .. ':' .. ARGV[2], '-', '+', 'COUNT', 1)
  local at = #head == 1 and string.match(head[1][1], '^%d+') or oldest
  if oldest == '' or tonumber(at) < tonumber(oldest) then oldest = at end
end
return oldest
