"""What one look does about a bot's kills: writes the record, helps where no pod answers, ends it on a person's word.

Must never end a kill while its annotation is there, while anything of the bot may be open at the broker, or while the
policies that make an Approval a person's own word are not known to be in force.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from tradingbot_api import KILL_ANNOTATION, KillRecordStatus, KillRef, KillScope, Mode
from tradingbot_api.promotion_status import UsedApproval
from tradingbot_operator.plan.children import KillNotice
from tradingbot_operator.plan.conditions import soonest, timestamp
from tradingbot_operator.plan.events import EventNote
from tradingbot_operator.plan.flattening import NOTHING, Flattening, flattening, last_words
from tradingbot_operator.plan.kills import (
    ANSWER_LIMIT,
    Kill,
    KillRequest,
    Latch,
    is_known_to,
    kill_request,
    latch_of,
    record_manifest,
    release_of,
    released,
    status_document,
)
from tradingbot_operator.plan.objects import Raw, mapping, name_of, number, text
from tradingbot_operator.plan.pods import has_run, is_over
from tradingbot_operator.plan.snapshot import BotSnapshot, last_answer
from tradingbot_operator.plan.symbols import Overlap, account_of, live_account_of

RECORDS_KEPT: Final = 20
"""Released kills of a bot's name whose records stay; the last one always does, because its number counts."""


@dataclass(frozen=True)
class KillWrite:
    """A KillRecord to write."""

    create: dict[str, Any] | None
    """The record, where it is not there yet; created before its status is written."""
    record: Raw | None
    """As it is stored; None where it is to be created."""
    status: dict[str, Any]
    annotated: str = ""
    """The kind that carries the annotation, TradingBot or BrokerAccount, and its name; empty where none does."""
    annotated_name: str = ""

    @property
    def releases(self) -> bool:
        """Whether it ends the kill: then everything that rests on is read anew first."""
        return "releasedAt" in self.status


@dataclass(frozen=True)
class Killing:
    """What a look does about kills."""

    latch: Latch
    """After what this look writes."""
    notice: KillNotice
    """What the bot's config says of it."""
    write: KillWrite | None = None
    flatten: Flattening = NOTHING
    discard: tuple[Raw, ...] = ()
    """Records of kills that were released long ago."""
    notes: tuple[EventNote, ...] = ()
    waits_for: str = ""
    """What a kill that is not done waits for."""
    goes_on: bool = False
    """Whether a kill is not done and somebody carries it out, or will."""
    release_waits_for: str = ""
    """What a release that was asked for waits for."""
    again_after_seconds: float | None = None


def killing(snapshot: BotSnapshot, account: Raw | None, *, is_live: bool, conflicts: tuple[Overlap, ...]) -> Killing:
    """What to do about a bot's kills. `account` is the one it trades on, `is_live` whether it has anything live."""
    answer = last_answer(snapshot.reported)
    report = answer.report if answer is not None else None
    before = latch_of(snapshot.bot, account, snapshot.kill_records, report, last_words(snapshot), snapshot.now)
    help_wanted = flattening(snapshot, before.kill, conflicts)
    if before.kill is None:
        return Killing(before, KillNotice(before.released), flatten=help_wanted, discard=_old_records(snapshot))
    kill = _with_attempts(before.kill, help_wanted)
    obstacles = tuple(_obstacles(snapshot, is_live=is_live, is_seen=kill.status.acknowledged_at is not None))
    release = release_of(before, snapshot.bot, snapshot.approvals, obstacles, snapshot.now)
    if release.by is not None:
        return _released(snapshot, replace(before, kill=kill), kill, release.by)
    insists, wait = _insists(snapshot, before, kill)
    return Killing(
        latch=replace(before, kill=kill),
        notice=KillNotice(before.released, KillRef(epoch=kill.spec.epoch, reason=kill.spec.reason), insists),
        write=_write(snapshot, before, kill, kill.status),
        flatten=help_wanted,
        waits_for=_waits_for(kill, help_wanted),
        goes_on=not kill.is_done and not help_wanted.problem,
        release_waits_for=release.waits_for,
        again_after_seconds=soonest(wait, help_wanted.again_after_seconds),
    )


def _released(snapshot: BotSnapshot, before: Latch, kill: Kill, by: UsedApproval) -> Killing:
    latch = released(before, by, snapshot.now)
    status = kill.status.model_copy(
        update={"released_at": timestamp(snapshot.now), "released_by": by, "message": f"released by {by.approver}"}
    )
    message = f"{latch.last_release}; the bot trades on paper again, and its promotions are void"
    return Killing(
        latch=latch,
        notice=KillNotice(latch.released),
        write=_write(snapshot, before, kill, status),
        notes=(EventNote("KillReleased", message, warning=False, transition=f"Release/{kill.spec.epoch}"),),
        again_after_seconds=1.0,
    )


def _obstacles(snapshot: BotSnapshot, *, is_live: bool, is_seen: bool) -> Iterator[str]:
    """What has to be so before any Approval ends a kill."""
    request = kill_request(snapshot.bot, snapshot.account, snapshot.live_account)
    if request is not None:
        yield f"the annotation {KILL_ANNOTATION} is taken off {request.scope} {request.name}"
    if is_live:
        yield "the bot has left live trading"
    if not is_seen and any(has_run(pod) and not is_over(pod) for pod in snapshot.pods):
        yield "the bot's pod, which runs, has said that it saw the kill"
    if snapshot.policies.status.value != "True":
        yield f"the admission policies are in force ({snapshot.policies.reason})"


def _with_attempts(kill: Kill, flatten: Flattening) -> Kill:
    if flatten.attempts == kill.status.attempts:
        return kill
    return replace(kill, status=kill.status.model_copy(update={"attempts": flatten.attempts}))


def _write(snapshot: BotSnapshot, latch: Latch, kill: Kill, status: KillRecordStatus) -> KillWrite | None:
    document = status_document(status)
    if kill.record is None:
        manifest = record_manifest(kill, snapshot.bot)
        return KillWrite(manifest, None, document, *_annotated(snapshot.bot, latch.request, kill))
    if document == mapping(kill.record, "status"):
        return None
    return KillWrite(None, kill.record, document)


def _annotated(bot: Raw, request: KillRequest | None, kill: Kill) -> tuple[str, str]:
    """Kind and name of what carries the annotation, or did when the bot saw it; empty where nothing does."""
    if request is not None:
        return request.scope.value, request.name
    if kill.spec.scope is KillScope.TRADING_BOT:
        return kill.spec.scope.value, name_of(bot)
    if kill.spec.scope is KillScope.BROKER_ACCOUNT:
        return kill.spec.scope.value, live_account_of(bot) if kill.spec.mode is Mode.LIVE else account_of(bot)
    return "", ""


def _insists(snapshot: BotSnapshot, latch: Latch, kill: Kill) -> tuple[bool, float | None]:
    """Whether the bot has to be told by its config, and in how many seconds to ask that again.

    A pod that sees the annotation by itself is left alone; one that did not in time, or cannot any more, is restarted
    with a config that says so.
    """
    answer = last_answer(snapshot.reported)
    is_fresh = answer is not None and snapshot.now - answer.read_at <= ANSWER_LIMIT
    denies = is_fresh and answer is not None and not is_known_to(answer.report, kill)
    if not denies and kill.status.acknowledged_at is not None:
        return False, None
    if snapshot.is_being_asked:
        # A restart of the operator restarts no pod: its answer, or that it gives none, makes another look.
        return False, None
    if latch.request is None:
        return True, None
    left = kill.seen_at(snapshot.now) + ANSWER_LIMIT - snapshot.now
    return left <= timedelta(0), max(left.total_seconds(), 0.5) if left > timedelta(0) else None


def _waits_for(kill: Kill, flatten: Flattening) -> str:
    if flatten.problem:
        return flatten.problem
    if not flatten.attempts:
        return ""
    said = f": {kill.status.message}" if kill.status.message else ""
    return f"the bot's pod does not answer; flatten Job {flatten.attempts}{said}"


def _old_records(snapshot: BotSnapshot) -> tuple[Raw, ...]:
    records = sorted(snapshot.kill_records, key=lambda one: number(one, "spec", "epoch"))
    old = [one for one in records if text(one, "status", "releasedAt")]
    return tuple(old[:-RECORDS_KEPT]) if len(old) > RECORDS_KEPT else ()
