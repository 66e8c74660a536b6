"""Which objects have to be looked at again when one was seen to change. Pure; must never leave out who depends on it.

One step only: an object's own look brings about whatever follows from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
from tradingbot_operator.plan.symbols import account_of, accounts_of, symbols_of
from tradingbot_operator.store import ACCOUNT, BOT, POD, Store


@dataclass(frozen=True)
class Look:
    """An object to look at; urgent before all that are not."""

    key: ObjectKey
    urgent: bool = False


def affected(store: Store, kind: str, before: Raw | None, after: Raw | None) -> Iterator[Look]:
    """Who depends on the change. The store already holds what is seen now."""
    seen = after if after is not None else before
    if seen is None:
        return
    if kind == BOT:
        yield from _by_bot(store, before, after, seen)
    elif kind == ACCOUNT:
        yield from _by_account(store, before, after, seen)
    else:
        yield from _by_child(store, kind, before, after)


def _by_bot(store: Store, before: Raw | None, after: Raw | None, seen: Raw) -> Iterator[Look]:
    namespace = namespace_of(seen)
    yield Look(ObjectKey(BOT, namespace, name_of(seen)), urgent=_is_newly_killed(before, after))
    if not _is_spec_changed(before, after):
        return
    for raw in (before, after):
        if raw is None:
            continue
        yield from (Look(ObjectKey(ACCOUNT, namespace, account)) for account in accounts_of(raw))
        yield from map(Look, store.bots_claiming(namespace, account_of(raw), symbols_of(raw)))


def _by_account(store: Store, before: Raw | None, after: Raw | None, seen: Raw) -> Iterator[Look]:
    namespace, name = namespace_of(seen), name_of(seen)
    yield Look(ObjectKey(ACCOUNT, namespace, name))
    if not _is_spec_changed(before, after):
        return
    urgent = _is_newly_killed(before, after)
    yield from (Look(key, urgent) for key in store.bots_on_account(namespace, name))


def _by_child(store: Store, kind: str, before: Raw | None, after: Raw | None) -> Iterator[Look]:
    for raw in (before, after):
        if raw is None:
            continue
        if bot := label(raw, BOT_LABEL):
            yield Look(ObjectKey(BOT, namespace_of(raw), bot))
    if kind == POD and before is not None and _is_over(after):
        symbols = (annotation(before, SYMBOLS_ANNOTATION) or "").split(",")
        account = annotation(before, ACCOUNT_ANNOTATION) or ""
        yield from map(Look, store.bots_claiming(namespace_of(before), account, symbols))


def _is_over(pod: Raw | None) -> bool:
    return pod is None or text(pod, "status", "phase") in ("Succeeded", "Failed")


def _is_newly_killed(before: Raw | None, after: Raw | None) -> bool:
    if after is None or annotation(after, KILL_ANNOTATION) is None:
        return False
    return before is None or annotation(before, KILL_ANNOTATION) is None


def _is_spec_changed(before: Raw | None, after: Raw | None) -> bool:
    if before is None or after is None:
        return True
    return _identity(before) != _identity(after)


def _identity(raw: Raw) -> tuple[object, ...]:
    annotations = dict(mapping(raw, "metadata", "annotations"))
    return uid_of(raw), generation_of(raw), is_being_deleted(raw), annotations
