"""A TradingBot as the plugin sees it, and finding one by name. Reads; changes nothing and judges nothing."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kubectl_tradingbot.errors import NotFoundError, PluginError, RefusedError
from kubectl_tradingbot.kubectl import BOTS, Kubectl, Raw
from tradingbot_api import KILL_ANNOTATION, PAUSE_ANNOTATION, KillReport, PromotionStatus, TradingBotStatus

_MOST_SUGGESTIONS = 3


@dataclass(frozen=True)
class Said:
    """A condition in its plainest form: what another release wrote can be read, too."""

    type: str
    status: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True)
class Bot:
    """One TradingBot. Its spec stays as it is stored: a plugin that is older than the CRDs still shows it."""

    raw: Raw

    @property
    def metadata(self) -> Raw:
        """Its metadata."""
        return _mapping(self.raw, "metadata")

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.metadata.get("namespace", ""))

    @property
    def uid(self) -> str:
        """Its metadata.uid."""
        return str(self.metadata.get("uid", ""))

    @property
    def spec(self) -> Raw:
        """What is asked."""
        return _mapping(self.raw, "spec")

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        return _mapping(self.metadata, "annotations")

    @property
    def requested(self) -> str:
        """The mode that is asked for."""
        return str(self.spec.get("mode", "paper"))

    @property
    def gate(self) -> str:
        """Name of the gate that it names; empty without one."""
        return str(_mapping(self.spec, "gateRef").get("name", ""))

    @property
    def accounts(self) -> Raw:
        """Names of its accounts, by paper and live."""
        return _mapping(self.spec, "accounts")

    @property
    def status(self) -> TradingBotStatus:
        """What was observed; RefusedError where this release cannot read it."""
        try:
            return TradingBotStatus.model_validate(_mapping(self.raw, "status"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RefusedError(
                f"the status of {self.name} cannot be read at {where} ({first['msg']}): the operator may be of a newer"
                " release than this plugin; update it, or use `kubectl get bot -o yaml`"
            ) from None

    @property
    def promotion(self) -> PromotionStatus | None:
        """What the gate says of it."""
        return self.status.promotion

    @property
    def kill(self) -> KillReport | None:
        """How far a kill is; by itself, so that nothing else in the status can hide it. None: nobody has said."""
        try:
            return KillReport.model_validate(_mapping(self.raw, "status")["kill"])
        except (KeyError, ValidationError):
            return None

    @property
    def kill_epoch(self) -> int | None:
        """Number of the kill in force; what a release names."""
        epoch = _mapping(self.raw, "status", "kill").get("epoch")
        return epoch if isinstance(epoch, int) and epoch >= 1 else None

    @property
    def kill_asked(self) -> str | None:
        """Value of the kill annotation; None without one."""
        return self.annotations.get(KILL_ANNOTATION)

    @property
    def pause_asked(self) -> str | None:
        """Value of the pause annotation; None without one."""
        return self.annotations.get(PAUSE_ANNOTATION)

    def condition(self, kind: str) -> Said | None:
        """One condition, if it is set."""
        return next((said for said in self.conditions if said.type == kind), None)

    @property
    def conditions(self) -> tuple[Said, ...]:
        """All conditions as they are stored."""
        stored = _mapping(self.raw, "status").get("conditions", [])
        fields = ("type", "status", "reason", "message", "lastTransitionTime")
        return tuple(Said(*(str(one.get(field, "")) for field in fields)) for one in stored if isinstance(one, Mapping))

    @property
    def is_killed(self) -> bool:
        """Whether a kill is asked for here or in force."""
        said = self.condition("Killed")
        return self.kill_asked is not None or (said is not None and said.status == "True")


def _mapping(raw: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: Any = raw
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def find(kubectl: Kubectl, name: str) -> Bot:
    """The bot of that name; NotFoundError with names that are close."""
    try:
        return Bot(kubectl.get(BOTS, name))
    except NotFoundError:
        raise unknown(kubectl, name) from None


def unknown(kubectl: Kubectl, name: str) -> NotFoundError:
    """That there is no such bot, with what there is instead."""
    where = f" in the namespace {kubectl.scope.namespace}" if kubectl.scope.namespace else " in this namespace"
    try:
        names = [bot.name for bot in every(kubectl)]
    except PluginError:
        names = []
    close = suggestions(name, names)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif names:
        hint = f"there are {len(names)}: `kubectl tradingbot status` lists them"
    else:
        hint = "look in another one with -n, or in all of them: `kubectl tradingbot status -A`"
    return NotFoundError(f"there is no bot {name}{where}; {hint}")


def suggestions(name: str, names: list[str]) -> list[str]:
    """Names that one may have meant, the likeliest first; bounded."""
    close = difflib.get_close_matches(name, names, n=_MOST_SUGGESTIONS, cutoff=0.5)
    starting = [one for one in sorted(names) if one.startswith(name) and one not in close]
    return [*close, *starting][:_MOST_SUGGESTIONS]


def every(kubectl: Kubectl, *, all_namespaces: bool = False) -> list[Bot]:
    """All bots of the namespace, or of all namespaces, by name."""
    found = (Bot(raw) for raw in kubectl.list(BOTS, all_namespaces=all_namespaces))
    return sorted(found, key=lambda bot: (bot.namespace, bot.name))


def on_account(bots: list[Bot], account: str) -> list[Bot]:
    """Those that name the account, as paper or as live."""
    return [bot for bot in bots if account in (bot.accounts.get("paper"), bot.accounts.get("live"))]
