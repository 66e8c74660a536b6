"""What the conditions of a bot say, each decided from the same view of it.

Must never claim what nobody confirmed: a kill is done when the broker said so through the bot, not before.
"""

from dataclasses import dataclass
from datetime import datetime

from tradingbot_api import PAUSE_ANNOTATION, KillRecordStatus, KillReport, Mode, RuntimeReport, TradingState
from tradingbot_operator.plan.conditions import (
    Verdict,
    false,
    previous_condition,
    timestamp,
    true,
    unknown,
)
from tradingbot_operator.plan.kills import KILLED, NO_KILL, Latch
from tradingbot_operator.plan.objects import Raw, annotation, mapping, text
from tradingbot_operator.plan.pods import Cause
from tradingbot_operator.plan.policies import NOT_READ
from tradingbot_operator.plan.snapshot import (
    REPORT_LIFETIME,
    ReportAnswer,
    Reported,
    ReportFailure,
    ReportPending,
    last_answer,
)
from tradingbot_operator.plan.symbols import Overlap

READY = "Ready"
RECONCILED = "Reconciled"
LIVE_AUTHORIZED = "LiveAuthorized"
PAUSED = "Paused"
SYMBOL_CONFLICT = "SymbolConflict"
CAPITAL_EXCEEDED = "CapitalExceeded"
STORAGE_GROWN = "StorageGrown"
DELETING = "Deleting"
WITHDRAWING = "Withdrawing"
FOREIGN_REPORT = "ForeignReport"


@dataclass(frozen=True)
class View:
    """What the verdicts are about: the bot, what stands in its way, and what it says of itself."""

    bot: Raw
    account: Raw | None
    now: datetime
    obstacle: Cause | None
    """What keeps a pod from running: account, symbols, image, volume; None where a container runs."""
    reported: Reported
    conflicts: tuple[Overlap, ...] = ()
    awaited: tuple[Overlap, ...] = ()
    live: Verdict | None = None
    """LiveAuthorized, as it was decided; None where nothing was: then the stored one stays."""
    withdrawing: Verdict | None = None
    """How far a live pod without a grant is in leaving; None where there is nothing to say."""
    policies: Verdict = NOT_READ
    shortage: str | None = None
    """What the account's capital lacks for this bot; empty where it has room, None where it has no limit."""
    deleting: Cause | None = None
    """What a deletion waits for; None while the bot is not being deleted."""
    latch: Latch = NO_KILL
    """The kill in force, if any."""
    kill_waits_for: str = ""
    """What a kill that is not done waits for, where more is known than that the bot has not confirmed it."""
    kill_goes_on: bool = False
    """Whether somebody is carrying a kill out, or will: the bot's pod, or a Job."""
    release_waits_for: str = ""
    """What a release that was asked for waits for."""
    mode: Mode | None = None
    """What the bot is: what a pod of the other mode says is of another account. None where that does not matter."""

    @property
    def answer(self) -> ReportAnswer | None:
        """The last answer of the bot's pod, however old."""
        last = last_answer(self.reported)
        return last if last is not None and self.mode in (None, last.report.mode) else None

    @property
    def stored_figures_hold(self) -> bool:
        """Whether the figures in the stored status are of the account that the bot trades on now."""
        return self.mode is None or text(self.bot, "status", "effectiveMode") in ("", self.mode.value)

    @property
    def fresh(self) -> RuntimeReport | None:
        """What the bot says now; None where it says nothing, or something else stands in its way."""
        if self.obstacle is not None or self.answer is None:
            return None
        if isinstance(self.reported, ReportFailure) and self.reported.reason == FOREIGN_REPORT:
            return None
        return self.answer.report if self.now - self.answer.read_at <= REPORT_LIFETIME else None

    @property
    def pending(self) -> bool:
        """Whether the pod runs and this process has not asked it yet: the stored status still holds."""
        return self.obstacle is None and isinstance(self.reported, ReportPending)


def is_killed(view: View) -> bool:
    """Whether a kill is in force."""
    return view.latch.kill is not None


def kill_in_force(view: View) -> KillReport | None:
    """How far the kill is, as the broker confirmed it; None where none is in force."""
    return view.latch.kill.report if view.latch.kill is not None else None


def killed(view: View) -> Verdict:
    """Killed: whether a kill is in force, how far it is as the broker confirmed, and how it ends."""
    kill = view.latch.kill
    if kill is None:
        return false(KILLED, "Released" if view.latch.last_release else "NoKill", view.latch.last_release)
    why = f': "{kill.spec.reason}"' if kill.spec.reason else ""
    head = str(view.latch.request) if view.latch.request is not None else f"killed{why}; the annotation is gone"
    reason, progress = _kill_progress(kill.status)
    is_confirmed_by_nobody = view.fresh is None and reason == "KillRequested"
    waits_for = view.kill_waits_for or ("" if is_confirmed_by_nobody else kill.status.message)
    if not kill.is_done and waits_for:
        progress = f"{progress}; {waits_for}"
    elif is_confirmed_by_nobody:
        cause = view.obstacle or no_report(view)
        progress = f"nobody has confirmed it: {cause.reason}: {cause.message}"
    way_out = view.release_waits_for or f"an Approval (ReleaseKill, killEpoch {kill.spec.epoch}) releases it"
    return true(KILLED, reason, f"{head}; {progress}; {way_out}")


def _kill_progress(kill: KillRecordStatus) -> tuple[str, str]:
    if kill.flat_at is not None:
        return "Flat", f"orders cancelled and positions closed, confirmed by the broker at {kill.flat_at}"
    if kill.orders_cancelled_at is not None:
        left = f"; {kill.open_positions} positions are held" if kill.open_positions else ""
        confirmed = f"no order is open, confirmed by the broker at {kill.orders_cancelled_at}"
        return "OrdersCancelled", f"{confirmed}{left}"
    if kill.acknowledged_at is None:
        return "KillRequested", "waiting for the bot to confirm"
    left = f", {kill.open_orders} orders are still open" if kill.open_orders is not None else ""
    return "KillRequested", f"the bot stopped opening exposure at {kill.acknowledged_at}{left}"


def paused(view: View) -> Verdict:
    """Paused: asked for by annotation or spec."""
    if annotation(view.bot, PAUSE_ANNOTATION) is not None:
        why = ("PauseAnnotation", f"annotation {PAUSE_ANNOTATION}: exits only")
    elif mapping(view.bot, "spec").get("paused") is True:
        why = ("PausedInSpec", "spec.paused: exits only")
    else:
        return false(PAUSED, "NotPaused")
    confirmed = view.fresh is None or view.fresh.paused
    return true(PAUSED, why[0], why[1] if confirmed else f"{why[1]}; waiting for the bot to confirm")


def live_authorized(view: View) -> Verdict:
    """LiveAuthorized: whether the bot may trade real money, and what is in the way."""
    if view.live is not None:
        return view.live
    stored = previous_condition(view.bot, LIVE_AUTHORIZED)
    return stored if stored is not None else false(LIVE_AUTHORIZED, "NotJudged", "the bot was not judged yet")


def withdrawing(view: View) -> Verdict | None:
    """Withdrawing: what the way back from live trading waits for, or how it ended; None where there was none."""
    return view.withdrawing


def symbol_conflict(view: View) -> Verdict:
    """SymbolConflict: whether elder bots own symbols this one asks for."""
    if view.conflicts:
        owned = "; ".join(map(str, view.conflicts))
        return true(
            SYMBOL_CONFLICT,
            "SymbolOwnedByOther",
            f"an elder bot on the same account owns {owned}: take the symbols out of one of the bots;"
            " until then this bot holds no pod",
        )
    if view.awaited:
        held = "; ".join(map(str, view.awaited))
        return false(SYMBOL_CONFLICT, "WaitingForSymbols", f"waiting for another pod to let go of {held}")
    return false(SYMBOL_CONFLICT, "NoConflict")


def capital_exceeded(view: View) -> Verdict | None:
    """CapitalExceeded: whether the elder bots leave no room for this one's capital; None without a limit."""
    if view.shortage is None:
        return None
    if not view.shortage:
        return false(CAPITAL_EXCEEDED, "WithinLimit")
    return true(
        CAPITAL_EXCEEDED,
        "AccountCapital",
        f"{view.shortage}: lower a capital or raise the limit; until then this bot holds no pod",
    )


def deleting(view: View) -> Verdict | None:
    """Deleting: what a deletion waits for; None while the bot is not being deleted."""
    return true(DELETING, view.deleting.reason, view.deleting.message) if view.deleting is not None else None


def reconciled(view: View) -> Verdict:
    """Reconciled: whether the bot's books and the broker's agree, as the bot last compared them."""
    if view.pending and (before := previous_condition(view.bot, RECONCILED)) is not None:
        return before
    if view.fresh is None:
        return unknown(RECONCILED, "NotReporting", "the bot does not report")
    last = view.fresh.last_reconciliation
    if last is None:
        return unknown(RECONCILED, "NotYet", "the bot has not compared its books with the broker's yet")
    if last.result == "Clean":
        return true(RECONCILED, "Clean", "the bot's books and the broker's agree")
    return false(RECONCILED, last.result or "Unknown", "; ".join(last.differences)[:1500])


def ready(view: View) -> Verdict:
    """Ready: whether the bot is able to trade, and what is in the way by name.

    A killed bot reads `Ready=False Killed` whatever else is wrong with it: in a table of bots the kill is what an
    operator must see first, and any other cause stands in the message.
    """
    verdict = _ready_but_for_a_kill(view)
    if not is_killed(view):
        return verdict
    progress = killed(view).message
    also = f" ({verdict.reason}: {verdict.message})" if view.obstacle is not None else ""
    return false(READY, "Killed", f"{progress}{also}" if also not in progress else progress)


def _ready_but_for_a_kill(view: View) -> Verdict:
    if view.deleting is not None:
        return false(READY, "Deleting", f"{view.deleting.reason}: {view.deleting.message}")
    if view.obstacle is not None:
        return false(READY, view.obstacle.reason, view.obstacle.message)
    if view.pending:
        before = previous_condition(view.bot, READY)
        return before if before is not None else false(READY, "Starting", "waiting for the bot's first report")
    report = view.fresh
    if report is None:
        cause = no_report(view)
        return false(READY, cause.reason, cause.message)
    if not report.ready:
        return false(READY, report.reason or "Starting", report.message or "the bot is not ready yet")
    return true(READY, *_what_it_does(view, report))


def _what_it_does(view: View, report: RuntimeReport) -> tuple[str, str]:
    asked_to_pause = paused(view)
    if asked_to_pause.status.value == "True":
        return "Paused", asked_to_pause.message
    if report.trading_state is TradingState.ACTIVE:
        return "Trading", report.message
    return report.reason or report.trading_state.value, report.message


def no_report(view: View) -> Cause:
    """Why nothing is known of the bot now."""
    failure = view.reported if isinstance(view.reported, ReportFailure) else None
    if failure is not None and failure.reason == FOREIGN_REPORT:
        return Cause(failure.reason, failure.message)
    detail = f": {failure.message}" if failure is not None and failure.message else ""
    if view.answer is None:
        return Cause("NotReporting" if failure else "Starting", f"the bot has not reported yet{detail}")
    since = timestamp(view.answer.read_at)
    return Cause("NotReporting", f"no report since {since}; the figures are from then{detail}")
