"""A session as the bot reported it against the broker's own record of it. Trusts the broker alone.

Pure: what is compared was read before. A figure that the broker's record does not give is named as not compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tradingbot_api import AuditDifference, AuditReport, AuditResult, SessionReport
from tradingbot_runtime.broker.fills import BrokerFill
from tradingbot_runtime.broker.legs import flattened
from tradingbot_runtime.core.orders import Fill, Order, OrderState
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.report import instant, text
from tradingbot_runtime.core.values import BrokerActivity, BrokerOrder, BrokerPosition, MarketSession

GRACE: Final = timedelta(minutes=5)
"""What was decided in a session's last moment reaches the broker after it; nobody sends more by then."""
_EVENING: Final = timedelta(hours=12)
MAX_DIFFERENCES: Final = 20
BELL_SLACK: Final = timedelta(minutes=1)
"""How far a reported open or close may lie from the exchange's own."""

_CENT: Final = Decimal("0.01")
_ZERO: Final = Decimal(0)
_PRICE_SLACK: Final = Decimal("0.002")
"""How far a price that values a holding may lie beyond the day's trades: a quote, what it costs to cross the spread."""


@dataclass(frozen=True)
class Prices:
    """What a symbol was worth in a session, in account currency; `before` is the close of the session before."""

    low: Decimal
    high: Decimal
    before: Decimal


@dataclass(frozen=True)
class BrokerRecord:
    """All that the broker knows of the bot's account since the first session that is audited."""

    orders: tuple[BrokerOrder, ...]
    """This bot's orders, legs inside."""
    fills: tuple[BrokerFill, ...]
    """The account's executions, whoever ordered them."""
    positions: tuple[BrokerPosition, ...]
    activities: tuple[BrokerActivity, ...]
    """What changed the account without an order."""
    sessions: Mapping[str, MarketSession]
    """The exchange's sessions, by date; a date without one is absent. Required: without it no session was held."""
    prices: Mapping[str, Mapping[str, Prices]] = field(default_factory=dict)
    """By session, then by symbol; a symbol whose prices are not known is absent."""


@dataclass(frozen=True)
class Books:
    """What the bot's own state says of a session, and what it holds by all of its fills."""

    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    portfolio: Portfolio


@dataclass
class _Findings:
    differences: list[AuditDifference] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    def compare(self, what: str, reported: object, broker: object) -> None:
        if reported != broker:
            self.differ(what, reported, broker)

    def differ(self, what: str, reported: object, broker: object) -> None:
        self.differences.append(
            AuditDifference(what=text(what)[:100], reported=_shown(reported)[:100], broker=_shown(broker)[:100])
        )


class Audit:
    """One session against the record."""

    def __init__(
        self, report: SessionReport, record: BrokerRecord, symbols: frozenset[str], books: Books | None = None
    ) -> None:
        self._report = report
        self._record = record
        self._symbols = symbols
        self._books = books
        self._reported = datetime.fromisoformat(report.opens_at), datetime.fromisoformat(report.closes_at)
        self._held = record.sessions.get(report.session)
        # By the exchange's own bells: a minute that the bot leaves out would be a minute that nobody looks at.
        held = self._held
        self._opens_at, closes_at = self._reported if held is None else (held.opens_at, held.closes_at)
        self._ends_at = closes_at + GRACE
        self._ours = {one.broker_id: one for one in flattened(record.orders)}
        self._orders = {one.client_order_id: one for one in record.orders if self._has(one.created_at)}
        self._late = {one.client_order_id: one for one in record.orders if self._is_late(one)}
        self._fills = [fill for fill in record.fills if self._has(fill.at)]
        self._our_fills = [fill for fill in self._fills if fill.order_id in self._ours]
        self._found = _Findings()

    def result(self, *, is_last: bool) -> AuditReport:
        """Match, or every difference. `is_last`: whether no session was closed after this one."""
        self._session()
        self._counts()
        self._money()
        if self._books is not None:
            self._single_orders(self._books)
            self._shares(self._books)
        if is_last:
            self._positions()
        found, more = self._found, len(self._found.differences) - MAX_DIFFERENCES
        return AuditReport(
            session=self._report.session,
            result=AuditResult.MISMATCH if found.differences else AuditResult.MATCH,
            message=f"{more} more differences are not listed" if more > 0 else "",
            differences=found.differences[:MAX_DIFFERENCES],
            not_compared=found.not_compared[:5],
        )

    def _has(self, at: datetime | None) -> bool:
        return at is not None and self._opens_at <= at <= self._ends_at

    def _is_late(self, order: BrokerOrder) -> bool:
        """Whether an order came to the broker after the session and before the next."""
        opens = [one.opens_at for one in self._record.sessions.values() if one.opens_at > self._ends_at]
        until = min(opens, default=self._ends_at + _EVENING)
        return order.created_at is not None and self._ends_at < order.created_at < until

    # ------------------------------------------------------------------ the session itself

    def _session(self) -> None:
        """The exchange held it, from bell to bell: else a few minutes of any day would pass for a session."""
        reported = f"{self._report.opens_at} to {self._report.closes_at}"
        held = self._held
        if held is None:
            self._found.differ("session", reported, "no session on this date")
            return
        opens_at, closes_at = self._reported
        off = max(abs(opens_at - held.opens_at), abs(closes_at - held.closes_at))
        if off > BELL_SLACK:
            self._found.differ("session", reported, f"{instant(held.opens_at)} to {instant(held.closes_at)}")

    # ------------------------------------------------------------------ counts

    def _counts(self) -> None:
        report, found = self._report, self._found
        completed = {fill.order_id for fill in self._our_fills if fill.completes}
        rejected = sum(1 for order in self._orders.values() if order.status == OrderState.REJECTED)
        # The bot counts what it sent before the bell by its clock; the broker may have got it after.
        if not len(self._orders) <= report.orders <= len(self._orders) + len(self._late):
            found.differ("orders", report.orders, len(self._orders))
        found.compare("filledOrders", report.filled_orders, len(completed))
        # Several executions may have reached the bot as one, but never one as several, and never none.
        if report.fills > len(self._our_fills) or (report.fills == 0) != (not self._our_fills):
            found.differ("fills", report.fills, len(self._our_fills))
        # What the broker refuses on the spot leaves no order in its record.
        if report.rejected_orders < rejected:
            found.differ("rejectedOrders", report.rejected_orders, rejected)

    # ------------------------------------------------------------------ money

    def _money(self) -> None:
        turnover = sum((fill.qty * fill.price for fill in self._our_fills), _ZERO)
        if abs(self._report.turnover - turnover) > self._rounding():
            self._found.differ("turnover", self._report.turnover, turnover.quantize(_CENT))
        lowest, highest = _ZERO, _ZERO
        for symbol in sorted(self._symbols):
            bounds = self._profit_of(symbol)
            if bounds is None:
                self._found.not_compared.append(f"pnl: {symbol} was held or moved at prices that are not known")
                return
            lowest, highest = lowest + bounds[0], highest + bounds[1]
        slack = self._rounding()
        if not lowest - slack <= self._report.pnl <= highest + slack:
            between = f"{lowest.quantize(_CENT)} to {highest.quantize(_CENT)}"
            self._found.differ("pnl", self._report.pnl, between if lowest != highest else lowest.quantize(_CENT))

    def _rounding(self) -> Decimal:
        """The broker's average prices are rounded, once an execution at most."""
        return _CENT * (1 + len(self._fills))

    def _profit_of(self, symbol: str) -> tuple[Decimal, Decimal] | None:
        """The least and the most that a symbol can have earned; equal where nothing was held at either end.

        What was held is valued by prices of the session: at its begin perhaps still by those of the one before.
        """
        fills = [fill for fill in self._fills if fill.symbol == symbol]
        if any(one.symbol == symbol and self._moves_value(one) for one in self._record.activities):
            return None
        ends = self._now(symbol) - sum(
            (fill.signed_qty for fill in self._record.fills if fill.symbol == symbol and fill.at > self._ends_at), _ZERO
        )
        begins = ends - sum((fill.signed_qty for fill in fills), _ZERO)
        cash = -sum((fill.signed_qty * fill.price for fill in fills), _ZERO)
        foreign = sum((fill.qty for fill in fills if fill.order_id not in self._ours), _ZERO)
        if begins == 0 and ends == 0 and foreign == 0:
            return cash, cash
        prices = self._record.prices.get(self._report.session, {}).get(symbol)
        if prices is None:
            return None
        low, high = prices.low * (1 - _PRICE_SLACK), prices.high * (1 + _PRICE_SLACK)
        at_begin = sorted((begins * min(low, prices.before), begins * max(high, prices.before)))
        at_end = sorted((ends * low, ends * high))
        # What somebody else traded, the bot has booked at the last price it knew.
        unsure = foreign * (high - low)
        return cash + at_end[0] - at_begin[1] - unsure, cash + at_end[1] - at_begin[0] + unsure

    def _moves_value(self, one: BrokerActivity) -> bool:
        """A dividend counts where it was paid; what moves shares, such as a split, changes all before it, too."""
        return one.at >= self._opens_at - timedelta(days=1) and (one.qty != 0 or one.at <= self._ends_at)

    def _now(self, symbol: str) -> Decimal:
        return next((one.qty for one in self._record.positions if one.symbol == symbol), _ZERO)

    # ------------------------------------------------------------------ order by order, where the state is there

    def _single_orders(self, books: Books) -> None:
        known = {order.client_order_id: order for order in books.orders if order.broker_id and not order.parent_id}
        for order_id in sorted(known.keys() | self._orders.keys()):
            ours, theirs = known.get(order_id), self._orders.get(order_id, self._late.get(order_id))
            if ours is None or theirs is None:
                self._found.differ(f"order {order_id}", _word(ours), _word(theirs))
                continue
            self._found.compare(f"order {order_id} filled", ours.filled_qty, theirs.filled_qty)
            if _is_far(ours.filled_average_price, theirs.filled_average_price):
                self._found.differ(
                    f"order {order_id} average price", ours.filled_average_price, theirs.filled_average_price
                )

    def _shares(self, books: Books) -> None:
        ours = _by_symbol((fill.symbol, fill.signed_qty) for fill in books.fills if fill.client_order_id)
        theirs = _by_symbol((fill.symbol, fill.signed_qty) for fill in self._our_fills)
        for symbol in sorted(ours.keys() | theirs.keys()):
            self._found.compare(f"{symbol} shares traded", ours.get(symbol, _ZERO), theirs.get(symbol, _ZERO))

    def _positions(self) -> None:
        if self._books is None:
            self._found.not_compared.append("positions: the report does not hold them; give --state")
            return
        if any(fill.at > self._ends_at and fill.symbol in self._symbols for fill in self._record.fills):
            self._found.not_compared.append("positions: there were trades after the session")
            return
        for symbol in sorted(self._symbols):
            self._found.compare(f"{symbol} held", self._books.portfolio.qty(symbol), self._now(symbol))


def unknown(session: str, why: str) -> AuditReport:
    """A session that could not be judged."""
    return AuditReport(session=session, result=AuditResult.UNKNOWN, message=text(why)[:300])


def _by_symbol(moves: Iterable[tuple[str, Decimal]]) -> Mapping[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for symbol, qty in moves:
        sums[symbol] = sums.get(symbol, _ZERO) + qty
    return {symbol: qty for symbol, qty in sums.items() if qty}


def _is_far(ours: Decimal | None, theirs: Decimal | None) -> bool:
    if ours is None or theirs is None:
        return ours != theirs
    return abs(ours - theirs) > _CENT / 100


def _word(order: Order | BrokerOrder | None) -> str:
    if order is None:
        return "no such order"
    state = order.state.value if isinstance(order, Order) else order.status
    return f"{order.side.value} {order.qty:f} {order.symbol} {state}"


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return "none" if value is None else str(value)


def sessions_of(reports: Sequence[SessionReport], wanted: Sequence[str], last: int) -> list[SessionReport | str]:
    """The reports of the sessions asked for, oldest first; for one that there is none of, its date."""
    by_day = {report.session: report for report in reports}
    days = sorted(set(wanted)) if wanted else sorted(by_day)[-last:]
    return [by_day.get(day, day) for day in days]
