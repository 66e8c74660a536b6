"""The status of a bot as a document, and whether it is worth a write.

States are written at once, figures at most every 15 s, and nothing where only the time of reading differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tradingbot_api import DemotionReport, Grant, Mode, TradingBotStatus
from tradingbot_api.promotion_status import PromotionStatus
from tradingbot_operator.plan.conditions import Verdict, conditions, parse_timestamp, timestamp
from tradingbot_operator.plan.objects import Raw, generation_of, mapping, text
from tradingbot_operator.plan.snapshot import FIGURES_INTERVAL
from tradingbot_operator.plan.verdicts import (
    View,
    capital_exceeded,
    deleting,
    kill_in_force,
    killed,
    live_authorized,
    paused,
    ready,
    reconciled,
    symbol_conflict,
    withdrawing,
)

Document = dict[str, Any]

RECENT_ORDERS: Final = 5
_FIGURES: Final = (
    "account",
    "positions",
    "recentOrders",
    "openOrders",
    "filledOrders",
    "lastReconciliation",
    "reportedAt",
)


@dataclass(frozen=True)
class StatusWrite:
    """Whether to write the status now, or when to look again."""

    now: bool
    again_after_seconds: float | None = None


@dataclass(frozen=True)
class Way:
    """How far a bot is from paper to live: the part of its status that a gate is about."""

    effective_mode: Mode = Mode.PAPER
    subject_digest: str | None = None
    promotion: PromotionStatus | None = None
    grant: Grant | None = None
    demotion: DemotionReport | None = None


_KEPT_ON_THE_WAY: Final = ("effectiveMode", "subjectDigest", "promotion", "grant", "demotion")


def bot_status(view: View, image: str | None, storage: Verdict | None = None, way: Way | None = None) -> Document:
    """The whole status of a bot, as server-side apply wants it: what is absent is removed.

    `storage` is the condition on the volume's size, where there is anything to say. Without a `way` nothing was decided
    about live trading, and what is stored of it stays as it is.
    """
    verdicts = (
        ready(view),
        reconciled(view),
        live_authorized(view),
        killed(view),
        paused(view),
        symbol_conflict(view),
        view.policies,
        capital_exceeded(view),
        storage,
        deleting(view),
        withdrawing(view),
    )
    decided = way or Way()
    status = TradingBotStatus(
        observed_generation=generation_of(view.bot),
        effective_mode=decided.effective_mode,
        subject_digest=decided.subject_digest,
        promotion=decided.promotion,
        grant=decided.grant,
        demotion=decided.demotion,
        image=image,
        kill=kill_in_force(view),
        conditions=conditions(view.bot, (verdict for verdict in verdicts if verdict is not None), view.now),
    )
    stored = mapping(view.bot, "status") if way is None else {}
    kept = {name: stored[name] for name in _KEPT_ON_THE_WAY if name in stored}
    return {**document(status), **kept, **figures(view)}


def document(status: TradingBotStatus) -> Document:
    """A status as JSON, without what is empty."""
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in dumped.items() if value != []}


def figures(view: View) -> Document:
    """The figures of the bot's last report, or those of the stored status where this process has none."""
    if view.answer is None:
        return _stored_figures(view)
    report = view.answer.report
    reported = TradingBotStatus(
        trading_state=report.trading_state,
        account=report.account,
        positions=report.positions,
        recent_orders=report.recent_orders[:RECENT_ORDERS],
        open_orders=report.open_orders,
        filled_orders=report.filled_orders,
        last_reconciliation=report.last_reconciliation,
        reported_at=timestamp(view.answer.read_at),
    )
    return {key: value for key, value in document(reported).items() if key in (*_FIGURES, "tradingState")}


def without_figures(status: Document) -> Document:
    """A status without what the bot said of its account."""
    return {name: value for name, value in status.items() if name not in _FIGURES}


def _stored_figures(view: View) -> Document:
    stored = mapping(view.bot, "status") if view.stored_figures_hold else {}
    return {key: stored[key] for key in (*_FIGURES, "tradingState") if key in stored}


def status_write(raw: Raw, wanted: Mapping[str, Any], now_timestamp: str) -> StatusWrite:
    """Compares the stored status with the wanted one; `now_timestamp` is RFC 3339."""
    stored = mapping(raw, "status")
    if _states(stored) != _states(wanted):
        return StatusWrite(now=True)
    if _comparable(stored) == _comparable(wanted):
        return StatusWrite(now=False)
    written = parse_timestamp(text(stored, "reportedAt"))
    now = parse_timestamp(now_timestamp)
    if written is None or now is None or now - written >= FIGURES_INTERVAL:
        return StatusWrite(now=True)
    # At least a second: a clock that is behind the stored time must not make this a busy loop.
    wait = (FIGURES_INTERVAL - (now - written)).total_seconds()
    return StatusWrite(now=False, again_after_seconds=min(max(wait, 1.0), FIGURES_INTERVAL.total_seconds()))


def _states(status: Mapping[str, Any]) -> Document:
    states = {key: value for key, value in status.items() if key not in _FIGURES}
    states["conditions"] = [
        {key: value for key, value in condition.items() if key not in ("message", "observedGeneration")}
        for condition in status.get("conditions", ())
    ]
    return states


def _comparable(status: Mapping[str, Any]) -> Document:
    comparable = {key: value for key, value in status.items() if key != "reportedAt"}
    if "lastReconciliation" in comparable:
        comparable["lastReconciliation"] = {**comparable["lastReconciliation"], "at": None}
    return comparable
