"""Which objects have to be looked at again when one was seen to change, and which of them before all others. Pure.

One step only: an object's own look brings about whatever follows from it. Must never leave out who depends on it.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from tradingbot_api import KILL_ANNOTATION
from tradingbot_api.group import ACCOUNT_ANNOTATION, BOT_LABEL, SYMBOLS_ANNOTATION
from tradingbot_operator.plan.objects import (
    ObjectKey,
    Raw,
    annotation,
    generation_of,
    is_being_deleted,
    label,
    mapping,
    name_of,
    namespace_of,
    text,
    uid_of,
)
from tradingbot_operator.plan.pods import is_over
from tradingbot_operator.plan.snapshot import gate_of
from tradingbot_operator.plan.symbols import (
    account_of,
    accounts_of,
    asks_for_live,
    is_live,
    live_account_of,
    symbols_of,
)
from tradingbot_operator.store import ACCOUNT, APPROVAL, ATTESTATION, BOT, EVIDENCE, GATE, KILL, POD, RUN, Store

# Their status lists their bots: a thousand new ones are told in a few writes, not in a thousand that each grow. And
# each write of an account is told to every bot of it, which has better things to do in a kill.
_PATIENCE_SECONDS: Final = MappingProxyType({GATE: 1.0, ACCOUNT: 1.0})


def patience_seconds(look: ObjectKey, changed: str) -> float:
    """How long a look may wait for what else changes, where an object of the kind `changed` was the cause of it."""
    return 0.0 if look.kind == changed == ACCOUNT else _PATIENCE_SECONDS.get(look.kind, 0.0)


def is_urgent(store: Store, key: ObjectKey) -> bool:
    """Whether a kill is asked for: on the object itself, or on an account of the bot."""
    raw = store.get(key)
    if raw is None:
        return False
    accounts = accounts_of(raw) if key.kind == BOT else ()
    around = (store.get(ObjectKey(ACCOUNT, key.namespace, account)) for account in accounts)
    return any(one is not None and annotation(one, KILL_ANNOTATION) is not None for one in (raw, *around))


def is_killed(store: Store, bot: ObjectKey) -> bool:
    """Whether a kill of a bot of this name was not released yet, so that its pod is asked at once how far it is."""
    return any(not text(store.get(record) or {}, "status", "releasedAt") for record in store.kills_of(bot))


def capital_rivals(store: Store, namespace: str, account: str) -> list[ObjectKey]:
    """The bots that share an account's capital; none where it has no limit, because then nobody minds the others."""
    raw = store.get(ObjectKey(ACCOUNT, namespace, account))
    is_limited = raw is not None and bool(text(raw, "spec", "limits", "maxCapital"))
    return store.bots_on_account(namespace, account) if is_limited else []


def affected(store: Store, kind: str, before: Raw | None, after: Raw | None) -> Iterator[ObjectKey]:
    """Who depends on the change. The store already holds what is seen now."""
    seen = after if after is not None else before
    if seen is None:
        return
    if kind == BOT:
        yield from _by_bot(store, before, after, seen)
    elif kind == ACCOUNT:
        yield from _by_account(store, before, after, seen)
    elif kind == GATE:
        yield from _by_gate(store, before, after, seen)
    elif kind in (EVIDENCE, APPROVAL, KILL, RUN):
        yield ObjectKey(BOT, namespace_of(seen), text(seen, "spec", "botRef", "name"))
    elif kind == ATTESTATION:
        yield from store.bots_at_gate(namespace_of(seen), text(seen, "spec", "gate"))
    else:
        yield from _by_child(store, kind, before, after)


def _by_bot(store: Store, before: Raw | None, after: Raw | None, seen: Raw) -> Iterator[ObjectKey]:
    namespace = namespace_of(seen)
    yield ObjectKey(BOT, namespace, name_of(seen))
    if gate_of(seen) and _verdict(before) != _verdict(after):
        yield ObjectKey(GATE, namespace, gate_of(seen))
    for raw in (before, after) if _liveness(before) != _liveness(after) else ():
        if raw is not None:
            yield from store.bots_wanting_live(namespace, live_account_of(raw), symbols_of(raw))
            yield from (ObjectKey(ACCOUNT, namespace, live) for live in (live_account_of(raw),) if live)
    if not _is_spec_changed(before, after):
        return
    for raw in (before, after):
        if raw is None:
            continue
        yield from (ObjectKey(ACCOUNT, namespace, account) for account in accounts_of(raw))
        yield from store.bots_claiming(namespace, account_of(raw), symbols_of(raw))
        yield from capital_rivals(store, namespace, account_of(raw))
        if gate := gate_of(raw):
            yield ObjectKey(GATE, namespace, gate)


def _liveness(bot: Raw | None) -> tuple[object, ...]:
    """What other bots that want the same symbols of its live account depend on."""
    if bot is None:
        return ()
    return (uid_of(bot), live_account_of(bot), symbols_of(bot), asks_for_live(bot), is_live(bot))


def _verdict(bot: Raw | None) -> tuple[str, ...]:
    """What a gate's status says of the bot."""
    if bot is None:
        return ()
    said = (text(bot, "status", "promotion", field) for field in ("verdict", "message"))
    return (text(bot, "spec", "mode"), text(bot, "status", "effectiveMode"), *said)


def _by_account(store: Store, before: Raw | None, after: Raw | None, seen: Raw) -> Iterator[ObjectKey]:
    namespace, name = namespace_of(seen), name_of(seen)
    yield ObjectKey(ACCOUNT, namespace, name)
    if _is_spec_changed(before, after):
        yield from store.bots_on_account(namespace, name)


def _by_gate(store: Store, before: Raw | None, after: Raw | None, seen: Raw) -> Iterator[ObjectKey]:
    namespace, name = namespace_of(seen), name_of(seen)
    yield ObjectKey(GATE, namespace, name)
    if _is_spec_changed(before, after):
        yield from store.bots_at_gate(namespace, name)


def _by_child(store: Store, kind: str, before: Raw | None, after: Raw | None) -> Iterator[ObjectKey]:
    for raw in (before, after):
        if raw is None:
            continue
        if bot := label(raw, BOT_LABEL):
            yield ObjectKey(BOT, namespace_of(raw), bot)
    if kind == POD and before is not None and (after is None or is_over(after)):
        symbols = (annotation(before, SYMBOLS_ANNOTATION) or "").split(",")
        account = annotation(before, ACCOUNT_ANNOTATION) or ""
        yield from store.bots_claiming(namespace_of(before), account, symbols)
        yield from store.bots_wanting_live(namespace_of(before), account, symbols)


def _is_spec_changed(before: Raw | None, after: Raw | None) -> bool:
    if before is None or after is None:
        return True
    return _identity(before) != _identity(after)


def _identity(raw: Raw) -> tuple[object, ...]:
    annotations = dict(mapping(raw, "metadata", "annotations"))
    return uid_of(raw), generation_of(raw), is_being_deleted(raw), annotations
