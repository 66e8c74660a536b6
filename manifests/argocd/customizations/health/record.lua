-- Health of what is written once and has no status: PromotionEvidence, Approval, Attestation. What such a record is
-- worth is in the health of the bot it is about. Must never fail. Argo CD opens base, table and a part of os.

local function text(value)
  if type(value) == "string" then return value end
  return ""
end

local metadata = type(obj) == "table" and obj.metadata or nil
local spec = type(obj) == "table" and obj.spec or nil
if type(metadata) == "table" and metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "being deleted"}
end
if type(spec) ~= "table" then
  return {status = "Healthy", message = "recorded"}
end

local what = text(spec.action)
if what == "" then what = text(spec.type) end
local who = text(spec.approver)
if who == "" then who = text(spec.attester) end
local bot = type(spec.botRef) == "table" and text(spec.botRef.name) or ""
local message = what ~= "" and what or "recorded"
if bot ~= "" then message = message .. " of " .. bot end
if who ~= "" then message = message .. " by " .. who end
return {status = "Healthy", message = message}
