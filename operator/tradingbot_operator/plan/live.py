"""From paper to live and back: when a grant is given, widened and taken away, and when a live pod becomes a paper one.

A state machine over the stored status: a grant counts only as it stands there, and is given only on what was read in
the same look. Must never give a grant on anything unknown, never keep one whose subject has changed, and never take a
live pod's keys before it has done what onDelete asks, or has had the time for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from tradingbot_api import (
    BrokerAccountSpec,
    BrokerEnvironment,
    BrokerProvider,
    DemotionReport,
    Grant,
    GrantRef,
    Mode,
    OnDelete,
    RuntimeReport,
    span,
)
from tradingbot_api.group import LIVE_LABEL
from tradingbot_api.promotion_status import UsedApproval
from tradingbot_operator.plan.capital import live_shortage
from tradingbot_operator.plan.children import LiveRun
from tradingbot_operator.plan.conditions import Verdict, false, parse_timestamp, previous_condition, timestamp, true
from tradingbot_operator.plan.conditions import unknown as undecided
from tradingbot_operator.plan.deletion import (
    DELETION_LIMIT,
    Asked,
    are_confirmed,
    asked_of,
    comes_again,
    left_behind,
    may_be_left,
)
from tradingbot_operator.plan.events import EventNote
from tradingbot_operator.plan.judging import Judged, Unjudged, stored_promotion
from tradingbot_operator.plan.objects import (
    Raw,
    created_at,
    entries,
    mapping,
    number,
    text,
)
from tradingbot_operator.plan.pods import Cause, has_run, is_over, newest, pod_cause
from tradingbot_operator.plan.snapshot import BotSnapshot, parse_account_spec
from tradingbot_operator.plan.symbols import (
    Overlap,
    asks_for_live,
    claim_of,
    live_account_of,
    owned_live,
    still_held,
)
from tradingbot_operator.plan.verdicts import LIVE_AUTHORIZED, WITHDRAWING, View, is_killed, kill_in_force, no_report
from tradingbot_operator.promotion.approvals import stage_approval
from tradingbot_operator.promotion.figures import session_drift_percent
from tradingbot_operator.promotion.ledger import LiveSession

WITHDRAWAL_LIMIT: Final = DELETION_LIMIT
"""How long a live pod has, while the market is open, to do what onDelete asks after its grant is gone."""

GRANTED: Final = "Granted"
"""Reason of LiveAuthorized until a live pod has run."""
LIVE: Final = "Live"
"""Reason of LiveAuthorized once one has."""

_MARKET_CLOSED: Final = "MarketClosed"
_NOTHING_RAN: Final = "NothingRan"
_MOST_USED_APPROVALS: Final = 50
_MOST_APPROVALS: Final = 10
_MESSAGE_LIMIT: Final = 1000


class Phase(StrEnum):
    """What a bot's workload is, now."""

    PAPER = "Paper"
    LIVE = "Live"
    """It is made, and kept, as the grant says."""
    WITHDRAWING = "Withdrawing"
    """It is left as it is, until the pod has done what onDelete asks."""


@dataclass(frozen=True)
class Passage:
    """Where a bot stands between paper and live, and what becomes of its grant in this look."""

    phase: Phase
    reason: str
    """Of LiveAuthorized: one CamelCase word."""
    why: str
    """The same for a person."""
    grant: Grant | None = None
    """The grant that the status is to hold."""
    run: LiveRun | None = None
    """How to make the live pod; only under a grant that the stored status holds already. None in phase Live: the pod is
    left as it is, because nobody can say whether it would still be what was approved."""
    demotion: DemotionReport | None = None
    grants: int = 0
    """How many the bot was given, this look's included."""
    used_approvals: tuple[UsedApproval, ...] = ()
    confirm: bool = False
    """Whether this look gives or widens the grant."""
    withdrawing: Verdict | None = None
    """The condition on how far the pod is in leaving live trading; None where there is nothing to say."""
    notes: tuple[EventNote, ...] = ()
    again_after_seconds: float | None = None

    @property
    def authorized(self) -> Verdict:
        """LiveAuthorized: whether the bot may trade real money, and why not."""
        verdict = true if self.grant is not None else false
        return verdict(LIVE_AUTHORIZED, self.reason, self.why)


@dataclass(frozen=True)
class Obstacle:
    """Why a grant is not given."""

    reason: str
    message: str


def passage(snapshot: BotSnapshot, judged: Judged | Unjudged, view: View) -> Passage:
    """What becomes of a bot's grant. `view` is of the account that the bot trades on, with nothing in its way."""
    before = _Before.of(snapshot)
    if before.has_grant:
        return _under_grant(snapshot, judged, view, before)
    if is_live_workload(snapshot.child("StatefulSet")):
        return _withdrawing(snapshot, judged, view, before)
    return _on_paper(snapshot, judged, view, before)


def is_live_workload(stateful_set: Raw | None) -> bool:
    """Whether a StatefulSet, or the pods it makes, carry the live label."""
    template = mapping(stateful_set or {}, "spec", "template", "metadata", "labels")
    return LIVE_LABEL in template or LIVE_LABEL in mapping(stateful_set or {}, "metadata", "labels")


def live_pods_of(snapshot: BotSnapshot) -> tuple[Raw, ...]:
    """The bot's own pods that hold live keys and are not over."""
    return tuple(pod for pod in snapshot.pods if LIVE_LABEL in mapping(pod, "metadata", "labels") and not is_over(pod))


def trades_live(snapshot: BotSnapshot) -> bool:
    """Whether the bot is to be looked at as one on its live account: it has a grant, or a live workload still."""
    return bool(mapping(snapshot.bot, "status", "grant")) or is_live_workload(snapshot.child("StatefulSet"))


def effective_mode(snapshot: BotSnapshot, grant: Grant | None) -> Mode:
    """Live until the grant and the last live pod are gone."""
    if grant is not None or is_live_workload(snapshot.child("StatefulSet")) or live_pods_of(snapshot):
        return Mode.LIVE
    return Mode.PAPER


def live_awaited(snapshot: BotSnapshot, already: frozenset[str]) -> tuple[Overlap, ...]:
    """Symbols of the live account that another bot's pod may still trade, beyond what this one trades `already`."""
    claim = claim_of(snapshot.bot)
    return still_held(replace(claim, symbols=claim.symbols - already), snapshot.live_pods)


# ---------------------------------------------------------------- what the stored status says


@dataclass(frozen=True)
class _Before:
    """What the stored status says of grants."""

    has_grant: bool
    grant: Grant | None
    """None where there is none, and where it cannot be read."""
    grants: int
    used: tuple[UsedApproval, ...]
    demotion: DemotionReport | None
    image: str

    @classmethod
    def of(cls, snapshot: BotSnapshot) -> "_Before":
        """Reads it; what cannot be read is no grant."""
        status = mapping(snapshot.bot, "status")
        promotion = stored_promotion(snapshot.bot)
        # An approval that is gone cannot be used again; without this the list would grow for ever.
        there = {text(raw, "metadata", "uid") for raw in snapshot.approvals}
        used = tuple(one for one in promotion.used_approvals if one.uid in there) if promotion is not None else ()
        return cls(
            has_grant=bool(mapping(status, "grant")),
            grant=_read_grant(mapping(status, "grant")),
            grants=max(promotion.grants if promotion is not None else 0, number(status, "demotion", "epoch")),
            used=used,
            demotion=_read_demotion(mapping(status, "demotion")),
            image=promotion.subject.image if promotion is not None else "",
        )


def _read_grant(stored: Raw) -> Grant | None:
    try:
        return Grant.model_validate(stored) if stored else None
    except ValidationError:
        return None


def _read_demotion(stored: Raw) -> DemotionReport | None:
    try:
        return DemotionReport.model_validate(stored) if stored else None
    except ValidationError:
        return None


# ---------------------------------------------------------------- on paper


def _on_paper(snapshot: BotSnapshot, judged: Judged | Unjudged, view: View, before: _Before) -> Passage:
    stays = Passage(
        Phase.PAPER,
        "NotRequested",
        "spec.mode is paper",
        demotion=before.demotion,
        grants=before.grants,
        used_approvals=before.used,
        withdrawing=_ended_withdrawal(snapshot.bot) if before.demotion is not None else None,
    )
    if not asks_for_live(snapshot.bot):
        return stays
    found = may_grant(snapshot, judged, view, before.grants, before.used)
    if isinstance(found, Grant):
        return _granted(snapshot, found, before)
    reason, message = found.reason, found.message
    if before.demotion is not None and reason == "NotApproved":
        demoted = before.demotion
        reason, message = "Demoted", f"demoted at {demoted.at} ({demoted.reason}: {demoted.message}); {message}"
    why = f"mode live is requested and the bot stays on paper: {message}"
    return replace(stays, reason=reason, why=why[:_MESSAGE_LIMIT])


def _granted(snapshot: BotSnapshot, grant: Grant, before: _Before) -> Passage:
    people = ", ".join(one.approver for one in grant.approvals)
    why = f"grant {grant.epoch}: {grant.verdict.value} at gate {grant.gate}, approved by {people}; account"
    message = f"{why} {grant.account}{_cap(grant)}"[:_MESSAGE_LIMIT]
    note = EventNote("LiveGranted", message, warning=False, transition=f"Grant/{grant.epoch}/{grant.granted_at}")
    return Passage(
        Phase.PAPER,
        GRANTED,
        message,
        grant=grant,
        grants=grant.epoch,
        used_approvals=(*before.used, *grant.approvals)[-_MOST_USED_APPROVALS:],
        confirm=True,
        notes=(note,),
        again_after_seconds=1.0,
    )


def may_grant(
    snapshot: BotSnapshot, judged: Judged | Unjudged, view: View, grants: int, used: tuple[UsedApproval, ...]
) -> Grant | Obstacle:
    """The grant that a bot may have now, or the first reason why not."""
    if isinstance(judged, Unjudged):
        return Obstacle(judged.reason, judged.message)
    obstacle = next(_obstacles(snapshot, judged, view, used), None)
    if obstacle is not None:
        return obstacle
    found, moment, stages = judged.assessment, timestamp(snapshot.now), judged.gate.stages
    return Grant(
        subject_digest=judged.subject.digest,
        epoch=grants + 1,
        granted_at=moment,
        gate=judged.gate_name,
        account=judged.subject.live_account,
        verdict=found.verdict,
        approvals=[one.used for one in found.standing.approvals[:_MOST_APPROVALS]],
        max_capital=stages[0].max_capital if stages else None,
        stage_since=moment,
    )


def _obstacles(snapshot: BotSnapshot, judged: Judged, view: View, used: tuple[UsedApproval, ...]) -> Iterator[Obstacle]:
    """Everything that keeps a grant from being given, what a person can do least about first."""
    found = judged.assessment
    if is_killed(view) or judged.killed:
        yield Obstacle("Killed", "a kill is in force")
    if not found.verdict.is_approvable:
        yield Obstacle("VerdictNoGo", summary(judged))
    account = _live_account_obstacle(snapshot, judged)
    if account is not None:
        yield account
    if not judged.subject.is_known:
        yield Obstacle("ImageUnknown", "no pod has run the image yet, so nobody knows its digest")
    if snapshot.policies.status.value != "True":
        yield Obstacle("PolicyNotEnforced", f"{snapshot.policies.reason}: {snapshot.policies.message}")
    yield from _symbol_obstacles(snapshot)
    if judged.live_account is not None:
        name = live_account_of(snapshot.bot)
        lacking = live_shortage(snapshot.bot, name, snapshot.live_account_bots, judged.live_account)
        if lacking is not None:
            yield Obstacle("CapitalExceeded", f"{lacking}: lower a capital or raise the limit")
    if view.fresh is None:
        yield Obstacle("NotReporting", no_report(view).message)
    if live_pods_of(snapshot):
        yield Obstacle("Withdrawing", "the former live pod is not gone yet")
    if not found.standing.is_enough:
        yield Obstacle("NotApproved", f"{found.verdict.value}, {found.standing.missing or 'not approved'}")
    if len(used) + len(found.standing.approvals) > _MOST_USED_APPROVALS:
        message = f"more than {_MOST_USED_APPROVALS} used Approvals of this bot are kept: delete old ones"
        yield Obstacle("TooManyApprovals", message)


def _live_account_obstacle(snapshot: BotSnapshot, judged: Judged) -> Obstacle | None:
    name, live = live_account_of(snapshot.bot), judged.live_account
    if not name:
        return Obstacle("AccountNotNamed", "name a live BrokerAccount in spec.accounts.live")
    if live is None:
        return Obstacle("AccountNotFound", f"there is no BrokerAccount {name} that can be read in the bot's namespace")
    if live.environment is not BrokerEnvironment.LIVE:
        message = f"accounts.live names BrokerAccount {name}, whose environment is {live.environment.value}"
        return Obstacle("AccountMismatch", f"{message}: name a live account")
    paper = parse_account_spec(snapshot.account) if snapshot.account is not None else None
    if live.provider is BrokerProvider.SIMULATOR and not (
        isinstance(paper, BrokerAccountSpec) and paper.provider is BrokerProvider.SIMULATOR
    ):
        message = f"BrokerAccount {name} is a simulator's: it is live only for a bot whose paper account is one, too"
        return Obstacle("AccountMismatch", message)
    return None


def _symbol_obstacles(snapshot: BotSnapshot) -> Iterator[Obstacle]:
    owned = owned_live(claim_of(snapshot.bot), snapshot.live_rivals)
    if owned:
        said = "; ".join(map(str, owned))
        message = f"on the live account another bot has {said}: take the symbols out of one of the bots"
        yield Obstacle("SymbolConflict", message)
    held = live_awaited(snapshot, frozenset())
    if held:
        said = "; ".join(map(str, held))
        yield Obstacle("WaitingForSymbols", f"on the live account another pod still trades {said}")


def summary(judged: Judged, lines: int = 3) -> str:
    """The verdict with the first few checks that do not pass, and how many sessions count."""
    found = judged.assessment
    failed = [check for check in found.checklist if check.name in found.failed]
    # What blocks comes first: without it nothing else matters.
    failed.sort(key=lambda check: check.name not in found.blockers)
    told = []
    for check in failed[:lines]:
        message = f": {check.finding.message}" if check.finding.message else ""
        told.append(f"{check.name} {check.finding.observed} (needs {check.finding.threshold}){message}"[:200])
    if len(failed) > lines:
        told.append(f"and {len(failed) - lines} more")
    score = f"{found.score // 100}.{found.score % 100:02d} %"
    head = f"{found.verdict.value} at {score}, {found.sessions}/{judged.gate.checks.paper_sessions.minimum} sessions"
    return "; ".join([head, *told])


# ---------------------------------------------------------------- under a grant


def _under_grant(snapshot: BotSnapshot, judged: Judged | Unjudged, view: View, before: _Before) -> Passage:
    grant = before.grant
    demoted = _demotion_cause(snapshot, judged, view, before)
    if grant is None or demoted is not None:
        return _demoted(snapshot, demoted or _not_ours("it cannot be read"), before)
    # A gate or spec that cannot be read says nothing of what the spec asks now: the pod stays what it was approved as.
    run = None if isinstance(judged, Unjudged) else _run(grant, before)
    stays = Passage(
        Phase.LIVE,
        _ran(snapshot),
        _live_message(grant, judged),
        grant=grant,
        run=run,
        grants=before.grants,
        used_approvals=before.used,
    )
    return stays if isinstance(judged, Unjudged) else _with_stage(snapshot, judged, stays, grant)


def run_as_granted(snapshot: BotSnapshot, judged: Judged | Unjudged) -> LiveRun | None:
    """How to make the live pod by the stored grant; None where that is not of the present subject."""
    before = _Before.of(snapshot)
    if before.grant is None or isinstance(judged, Unjudged) or _changed(judged, before) is not None:
        return None
    return _run(before.grant, before)


def _run(grant: Grant, before: _Before) -> LiveRun:
    return LiveRun(grant.account, GrantRef(subject_digest=grant.subject_digest, epoch=grant.epoch), before.image)


def _ran(snapshot: BotSnapshot) -> str:
    said = previous_condition(snapshot.bot, LIVE_AUTHORIZED)
    has_run_live = any(has_run(pod) for pod in live_pods_of(snapshot))
    return LIVE if has_run_live or (said is not None and said.reason == LIVE) else GRANTED


def _live_message(grant: Grant, judged: Judged | Unjudged) -> str:
    stages = judged.gate.stages if isinstance(judged, Judged) else []
    stage = f", stage {grant.stage} (the last is {len(stages) - 1})" if stages else ""
    return f"grant {grant.epoch} on account {grant.account}{stage}{_cap(grant)}"


def _cap(grant: Grant) -> str:
    return f", at most {grant.max_capital:f}" if grant.max_capital is not None else ""


def _demoted(snapshot: BotSnapshot, cause: Cause, before: _Before) -> Passage:
    epoch = before.grant.epoch if before.grant is not None else max(before.grants, 1)
    moment = timestamp(snapshot.now)
    report = DemotionReport(at=moment, reason=cause.reason, message=cause.message[:_MESSAGE_LIMIT], epoch=epoch)
    why = f"grant {epoch} is taken back: {cause.reason}: {cause.message}"[:_MESSAGE_LIMIT]
    note = EventNote(
        "Demoted",
        why,
        warning=cause.reason != "Requested",
        transition=f"Demotion/{epoch}/{cause.reason}/{moment}",
    )
    is_running_live = is_live_workload(snapshot.child("StatefulSet"))
    ran = _ran(snapshot) == LIVE
    waiting = (
        true(WITHDRAWING, "WaitingForBot", "the bot has not seen yet that its grant is gone")
        if ran
        else true(WITHDRAWING, _NOTHING_RAN, "no live pod has run under the grant")
    )
    return Passage(
        Phase.WITHDRAWING if is_running_live else Phase.PAPER,
        "Withdrawing" if is_running_live else "Demoted",
        why,
        demotion=report,
        grants=max(before.grants, epoch),
        used_approvals=before.used,
        withdrawing=waiting if is_running_live else None,
        notes=(note,),
        again_after_seconds=1.0,
    )


def _not_ours(why: str) -> Cause:
    return Cause("SubjectChanged", f"status.grant is not one that this operator gave: {why}")


def _demotion_cause(snapshot: BotSnapshot, judged: Judged | Unjudged, view: View, before: _Before) -> Cause | None:
    """Why a bot goes back to paper; the first that holds. What is merely unknown takes nothing away."""
    if is_killed(view):
        request = kill_in_force(view)
        why = f': "{request.reason}"' if request is not None and request.reason else ""
        return Cause("Killed", f"a kill is in force{why}")
    if not asks_for_live(snapshot.bot):
        return Cause("Requested", "spec.mode is paper")
    changed = _changed(judged, before)
    if changed is not None:
        return changed
    if snapshot.policies.status.value == "False":
        return Cause("PolicyNotEnforced", f"{snapshot.policies.reason}: {snapshot.policies.message}")
    if owned := _traded_by_elders(snapshot):
        return Cause("SymbolConflict", f"on the live account an elder bot has {'; '.join(map(str, owned))}")
    reported = _reported_cause(snapshot, judged, view)
    if reported is not None or isinstance(judged, Unjudged) or before.grant is None:
        return reported
    if judged.assessment.ledger.live_mismatches:
        name, how = list(judged.assessment.ledger.live_mismatches.items())[-1]
        return Cause("AuditMismatch", f"the broker's record contradicts {name}: {how}")
    return _drift(judged, before.grant)


def _traded_by_elders(snapshot: BotSnapshot) -> tuple[Overlap, ...]:
    """Symbols that a live pod of an elder bot really has: what its spec asks for since sends nobody back."""
    mine = claim_of(snapshot.bot)
    elders = {claim_of(one).bot for one in snapshot.live_rivals if claim_of(one).seniority < mine.seniority}
    return tuple(overlap for overlap in still_held(mine, snapshot.live_pods) if overlap.bot in elders)


def _changed(judged: Judged | Unjudged, before: _Before) -> Cause | None:
    grant = before.grant
    if grant is None:
        return _not_ours("it cannot be read")
    if isinstance(judged, Unjudged):
        return None if judged.holds else Cause("SubjectChanged", f"gate: {judged.message}")
    if grant.subject_digest != judged.subject.digest:
        changed = ", ".join(judged.changed) or "something that matters"
        return Cause("SubjectChanged", f"changed since it was approved: {changed}; the evidence so far does not count")
    if grant.epoch != before.grants:
        return _not_ours(f"its epoch is {grant.epoch}, and {before.grants} were given")
    if grant.account != judged.subject.live_account:
        return _not_ours(f"it names account {grant.account}")
    return None


def _live_report(view: View) -> RuntimeReport | None:
    return view.fresh if view.fresh is not None and view.fresh.mode == Mode.LIVE.value else None


def _reported_cause(snapshot: BotSnapshot, judged: Judged | Unjudged, view: View) -> Cause | None:
    """What the live pod itself says that ends its grant."""
    report = _live_report(view)
    if report is None:
        return None
    if report.breaker:
        return Cause("BreakerTripped", f"the bot's circuit breaker is open: {report.breaker}")
    if isinstance(judged, Unjudged):
        return None
    within = judged.gate.demotion.acknowledge_within
    for one in report.incidents:
        opened = parse_timestamp(one.opened_at)
        if one.state == "open" and opened is not None and snapshot.now - opened > span(within):
            message = f"nobody has acknowledged incident {one.id} ({one.name}) within {within}: {one.message}"
            return Cause("IncidentNotAcknowledged", message)
    return None


def _since(judged: Judged, began: str) -> list[LiveSession]:
    """Live sessions that the bot saw open after a moment; one that does not say when it began is of no grant."""
    after = parse_timestamp(began)
    return [
        one
        for one in judged.assessment.ledger.live
        if after is not None and (at := parse_timestamp(one.report.began_at)) is not None and at > after
    ]


def _drift(judged: Judged, grant: Grant) -> Cause | None:
    rules, sessions = judged.gate.demotion, _since(judged, grant.granted_at)
    last = sessions[-rules.drift_sessions :]
    if len(last) < rules.drift_sessions:
        return None
    usual = [*judged.paper_returns_percent, *(one.report.return_percent for one in sessions)]
    drifts = [session_drift_percent(one.report, usual) for one in last]
    if not all(drift > rules.maximum_drift_percent for drift in drifts):
        return None
    most = f"more than {rules.maximum_drift_percent:f} % from what was decided"
    said = ", ".join(f"{one.report.session}: {drift:.1f} %" for one, drift in zip(last, drifts, strict=True))
    return Cause("DriftExceeded", f"{len(last)} live sessions in a row are {most} ({said})"[:_MESSAGE_LIMIT])


# ---------------------------------------------------------------- stages


def _with_stage(snapshot: BotSnapshot, judged: Judged, stays: Passage, grant: Grant) -> Passage:
    """Counts the stage's clean sessions, and goes to the next stage where they and a person's word suffice."""
    stages = judged.gate.stages
    clean = sum(one.is_clean for one in _since(judged, grant.stage_since))
    counted = grant.model_copy(update={"stage_sessions": clean})
    if grant.stage >= len(stages) - 1:
        return replace(stays, grant=counted)
    stage = stages[grant.stage]
    if stage.sessions is None or clean < stage.sessions:
        why = f"{stays.why}; {clean}/{stage.sessions} clean live sessions to the next stage"
        return replace(stays, grant=counted, why=why)
    following = grant.stage + 1
    if stage.approval:
        since = parse_timestamp(grant.granted_at) or snapshot.now
        approved = stage_approval(judged.approvals, judged.subject, judged.gate_name, stage=following, since=since)
        if approved is None or snapshot.now - approved.created_at > span(judged.gate.approvals.expire_after):
            why = f"{stays.why}; stage {following} waits for an Approval (AdvanceStage, stage {following})"
            return replace(stays, grant=counted, why=why)
    if snapshot.policies.status.value != "True":
        return replace(stays, grant=counted, why=f"{stays.why}; stage {following} waits for PolicyEnforced")
    moment, cap = timestamp(snapshot.now), stages[following].max_capital
    wider = grant.model_copy(
        update={"stage": following, "max_capital": cap, "stage_since": moment, "stage_sessions": 0}
    )
    message = f"grant {grant.epoch}: stage {following} after {clean} clean live sessions, at most {cap:f}"
    note = EventNote("StageAdvanced", message, warning=False, transition=f"Stage/{grant.epoch}/{following}/{moment}")
    return replace(stays, grant=wider, why=_live_message(wider, judged), confirm=True, notes=(note,))


# ---------------------------------------------------------------- back to paper


def _withdrawing(snapshot: BotSnapshot, judged: Judged | Unjudged, view: View, before: _Before) -> Passage:
    """A live workload without a grant: it is left alone until its pod has confirmed, or cannot, or did not in time."""
    ending = _ending(snapshot, view)
    demotion = before.demotion
    said = f"{demotion.reason}: {demotion.message}" if demotion is not None else "there is no grant"
    leaving = Passage(
        Phase.PAPER if ending.is_over else Phase.WITHDRAWING,
        "Withdrawing",
        f"the bot is leaving live trading ({said}); {ending.condition.message}"[:_MESSAGE_LIMIT],
        demotion=demotion,
        grants=before.grants,
        used_approvals=before.used,
        withdrawing=ending.condition,
        again_after_seconds=ending.again_after_seconds,
    )
    if not ending.is_over:
        return leaving
    at = demotion.at if demotion is not None else created_at(snapshot.child("StatefulSet") or {})
    note = EventNote(
        "Withdrawn" if not ending.is_warning else "NotWithdrawn",
        ending.condition.message,
        warning=ending.is_warning,
        transition=f"Withdrawal/{before.grants}/{ending.condition.reason}/{at}",
    )
    return replace(leaving, notes=(note,))


@dataclass(frozen=True)
class _Ending:
    """How far a live pod is in leaving."""

    condition: Verdict
    is_over: bool = False
    is_warning: bool = False
    again_after_seconds: float | None = None


def _ending(snapshot: BotSnapshot, view: View) -> _Ending:
    stateful_set, pods = snapshot.child("StatefulSet"), live_pods_of(snapshot)
    before = _stored_withdrawal(snapshot.bot)
    if before is not None and before.reason == _NOTHING_RAN and not any(map(has_run, pods)):
        return _Ending(false(WITHDRAWING, _NOTHING_RAN, before.message), is_over=True)
    report = _report_of_the_live_pod(view)
    asked = _asked(view, report)
    has_seen = report is not None and (report.withdrawal is not None or report.kill is not None)
    withdrawal = report.withdrawal if report is not None else None
    kill_is_over = not _is_killed_live(view) or _is_killed_for_good(view)
    if (
        (has_seen or _is_killed_for_good(view))
        and kill_is_over
        and are_confirmed(asked, kill_in_force(view), withdrawal)
    ):
        return _Ending(false(WITHDRAWING, "Confirmed", _confirmed(asked)), is_over=True)
    if not pods and not comes_again(stateful_set):
        why = f"there is no live pod that could do what onDelete asks, and none will come; {left_behind(view)}"
        return _Ending(false(WITHDRAWING, "NotConfirmed", why), is_over=True, is_warning=may_be_left(view, asked))
    cause = _waits_for(snapshot, view, report, asked)
    if cause.reason == _MARKET_CLOSED:
        # The clock stands still: nothing can be closed before the open, and the pod is there and says so.
        return _Ending(undecided(WITHDRAWING, cause.reason, cause.message))
    began = _waiting_since(snapshot.bot)
    left = (began + WITHDRAWAL_LIMIT - snapshot.now) if began is not None else WITHDRAWAL_LIMIT
    if left <= timedelta(0) and not view.kill_goes_on:
        minutes = f"{WITHDRAWAL_LIMIT.total_seconds() / 60:.0f} min"
        why = f"not confirmed within {minutes} ({cause.reason}: {cause.message}); {left_behind(view)}"
        return _Ending(false(WITHDRAWING, "NotConfirmed", why), is_over=True, is_warning=True)
    # A kill is carried out however long it takes, with the live keys that it takes; nothing is opened meanwhile.
    again = left.total_seconds() if left > timedelta(0) else None
    return _Ending(true(WITHDRAWING, cause.reason, cause.message), again_after_seconds=again)


def _is_killed_live(view: View) -> bool:
    """Whether a kill on the live account is in force."""
    return view.latch.kill is not None and view.latch.kill.spec.mode is Mode.LIVE


def _is_killed_for_good(view: View) -> bool:
    """Whether that kill is done, by whomever: the pod may never have told of it."""
    return view.latch.kill is not None and _is_killed_live(view) and view.latch.kill.is_done


def _report_of_the_live_pod(view: View) -> RuntimeReport | None:
    """The last answer of the live pod, however old: what it confirmed stays confirmed."""
    report = view.answer.report if view.answer is not None else None
    return report if report is not None and report.mode == Mode.LIVE.value else None


def _asked(view: View, report: RuntimeReport | None) -> Asked:
    # The pod is left as it is, so what it was started with is what it does, whatever the spec says since.
    on_delete = text(view.bot, "spec", "onDelete") or OnDelete.CANCEL_ORDERS.value
    if report is not None and report.withdrawal is not None:
        on_delete = report.withdrawal.on_delete
    return asked_of(view, on_delete)


def _confirmed(asked: Asked) -> str:
    if asked.flat:
        return "orders cancelled and positions closed on the live account, confirmed by the broker"
    if asked.cancelled:
        return "orders cancelled on the live account, confirmed by the broker; what is held there stays"
    return "onDelete is Keep: live orders and positions stay as they are"


def _waits_for(snapshot: BotSnapshot, view: View, report: RuntimeReport | None, asked: Asked) -> Cause:
    fresh = view.fresh
    if fresh is None or report is None:
        pod = newest(snapshot.pods)
        cause = pod_cause(snapshot.child("StatefulSet"), pod, snapshot.claim, waited=timedelta(0))
        if cause is not None:
            return Cause("PodNotRunning", f"{cause.reason}: {cause.message}")
        return Cause("NotReporting", no_report(view).message)
    if report.withdrawal is None and report.kill is None:
        return Cause("WaitingForBot", "the bot has not seen yet that its grant is gone")
    if not fresh.broker_connected:
        return Cause("BrokerUnreachable", f"the broker does not answer the bot ({fresh.reason}: {fresh.message})")
    steps = [step for step in (report.withdrawal, report.kill) if step is not None]
    if asked.flat and any(step.orders_cancelled_at is not None for step in steps):
        if fresh.market_open is False:
            return Cause(_MARKET_CLOSED, "no order is open; the market is closed, and positions wait for its open")
        return Cause("WaitingForFlat", "no order is open; the bot is closing its positions")
    return Cause("WaitingForCancel", "the bot waits for the broker's word that no order is open")


def _stored_withdrawal(bot: Raw) -> Verdict | None:
    return previous_condition(bot, WITHDRAWING)


def _ended_withdrawal(bot: Raw) -> Verdict | None:
    """How the last withdrawal ended; one that was still going on when its workload went was never confirmed."""
    stored = _stored_withdrawal(bot)
    if stored is None or stored.status.value == "False":
        return stored
    message = f"the live workload went before this was done: {stored.reason}. Look at the broker for what is left"
    return false(WITHDRAWING, "NotConfirmed", message)


def _waiting_since(bot: Raw) -> datetime | None:
    for entry in entries(bot, "status", "conditions"):
        if text(entry, "type") == WITHDRAWING and text(entry, "status") == "True":
            return parse_timestamp(text(entry, "lastTransitionTime"))
    return None
