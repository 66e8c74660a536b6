"""Decides what a bot needs next: children to apply or stop, its status, and what is worth an Event.

Level-triggered: the same snapshot gives the same plan, whatever happened before. Must never scale a bot down that
owns its symbols, never write a live account into a config, and never raise on a stored object.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from tradingbot_api import BrokerAccountSpec, BrokerEnvironment, TradingBotSpec
from tradingbot_api.group import ACCOUNT_ANNOTATION, BOT_UID_ANNOTATION, SYMBOLS_ANNOTATION
from tradingbot_operator.plan.children import (
    Bot,
    Child,
    identity_children,
    stored_size_differs,
    workload_children,
)
from tradingbot_operator.plan.conditions import Verdict, parse_timestamp, previous_condition
from tradingbot_operator.plan.names import child_name
from tradingbot_operator.plan.objects import (
    Raw,
    annotation,
    controller_uid,
    created_at,
    entries,
    generation_of,
    is_being_deleted,
    mapping,
    name_of,
    number,
    text,
    uid_of,
)
from tradingbot_operator.plan.pods import POD_CREATION_LIMIT, Cause, newest, pod_cause
from tradingbot_operator.plan.snapshot import (
    BotSnapshot,
    InvalidSpec,
    Refusal,
    parse_account_spec,
    parse_bot_spec,
)
from tradingbot_operator.plan.status import Document, bot_status
from tradingbot_operator.plan.symbols import (
    Overlap,
    account_of,
    claim_of,
    owned_by_elders,
    still_held,
)
from tradingbot_operator.plan.verdicts import KILLED, PAUSED, READY, RECONCILED, SYMBOL_CONFLICT, View

_FOREIGN_SECONDS: Final = 10.0


@dataclass(frozen=True)
class EventNote:
    """One change worth telling: a Kubernetes Event about the object."""

    reason: str
    message: str
    warning: bool
    transition: str
    """What changed, in words that name this one change: the same change is never told twice."""


@dataclass(frozen=True)
class Plan:
    """What to do for one object. An object that is being deleted gets an empty plan."""

    apply: tuple[Child, ...] = ()
    stop: tuple[Raw, ...] = ()
    """StatefulSets to scale to zero without changing anything else."""
    status: Document | None = None
    events: tuple[EventNote, ...] = ()
    again_after_seconds: float | None = None


@dataclass(frozen=True)
class _Workload:
    """What becomes of the bot's pod, and why not if it does not become anything."""

    children: tuple[Child, ...] = ()
    obstacle: Cause | None = None
    stop: bool = False


def plan_bot(snapshot: BotSnapshot) -> Plan:
    """The plan for one TradingBot."""
    bot = snapshot.bot
    if is_being_deleted(bot):
        return Plan()
    spec = parse_bot_spec(bot)
    conflicts = _conflicts(snapshot)
    awaited = () if conflicts else _awaited(snapshot)
    workload = _workload(snapshot, spec, conflicts, awaited)
    children, foreign = _without_foreign(snapshot, _identity(bot, spec) + workload.children)
    view = View(
        bot=bot,
        account=snapshot.account,
        now=snapshot.now,
        obstacle=_obstacle(snapshot, workload, foreign),
        reported=snapshot.reported,
        conflicts=conflicts,
        awaited=awaited,
    )
    status = bot_status(view, _image(snapshot, spec))
    return Plan(
        apply=children,
        stop=_running(snapshot) if workload.stop else (),
        status=status,
        events=_events(bot, status, spec, snapshot.child("StatefulSet")),
        again_after_seconds=_look_again(snapshot, foreign),
    )


def _identity(bot: Raw, spec: TradingBotSpec | InvalidSpec) -> tuple[Child, ...]:
    return () if isinstance(spec, InvalidSpec) else identity_children(Bot(bot, spec))


def _image(snapshot: BotSnapshot, spec: TradingBotSpec | InvalidSpec) -> str | None:
    if isinstance(spec, InvalidSpec):
        return text(snapshot.bot, "status", "image") or None
    return spec.image or snapshot.settings.runtime_image


def _conflicts(snapshot: BotSnapshot) -> tuple[Overlap, ...]:
    return owned_by_elders(claim_of(snapshot.bot), map(claim_of, snapshot.rivals))


def _awaited(snapshot: BotSnapshot) -> tuple[Overlap, ...]:
    """Symbols that are this bot's, that its own pod does not trade yet, and that another pod may still trade."""
    claim = claim_of(snapshot.bot)
    already = _traded_already(snapshot)
    return still_held(replace(claim, symbols=claim.symbols - already), snapshot.account_pods)


def _traded_already(snapshot: BotSnapshot) -> frozenset[str]:
    template = mapping(snapshot.child("StatefulSet") or {}, "spec", "template")
    if not _is_running(snapshot) or annotation(template, ACCOUNT_ANNOTATION) != account_of(snapshot.bot):
        return frozenset()
    return frozenset((annotation(template, SYMBOLS_ANNOTATION) or "").split(","))


def _is_running(snapshot: BotSnapshot) -> bool:
    stateful_set = snapshot.child("StatefulSet")
    return stateful_set is not None and number(stateful_set, "spec", "replicas") > 0


def _running(snapshot: BotSnapshot) -> tuple[Raw, ...]:
    stateful_set = snapshot.child("StatefulSet")
    if stateful_set is None or not _is_running(snapshot) or _is_foreign(snapshot.bot, stateful_set):
        return ()
    return (stateful_set,)


def _workload(
    snapshot: BotSnapshot,
    spec: TradingBotSpec | InvalidSpec,
    conflicts: tuple[Overlap, ...],
    awaited: tuple[Overlap, ...],
) -> _Workload:
    unusable, account = _account(snapshot)
    conflict = _conflict_cause(conflicts)
    if isinstance(spec, InvalidSpec):
        # What runs keeps running on its last good config, unless its symbols are another's.
        cause = Cause("InvalidSpec", f"this release cannot read the stored spec: {spec.message}")
        return _Workload(obstacle=cause, stop=conflict is not None or _is_mismatch(unusable))
    if account is None:
        return _Workload(obstacle=unusable, stop=conflict is not None or _is_mismatch(unusable))
    if awaited and _is_running(snapshot):
        return _Workload()
    children = workload_children(
        Bot(snapshot.bot, spec),
        account,
        runtime_image=snapshot.settings.runtime_image,
        replicas=0 if conflicts or awaited else 1,
        observed=snapshot.child("StatefulSet"),
    )
    return _Workload(children=children, obstacle=conflict or _awaited_cause(awaited))


def _is_mismatch(cause: Cause | None) -> bool:
    return cause is not None and cause.reason == "AccountMismatch"


def _account(snapshot: BotSnapshot) -> tuple[Cause | None, BrokerAccountSpec | None]:
    name = account_of(snapshot.bot)
    if snapshot.account is None or is_being_deleted(snapshot.account):
        return Cause("AccountNotFound", f"there is no BrokerAccount {name} in the bot's namespace"), None
    spec = parse_account_spec(snapshot.account)
    if isinstance(spec, InvalidSpec):
        return Cause("AccountInvalid", f"BrokerAccount {name}: {spec.message}"), None
    if spec.environment is not BrokerEnvironment.PAPER:
        message = f"accounts.paper names BrokerAccount {name}, whose environment is {spec.environment}:"
        return Cause("AccountMismatch", f"{message} name a paper account; the bot holds no pod until then"), None
    return None, spec


def _conflict_cause(conflicts: tuple[Overlap, ...]) -> Cause | None:
    if not conflicts:
        return None
    owned = "; ".join(map(str, conflicts))
    return Cause("SymbolConflict", f"another bot owns {owned}; this bot holds no pod")


def _awaited_cause(awaited: tuple[Overlap, ...]) -> Cause | None:
    if not awaited:
        return None
    return Cause("WaitingForSymbols", f"waiting for another pod to let go of {'; '.join(map(str, awaited))}")


def _is_foreign(bot: Raw, child: Raw) -> bool:
    """Whether an object with a child's name is somebody else's: it is left alone, never adopted."""
    owner = controller_uid(child)
    if owner:
        return owner != uid_of(bot)
    return annotation(child, BOT_UID_ANNOTATION) != uid_of(bot)


def _without_foreign(snapshot: BotSnapshot, children: tuple[Child, ...]) -> tuple[tuple[Child, ...], tuple[Child, ...]]:
    ours: list[Child] = []
    foreign: list[Child] = []
    for child in children:
        observed = snapshot.child(child.kind)
        is_foreign = observed is not None and _is_foreign(snapshot.bot, observed)
        (foreign if is_foreign else ours).append(child)
    return tuple(ours), tuple(foreign)


def _obstacle(snapshot: BotSnapshot, workload: _Workload, foreign: Sequence[Child]) -> Cause | None:
    if workload.obstacle is not None:
        return workload.obstacle
    if foreign:
        names = ", ".join(f"{child.kind} {child.name}" for child in foreign)
        return Cause("NameTaken", f"{names} belongs to something else; delete it, and the bot gets its own")
    if snapshot.refusals:
        return _refused(snapshot.refusals)
    pod = newest(snapshot.pods)
    return pod_cause(snapshot.child("StatefulSet"), pod, snapshot.claim, waited=_waited(snapshot))


def _waited(snapshot: BotSnapshot) -> timedelta:
    """How long there has been a StatefulSet while the bot was not ready."""
    made = parse_timestamp(created_at(snapshot.child("StatefulSet") or {}))
    unready = next(
        (
            parse_timestamp(text(entry, "lastTransitionTime"))
            for entry in entries(snapshot.bot, "status", "conditions")
            if text(entry, "type") == READY and text(entry, "status") == "False"
        ),
        None,
    )
    if made is None or unready is None:
        return timedelta(0)
    return snapshot.now - max(made, unready)


def _refused(refusals: tuple[Refusal, ...]) -> Cause:
    said = "; ".join(f"{refusal.child}: {refusal.message}" for refusal in refusals)
    return Cause("ApplyRefused", f"the API server refused {said}")


def _look_again(snapshot: BotSnapshot, foreign: Sequence[Child]) -> float | None:
    if foreign:
        # What is not labelled as ours is not watched, so nobody tells when it is gone.
        return _FOREIGN_SECONDS
    # A StatefulSet that never gets a pod: a condition that comes true by time alone.
    if snapshot.pods or not _is_running(snapshot):
        return None
    return POD_CREATION_LIMIT.total_seconds() + 1


_ON_THE_WAY: Final = frozenset({"Starting", "VolumePending", "WaitingForSymbols"})
"""Reasons that pass by themselves: told, but no warning."""

_TOLD: Final = (READY, KILLED, SYMBOL_CONFLICT, PAUSED, RECONCILED)


def _events(
    bot: Raw, status: Document, spec: TradingBotSpec | InvalidSpec, stateful_set: Raw | None
) -> tuple[EventNote, ...]:
    notes = [
        note
        for condition in status["conditions"]
        if condition["type"] in _TOLD and (note := _transition(bot, condition)) is not None
    ]
    is_new_spec = number(bot, "status", "observedGeneration") != generation_of(bot)
    if is_new_spec and not isinstance(spec, InvalidSpec) and stored_size_differs(Bot(bot, spec), stateful_set):
        notes.append(_storage_note(bot, spec))
    return tuple(notes)


def _transition(bot: Raw, condition: Document) -> EventNote | None:
    kind, status, reason = condition["type"], condition["status"], condition["reason"]
    if not _is_news(kind, previous_condition(bot, kind), status, reason):
        return None
    is_bad = (
        (kind == READY and status == "False" and reason not in _ON_THE_WAY)
        or (kind in (KILLED, SYMBOL_CONFLICT) and status == "True")
        or (kind == RECONCILED and status == "False")
    )
    return EventNote(
        reason=reason if kind == READY else f"{kind}{'' if status == 'True' else status}",
        message=f"{kind}={status}: {condition['message'] or reason}",
        warning=is_bad,
        transition=f"{kind}/{status}/{reason}/{condition['lastTransitionTime']}",
    )


def _is_news(kind: str, before: Verdict | None, status: str, reason: str) -> bool:
    was = before.status.value if before is not None else None
    if kind == READY:
        return before is None or (was, before.reason) != (status, reason)
    if kind == RECONCILED:
        # Unknown comes and goes with every restart; only a mismatch, and its end, concern anyone.
        return was != status and "False" in (was, status)
    if was is None:
        return status == "True"
    return before is not None and (was, before.reason) != (status, reason)


def _storage_note(bot: Raw, spec: TradingBotSpec) -> EventNote:
    size = spec.storage.size
    message = (
        f"spec.storage.size is {size}; the volume keeps the size it was made with."
        f" Where its StorageClass allows it, resize the claim of {child_name(name_of(bot))}-0 by hand"
    )
    return EventNote("StorageSizeKept", message, warning=True, transition=f"StorageSizeKept/{size}")
