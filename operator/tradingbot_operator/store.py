"""What was last seen of every object we care about, with the indices the snapshots need.

A cache, never the truth: any entry may be stale or missing, and the next watch event or sweep repairs it.
Must never do I/O and must never hand out an object that anyone changes in place. Objects are kept as JSON and decoded
for whoever asks: as text they take a fraction of the memory, and the garbage collector has nothing to walk through.
Evidence, of which there is by far the most, is packed as well: each object by what the bot's first one already says. So
are children and pods, of which there are ten for each bot and which differ in little: by the first of their kind.
"""

import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from tradingbot_api.group import ACCOUNT_ANNOTATION, BOT_LABEL, SYMBOLS_ANNOTATION
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
from tradingbot_operator.plan.snapshot import gate_of
from tradingbot_operator.plan.symbols import account_of, accounts_of, live_account_of, symbols_of

BOT = "TradingBot"
ACCOUNT = "BrokerAccount"
GATE = "PromotionGate"
EVIDENCE = "PromotionEvidence"
APPROVAL = "Approval"
ATTESTATION = "Attestation"
KILL = "KillRecord"
RUN = "ValidationRun"
JOB = "Job"
POD = "Pod"
CLAIM = "PersistentVolumeClaim"

_Index = dict[Any, set[ObjectKey]]
_IndexEntry = tuple[str, Any]
_CLAIM_METADATA: Final = ("name", "namespace", "uid", "creationTimestamp")
_CLAIM_SPEC: Final = ("accounts", "symbols", "capital", "mode")
_CLAIM_STATUS: Final = ("effectiveMode", "grant")
_NOT_PACKED: Final = frozenset({BOT, ACCOUNT, GATE, APPROVAL, ATTESTATION, KILL, RUN})
"""What is looked at often, or differs in most."""
_DECODED_KEPT: Final = 256
"""One look asks for the same few objects again and again."""


@dataclass(frozen=True, slots=True)
class _Stored:
    version: str
    uid: str
    encoded: bytes
    claimant: Raw | None
    index_entries: tuple[_IndexEntry, ...]
    sample: bytes | None
    """What it is packed by; None where it is not packed."""

    @property
    def decoded(self) -> Any:
        """The object."""
        if self.sample is None:
            return json.loads(self.encoded)
        return json.loads(zlib.decompressobj(zdict=self.sample).decompress(self.encoded))


class Store:
    """Objects by key; who uses an account, who claims a symbol, which children and pods a bot has."""

    def __init__(self) -> None:
        self._objects: defaultdict[str, dict[ObjectKey, _Stored]] = defaultdict(dict)
        self._indices: defaultdict[str, _Index] = defaultdict(dict)
        self._touched: set[ObjectKey] = set()
        self._decoded: dict[ObjectKey, tuple[_Stored, Raw]] = {}
        self._samples: dict[_IndexEntry, bytes] = {}

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def get(self, key: ObjectKey) -> Raw | None:
        """The object as last seen."""
        stored = self._objects[key.kind].get(key)
        if stored is None:
            return None
        known, raw = self._decoded.get(key, (None, {}))
        if key.kind == EVIDENCE:
            # A look asks for all of a bot's evidence once: kept, it would only drive out what is asked for again.
            return cast(Raw, stored.decoded)
        if known is not stored:
            raw = stored.decoded
            self._decoded.pop(key, None)
            self._decoded[key] = stored, raw
            if len(self._decoded) > _DECODED_KEPT:
                del self._decoded[next(iter(self._decoded))]
        return raw

    def claimant(self, bot: ObjectKey) -> Raw | None:
        """A bot with no more of it than decides between bots: name, uid, age, accounts, symbols, capital, and whether
        it is or asks to be live.

        Not decoded: a look at one bot of an account asks for it of all.
        """
        stored = self._objects[bot.kind].get(bot)
        return stored.claimant if stored is not None else None

    def version(self, key: ObjectKey) -> str | None:
        """The version that was last seen."""
        stored = self._objects[key.kind].get(key)
        return stored.version if stored is not None else None

    def keys(self, kind: str) -> list[ObjectKey]:
        """The keys of a kind."""
        return list(self._objects[kind])

    def uids(self, kind: str) -> dict[ObjectKey, str]:
        """Which objects there are of a kind."""
        return {key: stored.uid for key, stored in self._objects[kind].items()}

    def put(self, kind: str, raw: Raw) -> bool:
        """Remembers an object; False where what is already known is as new or newer."""
        key = ObjectKey(sys.intern(kind), sys.intern(namespace_of(raw)), name_of(raw))
        known = self._objects[kind].get(key)
        if known is not None and not _is_newer(resource_version(raw), known.version):
            return False
        self._forget_indices(key, known)
        entries = tuple(dict.fromkeys(_index_entries(kind, raw)))
        encoded = json.dumps(_without_managed_fields(raw), separators=(",", ":"), ensure_ascii=False).encode()
        sample = self._sample(kind, entries, encoded)
        stored = _Stored(
            resource_version(raw),
            uid_of(raw),
            encoded if sample is None else _packed(encoded, sample),
            _claimant(raw) if kind == BOT else None,
            entries,
            sample,
        )
        self._objects[kind][key] = stored
        for index, value in stored.index_entries:
            self._indices[index].setdefault(value, set()).add(key)
        self._touch(key, stored)
        return True

    def _sample(self, kind: str, entries: tuple[_IndexEntry, ...], encoded: bytes) -> bytes | None:
        """What an object is packed by; None where it is not packed."""
        if kind in _NOT_PACKED:
            return None
        return self._samples.setdefault(entries[0] if kind == EVIDENCE else (kind, None), encoded)

    def remove(self, key: ObjectKey, uid: str | None = None) -> Raw | None:
        """Forgets an object; with a uid only that very object, not a namesake made since."""
        known = self._objects[key.kind].get(key)
        if known is None or (uid is not None and known.uid != uid):
            return None
        raw = self.get(key)
        self._touch(key, known)
        self._forget_indices(key, known)
        del self._objects[key.kind][key]
        self._decoded.pop(key, None)
        return raw

    def take_touched_bots(self) -> set[ObjectKey]:
        """The bots that changed, or whose pods or accounts did, since this was asked before."""
        touched, self._touched = self._touched, set()
        return touched

    def bots_on_account(self, namespace: str, account: str) -> list[ObjectKey]:
        """The bots that name an account, for paper or live."""
        return self._look_up("account", (namespace, account))

    def bots_claiming(self, namespace: str, account: str, symbols: Iterable[str]) -> list[ObjectKey]:
        """The bots that ask for any of the symbols of an account."""
        return self._look_up_each("claim", namespace, account, symbols)

    def bots_wanting_live(self, namespace: str, account: str, symbols: Iterable[str]) -> list[ObjectKey]:
        """The bots that name an account for live trading and ask for any of the symbols, whatever their mode is."""
        return self._look_up_each("live claim", namespace, account, symbols)

    def bots_at_gate(self, namespace: str, gate: str) -> list[ObjectKey]:
        """The bots that name a gate."""
        return self._look_up("gate", (namespace, gate))

    def evidence_about(self, bot: ObjectKey) -> list[ObjectKey]:
        """The PromotionEvidence that names the bot."""
        return self._look_up(EVIDENCE, (bot.namespace, bot.name))

    def approvals_of(self, bot: ObjectKey) -> list[ObjectKey]:
        """The Approvals that name the bot."""
        return self._look_up(APPROVAL, (bot.namespace, bot.name))

    def kills_of(self, bot: ObjectKey) -> list[ObjectKey]:
        """The KillRecords of the bot's name."""
        return self._look_up(KILL, (bot.namespace, bot.name))

    def runs_of(self, bot: ObjectKey) -> list[ObjectKey]:
        """The ValidationRuns that name the bot."""
        return self._look_up(RUN, (bot.namespace, bot.name))

    def attestations_to(self, namespace: str, gate: str) -> list[ObjectKey]:
        """The Attestations that name a gate."""
        return self._look_up(ATTESTATION, (namespace, gate))

    def children(self, bot: ObjectKey) -> list[ObjectKey]:
        """Everything that carries the bot's label, pods and volume claims included."""
        return self._look_up("bot", (bot.namespace, bot.name))

    def pods_trading(self, namespace: str, account: str, symbols: Iterable[str]) -> list[ObjectKey]:
        """The pods that were started to trade any of the symbols of an account."""
        return self._look_up_each("pod", namespace, account, symbols)

    def _look_up_each(self, index: str, namespace: str, account: str, symbols: Iterable[str]) -> list[ObjectKey]:
        return sorted({key for symbol in symbols for key in self._indices[index].get((namespace, account, symbol), ())})

    def _look_up(self, index: str, value: object) -> list[ObjectKey]:
        return sorted(self._indices[index].get(value, ()))

    def _forget_indices(self, key: ObjectKey, stored: _Stored | None) -> None:
        for index, value in stored.index_entries if stored is not None else ():
            members = self._indices[index][value]
            members.discard(key)
            if not members:
                del self._indices[index][value]
                self._samples.pop((index, value), None)

    def _touch(self, key: ObjectKey, stored: _Stored) -> None:
        if key.kind == BOT:
            self._touched.add(key)
        elif key.kind in (POD, KILL):
            bots = (value for index, value in stored.index_entries if index in ("bot", KILL))
            self._touched.update(ObjectKey(BOT, namespace, bot) for namespace, bot in bots)
        elif key.kind == ACCOUNT:
            self._touched.update(self.bots_on_account(key.namespace, key.name))


def _packed(encoded: bytes, sample: bytes) -> bytes:
    packing = zlib.compressobj(zdict=sample)
    return packing.compress(encoded) + packing.flush()


def _is_newer(theirs: str, ours: str) -> bool:
    if ours.isdecimal() and theirs.isdecimal():
        return int(theirs) > int(ours)
    # Versions that are no numbers have no order that a client may rely on: take what came last.
    return ours != theirs


def _claimant(bot: Raw) -> Raw:
    metadata, spec, status = mapping(bot, "metadata"), mapping(bot, "spec"), mapping(bot, "status")
    return {
        "metadata": {key: metadata[key] for key in _CLAIM_METADATA if key in metadata},
        "spec": {key: spec[key] for key in _CLAIM_SPEC if key in spec},
        "status": {key: status[key] for key in _CLAIM_STATUS if key in status},
    }


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
            if live := live_account_of(raw):
                yield "live claim", (namespace, live, symbol)
        if gate := gate_of(raw):
            yield "gate", (namespace, gate)
        return
    if kind in (EVIDENCE, APPROVAL, KILL, RUN):
        yield kind, (namespace, text(raw, "spec", "botRef", "name"))
        return
    if kind == ATTESTATION:
        yield kind, (namespace, text(raw, "spec", "gate"))
        return
    if kind in (ACCOUNT, GATE):
        return
    if bot := label(raw, BOT_LABEL):
        yield "bot", (namespace, bot)
    if kind == POD and (account := text(raw, "metadata", "annotations", ACCOUNT_ANNOTATION)):
        for symbol in text(raw, "metadata", "annotations", SYMBOLS_ANNOTATION).split(","):
            yield "pod", (namespace, account, symbol)
