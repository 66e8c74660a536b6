"""Argo CD's Lua as the tests run it: version 5.1, with no more in it than Argo CD opens for a script of argocd-cm.

Must never offer what Argo CD does not: a script that needs it would pass here and fail there.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lupa import lua51

ROOT = Path(__file__).parents[3]
CUSTOMIZATIONS = ROOT / "manifests/argocd/customizations"
PREFIX = "resource.customizations."
#: Of Argo CD 3.2, util/lua: the base library, table, package, and these of os.
SAFE_OS = ("time", "date")
BASE = (
    ("_G", "_VERSION", "assert", "collectgarbage", "dofile", "error", "getfenv", "getmetatable", "ipairs", "load"),
    ("loadfile", "loadstring", "module", "newproxy", "next", "pairs", "pcall", "print", "rawequal", "rawget"),
    ("rawset", "require", "select", "setfenv", "setmetatable", "tonumber", "tostring", "type", "unpack", "xpcall"),
)
OPEN = frozenset({"table", "os", "package"}.union(*BASE))
_NARROW = """
local opened, safe_os = ...
getmetatable("").__index = nil
for name in pairs(os) do if not safe_os[name] then os[name] = nil end end
for name in pairs(_G) do if not opened[name] then _G[name] = nil end end
"""


@dataclass(frozen=True)
class Health:
    """What a health script says."""

    status: str
    message: str


def scripts() -> dict[str, str]:
    """Every key of the ConfigMap argocd-cm that is ours, with the text of the file that it is made from."""
    document = yaml.safe_load((CUSTOMIZATIONS / "kustomization.yaml").read_text(encoding="utf-8"))
    (generator,) = document["configMapGenerator"]
    pairs = (entry.split("=", 1) for entry in generator["files"])
    return {key.removeprefix(PREFIX): (CUSTOMIZATIONS / path).read_text(encoding="utf-8") for key, path in pairs}


def run(script: str, obj: Any, parameters: dict[str, str] | None = None) -> Any:
    """What a script returns of an object, as JSON has it; an empty table is an empty list, as in Argo CD."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    named = (lua.table_from(dict.fromkeys(names, True)) for names in (OPEN, SAFE_OS))
    lua.execute(_NARROW, *named)
    names = lua.globals()
    names["obj"] = _to_lua(lua, copy.deepcopy(obj))
    names["actionParams"] = _to_lua(lua, parameters or {})
    return _from_lua(lua.execute(script))


def health_of(obj: Any, kind: str = "") -> Health:
    """The health of an object, by the script for its kind."""
    said = run(scripts()[f"health.tradingbots.dev_{kind or obj['kind']}"], obj)
    assert set(said) == {"status", "message"}, said
    return Health(said["status"], said["message"])


def actions() -> dict[str, Any]:
    """The actions of a TradingBot as Argo CD reads them."""
    document: dict[str, Any] = yaml.safe_load(scripts()["actions.tradingbots.dev_TradingBot"])
    return document


def offered(bot: Any) -> dict[str, Any]:
    """Actions by name, as discovery says them."""
    found: dict[str, Any] = run(actions()["discovery.lua"], bot)
    return found


def act(name: str, bot: Any, **parameters: str) -> Any:
    """The object that an action makes of a bot."""
    (script,) = (one["action.lua"] for one in actions()["definitions"] if one["name"] == name)
    return run(script, bot, parameters)


def _to_lua(lua: lua51.LuaRuntime, value: Any) -> Any:
    if isinstance(value, dict):
        table = lua.table()
        for key, item in value.items():
            table[key] = _to_lua(lua, item)
        return table
    if isinstance(value, list):
        # A null in a list is skipped, as Argo CD's append does.
        return lua.table(*(_to_lua(lua, item) for item in value if item is not None))
    return value


def _from_lua(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if set(items) == set(range(1, len(items) + 1)):
        return [_from_lua(items[at]) for at in range(1, len(items) + 1)]
    return {key: _from_lua(item) for key, item in items.items()}
