-- Health of a PromotionGate: whether this release can read it. What it says of each bot is the bot's own health.
-- Must never fail, nor hold up a sync because a bot was not judged yet. Argo CD opens base, table and a part of os.

local function get(value, ...)
  for _, key in ipairs({...}) do
    if type(value) ~= "table" then return nil end
    value = value[key]
  end
  return value
end

local function text(value)
  if type(value) == "string" then return value end
  return ""
end

local function number(value)
  if type(value) == "number" and value == value then return value end
  return 0
end

local function health(status, message) return {status = status, message = message} end

local status = get(obj, "status")

local function condition(kind)
  local all = get(status, "conditions")
  if type(all) == "table" then
    for _, one in ipairs(all) do
      if get(one, "type") == kind then return one end
    end
  end
  return {}
end

if get(obj, "metadata", "deletionTimestamp") ~= nil then
  return health("Progressing", "being deleted")
end
if type(status) ~= "table" or next(status) == nil then
  return health("Progressing", "waiting for the operator")
end
if number(get(status, "observedGeneration")) < number(get(obj, "metadata", "generation")) then
  return health("Progressing", "the operator has not seen this spec yet")
end

local valid = condition("Valid")
if get(valid, "status") == "False" then
  return health("Degraded", text(get(valid, "reason")) .. ": " .. text(get(valid, "message")))
end
if get(valid, "status") ~= "True" then
  return health("Progressing", "waiting for the operator")
end
-- Evaluated=False stays as long as a bot is broken; the commit that mends the bot must get past its gate.
local summary = text(get(status, "summary"))
return health("Healthy", summary ~= "" and summary or "no bot names it")
