"""Decides what a bot needs next: children to apply or stop, its status, and what is worth an Event.

Level-triggered: the same snapshot gives the same plan, whatever happened before. Must never scale a bot down that
owns its symbols and whose capital fits, never write a live account into a config without a grant that the stored status
holds, and never raise on a stored object.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from tradingbot_api import BrokerAccountSpec, BrokerEnvironment, Mode, TradingBotSpec
from tradingbot_api.group import ACCOUNT_ANNOTATION, BOT_UID_ANNOTATION, SYMBOLS_ANNOTATION
from tradingbot_api.promotion_status import PromotionStatus
from tradingbot_operator.plan.capital import shortage
from tradingbot_operator.plan.checklist import promotion_status, verdict_notes
from tradingbot_operator.plan.children import (
    Bot,
    Child,
    KillNotice,
    LiveRun,
    identity_children,
    workload_children,
)
from tradingbot_operator.plan.conditions import Verdict, parse_timestamp, soonest
from tradingbot_operator.plan.deletion import Release, about_bot, decide, is_held
from tradingbot_operator.plan.events import EventNote, condition_events
from tradingbot_operator.plan.judging import Judged, Unjudged, judge, seen_image, wanted_image
from tradingbot_operator.plan.killing import Killing, KillWrite, killing
from tradingbot_operator.plan.live import (
    Passage,
    Phase,
    effective_mode,
    is_live_workload,
    live_awaited,
    live_pods_of,
    passage,
    run_as_granted,
    trades_live,
)
from tradingbot_operator.plan.objects import (
    Raw,
    annotation,
    controller_uid,
    created_at,
    entries,
    is_being_deleted,
    mapping,
    name_of,
    number,
    text,
    uid_of,
)
from tradingbot_operator.plan.orphans import orphans
from tradingbot_operator.plan.pods import POD_CREATION_LIMIT, Cause, newest, pod_cause
from tradingbot_operator.plan.producing import Production, producing
from tradingbot_operator.plan.snapshot import (
    BotSnapshot,
    InvalidSpec,
    Refusal,
    parse_account_spec,
    parse_bot_spec,
)
from tradingbot_operator.plan.status import Document, Way, bot_status
from tradingbot_operator.plan.storage import ClaimGrowth, claim_growth, is_about_the_claim, storage_grown
from tradingbot_operator.plan.symbols import (
    Overlap,
    account_of,
    claim_of,
    live_account_of,
    owned_by_elders,
    still_held,
)
from tradingbot_operator.plan.validating import RunWrite, statuses
from tradingbot_operator.plan.verdicts import READY, View

_FOREIGN_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Plan:
    """What to do for one object, in the order of the fields. One that is being deleted and not held gets nothing."""

    hold: bool = False
    """Put our finalizer on the bot, before anything that could trade is made."""
    kill: KillWrite | None = None
    """The KillRecord to write, before anything else."""
    flatten: tuple[Raw, ...] = ()
    """NetworkPolicy and Job that carry out a kill, to create in this order; one that is there already is as good."""
    remove: tuple[Raw, ...] = ()
    """Children of a namesake that is no more, to be removed by their uid."""
    grow: ClaimGrowth | None = None
    apply: tuple[Child, ...] = ()
    stop: tuple[Raw, ...] = ()
    """StatefulSets to scale to zero without changing anything else."""
    record: tuple[Raw, ...] = ()
    """PromotionEvidence to create; one that is there already is as good."""
    produce: tuple[Raw, ...] = ()
    """ConfigMaps and Jobs that make evidence, to create in this order; one that is there already is as good."""
    runs: tuple[RunWrite, ...] = ()
    """Statuses of ValidationRuns that say something new."""
    discard: tuple[Raw, ...] = ()
    """Jobs, ConfigMaps and PromotionEvidence that are no longer needed, to be removed by their uid."""
    confirm: bool = False
    """Whether the plan gives or widens a grant: everything it rests on is read anew, and decided on again, first."""
    status: Document | None = None
    events: tuple[EventNote, ...] = ()
    account_events: tuple[EventNote, ...] = ()
    """About the bot's BrokerAccount."""
    release: bool = False
    """Take our finalizer off the bot, once the Events are told. Nothing else is done then."""
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
        return _deletion(snapshot) if is_held(bot) else Plan()
    spec = parse_bot_spec(bot)
    overlaps = _conflicts(snapshot)
    kills = _kills(snapshot, overlaps)
    unhindered = _view(snapshot, kills)
    judged = judge(snapshot, spec, unhindered)
    way = passage(snapshot, judged, unhindered)
    production = _production(snapshot, spec, judged, way, _held_back(snapshot, kills, overlaps))
    conflicts = overlaps if way.phase is Phase.PAPER else ()
    lacking = _shortage(snapshot) if way.phase is Phase.PAPER else None
    awaited = () if conflicts or lacking else _awaited(snapshot, way.phase)
    workload = _workload(snapshot, spec, way, kills.notice, conflicts, awaited, lacking)
    children, foreign = _without_foreign(snapshot, _identity(snapshot, spec, way) + workload.children)
    view = replace(
        unhindered,
        obstacle=_obstacle(snapshot, workload, foreign),
        conflicts=conflicts,
        awaited=awaited,
        live=way.authorized,
        mode=effective_mode(snapshot, way.grant),
        withdrawing=way.withdrawing,
        shortage=lacking,
    )
    promotion = promotion_status(judged, way, unhindered, production.notes)
    status = bot_status(
        view, _image(snapshot, spec, way), _storage(snapshot, spec), _way(snapshot, judged, way, promotion)
    )
    return Plan(
        hold=not is_held(bot) and _has_workload(snapshot, children),
        kill=kills.write,
        flatten=kills.flatten.make,
        remove=orphans((snapshot.children or {}).values(), bot),
        grow=None if isinstance(spec, InvalidSpec) else claim_growth(spec, snapshot.claim),
        apply=children,
        stop=_running(snapshot) if workload.stop else (),
        record=production.record,
        produce=production.produce,
        runs=production.runs,
        discard=(*production.discard, *kills.flatten.discard, *kills.discard),
        confirm=way.confirm,
        status=status,
        events=(*condition_events(bot, status), *verdict_notes(bot, promotion, snapshot.now), *way.notes, *kills.notes),
        again_after_seconds=soonest(
            _look_again(snapshot, foreign),
            production.again_after_seconds,
            way.again_after_seconds,
            kills.again_after_seconds,
        ),
    )


def _kills(snapshot: BotSnapshot, overlaps: tuple[Overlap, ...]) -> Killing:
    is_live = trades_live(snapshot) or bool(live_pods_of(snapshot))
    conflicts = () if is_live else overlaps
    return killing(snapshot, _trading_account(snapshot), is_live=is_live, conflicts=conflicts)


def _view(snapshot: BotSnapshot, kills: Killing) -> View:
    """Of the account that the bot trades on, with nothing in its way."""
    return View(
        bot=snapshot.bot,
        account=_trading_account(snapshot),
        now=snapshot.now,
        obstacle=None,
        reported=snapshot.reported,
        policies=snapshot.policies,
        latch=kills.latch,
        kill_waits_for=kills.waits_for,
        kill_goes_on=kills.goes_on,
        release_waits_for=kills.release_waits_for,
    )


def _way(snapshot: BotSnapshot, judged: Judged | Unjudged, way: Passage, promotion: PromotionStatus | None) -> Way:
    digest = judged.subject.digest if isinstance(judged, Judged) else None
    if isinstance(judged, Unjudged) and judged.holds:
        digest = text(snapshot.bot, "status", "subjectDigest") or None
    return Way(
        effective_mode=effective_mode(snapshot, way.grant),
        subject_digest=digest,
        promotion=promotion,
        grant=way.grant,
        demotion=way.demotion,
    )


def _production(
    snapshot: BotSnapshot,
    spec: TradingBotSpec | InvalidSpec,
    judged: Judged | Unjudged,
    way: Passage,
    held_back: str,
) -> Production:
    if isinstance(judged, Unjudged):
        why = "nothing judges the bot: it names no gate, or one that is not there or cannot be read"
        return Production(runs=statuses(snapshot, None, None, (), why))
    live = is_live_workload(snapshot.child("StatefulSet"))
    # What a former grant saw was judged then: under this one only its own sessions count.
    granted = parse_timestamp(way.grant.granted_at) if live and way.grant is not None else None
    return producing(
        snapshot,
        judged.subject,
        max(judged.since, granted) if granted is not None else judged.since,
        live=live,
        wants_preflight=judged.wants_preflight and way.grant is None and not live,
        image=None if isinstance(spec, InvalidSpec) else seen_image(snapshot, spec),
        held_back=held_back,
    )


def _held_back(snapshot: BotSnapshot, kills: Killing, overlaps: tuple[Overlap, ...]) -> str:
    """Why the bot's own image gets no keys at all now."""
    if kills.latch.kill is not None:
        return "a kill is in force: nothing of the bot runs until it is released"
    if overlaps and not trades_live(snapshot):
        return f"another bot owns {'; '.join(map(str, overlaps))}"
    return ""


def _trading_account(snapshot: BotSnapshot) -> Raw | None:
    """The BrokerAccount that the bot's pod trades on, or is about to leave."""
    return snapshot.live_account if trades_live(snapshot) else snapshot.account


def _deletion(snapshot: BotSnapshot) -> Plan:
    """What a bot that is being deleted and held still needs: that the pod which cancels keeps running."""
    bot, kills = snapshot.bot, _kills(snapshot, _conflicts(snapshot))
    view = _view(snapshot, kills)
    decision = decide(view, snapshot.child("StatefulSet"), newest(snapshot.pods), snapshot.claim)
    if isinstance(decision, Release):
        notes = () if decision.note is None else (decision.note,)
        warnings = tuple(about_bot(bot, note) for note in notes if note.warning)
        return Plan(kill=kills.write, release=True, events=notes, account_events=warnings)
    spec = parse_bot_spec(bot)
    # Nothing is judged any more: a grant stays as it is, so that the pod ends by the deletion and by nothing else.
    image = text(bot, "status", "image") or _image(snapshot, spec, None)
    status = bot_status(replace(view, deleting=decision.cause), image)
    return Plan(
        kill=kills.write,
        flatten=kills.flatten.make,
        apply=_kept_running(snapshot, spec, kills),
        discard=kills.flatten.discard,
        status=status,
        events=condition_events(bot, status),
        again_after_seconds=soonest(decision.at_most_seconds, kills.again_after_seconds),
    )


def _kept_running(snapshot: BotSnapshot, spec: TradingBotSpec | InvalidSpec, kills: Killing) -> tuple[Child, ...]:
    """The config and the pod as the spec asks, where both are there: somebody may have changed onDelete just before."""
    live = None
    if is_live_workload(snapshot.child("StatefulSet")):
        live = run_as_granted(snapshot, judge(snapshot, spec, _view(snapshot, kills)))
        if live is None:
            # Not what was approved any more: the pod that runs does what it was started with, and nothing else.
            return ()
    _, account = _account(snapshot, live)
    if isinstance(spec, InvalidSpec) or account is None or not _is_running(snapshot):
        return ()
    children = workload_children(
        Bot(snapshot.bot, spec),
        account,
        settings=snapshot.settings,
        replicas=1,
        observed=snapshot.child("StatefulSet"),
        live=live,
        kills=kills.notice,
    )
    ours, _ = _without_foreign(snapshot, children)
    there = ((child, snapshot.child(child.kind)) for child in ours)
    # Made anew, a child would only be in the way of whoever deletes it: a namespace, or the bot in the foreground.
    return tuple(child for child, observed in there if observed is not None and not is_being_deleted(observed))


def _has_workload(snapshot: BotSnapshot, children: tuple[Child, ...]) -> bool:
    stateful_set = snapshot.child("StatefulSet")
    is_there = stateful_set is not None and not _is_foreign(snapshot.bot, stateful_set)
    return is_there or any(child.kind == "StatefulSet" for child in children)


def _storage(snapshot: BotSnapshot, spec: TradingBotSpec | InvalidSpec) -> Verdict | None:
    return None if isinstance(spec, InvalidSpec) else storage_grown(spec, snapshot.claim, snapshot.refusals)


def _shortage(snapshot: BotSnapshot) -> str | None:
    """What the paper account lacks for this bot's capital: empty for nothing, None where it has no limit."""
    _, account = _account(snapshot, None)
    if account is None or account.limits.max_capital is None:
        return None
    lacking = shortage(snapshot.bot, snapshot.account_bots, account)
    return str(lacking) if lacking is not None else ""


def _identity(snapshot: BotSnapshot, spec: TradingBotSpec | InvalidSpec, way: Passage) -> tuple[Child, ...]:
    if isinstance(spec, InvalidSpec):
        return ()
    # As long as a live pod may be there: it reads its own account, or it would never learn of a kill on that.
    is_live = way.phase is not Phase.PAPER or effective_mode(snapshot, way.grant) is Mode.LIVE
    return identity_children(Bot(snapshot.bot, spec), spec.accounts.live if is_live else None)


def _image(snapshot: BotSnapshot, spec: TradingBotSpec | InvalidSpec, way: Passage | None) -> str | None:
    if isinstance(spec, InvalidSpec):
        return text(snapshot.bot, "status", "image") or None
    if way is not None and way.run is not None and spec.image is None:
        return way.run.image
    return wanted_image(snapshot, spec)


def _conflicts(snapshot: BotSnapshot) -> tuple[Overlap, ...]:
    return owned_by_elders(claim_of(snapshot.bot), map(claim_of, snapshot.rivals))


def _awaited(snapshot: BotSnapshot, phase: Phase) -> tuple[Overlap, ...]:
    """Symbols that are this bot's, that its own pod does not trade yet, and that another pod may still trade."""
    if phase is Phase.WITHDRAWING:
        return ()
    if phase is Phase.LIVE:
        return live_awaited(snapshot, _traded_already(snapshot, live_account_of(snapshot.bot)))
    claim = claim_of(snapshot.bot)
    already = _traded_already(snapshot, account_of(snapshot.bot))
    return still_held(replace(claim, symbols=claim.symbols - already), snapshot.account_pods)


def _traded_already(snapshot: BotSnapshot, account: str) -> frozenset[str]:
    template = mapping(snapshot.child("StatefulSet") or {}, "spec", "template")
    if not _is_running(snapshot) or annotation(template, ACCOUNT_ANNOTATION) != account:
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
    way: Passage,
    notice: KillNotice,
    conflicts: tuple[Overlap, ...],
    awaited: tuple[Overlap, ...],
    lacking: str | None,
) -> _Workload:
    if way.phase is Phase.WITHDRAWING or (way.phase is Phase.LIVE and way.run is None):
        return _Workload()
    unusable, account = _account(snapshot, way.run)
    conflict = _conflict_cause(conflicts)
    # A live pod whose time is over loses its keys, whatever keeps it from coming back on paper.
    is_left_over = way.phase is Phase.PAPER and is_live_workload(snapshot.child("StatefulSet"))
    if isinstance(spec, InvalidSpec):
        # What runs keeps running on its last good config, unless its symbols are another's.
        cause = Cause("InvalidSpec", f"this release cannot read the stored spec: {spec.message}")
        return _Workload(obstacle=cause, stop=conflict is not None or _is_mismatch(unusable) or is_left_over)
    if account is None:
        return _Workload(obstacle=unusable, stop=conflict is not None or _is_mismatch(unusable) or is_left_over)
    if awaited and _is_running(snapshot):
        return _Workload(stop=is_left_over)
    children = workload_children(
        Bot(snapshot.bot, spec),
        account,
        settings=snapshot.settings,
        replicas=0 if conflicts or awaited or lacking else 1,
        observed=snapshot.child("StatefulSet"),
        live=way.run,
        kills=notice,
    )
    return _Workload(children=children, obstacle=conflict or _shortage_cause(lacking) or _awaited_cause(awaited))


def _is_mismatch(cause: Cause | None) -> bool:
    return cause is not None and cause.reason == "AccountMismatch"


def _account(snapshot: BotSnapshot, live: LiveRun | None) -> tuple[Cause | None, BrokerAccountSpec | None]:
    """The account to trade on: the live one under a grant, else the paper one; or why it cannot be used."""
    name, raw = (account_of(snapshot.bot), snapshot.account) if live is None else (live.account, snapshot.live_account)
    wanted = BrokerEnvironment.PAPER if live is None else BrokerEnvironment.LIVE
    if raw is None or is_being_deleted(raw) or (live is not None and name_of(raw) != name):
        return Cause("AccountNotFound", f"there is no BrokerAccount {name} in the bot's namespace"), None
    spec = parse_account_spec(raw)
    if isinstance(spec, InvalidSpec):
        return Cause("AccountInvalid", f"BrokerAccount {name}: {spec.message}"), None
    if spec.environment is not wanted:
        use = "paper" if live is None else "live"
        message = f"accounts.{use} names BrokerAccount {name}, whose environment is {spec.environment}:"
        return Cause("AccountMismatch", f"{message} name a {use} account; the bot holds no pod until then"), None
    return None, spec


def _conflict_cause(conflicts: tuple[Overlap, ...]) -> Cause | None:
    if not conflicts:
        return None
    owned = "; ".join(map(str, conflicts))
    return Cause("SymbolConflict", f"another bot owns {owned}; this bot holds no pod")


def _shortage_cause(lacking: str | None) -> Cause | None:
    return Cause("CapitalExceeded", f"{lacking}; this bot holds no pod") if lacking else None


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
    refusals = tuple(refusal for refusal in snapshot.refusals if not is_about_the_claim(refusal))
    if refusals:
        return _refused(refusals)
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
