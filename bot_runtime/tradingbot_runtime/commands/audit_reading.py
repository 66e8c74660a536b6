"""What an audit reads: closed sessions from a state, a file or an address, and the broker's record of them."""

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import ValidationError

from tradingbot_api import ClosedSessions, SessionReport
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.legs import flattened
from tradingbot_runtime.commands.auditing import GRACE, Books, BrokerRecord, Prices
from tradingbot_runtime.commands.endings import WrongConfig
from tradingbot_runtime.commands.volume import Volume
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.values import MarketSession

MAX_REPORT_BYTES: Final = 8 * 1024 * 1024
REPORT_SECONDS: Final = 10.0
LONGEST_LIFE_OF_AN_ORDER: Final = timedelta(days=95)
"""Good-till-cancelled orders end by themselves after 90 days."""
_BARS_OF_A_SESSION: Final = 2


class ReportUnreadable(Exception):
    """The bot's own pages do not answer just now; the message says why."""


def reports_at(where: str) -> list[SessionReport]:
    """The closed sessions in a file or at an address, as /sessions gives them, oldest first.

    Raises WrongConfig where that is no such document, ReportUnreadable where an address does not answer.
    """
    content = _fetched(where) if where.startswith(("http://", "https://")) else _read(Path(where))
    if len(content) > MAX_REPORT_BYTES:
        raise WrongConfig("InvalidReport", f"{where} is larger than {MAX_REPORT_BYTES} bytes")
    try:
        return [one.report for one in ClosedSessions.model_validate_json(content).sessions]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise WrongConfig("InvalidReport", f"{where} is no /sessions document: {field}: {first['msg']}") from error


def books_of(volume: Volume, report: SessionReport, portfolio: Portfolio) -> Books:
    """What the state says of a session. Raises StateCorrupt."""
    begin, end = datetime.fromisoformat(report.opens_at), datetime.fromisoformat(report.closes_at) + GRACE
    records = volume.records
    return Books(records.orders_between(begin, end), records.fills_between(begin, end), portfolio)


async def read_record(
    broker: AlpacaBroker, prefix: str, symbols: frozenset[str], reports: Sequence[SessionReport]
) -> BrokerRecord:
    """The broker's record since the first of these sessions. Raises a BrokerError."""
    sessions = await _sessions(broker, reports)
    reported = [datetime.fromisoformat(report.opens_at) for report in reports]
    held = [sessions[report.session].opens_at for report in reports if report.session in sessions]
    since = min([*reported, *held]) - timedelta(seconds=1)
    orders = await broker.orders_since(since, prefix)
    fills = await broker.fills(since)
    known = {one.broker_id for one in flattened(orders)}
    if any(fill.symbol in symbols and fill.order_id not in known for fill in fills):
        # Perhaps of an order that is older than the session: an exit that waited for days.
        orders = await broker.orders_since(since - LONGEST_LIFE_OF_AN_ORDER, prefix)
    return BrokerRecord(
        orders=orders,
        fills=fills,
        positions=await broker.positions(),
        activities=await broker.activities(since - timedelta(days=1)),
        sessions=sessions,
        prices={report.session: await _prices(broker, symbols, report) for report in reports},
    )


async def _sessions(broker: AlpacaBroker, reports: Sequence[SessionReport]) -> Mapping[str, MarketSession]:
    """The exchange's own calendar for all of these dates, in one request."""
    days = [date.fromisoformat(report.session) for report in reports]
    return {one.day.isoformat(): one for one in await broker.sessions(min(days), max(days))}


async def _prices(broker: AlpacaBroker, symbols: frozenset[str], report: SessionReport) -> Mapping[str, Prices]:
    after = datetime.fromisoformat(report.closes_at) + timedelta(minutes=1)
    frames = await broker.bars(sorted(symbols), "1Day", _BARS_OF_A_SESSION, after)
    day = date.fromisoformat(report.session)
    return {symbol: prices for symbol, frame in frames.items() if (prices := _prices_of(frame, day)) is not None}


def _prices_of(frame: pd.DataFrame, day: date) -> Prices | None:
    if len(frame) < _BARS_OF_A_SESSION or frame.index[-1].tz_convert("America/New_York").date() != day:
        return None
    before, last = frame.iloc[-2], frame.iloc[-1]
    return Prices(low=_decimal(last["low"]), high=_decimal(last["high"]), before=_decimal(before["close"]))


def _decimal(number: Any) -> Decimal:
    return Decimal(str(float(number)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_REPORT_BYTES + 1)
    except OSError as error:
        raise WrongConfig("InvalidReport", f"--report {path}: {error.strerror}") from error


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=REPORT_SECONDS) as answer:  # noqa: S310 (http and https alone)
            content: bytes = answer.read(MAX_REPORT_BYTES + 1)
            return content
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ReportUnreadable(f"--report {url}: {error}") from error
