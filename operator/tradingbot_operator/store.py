"""What was last seen of every object we care about, with the indices the snapshots need.

A cache, never the truth: any entry may be stale or missing, and the next watch event or sweep repairs it.
Must never do I/O and must never hand out an object that anyone changes in place.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from tradingbot_api.group import ACCOUNT_ANNOTATION, BOT_LABEL
from tradingbot_operator.plan.objects import (
    ObjectKey,
    Raw,
    label,
    mapping,
    name_of,
    namespace_of,
    resource_version,
    text,
    uid_of,
)
from tradingbot_operator.plan.symbols import account_of, accounts_of, symbols_of

BOT = "TradingBot"
ACCOUNT = "BrokerAccount"
POD = "Pod"
CLAIM = "PersistentVolumeClaim"

_Index = dict[Any, set[ObjectKey]]


class Store:
    """Objects by key; who uses an account, who claims a symbol, which children and pods a bot has."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, Raw] = {}
        self._indices: defaultdict[str, _Index] = defaultdict(dict)
        self._index_entries: dict[ObjectKey, frozenset[tuple[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: ObjectKey) -> Raw | None:
        """The object as last seen."""
        return self._objects.get(key)

    def keys(self, kind: str | None = None) -> list[ObjectKey]:
        """All keys, or those of one kind."""
        return [key for key in self._objects if kind is None or key.kind == kind]

    def put(self, kind: str, raw: Raw) -> bool:
        """Remembers an object; False where what is already known is as new or newer."""
        key = ObjectKey(kind, namespace_of(raw), name_of(raw))
        known = self._objects.get(key)
        if known is not None and not _is_newer(raw, known):
            return False
        self._forget_indices(key)
        trimmed = _without_managed_fields(raw)
        self._objects[key] = trimmed
        self._index_entries[key] = frozenset(_index_entries(kind, trimmed))
        for index, value in self._index_entries[key]:
            self._indices[index].setdefault(value, set()).add(key)
        return True

    def remove(self, key: ObjectKey, uid: str | None = None) -> Raw | None:
        """Forgets an object; with a uid only that very object, not a namesake made since."""
        known = self._objects.get(key)
        if known is None or (uid is not None and uid_of(known) != uid):
            return None
        self._forget_indices(key)
        return self._objects.pop(key)

    def bots_on_account(self, namespace: str, account: str) -> list[ObjectKey]:
        """The bots that name an account, for paper or live."""
        return self._look_up("account", (namespace, account))

    def bots_claiming(self, namespace: str, account: str, symbols: Iterable[str]) -> list[ObjectKey]:
        """The bots that ask for any of the symbols of an account."""
        found: set[ObjectKey] = set()
        for symbol in symbols:
            found.update(self._indices["claim"].get((namespace, account, symbol), ()))
        return sorted(found)

    def children(self, bot: ObjectKey) -> list[ObjectKey]:
        """Everything that carries the bot's label, pods and volume claims included."""
        return self._look_up("bot", (bot.namespace, bot.name))

    def pods_on_account(self, namespace: str, account: str) -> list[ObjectKey]:
        """The pods that were started to trade on an account."""
        return self._look_up("pod-account", (namespace, account))

    def _look_up(self, index: str, value: object) -> list[ObjectKey]:
        return sorted(self._indices[index].get(value, ()))

    def _forget_indices(self, key: ObjectKey) -> None:
        for index, value in self._index_entries.pop(key, frozenset()):
            members = self._indices[index][value]
            members.discard(key)
            if not members:
                del self._indices[index][value]


def _is_newer(raw: Raw, known: Raw) -> bool:
    ours, theirs = resource_version(known), resource_version(raw)
    if ours.isdecimal() and theirs.isdecimal():
        return int(theirs) > int(ours)
    # Versions that are no numbers have no order that a client may rely on: take what came last.
    return ours != theirs


def _without_managed_fields(raw: Raw) -> Raw:
    metadata = mapping(raw, "metadata")
    if "managedFields" not in metadata:
        return raw
    return {**raw, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _index_entries(kind: str, raw: Raw) -> Iterator[tuple[str, Any]]:
    namespace = namespace_of(raw)
    if kind == BOT:
        for account in accounts_of(raw):
            yield "account", (namespace, account)
        account = account_of(raw)
        for symbol in symbols_of(raw):
            yield "claim", (namespace, account, symbol)
        return
    if kind == ACCOUNT:
        return
    if bot := label(raw, BOT_LABEL):
        yield "bot", (namespace, bot)
    if kind == POD and (account := text(raw, "metadata", "annotations", ACCOUNT_ANNOTATION)):
        yield "pod-account", (namespace, account)
