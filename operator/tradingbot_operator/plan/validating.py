"""What becomes of a bot's ValidationRuns: which gets its Job next, which evidence it gives, what its status says.

One Job at a time for a bot, the eldest run first. Everything this rests on is in the cluster: a status says what was
seen there, never what is about to be written. Must never make evidence of a Job that is not as it was made, that ran
another image than the one that is judged, or that is about a former subject.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from tradingbot_api import (
    BrokerAccountSpec,
    BrokerEnvironment,
    EvidenceType,
    Mode,
    ValidationRunSpec,
    ValidationRunStatus,
)
from tradingbot_operator.plan.children import Bot
from tradingbot_operator.plan.conditions import Verdict, conditions, false, timestamp, true
from tradingbot_operator.plan.evidence import Ended, refusal_in, validation_evidence, validation_in
from tradingbot_operator.plan.objects import Raw, created_at, generation_of, mapping, name_of, number, text, uid_of
from tradingbot_operator.plan.producers import VALIDATION, About, Contents, Order, RunRef, validation_order
from tradingbot_operator.plan.snapshot import BotSnapshot
from tradingbot_operator.promotion.subject import Subject

COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
ATTEMPTS: Final = 3
"""Then a run fails, and somebody makes another one."""
RUNS_KEPT: Final = 20
"""Runs of a bot whose Jobs, with their logs, are kept until their time to live is over."""
_RETRY_AFTER: Final = timedelta(minutes=1)
_UNKNOWN_OPTION: Final = 2
"""The exit code of a command that was given words it does not know."""
_FINAL_CODES: Final = frozenset({_UNKNOWN_OPTION, 65, 78})
"""The command says that another attempt would end the same: its bars, its config or the strategy are wrong."""
_MESSAGE: Final = 512


@dataclass(frozen=True)
class RunJob:
    """A Job of ours that validates this very subject, and how it ended; None while it runs."""

    job: Raw
    contents: Contents
    end: Ended | None
    ran: str
    """Digest of the image that the kubelet says its pod ran; empty where it does not say."""
    waits_for: str = ""
    """Why its pod has not started; empty where it has, or there is none yet."""

    @property
    def run_uid(self) -> str:
        """UID of the ValidationRun."""
        return self.contents.about.run.uid if self.contents.about.run is not None else ""

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self.contents.about.attempt


@dataclass(frozen=True)
class RunWrite:
    """A status to write."""

    run: Raw
    status: Mapping[str, Any]


@dataclass
class Validating:
    """What to do about the runs of a bot."""

    record: list[Raw] = field(default_factory=list)
    order: Order | None = None
    served: list[Raw] = field(default_factory=list)
    """Jobs that nobody needs any more."""
    again_at: list[datetime] = field(default_factory=list)


def validating(
    snapshot: BotSnapshot,
    bot: Bot,
    subject: Subject,
    account: BrokerAccountSpec | None,
    image: str | None,
    jobs: Sequence[RunJob],
) -> Validating:
    """What the runs of a bot need. `account` is its paper account, `image` its image as a kubelet reported it, `jobs`
    are those of the present subject.
    """
    found = Validating()
    runs = sorted(snapshot.validation_runs, key=_age)
    known = {name_of(one) for one in snapshot.evidence}
    is_running = any(one.end is None for one in jobs if any(one.run_uid == uid_of(run) for run in runs))
    for run in runs:
        mine = _of(run, jobs)
        if is_over(run) or not is_about(run, snapshot.bot) or _is_void(run, subject):
            continue
        last = mine[-1] if mine else None
        if last is not None and last.end is None:
            continue
        if last is not None and last.end is not None:
            evidence = _evidence(bot, last, last.end, subject)
            if evidence is not None:
                found.record += [evidence] if name_of(evidence) not in known else []
                continue
            if _is_final(last, last.end, subject):
                continue
            if (due := last.end.at + _RETRY_AFTER) > snapshot.now:
                found.again_at.append(due)
                continue
        attempt = (last.attempt if last is not None else number(run, "status", "attempts")) + 1
        if is_running or found.order is not None or attempt > ATTEMPTS:
            continue
        found.order = _order(snapshot, bot, subject, account, image, run, attempt, found.record)
    found.served = list(_served(runs, jobs))
    return found


def statuses(
    snapshot: BotSnapshot, bot: Bot | None, subject: Subject | None, jobs: Sequence[RunJob], obstacle: str
) -> tuple[RunWrite, ...]:
    """The statuses that say something new. `subject` is None, and `obstacle` says why, where nothing is judged."""
    runs = sorted(snapshot.validation_runs, key=_age)
    first = next((name_of(run) for run in runs if not is_over(run) and is_about(run, snapshot.bot)), "")
    return _writes(runs, lambda run: _status(snapshot, bot, subject, run, _of(run, jobs), obstacle, first))


def without_bot(runs: Sequence[Raw], now: datetime) -> tuple[RunWrite, ...]:
    """The statuses of runs whose bot is not there, where they say something new."""

    def status(run: Raw) -> ValidationRunStatus:
        name = text(run, "spec", "botRef", "name")
        return _waiting(run, now, "NoBot", f"there is no TradingBot {name}", _stored(run))

    return _writes(runs, status)


def _writes(runs: Sequence[Raw], status: Callable[[Raw], ValidationRunStatus]) -> tuple[RunWrite, ...]:
    """The statuses, of runs that are not over, that say something new."""
    said = (
        (run, status(run).model_dump(mode="json", by_alias=True, exclude_none=True)) for run in runs if not is_over(run)
    )
    return tuple(RunWrite(run, document) for run, document in said if document != mapping(run, "status"))


def is_over(run: Raw) -> bool:
    """Whether a run came to its end."""
    return bool(text(run, "status", "completedAt"))


def is_about(run: Raw, bot: Raw) -> bool:
    """Whether a run names this very bot, not a former one of its name."""
    return text(run, "spec", "botRef", "uid") == uid_of(bot)


# ------------------------------------------------------------------- one run


def _status(
    snapshot: BotSnapshot,
    bot: Bot | None,
    subject: Subject | None,
    run: Raw,
    mine: Sequence[RunJob],
    obstacle: str,
    first: str,
) -> ValidationRunStatus:
    now, stored = snapshot.now, _stored(run)
    if not is_about(run, snapshot.bot):
        return _waiting(run, now, "OtherBot", "spec.botRef.uid is of another TradingBot of this name", stored)
    if subject is None or bot is None or not subject.is_known:
        return _waiting(run, now, "Waiting", obstacle or "the image of the bot is not known until a pod runs", stored)
    if _is_void(run, subject):
        message = "what is validated has changed since the Job was made: make another ValidationRun"
        return _ended(run, now, false(COMPLETE, "SubjectChanged"), true(FAILED, "SubjectChanged", message), stored)
    if not mine:
        if stored.attempts >= ATTEMPTS:
            return _failed(run, now, "NoResult", f"the Jobs of all {ATTEMPTS} attempts are gone", stored)
        why = f"ValidationRun {first} comes first" if first not in ("", name_of(run)) else obstacle
        return _waiting(run, now, "Waiting", why or "its Job is about to be made", stored)
    last = mine[-1]
    stored = stored.model_copy(
        update={
            "job": name_of(last.job),
            "attempts": last.attempt,
            "subject_digest": subject.digest,
            "started_at": stored.started_at or created_at(last.job) or None,
        }
    )
    if last.end is None:
        if last.waits_for:
            return _waiting(run, now, "PodPending", f"Job {name_of(last.job)}: {last.waits_for}", stored)
        return _waiting(run, now, "Running", f"Job {name_of(last.job)} computes it", stored)
    evidence = _evidence(bot, last, last.end, subject)
    if evidence is not None:
        if name_of(evidence) not in {name_of(one) for one in snapshot.evidence}:
            return _waiting(run, now, "Recording", "its result is about to be written down", stored)
        stored = stored.model_copy(update={"evidence": name_of(evidence)})
        return _ended(run, now, _result(name_of(evidence), last.end), false(FAILED, "Recorded"), stored)
    reason, message = _why(last, last.end, subject)
    if _is_final(last, last.end, subject) or last.attempt >= ATTEMPTS:
        return _failed(run, now, reason, message, stored)
    return _waiting(run, now, "Again", f"attempt {last.attempt} of {ATTEMPTS} came to nothing: {message}", stored)


def _result(evidence: str, end: Ended) -> Verdict:
    if end.exit_code == 0:
        return true(COMPLETE, "Passed", f"{evidence}: it passes every check with the thresholds of a gate's defaults")
    return true(COMPLETE, "NotPassed", f"{evidence}: it does not pass with the thresholds of a gate's defaults")


def _failed(run: Raw, now: datetime, reason: str, message: str, stored: ValidationRunStatus) -> ValidationRunStatus:
    return _ended(run, now, false(COMPLETE, reason, message), true(FAILED, reason, message), stored)


def _waiting(run: Raw, now: datetime, reason: str, message: str, stored: ValidationRunStatus) -> ValidationRunStatus:
    said = conditions(run, (false(COMPLETE, reason, message), false(FAILED, reason)), now)
    return stored.model_copy(update={"conditions": said})


def _ended(
    run: Raw, now: datetime, complete: Verdict, failed: Verdict, stored: ValidationRunStatus
) -> ValidationRunStatus:
    said = conditions(run, (complete, failed), now)
    return stored.model_copy(update={"conditions": said, "completed_at": timestamp(now)})


def _stored(run: Raw) -> ValidationRunStatus:
    try:
        return ValidationRunStatus.model_validate(mapping(run, "status"))
    except ValidationError:
        return ValidationRunStatus()


def _is_void(run: Raw, subject: Subject) -> bool:
    """Whether the subject is not any more what it was when the run's first Job was made."""
    digest = text(run, "status", "subjectDigest")
    return subject.is_known and bool(digest) and digest != subject.digest


# ----------------------------------------------------------------- its Jobs


def _of(run: Raw, jobs: Sequence[RunJob]) -> list[RunJob]:
    return sorted((one for one in jobs if one.run_uid == uid_of(run)), key=lambda one: one.attempt)


def _evidence(bot: Bot, one: RunJob, end: Ended, subject: Subject) -> Raw | None:
    found = validation_in(end)
    if found is None or not end.pod_uid or one.ran != _digest(subject.image):
        return None
    return validation_evidence(bot, one.contents.about, found, end)


def _is_final(one: RunJob, end: Ended, subject: Subject) -> bool:
    """Whether another attempt would come to the same."""
    return end.exit_code in _FINAL_CODES or _ran_another_image(one, end, subject)


def _ran_another_image(one: RunJob, end: Ended, subject: Subject) -> bool:
    return validation_in(end) is not None and bool(one.ran) and one.ran != _digest(subject.image)


def _why(one: RunJob, end: Ended, subject: Subject) -> tuple[str, str]:
    """Reason and message of an attempt that gave no evidence."""
    if _ran_another_image(one, end, subject):
        return "OtherImage", f"its pod ran {one.ran}, and {subject.image} is judged"
    said = refusal_in(end)
    if said is not None:
        return said.reason, said.message[:_MESSAGE]
    if end.exit_code == _UNKNOWN_OPTION:
        return "OldImage", "the image knows no `tradingbot validate --from-broker`: build it on the present runtime"
    if end.message and validation_in(end) is None:
        return "NotUnderstood", f"exit code {end.exit_code}, and last words that are no validation: is it an old image?"
    return "NoResult", (end.problem or "its node does not say which image its pod ran")[:_MESSAGE]


def _digest(image: str) -> str:
    return image.rpartition("@")[2]


def _order(
    snapshot: BotSnapshot,
    bot: Bot,
    subject: Subject,
    account: BrokerAccountSpec | None,
    image: str | None,
    run: Raw,
    attempt: int,
    recorded: Sequence[Raw],
) -> Order | None:
    try:
        spec = ValidationRunSpec.model_validate(mapping(run, "spec"))
    except ValidationError:
        return None
    if account is None or account.environment is not BrokerEnvironment.PAPER or not image:
        return None
    about = About(
        kind=VALIDATION,
        uid=subject.uid,
        mode=Mode.PAPER,
        account=subject.paper_account,
        provider=account.provider.value,
        image=subject.image,
        pod_uid="",
        subject_digest=subject.digest,
        generation=max(generation_of(snapshot.bot), 1),
        attempt=attempt,
        run=RunRef(
            name=name_of(run),
            uid=uid_of(run),
            image=image,
            days=spec.days,
            seed=spec.seed,
            before=sum(_is_a_validation(one, snapshot.bot) for one in (*snapshot.evidence, *recorded)),
            claim=spec.artifacts.claim_name if spec.artifacts is not None else "",
            ttl=spec.ttl,
        ),
    )
    return validation_order(bot, account, snapshot.settings, about)


def _is_a_validation(evidence: Raw, bot: Raw) -> bool:
    is_ours = text(evidence, "spec", "botRef", "uid") == uid_of(bot)
    return is_ours and text(evidence, "spec", "type") == EvidenceType.VALIDATION


def _served(runs: Sequence[Raw], jobs: Sequence[RunJob]) -> list[Raw]:
    """Jobs whose run is gone, attempts before the last, and those of runs that ended long ago."""
    kept = {uid_of(run) for run in runs if not is_over(run)}
    kept |= {uid_of(run) for run in [run for run in runs if is_over(run)][-RUNS_KEPT:]}
    last = {uid_of(run): mine[-1].attempt for run in runs if (mine := _of(run, jobs))}
    return [one.job for one in jobs if one.run_uid not in kept or one.attempt < last.get(one.run_uid, 0)]


def _age(run: Raw) -> tuple[str, str]:
    return created_at(run), name_of(run)
