-- Give a project's lock back, and let it be offered again at once. ARGV: prefix, project, token.
if redis.call('GET', ARGV[1] .. 'lock:' .. ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('DEL', ARGV[1] .. 'hint:' .. ARGV[2])
return redis.call('DEL', ARGV[1] .. 'lock:' .. ARGV[2])
