-- Keep a project's lock. ARGV: prefix, project, token, lease in ms. Returns 1 when it is still ours.
if redis.call('GET', ARGV[1] .. 'lock:' .. ARGV[2]) ~= ARGV[3] then return 0 end
return redis.call('PEXPIRE', ARGV[1] .. 'lock:' .. ARGV[2], ARGV[4])
