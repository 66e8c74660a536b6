"""The manifests of a repository as `tradingbot ci` reads them: bots, and the gates and accounts beside them.

Pure: text in, values out. Must never guess what a document that cannot be read would have said.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from tradingbot_api import API_VERSION, GROUP, BrokerAccountSpec, Mode, PromotionGateSpec, TradingBotSpec
from tradingbot_api.group import MAX_BOT_NAME_LENGTH
from tradingbot_runtime.commands.inputs import each_wrong_field

MOST_DOCUMENTS: Final = 500
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SPECS: Final[Mapping[str, type[BaseModel]]] = {
    "TradingBot": TradingBotSpec,
    "PromotionGate": PromotionGateSpec,
    "BrokerAccount": BrokerAccountSpec,
}

Key = tuple[str, str]
"""Namespace, which may be empty, and name."""


def shown(key: Key) -> str:
    """NAMESPACE/NAME, or the name alone."""
    return "/".join(part for part in key if part)


@dataclass(frozen=True)
class Bot:
    """One TradingBot of a file."""

    key: Key
    source: str
    """The file it is in."""
    spec: TradingBotSpec | None
    """None where it cannot be read."""
    problems: tuple[str, ...] = ()
    """Each field and rule that is not kept."""

    @property
    def name(self) -> str:
        """NAMESPACE/NAME, or the name alone where no namespace is written."""
        return shown(self.key)


@dataclass(frozen=True)
class Manifests:
    """What is in some files."""

    bots: tuple[Bot, ...]
    gates: Mapping[Key, PromotionGateSpec]
    accounts: Mapping[Key, BrokerAccountSpec]
    problems: tuple[tuple[str, str], ...]
    """File, and what cannot be read in it."""

    def bot(self, key: Key) -> Bot | None:
        """The bot of that name."""
        return next((bot for bot in self.bots if bot.key == key), None)

    def gate_of(self, bot: Bot) -> PromotionGateSpec | None:
        """The gate that a bot names; None where it names none, or these files hold it not."""
        ref = bot.spec.gate_ref if bot.spec is not None else None
        return self.gates.get((bot.key[0], ref.name)) if ref is not None else None

    def live_account_of(self, bot: Bot) -> BrokerAccountSpec | None:
        """The live account that a bot names; None where it names none, or these files hold it not."""
        live = bot.spec.accounts.live if bot.spec is not None else None
        return self.accounts.get((bot.key[0], live)) if live is not None else None


def manifests_in(files: Sequence[tuple[str, bytes]]) -> Manifests:
    """The documents of our kinds in some files, each a name and its text. Other kinds are passed over."""
    bots: dict[Key, Bot] = {}
    gates: dict[Key, PromotionGateSpec] = {}
    accounts: dict[Key, BrokerAccountSpec] = {}
    problems: list[tuple[str, str]] = []
    for source, text in files:
        found = _documents(text)
        if isinstance(found, str):
            problems.append((source, found))
            continue
        for number, document in enumerate(found, 1):
            kind = document.get("kind") if isinstance(document, dict) else None
            if not isinstance(kind, str) or kind not in _SPECS or not _is_ours(document):
                continue
            key, spec, wrong = _read(document, _SPECS[kind])
            if key in bots and kind == "TradingBot":
                problems.append((source, f"document {number}: TradingBot {shown(key)} is there twice"))
            elif isinstance(spec, PromotionGateSpec):
                gates[key] = spec
            elif isinstance(spec, BrokerAccountSpec):
                accounts[key] = spec
            elif kind == "TradingBot":
                bot_spec = spec if isinstance(spec, TradingBotSpec) else None
                bots[key] = Bot(key, source, bot_spec, (*wrong, *_rules(key[1], bot_spec)))
            else:
                problems.append((source, f"document {number}: {kind} {shown(key)}: {'; '.join(wrong)}"))
    return Manifests(tuple(bots.values()), gates, accounts, tuple(problems))


def _documents(text: bytes) -> list[Any] | str:
    try:
        found = []
        for one in yaml.safe_load_all(text):
            found.append(one)
            if len(found) > MOST_DOCUMENTS:
                return f"more than {MOST_DOCUMENTS} documents"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"is not YAML: {error}"
    return found


def _is_ours(document: Mapping[str, Any]) -> bool:
    return str(document.get("apiVersion", "")).partition("/")[0] == GROUP


def _read(document: Mapping[str, Any], model: type[BaseModel]) -> tuple[Key, BaseModel | None, tuple[str, ...]]:
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    key = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
    wrong = []
    if document.get("apiVersion") != API_VERSION:
        wrong.append(f"apiVersion: write {API_VERSION}")
    try:
        return key, model.model_validate(document.get("spec")), tuple(wrong)
    except ValidationError as error:
        return key, None, (*wrong, *(f"spec.{one}" for one in each_wrong_field(error)))


def _rules(name: str, spec: TradingBotSpec | None) -> Iterable[str]:
    """Rules of the CRD that are not those of one field alone."""
    if not _NAME.fullmatch(name) or len(name) > MAX_BOT_NAME_LENGTH:
        yield (
            f"metadata.name: {name or 'there is none'}: write small letters, digits and -, beginning with a letter,"
            f" at most {MAX_BOT_NAME_LENGTH}"
        )
    if spec is None:
        return
    if len(set(spec.symbols)) < len(spec.symbols):
        yield "spec.symbols: write each once"
    if spec.mode is Mode.LIVE and spec.gate_ref is None:
        yield "spec.gateRef: mode live needs a PromotionGate to pass"
    if spec.mode is Mode.LIVE and spec.accounts.live is None:
        yield "spec.accounts.live: mode live needs a live BrokerAccount"
    if spec.accounts.live == spec.accounts.paper:
        yield "spec.accounts: live and paper must be different BrokerAccounts"
