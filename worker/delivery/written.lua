-- Remember what was written to assets. KEYS: one of each asset.
-- ARGV: how long in seconds, then the text for each key; without one what is known no longer counts.
for i, key in ipairs(KEYS) do
  local text = ARGV[i + 1]
  if text == '' then redis.call('DEL', key) else redis.call('SET', key, text, 'EX', ARGV[1]) end
end
