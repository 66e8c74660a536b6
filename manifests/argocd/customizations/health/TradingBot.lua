-- Health of a TradingBot: what `kubectl get bots` says, in Argo CD's six words.
-- Must never say Healthy of a bot that trades real money without a grant, nor fail: every object gets an answer.
-- Argo CD opens base, table and a part of os; there is no string and no math library here.

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

local function said(head, detail)
  if detail == "" then return head end
  return head .. ": " .. detail
end

local status = get(obj, "status")
local annotations = get(obj, "metadata", "annotations")

local function condition(kind)
  local all = get(status, "conditions")
  if type(all) == "table" then
    for _, one in ipairs(all) do
      if get(one, "type") == kind then return one end
    end
  end
  return {}
end

local function is(kind, wanted) return get(condition(kind), "status") == wanted end
local function why(kind) return text(get(condition(kind), "message")) end
local function reason(kind) return text(get(condition(kind), "reason")) end

-- Not ready for one of these, a bot gets ready by itself. Any other reason needs somebody to do something.
local passes = {
  Starting = true, Reconciling = true, WaitingForSymbols = true, VolumePending = true, ClockDoubted = true,
  Deleting = true, Deleted = true, [""] = true,
}

local is_live = get(status, "effectiveMode") == "live"
local mode = is_live and "live" or "paper"

-- What keeps a bot that asks for live on paper, the sessions it lacks first: they are what time alone brings.
local function gate()
  local promotion = get(status, "promotion")
  local sessions, required = number(get(promotion, "sessions")), number(get(promotion, "requiredSessions"))
  local verdict = text(get(promotion, "verdict"))
  local because = reason("LiveAuthorized")
  if type(promotion) == "table" and sessions < required then
    return sessions .. "/" .. required .. " sessions"
  end
  if because == "VerdictNoGo" then
    local names, blockers = {}, get(promotion, "blockers")
    for at, name in ipairs(type(blockers) == "table" and blockers or {}) do
      if at > 3 then
        names[#names + 1] = "..."
        break
      end
      names[#names + 1] = text(name)
    end
    return said(verdict, table.concat(names, ", "))
  end
  if because == "NotApproved" then
    local missing = text(get(promotion, "approvalsMissing"))
    return verdict .. ", " .. (missing ~= "" and missing or "not approved")
  end
  return said(because ~= "" and because or "not judged yet", why("LiveAuthorized"))
end

local function headline()
  if is_live then
    return "live, grant " .. number(get(status, "grant", "epoch")) .. " on account " .. text(get(status, "grant", "account"))
  end
  if get(obj, "spec", "mode") == "live" then return "paper; live gated: " .. gate() end
  return "paper"
end

if get(obj, "metadata", "deletionTimestamp") ~= nil then
  return health("Progressing", said("being deleted", why("Deleting")))
end

-- A kill is true from its annotation on, whatever the operator has seen of it, and pierces all that follows.
if is("Killed", "True") then
  return health("Degraded", said(mode .. "; killed", why("Killed")))
end
if get(annotations, "tradingbots.dev/kill") ~= nil then
  return health("Degraded", mode .. "; killed: the operator has not seen it yet, the bot sees it by itself")
end

if type(status) ~= "table" or next(status) == nil then
  return health("Progressing", "waiting for the operator")
end
if number(get(status, "observedGeneration")) < number(get(obj, "metadata", "generation")) then
  return health("Progressing", "the operator has not seen this spec yet")
end

local ready = is("Ready", "True")
if not ready and not passes[reason("Ready")] then
  return health("Degraded", said(mode .. "; " .. reason("Ready"), why("Ready")))
end

if is_live then
  local granted = type(get(status, "grant")) == "table" and is("LiveAuthorized", "True")
  if not granted then
    if is("Withdrawing", "True") or is("Withdrawing", "Unknown") then
      return health("Progressing", said("leaving live trading", why("Withdrawing")))
    end
    return health("Degraded", said("live without a grant", why("LiveAuthorized")))
  end
  if reason("LiveAuthorized") == "Granted" then
    return health("Progressing", headline() .. "; its live pod has not run yet")
  end
end

if is("Paused", "True") then
  return health("Suspended", said(headline() .. "; paused", why("Paused")))
end
if not ready then
  local because = reason("Ready")
  return health("Progressing", said(mode .. "; " .. (because ~= "" and because or "not ready"), why("Ready")))
end

local trading = get(status, "tradingState")
if trading == "Halted" then
  return health("Degraded", said(headline() .. "; halted, " .. reason("Ready"), why("Ready")))
end
if trading == "Reducing" then
  return health("Suspended", said(headline() .. "; exits only, " .. reason("Ready"), why("Ready")))
end
if is_live and trading ~= "Active" then
  return health("Progressing", headline() .. "; it has not said what it does yet")
end
return health("Healthy", headline())
