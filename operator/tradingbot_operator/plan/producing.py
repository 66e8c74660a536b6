"""Which evidence is to be written, which Jobs are to make more of it, and what of both is no longer needed.

A closed session that the bot's pod gave is judged by an audit Job; what that Job says becomes one PromotionEvidence.
Everything this rests on is in the cluster: after any crash the next look goes on where the last one was.
Must never write evidence of a session that the bot's present pod does not vouch for, and never take silence for Match.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from tradingbot_api import (
    AuditReport,
    AuditReports,
    AuditResult,
    BrokerAccountSpec,
    BrokerEnvironment,
    ClosedSession,
    EvidenceType,
    Mode,
    TradingBotSpec,
)
from tradingbot_api.gate_checks import span
from tradingbot_api.group import CONFIG_DIGEST_ANNOTATION, PRODUCER_LABEL
from tradingbot_operator.plan.children import Bot
from tradingbot_operator.plan.conditions import parse_timestamp
from tradingbot_operator.plan.evidence import (
    Ended,
    audits_in,
    ended,
    image_digest,
    is_about,
    preflight_evidence,
    preflight_in,
    says_the_same,
    session_evidence,
)
from tradingbot_operator.plan.jobs import CONTAINER as PRODUCER
from tradingbot_operator.plan.jobs import pod_of
from tradingbot_operator.plan.names import CONTAINER
from tradingbot_operator.plan.objects import (
    Raw,
    annotation,
    controller_uid,
    created_at,
    entries,
    generation_of,
    is_being_deleted,
    label,
    mapping,
    name_of,
    number,
    text,
    uid_of,
)
from tradingbot_operator.plan.pods import newest
from tradingbot_operator.plan.producers import (
    AUDIT,
    PREFLIGHT,
    VALIDATION,
    About,
    Contents,
    Order,
    audit_order,
    contents_of,
    deadline_seconds,
    is_as_made,
    is_of,
    job_for,
    may_remove,
    preflight_order,
    source_digest,
)
from tradingbot_operator.plan.snapshot import (
    BotSnapshot,
    CollectedSessions,
    InvalidSpec,
    parse_account_spec,
    parse_bot_spec,
    parse_gate_spec,
)
from tradingbot_operator.plan.validating import RunJob, RunWrite, statuses, validating
from tradingbot_operator.promotion.subject import Subject, is_from_the_future

SESSIONS_IN_A_JOB: Final = 20
"""All their results fit into one termination message."""
LAST_ATTEMPT: Final = 340
"""About a week. Then the evidence is written with the audit's Unknown, so that the status can say so."""
SESSIONS_KEPT: Final = 400
FORMER_KEPT_WHOLE_FOR: Final = timedelta(days=1)
"""Since the subject has been what it is."""
FORMER_SESSIONS_KEPT: Final = 60
"""Of those: of subjects that are no more."""
OTHERS_KEPT: Final = 20
"""Of each other type."""
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(minutes=30)
_AFTER_A_FAILED_PREFLIGHT: Final = timedelta(minutes=10)
_LOST_AFTER: Final = timedelta(seconds=15)
"""A Job that has ended and whose pod was not seen to end by then has lost it; the two are watched separately."""
_PENDING_WORDS: Final = 300
_NEVER: Final = (0, datetime.min.replace(tzinfo=UTC))
_BESIDE: Final = frozenset({"ConfigMap", "NetworkPolicy"})
_CHANGED_KEPT: Final = timedelta(minutes=1)
_ALONE: Final = timedelta(minutes=5)
"""What is beside a Job that is not there waits for it so long."""
_OVERDUE: Final = timedelta(seconds=300)
"""After its deadline: a Job that nobody ended. No controller runs, or it is suspended."""


@dataclass(frozen=True)
class Production:
    """What to do, in the order of the fields: record, produce, discard."""

    record: tuple[Raw, ...] = ()
    """PromotionEvidence to create."""
    produce: tuple[Raw, ...] = ()
    """ConfigMaps, NetworkPolicies and Jobs to create, in this order."""
    discard: tuple[Raw, ...] = ()
    """Jobs, what was made for them, and PromotionEvidence, to remove by their uid."""
    again_after_seconds: float | None = None
    notes: tuple[str, ...] = ()
    """What keeps sessions from becoming evidence just now, a sentence each, for a person."""
    unaudited: int = 0
    """Sessions of the subject that wait for their audit to come to an end."""
    runs: tuple[RunWrite, ...] = ()
    """Statuses of ValidationRuns."""


@dataclass(frozen=True)
class _Tried:
    """A Job that was looked at, and what its pod left."""

    job: Raw
    contents: Contents
    end: Ended | None
    """None while it runs."""


@dataclass(frozen=True)
class _Void:
    """A Job that does not count. One about a former subject needs no word."""

    why: str


@dataclass
class _Work:
    """One decision, as it is put together."""

    snapshot: BotSnapshot
    subject: Subject
    since: datetime
    live: bool
    record: list[Raw] = field(default_factory=list)
    produce: list[Raw] = field(default_factory=list)
    discard: dict[str, Raw] = field(default_factory=dict)
    waits: list[timedelta] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waiting: int = 0
    is_held_up: bool = False
    """Whether a Job is there that is not as it was made."""

    @property
    def now(self) -> datetime:
        """The time of the look."""
        return self.snapshot.now

    @cached_property
    def bot(self) -> Bot | None:
        """The bot with its spec; None where this release cannot read that."""
        spec = parse_bot_spec(self.snapshot.bot)
        return Bot(self.snapshot.bot, spec) if isinstance(spec, TradingBotSpec) else None

    @cached_property
    def evidence(self) -> tuple[Raw, ...]:
        """The evidence about the present subject."""
        return tuple(one for one in self.snapshot.evidence if is_about(one, self.subject.uid, self.subject.digest))

    @cached_property
    def recorded(self) -> dict[str, list[Raw]]:
        """`spec.session` of the evidence about the present subject, by the session's date."""
        found: dict[str, list[Raw]] = {}
        for one in self.evidence:
            session = mapping(one, "spec", "session")
            if session:
                found.setdefault(text(session, "report", "session"), []).append(session)
        return found

    def is_recorded(self, session: ClosedSession) -> bool:
        """Whether there is evidence of this very session; of another report about the same date there is not."""
        return any(says_the_same(one, session) for one in self.recorded.get(session.report.session, ()))

    def account(self, *, live: bool) -> BrokerAccountSpec | None:
        """The account of a mode; None where it is not there or cannot be read."""
        raw = self.snapshot.live_account if live else self.snapshot.account
        name = self.subject.live_account if live else self.subject.paper_account
        if raw is None or name_of(raw) != name or is_being_deleted(raw):
            return None
        spec = parse_account_spec(raw)
        return None if isinstance(spec, InvalidSpec) else spec

    def ask_again(self, at: datetime) -> None:
        """Wants another look at a moment that is to come."""
        self.waits.append(max(at - self.now, timedelta(seconds=1)))

    def order(self, order: Order) -> None:
        """Wants a Job; what is there of it already is not asked for again."""
        if self.is_held_up:
            return
        made = (order.config_map, order.network_policy, order.job)
        wanted = {(text(one, "kind"), name_of(one)) for one in made}
        there = {key: one for one in self.snapshot.producers if (key := (text(one, "kind"), name_of(one))) in wanted}
        loose = [one for one in there.values() if not is_of(one, self.subject.uid)]
        if any(may_remove(one, self.subject.uid) for one in loose):
            # In the way: first they go. What belongs to something else stays, and creating says so.
            self.discard |= {uid_of(one): one for one in loose if may_remove(one, self.subject.uid)}
            return
        ours = there.keys() - {(text(one, "kind"), name_of(one)) for one in loose}
        self.produce += [one for one in made if (text(one, "kind"), name_of(one)) not in ours]
        self.ask_again(self.now + timedelta(seconds=deadline_seconds(order.about)) + _OVERDUE)


def producing(
    snapshot: BotSnapshot,
    subject: Subject,
    since: datetime,
    *,
    live: bool,
    wants_preflight: bool,
    image: str | None = None,
    held_back: str = "",
) -> Production:
    """What the evidence of a subject needs. `since` is when it became what it is, `live` says which sessions are asked
    for: those of the live account, or those on paper; `image` is the bot's by the name that a kubelet reported.
    `held_back` says why the bot's own image gets no keys now, for a validation either; empty where it may have them.
    """
    work = _Work(snapshot, subject, since, live)
    every = _tried(work)
    tried = [one for one in every if one.contents.about.kind != VALIDATION]
    validations = [_run_job(work, one) for one in every if one.contents.about.kind == VALIDATION]
    obstacle = ""
    if subject.is_known and work.bot is not None:
        collected = _vouched(work)
        _audits(work, work.bot, [one for one in tried if one.contents.about.kind == AUDIT], collected)
        _preflights(
            work,
            work.bot,
            [one for one in tried if one.contents.about.kind == PREFLIGHT],
            is_wanted=wants_preflight,
        )
        obstacle = _validations(work, work.bot, validations, image, held_back)
    _clean_up(work, tried)
    _retain(work)
    return Production(
        record=tuple(work.record),
        produce=tuple(work.produce),
        discard=tuple(work.discard.values()),
        again_after_seconds=min((wait.total_seconds() for wait in work.waits), default=None),
        notes=tuple(work.notes),
        unaudited=work.waiting,
        runs=statuses(snapshot, work.bot, subject, validations, obstacle),
    )


# ------------------------------------------------------------- what there is


def _tried(work: _Work) -> list[_Tried]:
    """The Jobs of this subject that are what we made; whatever else is ours is thrown away."""
    snapshot, found = work.snapshot, list[_Tried]()
    maps = {name_of(one): one for one in snapshot.producers if text(one, "kind") == "ConfigMap"}
    for job in sorted((one for one in snapshot.producers if text(one, "kind") == "Job"), key=name_of):
        if is_being_deleted(job) or not may_remove(job, work.subject.uid):
            continue
        contents = _trusted(work, job, maps.get(name_of(job)))
        if isinstance(contents, _Void):
            _throw_away(work, job, contents)
            continue
        found.append(_Tried(job, contents, _end(work, job)))
    return found


def _trusted(work: _Work, job: Raw, config_map: Raw | None) -> Contents | _Void:
    """What a Job was made for, where it and what it reads are as we would make them for this subject."""
    uid, name = work.subject.uid, name_of(job)
    if config_map is None or work.bot is None or not is_of(config_map, uid) or not is_of(job, uid):
        return _Void(f"Job {name} does not count: it, or the ConfigMap it was made with, is not the bot's any more")
    contents = contents_of(config_map)
    if contents is None or contents.about.uid != uid:
        return _Void(f"Job {name} does not count: its ConfigMap is not what its name says")
    about = contents.about
    if (about.subject_digest, about.image) != (work.subject.digest, work.subject.image):
        return _Void("")
    account = work.account(live=_is_live(about))
    if account is None or about.account != _account_name(work, about) or about.provider != account.provider.value:
        return _Void("")
    if not is_as_made(job, job_for(work.bot, account, work.snapshot.settings, contents)):
        return _Void(f"Job {name} does not count: it is not as the operator makes it, or was changed by a webhook")
    return contents


def _throw_away(work: _Work, job: Raw, void: _Void) -> None:
    made = parse_timestamp(created_at(job))
    if void.why:
        work.notes.append(void.why)
        work.is_held_up = True
        # Whatever changes our Jobs would change the next one as well: no more than one a minute is made for it.
        if made is not None and work.now < made + _CHANGED_KEPT:
            work.ask_again(made + _CHANGED_KEPT)
            return
    _discard(work, job, *_beside(work, job))


def _is_live(about: About) -> bool:
    return about.kind == PREFLIGHT or about.mode == Mode.LIVE


def _account_name(work: _Work, about: About) -> str:
    return work.subject.live_account if _is_live(about) else work.subject.paper_account


def _end(work: _Work, job: Raw) -> Ended | None:
    """How a Job ended; None while it may still say something."""
    pods = [
        one
        for one in work.snapshot.producers
        if text(one, "kind") == "Pod" and controller_uid(one) == uid_of(job) and label(one, PRODUCER_LABEL)
    ]
    found = ended(job, newest(pods))
    if found is None:
        made = parse_timestamp(created_at(job)) or work.now
        overdue = made + timedelta(seconds=number(job, "spec", "activeDeadlineSeconds")) + _OVERDUE
        if work.now > overdue:
            return Ended(overdue, "", "", "it did not end in time")
        work.ask_again(overdue)
    elif found.is_lost and work.now < found.at + _LOST_AFTER:
        work.ask_again(found.at + _LOST_AFTER)
        return None
    return found


def _beside(work: _Work, job: Raw) -> Iterator[Raw]:
    """What was made with a Job."""
    for one in work.snapshot.producers:
        if text(one, "kind") in _BESIDE and name_of(one) == name_of(job) and may_remove(one, work.subject.uid):
            yield one


def _discard(work: _Work, *objects: Raw) -> None:
    for one in objects:
        if not is_being_deleted(one):
            work.discard[uid_of(one)] = one


# ------------------------------------------------------------------- audits


def _vouched(work: _Work) -> CollectedSessions | None:
    """What the bot's newest pod gave, where that pod is what the subject says; None where nobody vouches just now."""
    collected, pod = work.snapshot.sessions, newest(work.snapshot.pods)
    stateful_set = work.snapshot.child("StatefulSet") or {}
    if collected is None or pod is None or collected.pod_uid != uid_of(pod):
        return None
    if controller_uid(pod) != uid_of(stateful_set) or not is_of(stateful_set, work.subject.uid):
        work.notes.append(f"the bot's sessions do not count: pod {name_of(pod)} is not of its StatefulSet")
        return None
    if collected.problem:
        work.notes.append(f"the bot's sessions do not count: {collected.problem}")
    if collected.mode != (Mode.LIVE if work.live else Mode.PAPER):
        return None
    if image_digest(pod, CONTAINER) != work.subject.image.rpartition("@")[2]:
        work.notes.append("the bot's sessions wait: its pod runs another image than the one that is judged")
        return None
    template = mapping(stateful_set, "spec", "template")
    if annotation(pod, CONFIG_DIGEST_ANNOTATION) != annotation(template, CONFIG_DIGEST_ANNOTATION):
        work.notes.append("the bot's sessions wait: its pod still runs with another config")
        return None
    return collected


def _wanted(work: _Work, collected: CollectedSessions | None) -> list[ClosedSession]:
    """The sessions that need evidence and have none."""
    if collected is None or not collected.sessions:
        return []
    account = work.subject.live_account if work.live else work.subject.paper_account
    # What retention has taken away is not made again.
    oldest = _oldest_kept(work, account) if len(work.evidence) >= SESSIONS_KEPT else ""
    wanted: list[ClosedSession] = []
    undated = 0
    for session in collected.sessions:
        report = session.report
        if report.account != account or report.mode != collected.mode or report.session < oldest:
            continue
        began = parse_timestamp(report.began_at) if report.began_at else None
        undated += began is None
        if began is None or began < work.since or work.is_recorded(session):
            continue
        if is_from_the_future(began, work.snapshot.now) or parse_timestamp(report.closes_at) is None:
            continue
        wanted.append(session)
    if undated:
        work.notes.append(f"{undated} sessions do not count: the runtime did not note when they began; renew its image")
    return wanted


def _oldest_kept(work: _Work, account: str) -> str:
    reports = [mapping(one, "report") for same_day in work.recorded.values() for one in same_day]
    days = sorted(text(one, "session") for one in reports if text(one, "account") == account)
    return days[0] if len(days) >= SESSIONS_KEPT else ""


def _audits(work: _Work, bot: Bot, tried: Sequence[_Tried], collected: CollectedSessions | None) -> None:
    wanted = {source_digest(one): one for one in _wanted(work, collected)}
    attempts: dict[str, tuple[int, datetime]] = {}
    running = False
    for one in tried:
        if one.end is None:
            running = True
            # Nobody decides twice about a session that is being looked at.
            for session in one.contents.sessions:
                wanted.pop(source_digest(session), None)
            work.waiting += len(one.contents.sessions)
            continue
        for session in one.contents.sessions:
            digest = source_digest(session)
            if digest not in wanted:
                continue
            evidence = _evidence(work, bot, one, one.end, session)
            if evidence is not None:
                work.record.append(evidence)
                del wanted[digest]
            else:
                attempts[digest] = max(attempts.get(digest, _NEVER), (one.contents.about.attempt, one.end.at))
    work.waiting += len(wanted)
    _tell_of_the_undecided(work, tried, attempts)
    if not running:
        _next_audit(work, bot, collected, list(wanted.items()), attempts)


def _evidence(work: _Work, bot: Bot, one: _Tried, end: Ended, session: ClosedSession) -> Raw | None:
    """The evidence that an audit gives of a session; None where it came to no end and may be tried again."""
    about = one.contents.about
    audit = _judgement(audits_in(end), about, session)
    if audit is None and about.attempt >= LAST_ATTEMPT:
        audit = AuditReport(
            session=session.report.session,
            result=AuditResult.UNKNOWN,
            message=f"given up after {about.attempt} attempts: {end.problem or end.message}"[:300],
        )
    return session_evidence(bot, about, session, audit) if audit is not None else None


def _judgement(reports: AuditReports | None, about: About, session: ClosedSession) -> AuditReport | None:
    if reports is None or (reports.uid, reports.mode) != (about.uid, about.mode):
        return None
    found = [one for one in reports.audits if one.session == session.report.session]
    if len(found) != 1 or found[0].result is AuditResult.UNKNOWN:
        return None
    return found[0]


def _tell_of_the_undecided(work: _Work, tried: Sequence[_Tried], attempts: dict[str, tuple[int, datetime]]) -> None:
    if not attempts:
        return
    last = max((one for one in tried if one.end is not None), key=lambda one: one.end.at if one.end else work.now)
    why = _why(last)
    count = max(attempt for attempt, _ in attempts.values())
    work.notes.append(f"the audit of {len(attempts)} sessions came to no end ({count} attempts so far): {why}")


def _why(one: _Tried) -> str:
    end = one.end
    if end is None or end.problem:
        return end.problem if end is not None else ""
    reports = audits_in(end)
    said = [audit.message for audit in reports.audits if audit.message] if reports is not None else []
    return (said[0] if said else end.message)[:200] or "it said nothing"


def _next_audit(
    work: _Work,
    bot: Bot,
    collected: CollectedSessions | None,
    wanted: Sequence[tuple[str, ClosedSession]],
    attempts: dict[str, tuple[int, datetime]],
) -> None:
    """One Job at a time: the broker is not asked by many, and what closes meanwhile goes into the next batch."""
    pod = newest(work.snapshot.pods)
    account = work.account(live=work.live)
    if not wanted or collected is None or pod is None:
        return
    if account is None:
        work.notes.append("sessions wait for their audit: the BrokerAccount is not there or cannot be read")
        return
    due: list[tuple[int, ClosedSession]] = []
    for digest, session in wanted:
        attempt, at = attempts.get(digest, _NEVER)
        if attempt and (moment := at + _wait(attempt)) > work.now:
            work.ask_again(moment)
        else:
            due.append((attempt + 1, session))
    if not due:
        return
    attempt = min(number for number, _ in due)
    batch = sorted((one for number, one in due if number == attempt), key=lambda one: one.report.session)
    about = About(
        kind=AUDIT,
        uid=work.subject.uid,
        mode=collected.mode,
        account=work.subject.live_account if work.live else work.subject.paper_account,
        provider=account.provider.value,
        image=work.subject.image,
        pod_uid=collected.pod_uid,
        subject_digest=work.subject.digest,
        generation=max(generation_of(work.snapshot.bot), 1),
        attempt=attempt,
    )
    work.order(audit_order(bot, account, work.snapshot.settings, about, batch[:SESSIONS_IN_A_JOB]))


def _wait(attempt: int) -> timedelta:
    doublings: int = 2 ** min(attempt - 1, 10)
    return min(_FIRST_WAIT * doublings, _LONGEST_WAIT)


# --------------------------------------------------------------- preflights


def _preflights(work: _Work, bot: Bot, tried: Sequence[_Tried], *, is_wanted: bool) -> None:
    known = {name_of(one): one for one in work.evidence if text(one, "spec", "type") == EvidenceType.PREFLIGHT}
    undecided: list[tuple[int, datetime, str]] = []
    running = False
    for one in tried:
        if one.end is None:
            running = True
            continue
        evidence = _preflight_result(work, bot, one, one.end)
        if evidence is None:
            undecided.append((one.contents.about.attempt, one.end.at, one.contents.about.after))
        elif name_of(evidence) not in known:
            work.record.append(evidence)
            known[name_of(evidence)] = evidence
    if not is_wanted or running:
        return
    last = max(known.values(), key=lambda one: (text(one, "spec", "observedAt"), name_of(one)), default=None)
    after = name_of(last) if last is not None else ""
    attempt, at = max(((number, at) for number, at, then in undecided if then == after), default=_NEVER)
    due = at + min(_wait(attempt), _AFTER_A_FAILED_PREFLIGHT) if attempt else _due(work, last)
    if due > work.now:
        work.ask_again(due)
        return
    account = work.account(live=True)
    if account is None:
        work.notes.append("the preflight waits: the live BrokerAccount is not there or cannot be read")
        return
    about = About(
        kind=PREFLIGHT,
        uid=work.subject.uid,
        mode=Mode.LIVE,
        account=work.subject.live_account,
        provider=account.provider.value,
        image=work.subject.image,
        pod_uid="",
        subject_digest=work.subject.digest,
        generation=max(generation_of(work.snapshot.bot), 1),
        attempt=attempt + 1,
        after=after,
        capital=_first_capital(work, bot),
    )
    work.order(preflight_order(bot, account, work.snapshot.settings, about))


def _first_capital(work: _Work, bot: Bot) -> str:
    """What the account must be able to buy for: the cap of the gate's first stage where that is less than all."""
    gate = parse_gate_spec(work.snapshot.gate) if work.snapshot.gate is not None else None
    stages = [] if gate is None or isinstance(gate, InvalidSpec) else gate.stages
    return format(min([bot.spec.capital, *(stage.max_capital for stage in stages[:1])]), "f")


def _preflight_result(work: _Work, bot: Bot, one: _Tried, end: Ended) -> Raw | None:
    about, report = one.contents.about, preflight_in(end)
    if report is None or (report.uid, report.account) != (about.uid, about.account) or not end.pod_uid:
        work.notes.append(f"the preflight came to no end ({about.attempt} attempts so far): {_why(one)}")
        return None
    return preflight_evidence(bot, about, report, end)


def _due(work: _Work, last: Raw | None) -> datetime:
    observed = parse_timestamp(text(last, "spec", "observedAt")) if last is not None else None
    if last is None or observed is None:
        return work.now
    checks = mapping(last, "spec", "preflight").get("checks") or ()
    if not all(one.get("passed") is True for one in checks):
        return observed + _AFTER_A_FAILED_PREFLIGHT
    gate = parse_gate_spec(work.snapshot.gate) if work.snapshot.gate is not None else None
    if gate is None or isinstance(gate, InvalidSpec):
        return work.now + _LONGEST_WAIT
    return observed + span(gate.checks.preflight.max_age) / 2


# -------------------------------------------------------------- validations


def _run_job(work: _Work, one: _Tried) -> RunJob:
    pod = pod_of(one.job, work.snapshot.producers)
    return RunJob(one.job, one.contents, one.end, image_digest(pod or {}, PRODUCER), _pending(pod or {}))


def _pending(pod: Raw) -> str:
    """Why a pod has not started: nowhere to run, a volume that is not there, an image that cannot be pulled."""
    for condition in entries(pod, "status", "conditions"):
        if text(condition, "type") == "PodScheduled" and text(condition, "status") == "False":
            return f"its pod is not scheduled: {text(condition, 'message')}"[:_PENDING_WORDS]
    for container in entries(pod, "status", "containerStatuses"):
        waiting = mapping(container, "state", "waiting")
        reason = text(waiting, "reason")
        if reason not in ("", "ContainerCreating", "PodInitializing"):
            return f"its container waits: {reason} {text(waiting, 'message')}".strip()[:_PENDING_WORDS]
    return ""


def _validations(work: _Work, bot: Bot, jobs: Sequence[RunJob], image: str | None, held_back: str) -> str:
    """Has the runs of the bot carried out; what keeps the next one from its Job, or an empty string."""
    if held_back:
        for one in jobs:
            if one.end is None:
                _discard(work, one.job, *_beside(work, one.job))
        return held_back
    account = work.account(live=False)
    found = validating(work.snapshot, bot, work.subject, account, image, jobs)
    work.record += found.record
    if found.order is not None:
        work.order(found.order)
    for job in found.served:
        _discard(work, job, *_beside(work, job))
    for at in found.again_at:
        work.ask_again(at)
    if account is None or account.environment is not BrokerEnvironment.PAPER:
        return "the bot's paper BrokerAccount is not there, cannot be read, or is not of environment paper"
    return "" if image else "the image of the bot is not known until a pod runs"


# ----------------------------------------------------------------- cleaning


def _clean_up(work: _Work, tried: Sequence[_Tried]) -> None:
    """Takes away what has served: Jobs whose results are written down or taken over by a later attempt, and what was
    made for a Job that is not there.
    """
    if not work.subject.is_known or work.bot is None:
        return
    ordered = {name_of(one) for one in work.produce}
    jobs = {name_of(one) for one in work.snapshot.producers if text(one, "kind") == "Job"}
    in_use = ordered | jobs
    recorded = {text(one, "spec", "sourceDigest") for one in work.snapshot.evidence}
    latest = _latest_attempts(tried)
    for one in tried:
        if one.end is not None and _has_served(work, one, recorded, latest):
            _discard(work, one.job, *_beside(work, one.job))
    for left in work.snapshot.producers:
        is_ours = text(left, "kind") in _BESIDE and may_remove(left, work.subject.uid)
        if not is_ours or name_of(left) in in_use or uid_of(left) in work.discard:
            continue
        # Its Job may be about to be made by a process that has to ask the bot's pod again first.
        made = parse_timestamp(created_at(left))
        if made is not None and work.now < made + _ALONE:
            work.ask_again(made + _ALONE)
        else:
            _discard(work, left)


def _latest_attempts(tried: Iterable[_Tried]) -> dict[str, int]:
    latest: dict[str, int] = {}
    for one in tried:
        for key in _about_what(one):
            latest[key] = max(latest.get(key, 0), one.contents.about.attempt)
    return latest


def _about_what(one: _Tried) -> Iterator[str]:
    if one.contents.about.kind == PREFLIGHT:
        yield f"preflight after {one.contents.about.after}"
    yield from map(source_digest, one.contents.sessions)


def _has_served(work: _Work, one: _Tried, recorded: set[str], latest: dict[str, int]) -> bool:
    is_last = any(latest[key] <= one.contents.about.attempt for key in _about_what(one))
    if one.contents.about.kind == PREFLIGHT:
        end = one.end
        is_recorded = end is not None and preflight_in(end) is not None and end.source_digest in recorded
        return is_recorded or not is_last
    open_sessions = [
        session
        for session in one.contents.sessions
        if source_digest(session) not in recorded and not work.is_recorded(session)
    ]
    # Without the pod that vouches for them its sessions wait; the Job goes by its time to live.
    return not open_sessions or all(latest[source_digest(each)] > one.contents.about.attempt for each in open_sessions)


def _retain(work: _Work) -> None:
    """The newest of each type, and of former subjects little."""
    others = sum(text(one, "spec", "type") != EvidenceType.SESSION for one in work.snapshot.evidence)
    if len(work.snapshot.evidence) <= FORMER_SESSIONS_KEPT and others <= OTHERS_KEPT:
        return
    mine = [one for one in work.snapshot.evidence if is_of(one, work.subject.uid)]
    present = {uid_of(one) for one in work.evidence}
    for kind in EvidenceType:
        ordered = sorted((one for one in mine if text(one, "spec", "type") == kind), key=_age, reverse=True)
        if kind is not EvidenceType.SESSION:
            _discard(work, *ordered[OTHERS_KEPT:])
            continue
        if not work.subject.is_known or work.snapshot.now - work.since < FORMER_KEPT_WHOLE_FOR:
            # What changed may be a slip that is put right in a moment: until then nothing is former.
            now, former = ordered, []
        else:
            now = [one for one in ordered if uid_of(one) in present]
            former = [one for one in ordered if uid_of(one) not in present]
        kept = max(min(FORMER_SESSIONS_KEPT, SESSIONS_KEPT - len(now)), 0)
        _discard(work, *former[kept:])
        for account in {text(one, "spec", "account") for one in now}:
            _discard(work, *[one for one in now if text(one, "spec", "account") == account][SESSIONS_KEPT:])


def _age(evidence: Raw) -> tuple[str, str, str]:
    return text(evidence, "spec", "session", "report", "session"), created_at(evidence), name_of(evidence)
