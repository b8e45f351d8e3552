-- Decides about several keys, all or nothing, by the server's clock: the generic cell rate algorithm over arrival times.
--
-- KEYS  what is limited. The value is its arrival time, Unix seconds with nine decimals; a missing one is in the past.
-- ARGV  for each key eight integers: cost, room, tolerance and floor, as seconds and nanoseconds (ratelimit.Demand).
-- reply whether all passed (1 or 0), then for each key how far its arrival time was ahead of now before the cost, as
--       seconds and nanoseconds.
--
-- Numbers here are doubles, exact up to 2^53, which Unix nanoseconds exceed. So each time is two numbers, and none of
-- them comes near that.

local BILLION = 1000000000

-- Plus and minus, brought back to 0 <= n < BILLION.
local function whole(s, n)
  if n >= BILLION then return s + 1, n - BILLION end
  if n < 0 then return s - 1, n + BILLION end
  return s, n
end

local function above(as, an, bs, bn)
  return as > bs or (as == bs and an > bn)
end

local time = redis.call('TIME')
local now_s, now_n = tonumber(time[1]), tonumber(time[2]) * 1000
local stored = redis.call('MGET', unpack(KEYS))

local function arg(i)
  return tonumber(ARGV[i]), tonumber(ARGV[i + 1])
end

local reply = {1}
local after_s, after_n = {}, {} -- by key: what it is to be when all pass
local mended = {}               -- by key: what it is to be in any case
for i, key in ipairs(KEYS) do
  local a = 8 * i - 7
  local cost_s, cost_n = arg(a)
  local room_s, room_n = arg(a + 2)
  local most_s, most_n = arg(a + 4)
  local s, n, mend = after_s[key], after_n[key], false
  local first = not s
  if first then
    s, n = 0, 0
    if stored[i] then
      s, n = tonumber(string.sub(stored[i], 1, -11)), tonumber(string.sub(stored[i], -9))
      if s and n then s, n = whole(s - now_s, n - now_n) else s = -1 end
      if s < 0 then s, n = 0, 0 end
    end
    local floor_s, floor_n = arg(a + 6)
    if above(floor_s, floor_n, s, n) then s, n, mend = floor_s, floor_n, true end
  end
  if above(s, n, most_s + 1, most_n) then -- ratelimit.ClockStep
    s, n, mend = most_s, most_n, true
  end
  if first and mend then mended[key] = {s, n} end
  reply[2 * i], reply[2 * i + 1] = s, n
  if above(s, n, room_s, room_n) then
    reply[1] = 0
  else
    s, n = whole(s + cost_s, n + cost_n)
  end
  after_s[key], after_n[key] = s, n
end

local function keep(key, s, n)
  if s == 0 and n == 0 then return end
  local milliseconds = s * 1000 + math.ceil(n / 1000000) -- until the burst is whole again
  s, n = whole(now_s + s, now_n + n)
  redis.call('SET', key, string.format('%d.%09d', s, n), 'PX', string.format('%d', milliseconds))
end

if reply[1] == 1 then
  for key, s in pairs(after_s) do keep(key, s, after_n[key]) end
else
  for key, at in pairs(mended) do keep(key, at[1], at[2]) end
end
return reply
