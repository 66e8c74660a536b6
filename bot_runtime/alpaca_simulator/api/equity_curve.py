"""What an account was worth at any time, worked out backwards from what it holds now.

Pure functions of the activities, the books and the prices given: nothing here knows the exchange.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from alpaca_simulator.exchange.activities import Activity, ActivityType
from alpaca_simulator.values.quantities import ZERO

#: Dollars a share of a symbol at a time.
PriceAt = Callable[[str, datetime], Decimal]


@dataclass(frozen=True, slots=True)
class Books:
    """Cash (dollars) and shares now, and the activities kept that led to them, oldest first."""

    cash: Decimal
    shares: Mapping[str, Decimal]
    activities: Sequence[Activity]

    def known_at(self, at: datetime) -> bool:
        """Whether every activity since `at` is still kept, so that the books of then can be told."""
        if not self.activities or self.activities[0].number == 1:
            return True
        return at >= self.activities[0].at


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time of a history: reported under `begins`, valued at `ends`.

    `base` is the time whose equity its profit is counted from, None for the history's base.
    """

    begins: datetime
    ends: datetime
    base: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """Equity at the end of a window and the profit since its base: dollars, and as a share of the base."""

    at: datetime
    equity: Decimal
    profit_loss: Decimal
    profit_loss_share: Decimal | None


@dataclass(frozen=True, slots=True)
class PortfolioHistory:
    """A whole history; `base_value_asof` is the trading day that the base is the close of, None if it is none."""

    points: tuple[HistoryPoint, ...]
    base_value: Decimal
    base_value_asof: date | None
    timeframe: str
    cash_flows: Mapping[ActivityType, Sequence[Decimal]] | None


def equity_at(books: Books, times: Sequence[datetime], price: PriceAt) -> list[Decimal]:
    """Equity in dollars at each of `times`, which ascend and are known to `books`.

    Whatever happened at a time itself counts.
    """
    cash, shares = books.cash, dict(books.shares)
    kept = len(books.activities)
    values: list[Decimal] = []
    for at in reversed(times):
        while kept and books.activities[kept - 1].at > at:
            kept -= 1
            undone = books.activities[kept]
            cash -= undone.net_amount
            if undone.symbol is not None and undone.quantity:
                shares[undone.symbol] = shares.get(undone.symbol, ZERO) - undone.quantity
        worth = sum((held * price(symbol, at) for symbol, held in shares.items() if held), ZERO)
        values.append(cash + worth)
    values.reverse()
    return values


def worth_at(
    books: Books, closes: Mapping[datetime, Decimal], times: Sequence[datetime], price: PriceAt
) -> dict[datetime, Decimal]:
    """Equity in dollars at each of `times` that can be told.

    `closes` is the equity at past closes, for times whose activities were forgotten.
    """
    ordered = sorted(set(times))
    told = [at for at in ordered if books.known_at(at)]
    found = dict(zip(told, equity_at(books, told, price), strict=True))
    return {at: closes[at] for at in ordered if at in closes} | found


def history_points(
    windows: Sequence[Window], worth: Mapping[datetime, Decimal], base: Decimal
) -> tuple[HistoryPoint, ...]:
    """The points of a history, given what the account was worth at the end of each window and at their bases."""
    points = []
    for window in windows:
        equity = worth[window.ends]
        since = base if window.base is None else worth.get(window.base, base)
        gain = equity - since
        points.append(HistoryPoint(window.begins, equity, gain, gain / since if since else None))
    return tuple(points)


def cash_flows(
    windows: Sequence[Window], activities: Sequence[Activity], kinds: Sequence[ActivityType]
) -> dict[ActivityType, list[Decimal]]:
    """Dollars that activities of each of `kinds` moved from the end of one window to the end of the next."""
    flows = {kind: [ZERO] * len(windows) for kind in kinds}
    if not windows:
        return flows
    ends = [window.ends for window in windows]
    for activity in activities:
        if activity.activity_type not in flows or activity.at < windows[0].begins:
            continue
        index = bisect_left(ends, activity.at)
        if index < len(windows):
            flows[activity.activity_type][index] += activity.net_amount
    return flows
