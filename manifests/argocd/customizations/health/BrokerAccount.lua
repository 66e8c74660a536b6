-- Health of a BrokerAccount. Must never fail, and never keep a sync from going on to the bots of an account that
-- nobody has used yet. Argo CD opens base, table and a part of os.

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
  return health("Progressing", "being deleted: bots that trade on it end first")
end
if get(obj, "metadata", "annotations", "tradingbots.dev/kill") ~= nil or get(condition("Killed"), "status") == "True" then
  return health("Degraded", "killed: every bot on this account is")
end
if type(status) ~= "table" or next(status) == nil then
  return health("Progressing", "waiting for the operator")
end
if number(get(status, "observedGeneration")) < number(get(obj, "metadata", "generation")) then
  return health("Progressing", "the operator has not seen this spec yet")
end

local connected = condition("Connected")
local state, reason, message = get(connected, "status"), text(get(connected, "reason")), text(get(connected, "message"))
if state == "True" then
  return health("Healthy", message)
end
if state == "False" or reason == "InvalidSpec" then
  return health("Degraded", reason .. ": " .. message)
end
if state == "Unknown" then
  -- Bots come after their account: were this not Healthy, a sync in waves would never come to them.
  return health("Healthy", message)
end
return health("Progressing", "waiting for the operator")
