-- Health of a ValidationRun: it is well once it has come to evidence, also to evidence that the strategy did not pass.
-- Must never fail, nor call a run done because something is missing. Argo CD opens base, table and a part of os.

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

local function condition(kind)
  local conditions = get(obj, "status", "conditions")
  if type(conditions) ~= "table" then return nil end
  for _, one in ipairs(conditions) do
    if get(one, "type") == kind then return one end
  end
  return nil
end

if get(obj, "metadata", "deletionTimestamp") ~= nil then
  return health("Progressing", "being deleted")
end

local function told(one) return text(get(one, "reason")) .. ": " .. text(get(one, "message")) end

local failed, complete = condition("Failed"), condition("Complete")
if get(failed, "status") == "True" then return health("Degraded", told(failed)) end
if get(complete, "status") == "True" then return health("Healthy", told(complete)) end
return health("Progressing", complete ~= nil and told(complete) or "nobody has looked at it yet")
