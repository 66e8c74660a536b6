"""The kill latch: which kill of a bot is in force, how far the broker has confirmed it, and when a person ends it.

A kill is in force from its annotation, or from the bot's own word, until an Approval releases its KillRecord; that
outlives the annotation, the pod, the volume and the bot itself. Must never take a kill for released, or a step for
done, because something is missing; and never lower the number of kills.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from tradingbot_api import (
    API_VERSION,
    KILL_ANNOTATION,
    ApprovalAction,
    ApprovalSpec,
    BotRef,
    ConfirmedBy,
    FlattenReport,
    KillRecordSpec,
    KillRecordStatus,
    KillReport,
    KillRequested,
    KillScope,
    Mode,
    OnKill,
    RuntimeReport,
)
from tradingbot_api.group import BOT_LABEL
from tradingbot_api.promotion_status import UsedApproval
from tradingbot_operator.plan.conditions import parse_timestamp, previous_condition, timestamp
from tradingbot_operator.plan.names import MANAGED_BY_LABEL, MANAGER
from tradingbot_operator.plan.objects import (
    Raw,
    annotation,
    created_at,
    mapping,
    name_of,
    namespace_of,
    number,
    text,
    uid_of,
)
from tradingbot_operator.promotion.subject import is_from_the_future

KIND: Final = "KillRecord"
KILLED: Final = "Killed"
RELEASE_LIFETIME: Final = timedelta(days=1)
"""An Approval to release that is older says nothing of now."""
ANSWER_LIMIT: Final = timedelta(seconds=20)
"""A pod that has not answered for so long while a kill is in force is helped: told by its config, or by a Job."""
QUEUED: Final = "QueuedForTheOpen"
"""A flatten Job's reason: all orders are cancelled, and closings wait for the market to open."""
_WORDS: Final = 512


@dataclass(frozen=True)
class KillRequest:
    """The annotation: where it is, and its value."""

    scope: KillScope
    name: str
    reason: str

    def __str__(self) -> str:
        why = f': "{self.reason}"' if self.reason else ""
        return f"kill requested on {self.scope} {self.name}{why}"


@dataclass(frozen=True)
class Kill:
    """A kill in force."""

    spec: KillRecordSpec
    status: KillRecordStatus
    """How far it is, by all that is known in this look."""
    record: Raw | None = None
    """As it is stored; None where it has to be written first."""

    @property
    def is_done(self) -> bool:
        """Whether the broker has confirmed all that was asked."""
        flat = self.spec.on_kill is not OnKill.FLATTEN or self.status.flat_at is not None
        return self.status.orders_cancelled_at is not None and flat

    def seen_at(self, now: datetime) -> datetime:
        """When the operator saw it; now where its record does not tell."""
        return parse_timestamp(self.spec.observed_at) or now

    @property
    def report(self) -> KillReport:
        """The same for the bot's status."""
        status, spec = self.status, self.spec
        return KillReport(
            epoch=spec.epoch,
            reason=spec.reason,
            message=status.message,
            scope=spec.scope.value,
            observed_at=status.acknowledged_at or spec.observed_at,
            orders_cancelled_at=status.orders_cancelled_at,
            flat_at=status.flat_at,
            open_orders=status.open_orders,
            open_positions=status.open_positions,
        )


@dataclass(frozen=True)
class Latch:
    """What all kills of a bot's name come to."""

    highest: int = 0
    """Number of the last kill; 0 where there was none."""
    released: int = 0
    """Number of the last kill that was released with all before it."""
    kill: Kill | None = None
    """The one in force."""
    request: KillRequest | None = None
    """The annotation that is there now."""
    last_release: str = ""
    """Who released the last one, where none is in force."""


NO_KILL: Final = Latch()


@dataclass(frozen=True)
class Release:
    """What a person's word does to the kill in force."""

    by: UsedApproval | None = None
    """The Approval that ends it now."""
    waits_for: str = ""
    """What still keeps it; empty where nobody has asked for its end."""


def kill_request(bot: Raw, *accounts: Raw | None) -> KillRequest | None:
    """The kill annotation on the bot or on an account of it; its presence counts, whatever its value."""
    asked = ((KillScope.TRADING_BOT, bot), *((KillScope.BROKER_ACCOUNT, account) for account in accounts))
    for scope, raw in asked:
        reason = annotation(raw, KILL_ANNOTATION) if raw is not None else None
        if raw is not None and reason is not None:
            return KillRequest(scope, name_of(raw), reason[:_WORDS])
    return None


def latch_of(
    bot: Raw,
    account: Raw | None,
    records: Iterable[Raw],
    report: RuntimeReport | None,
    flattened: Mapping[int, FlattenReport],
    now: datetime,
) -> Latch:
    """The latch of a bot. `account` is the one it trades on, `records` are the KillRecords of its name, `report` is its
    pod's last one, `flattened` the last words of flatten Jobs by the kill's number.
    """
    request = kill_request(bot, account)
    ordered = sorted(records, key=_epoch)
    in_force = [one for one in ordered if not text(one, "status", "releasedAt")]
    stored = _stored_kill(bot)
    highest = max([*map(_epoch, ordered), stored.epoch if stored is not None else 0])
    if in_force:
        # Of several, which only a lost write could leave, the last is released first and the others after it.
        record = in_force[-1]
        kill = Kill(_spec(record, bot), _status(record), record)
        latch = Latch(highest, _epoch(in_force[0]) - 1, kill, request)
    else:
        spec = _new_spec(bot, request, report, stored, ordered, highest, now)
        if spec is None:
            return Latch(highest, highest, request=request, last_release=_last_release(ordered))
        kill = Kill(spec, _told_before(spec, stored))
        latch = Latch(max(highest, spec.epoch), spec.epoch - 1, kill, request)
    status = _asked_again(kill, bot, request, now)
    kill = replace(kill, status=_progress(replace(kill, status=status), bot, report, flattened.get(kill.spec.epoch)))
    return replace(latch, kill=kill)


def is_known_to(report: RuntimeReport | None, kill: Kill) -> bool:
    """Whether a bot's report says that it is killed by this kill."""
    # A runtime that did not count kills knows of one only.
    return report is not None and report.kill is not None and report.kill.epoch in (0, kill.spec.epoch)


def release_of(
    latch: Latch,
    bot: Raw,
    approvals: Sequence[Raw],
    obstacles: Sequence[str],
    now: datetime,
) -> Release:
    """Whether the kill in force ends now. `obstacles`: what else has to be so first, each as a sentence."""
    kill = latch.kill
    if kill is None:
        return Release()
    void: list[str] = []
    for raw in sorted(approvals, key=lambda one: (created_at(one), name_of(one))):
        spec = _approval(raw)
        if spec is None or spec.action is not ApprovalAction.RELEASE_KILL:
            continue
        why = _void(raw, spec, kill, bot, now)
        if why:
            void.append(f"Approval {name_of(raw)} does not release it: {why}")
            continue
        waits = [*_unfinished(kill), *obstacles]
        if waits:
            return Release(waits_for=f"Approval {name_of(raw)} releases it once {'; '.join(waits)}")
        return Release(UsedApproval(name=name_of(raw), uid=uid_of(raw), approver=spec.approver))
    return Release(waits_for=void[-1] if void else "")


def released(latch: Latch, by: UsedApproval, now: datetime) -> Latch:
    """The latch after a release."""
    epoch = latch.kill.spec.epoch if latch.kill is not None else latch.highest
    # One before it may still be in force, too: then the next look finds that one.
    number_released = epoch if latch.released == epoch - 1 else latch.released
    return Latch(latch.highest, number_released, last_release=_release_words(epoch, by.approver, timestamp(now)))


def record_manifest(kill: Kill, bot: Raw) -> dict[str, Any]:
    """The KillRecord to write. It has no owner: it outlives its bot."""
    name = name_of(bot)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": f"{name}-{kill.spec.epoch}",
            "namespace": namespace_of(bot),
            "labels": {BOT_LABEL: name, MANAGED_BY_LABEL: MANAGER},
        },
        "spec": kill.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def status_document(status: KillRecordStatus) -> dict[str, Any]:
    """A KillRecord's status as JSON."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


# ---------------------------------------------------------------- what is stored


def _epoch(record: Raw) -> int:
    return number(record, "spec", "epoch")


def _spec(record: Raw, bot: Raw) -> KillRecordSpec:
    try:
        return KillRecordSpec.model_validate(mapping(record, "spec"))
    except ValidationError:
        # Of a release that this one does not know. It kills all the same, and does the most that a kill can, but what
        # of it can be read is kept: nothing is sold that was to be kept, and no account speaks for another.
        mode, on_kill = text(record, "spec", "mode"), text(record, "spec", "onKill")
        return KillRecordSpec(
            bot_ref=BotRef(name=name_of(bot), uid=uid_of(bot)),
            epoch=max(_epoch(record), 1),
            scope=KillScope.TRADING_BOT,
            mode=Mode(mode) if mode in set(Mode) else Mode.PAPER,
            on_kill=OnKill(on_kill) if on_kill in set(OnKill) else OnKill.FLATTEN,
            reason=f"KillRecord {name_of(record)} cannot be read by this release",
            observed_at=created_at(record),
        )


def _status(record: Raw) -> KillRecordStatus:
    try:
        return KillRecordStatus.model_validate(mapping(record, "status"))
    except ValidationError:
        return KillRecordStatus()


def _stored_kill(bot: Raw) -> KillReport | None:
    """The kill that the bot's stored status says is in force."""
    before = previous_condition(bot, KILLED)
    stored = mapping(bot, "status", "kill")
    if before is None or before.status.value != "True" or not stored:
        return None
    try:
        return KillReport.model_validate(stored)
    except ValidationError:
        return None


def _new_spec(
    bot: Raw,
    request: KillRequest | None,
    report: RuntimeReport | None,
    stored: KillReport | None,
    records: Sequence[Raw],
    highest: int,
    now: datetime,
) -> KillRecordSpec | None:
    """A kill that no record is of yet: asked for, latched in the bot, or written in its status by a former release."""
    latched = report.kill if report is not None else None
    is_news = latched is not None and (latched.epoch > highest or (latched.epoch == highest == 0))
    known = {_epoch(one) for one in records}
    lost = stored if stored is not None and stored.epoch not in known and not (stored.epoch == 0 and records) else None
    if request is None and lost is None and not is_news:
        return None
    seen = latched if is_news else lost
    # Where its record was lost it is the same kill, not another one.
    epoch = lost.epoch if lost is not None and lost.epoch else highest + 1
    return KillRecordSpec(
        bot_ref=BotRef(name=name_of(bot), uid=uid_of(bot)),
        epoch=epoch,
        scope=request.scope if request is not None else _scope(seen),
        account=request.name if request is not None and request.scope is KillScope.BROKER_ACCOUNT else None,
        mode=_mode_of(bot),
        on_kill=OnKill.FLATTEN if text(bot, "spec", "onKill") == OnKill.FLATTEN.value else OnKill.CANCEL_ORDERS,
        reason=request.reason if request is not None else seen.reason if seen is not None else "",
        observed_at=timestamp(now),
    )


def _mode_of(bot: Raw) -> Mode:
    """What the bot is killed as: live where a live pod has run under its grant, for only that can confirm it there."""
    authorized = previous_condition(bot, "LiveAuthorized")
    never_ran = authorized is not None and authorized.reason == "Granted"
    is_live = text(bot, "status", "effectiveMode") == Mode.LIVE.value and not never_ran
    return Mode.LIVE if is_live else Mode.PAPER


def _scope(seen: KillReport | None) -> KillScope:
    try:
        return KillScope(seen.scope) if seen is not None else KillScope.TRADING_BOT
    except ValueError:
        return KillScope.TRADING_BOT


def _told_before(spec: KillRecordSpec, stored: KillReport | None) -> KillRecordStatus:
    """What the bot's status said of a kill whose record is only written now."""
    if stored is None or stored.epoch not in (0, spec.epoch):
        return KillRecordStatus()
    return KillRecordStatus(
        acknowledged_at=stored.observed_at,
        orders_cancelled_at=stored.orders_cancelled_at,
        flat_at=stored.flat_at,
        open_orders=stored.open_orders,
        open_positions=stored.open_positions,
    )


def _last_release(records: Sequence[Raw]) -> str:
    last = records[-1] if records else {}
    by, at = text(last, "status", "releasedBy", "approver"), text(last, "status", "releasedAt")
    return _release_words(_epoch(last), by, at) if at else ""


def _release_words(epoch: int, by: str, at: str) -> str:
    return f"kill {epoch} was released by {by or 'somebody'} at {at}"


# ---------------------------------------------------------------- how far it is


def _asked_again(kill: Kill, bot: Raw, request: KillRequest | None, now: datetime) -> KillRecordStatus:
    """The record's status with an annotation that nobody knew of who approved a release before it was there."""
    spec, last = kill.spec, kill.status.requested_again
    if request is None:
        return kill.status
    first = (spec.scope, spec.account or name_of(bot), spec.reason)
    known = (last.scope, last.name, last.reason) if last is not None else first
    if (request.scope, request.name, request.reason) == known:
        return kill.status
    again = KillRequested(scope=request.scope, name=request.name, reason=request.reason, observed_at=timestamp(now))
    return kill.status.model_copy(update={"requested_again": again})


def _progress(kill: Kill, bot: Raw, report: RuntimeReport | None, flattened: FlattenReport | None) -> KillRecordStatus:
    """The record's status with what bot and Job say now. What was confirmed once stays confirmed."""
    status = kill.status
    if report is not None and report.kill is not None and is_known_to(report, kill) and _is_of(kill, bot, report.mode):
        said = report.kill
        status = _further(
            status, ConfirmedBy.BOT, said.orders_cancelled_at, said.flat_at, said.open_orders, said.open_positions
        )
        seen = status.acknowledged_at or said.observed_at
        # What it waits for now; once it waits for nothing, nothing.
        status = status.model_copy(update={"acknowledged_at": seen, "message": said.message})
    if flattened is not None and flattened.uid == uid_of(bot) and _is_of(kill, bot, flattened.mode):
        cancelled_at, flat_at = flattened.orders_cancelled_at, flattened.flat_at
        if not flattened.confirmed:
            # One look at empty lists is no confirmation; where it waits for the open, the orders were verified.
            cancelled_at, flat_at = cancelled_at if flattened.reason == QUEUED else None, None
        if kill.spec.on_kill is OnKill.FLATTEN and not flattened.flatten:
            # Told to leave the positions alone, because they are another bot's: then none of them is this one's.
            flat_at = cancelled_at
        status = _further(
            status, ConfirmedBy.FLATTEN_JOB, cancelled_at, flat_at, flattened.open_orders, flattened.open_positions
        )
        words = f"{flattened.reason}: {flattened.message}"[:_WORDS]
        status = status.model_copy(update={"message": words})
    return status


def _is_of(kill: Kill, bot: Raw, mode: str) -> bool:
    # A later bot of the name has nothing on the other account. Of the same bot only the account that it was killed on
    # counts: that nothing is open on paper says nothing of the live one.
    return mode == kill.spec.mode.value or kill.spec.bot_ref.uid != uid_of(bot)


def _further(
    status: KillRecordStatus,
    by: ConfirmedBy,
    cancelled_at: str | None,
    flat_at: str | None,
    open_orders: int | None,
    open_positions: int | None,
) -> KillRecordStatus:
    found = status.model_copy(
        update={
            "orders_cancelled_at": status.orders_cancelled_at or cancelled_at,
            "flat_at": status.flat_at or flat_at,
            "open_orders": open_orders if open_orders is not None else status.open_orders,
            "open_positions": open_positions if open_positions is not None else status.open_positions,
        }
    )
    is_news = (found.orders_cancelled_at, found.flat_at) != (status.orders_cancelled_at, status.flat_at)
    return found.model_copy(update={"confirmed_by": by}) if is_news else found


# ---------------------------------------------------------------- its end


def _approval(raw: Raw) -> ApprovalSpec | None:
    try:
        return ApprovalSpec.model_validate(mapping(raw, "spec"))
    except ValidationError:
        return None


def _void(raw: Raw, spec: ApprovalSpec, kill: Kill, bot: Raw, now: datetime) -> str:
    made, seen = parse_timestamp(created_at(raw)), parse_timestamp(kill.spec.observed_at)
    if spec.bot_ref.uid != uid_of(bot):
        return "of another bot of this name"
    if spec.kill_epoch != kill.spec.epoch:
        return f"of kill {spec.kill_epoch}, and kill {kill.spec.epoch} is in force"
    if made is None or seen is None or is_from_the_future(made, now):
        return "its time cannot be true"
    # To the second, as the API server has it: an approval of the same second may have been first.
    if made < seen.replace(microsecond=0):
        return "older than the kill"
    again = kill.status.requested_again
    if again is not None and made < (parse_timestamp(again.observed_at) or now).replace(microsecond=0):
        return f"older than the kill that {again.scope} {again.name} asked for at {again.observed_at}"
    if now - made > RELEASE_LIFETIME:
        return f"expired: older than {RELEASE_LIFETIME.total_seconds() / 3600:.0f} h"
    return ""


def _unfinished(kill: Kill) -> Iterator[str]:
    if kill.status.orders_cancelled_at is None:
        yield "the broker has confirmed that no order is open"
    elif not kill.is_done:
        yield "the broker has confirmed that nothing is held"
