"""Counts for Prometheus what the store and the queue hold, at each scrape. Decides nothing; labels are bounded."""

from collections import Counter
from datetime import datetime
from typing import Final

from tradingbot_api import GateVerdict, OnKill, TradingState
from tradingbot_operator.metrics import (
    BOTS,
    BOTS_JUDGED,
    BOTS_READY,
    KILL_AGE,
    LIVE_GRANTS,
    QUEUE_DUE,
    QUEUE_LENGTH,
    QUEUE_WORKING,
)
from tradingbot_operator.plan.conditions import parse_timestamp, previous_condition
from tradingbot_operator.plan.kills import KILLED
from tradingbot_operator.plan.objects import ObjectKey, Raw, entries, mapping, text
from tradingbot_operator.plan.verdicts import READY
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.store import BOT, Store

_MODES: Final = frozenset({"paper", "live"})
_VERDICTS: Final = frozenset(verdict.value for verdict in GateVerdict)
_STATES: Final = frozenset(state.value for state in TradingState)


def collect(store: Store, queue: WorkQueue[ObjectKey], now: datetime) -> None:
    """Sets the gauges to what is known now."""
    QUEUE_LENGTH.set(len(queue))
    QUEUE_DUE.set(queue.due)
    QUEUE_WORKING.set(queue.working)
    bots = [raw for key in store.keys(BOT) if (raw := store.get(key)) is not None]
    BOTS.clear()
    for (mode, state), count in Counter((_mode(bot), _state(bot)) for bot in bots).items():
        BOTS.labels(mode=mode, state=state).set(count)
    BOTS_READY.clear()
    for status, count in Counter(_ready(bot) for bot in bots).items():
        BOTS_READY.labels(status=status).set(count)
    BOTS_JUDGED.clear()
    for verdict, count in Counter(filter(None, map(_verdict, bots))).items():
        BOTS_JUDGED.labels(verdict=verdict).set(count)
    LIVE_GRANTS.set(sum(bool(mapping(bot, "status", "grant")) for bot in bots))
    KILL_AGE.set(max((kill_age_seconds(bot, now) for bot in bots), default=0.0))


def kill_age_seconds(bot: Raw, now: datetime) -> float:
    """How long the bot's kill has been waiting for the broker's confirmation; 0 where none is."""
    condition = next((entry for entry in entries(bot, "status", "conditions") if text(entry, "type") == KILLED), {})
    if text(condition, "status") != "True" or _is_confirmed(bot, text(condition, "reason")):
        return 0.0
    since = parse_timestamp(text(condition, "lastTransitionTime"))
    return max((now - since).total_seconds(), 0.0) if since is not None else 0.0


def _is_confirmed(bot: Raw, reason: str) -> bool:
    if reason == "OrdersCancelled":
        return text(bot, "spec", "onKill") != OnKill.FLATTEN
    return reason == "Flat"


def _mode(bot: Raw) -> str:
    mode = text(bot, "status", "effectiveMode")
    return mode if mode in _MODES else "unknown"


def _state(bot: Raw) -> str:
    state = text(bot, "status", "tradingState")
    return state if state in _STATES else "Unknown"


def _verdict(bot: Raw) -> str:
    """GO, REVIEW, NO-GO or Pending; empty where no gate says anything of the bot."""
    verdict = text(bot, "status", "promotion", "verdict")
    return verdict if verdict in _VERDICTS else ""


def _ready(bot: Raw) -> str:
    condition = previous_condition(bot, READY)
    return condition.status.value if condition is not None else "Unknown"
