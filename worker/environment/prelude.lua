-- Goes before every script: a number enters a command as a whole number in decimal digits.
-- Left to itself Lua writes -0, 1e+15 or 0.5, and servers differ in which of these they take.
-- What a script says for each of many entries goes by `send`: for less, and with texts alone.
local redis = (function(server)
  local type, unpack, select = type, unpack, select
  local function text(value)
    return string.format('%.0f', math.floor(value) + 0) -- + 0: the sum of -0 and 0 is 0
  end
  local function with_digits(run)
    return function(...)
      local args, count = { ... }, select('#', ...)
      for n = 1, count do
        if type(args[n]) == 'number' then args[n] = text(args[n]) end
      end
      return run(unpack(args, 1, count))
    end
  end
  return { call = with_digits(server.call), pcall = with_digits(server.pcall), send = server.call }
end)(redis)
