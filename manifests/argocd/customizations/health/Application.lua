-- Health of an Application that another Application has made: its own. Argo CD leaves it out unless it is told, and then
-- a wave of Applications does not wait for the one before. Must never fail.

local health = type(obj) == "table" and type(obj.status) == "table" and obj.status.health or nil
if type(health) ~= "table" or type(health.status) ~= "string" or health.status == "" then
  return {status = "Progressing", message = "not looked at yet"}
end
return {status = health.status, message = type(health.message) == "string" and health.message or ""}
