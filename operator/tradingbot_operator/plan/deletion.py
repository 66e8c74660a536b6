"""What holds a bot that is being deleted, and when it goes: confirmed, hopeless, waived by a person, or too late.

Nothing is cancelled here: the bot's pod does that, and its report says how far it is. Must never hold a bot for good:
whatever else is true, DELETION_LIMIT after the deletion it is let go, and what may still be open is told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from tradingbot_api import DeletionReport, KillReport, OnDelete, OnKill, RuntimeReport
from tradingbot_api.group import CANCEL_FINALIZER, SKIP_CANCEL_ANNOTATION
from tradingbot_operator.plan.conditions import parse_timestamp, previous_condition, timestamp
from tradingbot_operator.plan.events import EventNote
from tradingbot_operator.plan.objects import (
    Raw,
    annotation,
    entries,
    is_being_deleted,
    name_of,
    namespace_of,
    number,
    strings,
    text,
)
from tradingbot_operator.plan.pods import Cause, has_run, is_over, pod_cause
from tradingbot_operator.plan.status import figures
from tradingbot_operator.plan.verdicts import READY, View, is_killed, kill_in_force, no_report

DELETION_LIMIT: Final = timedelta(minutes=5)
"""From the deletion until the bot is let go, whatever was confirmed."""

_NAMED: Final = 5
_CLOSED: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced", "not_sent"})


@dataclass(frozen=True)
class Hold:
    """The bot stays for now."""

    cause: Cause
    at_most_seconds: float


@dataclass(frozen=True)
class Release:
    """The bot may go."""

    note: EventNote | None = None
    """What was left behind; a warning is for the account's owner, too."""


@dataclass(frozen=True)
class Asked:
    """What has to be confirmed before the bot may go, or leave live trading."""

    cancelled: bool
    flat: bool


def is_held(bot: Raw) -> bool:
    """Whether the bot carries our finalizer."""
    return CANCEL_FINALIZER in strings(bot, "metadata", "finalizers")


def finalizers(bot: Raw, *, held: bool) -> list[str]:
    """The bot's finalizers with ours on or off; those of others stay as they are."""
    others = [name for name in strings(bot, "metadata", "finalizers") if name != CANCEL_FINALIZER]
    return [*others, CANCEL_FINALIZER] if held else others


def decide(view: View, stateful_set: Raw | None, pod: Raw | None, claim: Raw | None) -> Hold | Release:
    """Whether a bot that is being deleted and carries our finalizer may go; `pod` is its newest."""
    asked = asked_of(view, text(view.bot, "spec", "onDelete") or OnDelete.CANCEL_ORDERS.value)
    if annotation(view.bot, SKIP_CANCEL_ANNOTATION) is not None:
        return Release(_note(view, "CancelSkipped", f"annotation {SKIP_CANCEL_ANNOTATION}", warning=True))
    if _is_confirmed(view, asked):
        return Release(_kept(view) if not asked.cancelled else None)
    if _never_traded(view.bot, pod):
        return Release()
    if not comes_again(stateful_set) and (pod is None or is_over(pod)) and not view.kill_goes_on:
        why = "there is no pod that could do what onDelete asks, and none will come"
        return Release(_note(view, "NotCancelled", why, warning=may_be_left(view, asked)))
    deleted_at = parse_timestamp(text(view.bot, "metadata", "deletionTimestamp"))
    left = deleted_at + DELETION_LIMIT - view.now if deleted_at is not None else timedelta(0)
    cause = _waits_for(view, asked, stateful_set, pod, claim)
    if deleted_at is None or left <= timedelta(0):
        why = f"not confirmed within {DELETION_LIMIT.total_seconds() / 60:.0f} min ({cause.reason}: {cause.message})"
        return Release(_note(view, "NotCancelled", why, warning=True))
    return Hold(_with_way_out(view, cause, timestamp(deleted_at + DELETION_LIMIT)), left.total_seconds())


def about_bot(bot: Raw, note: EventNote) -> EventNote:
    """The same note for the account, which has many bots."""
    name = name_of(bot)
    return EventNote(note.reason, f"bot {name}: {note.message}", note.warning, f"{name}/{note.transition}")


# ---------------------------------------------------------------- asked and confirmed


def asked_of(view: View, on_delete: str) -> Asked:
    """What onDelete asks, and a kill that is in force."""
    # A kill that is not carried out yet is never cut short, whatever the deletion would keep.
    killed = is_killed(view)
    return Asked(
        cancelled=on_delete != OnDelete.KEEP.value or killed,
        flat=on_delete == OnDelete.FLATTEN.value
        or (killed and text(view.bot, "spec", "onKill") == OnKill.FLATTEN.value),
    )


def _is_confirmed(view: View, asked: Asked) -> bool:
    return are_confirmed(asked, kill_in_force(view), _report(view).deletion if _report(view) else None)


def are_confirmed(asked: Asked, *endings: KillReport | DeletionReport | None) -> bool:
    """Whether the broker has confirmed every step that is asked for, in whichever of the endings."""
    steps = [step for step in endings if step is not None]
    cancelled = any(step.orders_cancelled_at is not None for step in steps)
    flat = any(step.flat_at is not None for step in steps)
    return (cancelled or not asked.cancelled) and (flat or not asked.flat)


def _report(view: View) -> Any:
    return view.answer.report if view.answer is not None else None


def _never_traded(bot: Raw, pod: Raw | None) -> bool:
    if text(bot, "status", "reportedAt") or (pod is not None and has_run(pod)):
        return False
    ready = previous_condition(bot, READY)
    return ready is None or ready.reason != "NotReporting"


def comes_again(stateful_set: Raw | None) -> bool:
    """Whether a StatefulSet will make a pod where there is none."""
    if stateful_set is None or is_being_deleted(stateful_set):
        return False
    return number(stateful_set, "spec", "replicas") > 0


# ---------------------------------------------------------------- waiting


def _waits_for(view: View, asked: Asked, stateful_set: Raw | None, pod: Raw | None, claim: Raw | None) -> Cause:
    cause = pod_cause(stateful_set, pod, claim, waited=timedelta(0))
    if view.fresh is None and cause is not None:
        return Cause("PodNotRunning", f"{cause.reason}: {cause.message}")
    if view.fresh is None:
        return Cause("NotReporting", no_report(view).message)
    return _bot_waits_for(view.fresh, asked)


def _bot_waits_for(report: RuntimeReport, asked: Asked) -> Cause:
    if not report.broker_connected:
        return Cause("BrokerUnreachable", f"the broker does not answer the bot ({report.reason}: {report.message})")
    deletion = report.deletion
    if deletion is None:
        return Cause("WaitingForBot", "the bot has not seen yet that it is being deleted")
    if asked.flat and deletion.on_delete != OnDelete.FLATTEN.value and report.kill is None:
        return Cause("WaitingForRestart", f"the bot runs with onDelete {deletion.on_delete} and restarts with Flatten")
    if report.open_orders and deletion.orders_cancelled_at is None:
        return Cause("WaitingForCancel", "the bot is cancelling its orders")
    if asked.flat and deletion.orders_cancelled_at is not None:
        closed = "; the market is closed, so they wait for its open" if report.market_open is False else ""
        return Cause("WaitingForFlat", f"no order is open; the bot is closing its positions{closed}")
    return Cause("WaitingForCancel", "the bot waits for the broker's word that no order is open")


def _with_way_out(view: View, cause: Cause, until: str) -> Cause:
    name, namespace = name_of(view.bot), namespace_of(view.bot)
    command = f"kubectl annotate bot {name} -n {namespace} {SKIP_CANCEL_ANNOTATION}=yes"
    return Cause(cause.reason, f"{cause.message}. It is let go at {until} at the latest; at once with `{command}`")


# ---------------------------------------------------------------- what is left


def _note(view: View, reason: str, why: str, *, warning: bool) -> EventNote:
    message = f"{why}; {left_behind(view)}"
    return EventNote(reason, message, warning=warning, transition=f"Deleting/{reason}")


def _kept(view: View) -> EventNote | None:
    return _note(view, "OrdersKept", "onDelete is Keep", warning=False)


def may_be_left(view: View, asked: Asked) -> bool:
    """Whether something that should be gone may still be open or held at the broker."""
    known = figures(view)
    if not known.get("reportedAt"):
        return True
    return bool(known.get("openOrders")) or (asked.flat and bool(known.get("positions")))


def left_behind(view: View) -> str:
    """What was open and held at the bot's last report, as a sentence."""
    known = figures(view)
    if not known.get("reportedAt"):
        return "the bot has never reported: look at the broker for what is open"
    orders, held = _open_orders(known), _positions(known)
    if not known.get("openOrders") and not held:
        return f"at its last report ({known['reportedAt']}) nothing was open or held"
    return f"at its last report ({known['reportedAt']}): {orders}; {held or 'nothing held'}. Look at the broker"


def _open_orders(known: Mapping[str, Any]) -> str:
    count = known.get("openOrders") or 0
    if not count:
        return "no open orders"
    open_ones = (entry for entry in entries(known, "recentOrders") if text(entry, "status") not in _CLOSED)
    named = _list(
        f"{text(entry, 'clientOrderId')} ({text(entry, 'side')} {text(entry, 'qty')} {text(entry, 'symbol')})"
        for entry in open_ones
    )
    return f"{count} open order{'s' if count != 1 else ''}{f': {named}' if named else ''}"


def _positions(known: Mapping[str, Any]) -> str:
    held = _list(f"{text(entry, 'symbol')} {text(entry, 'qty')}" for entry in entries(known, "positions"))
    return f"held: {held}" if held else ""


def _list(words: Iterable[str]) -> str:
    every = list(words)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return f"{', '.join(every[:_NAMED])}{more}"
