-- Some dead letters without their originals. ARGV: prefix, ids.
-- Returns of each that is there: id, project, cause, letter, bytes of the original.
local found = {}
for place = 2, #ARGV do
  for _, entry in ipairs(redis.call('XRANGE', ARGV[1] .. 'dead', ARGV[place], ARGV[place])) do
    local field = {}
    for n = 1, #entry[2], 2 do field[entry[2][n]] = entry[2][n + 1] end
    found[#found + 1] = { entry[1], field.project, field.cause, field.letter, #field.original }
  end
end
return found
