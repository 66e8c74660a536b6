-- Health of a KillRecord: in force it is Degraded, whoever confirmed it, until an Approval has released it.
-- Must never fail, nor call a kill over because something is missing. Argo CD opens base, table and a part of os.

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

local function health(status, message) return {status = status, message = message} end

local status = get(obj, "status")

if get(obj, "metadata", "deletionTimestamp") ~= nil then
  return health("Progressing", "being deleted")
end
if type(status) ~= "table" or next(status) == nil then
  return health("Progressing", "in force; nobody has confirmed any of it yet")
end
if text(get(status, "releasedAt")) ~= "" then
  local approver = text(get(status, "releasedBy", "approver"))
  return health("Healthy", "released" .. (approver ~= "" and " by " .. approver or ""))
end

local progress = "the bot has not confirmed it"
if text(get(status, "flatAt")) ~= "" then
  progress = "orders cancelled and positions closed"
elseif text(get(status, "ordersCancelledAt")) ~= "" then
  progress = "orders cancelled"
elseif text(get(status, "acknowledgedAt")) ~= "" then
  progress = "the bot has stopped, its orders are not all gone"
end
local reason = text(get(obj, "spec", "reason"))
return health("Degraded", "in force" .. (reason ~= "" and ' ("' .. reason .. '")' or "") .. ": " .. progress)
