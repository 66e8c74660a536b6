"""Splits, cash dividends and changes of symbol, each on the day given.

They take effect before the open of their ex-date. What they do to prices is the market's, what
they do to positions and orders the exchange's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from alpaca_simulator.values.identity import short_digest, stable_uuid


@dataclass(frozen=True, slots=True)
class Split:
    """`new` shares for every `old` ones: 4 for 1 is a forward split, 1 for 10 a reverse one."""

    symbol: str
    ex_date: date
    new: Decimal
    old: Decimal

    @property
    def ratio(self) -> Decimal:
        """Shares afterwards for each share before."""
        return self.new / self.old


@dataclass(frozen=True, slots=True)
class CashDividend:
    """`rate` dollars a share held at the close before `ex_date`, paid at the open of `payable_date`."""

    symbol: str
    ex_date: date
    payable_date: date
    rate: Decimal


@dataclass(frozen=True, slots=True)
class SymbolChange:
    """From `ex_date` on `symbol` trades as `new_symbol`."""

    symbol: str
    ex_date: date
    new_symbol: str


CorporateAction = Split | CashDividend | SymbolChange


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What the splits and dividends of one ex-date do to a share's price: divide it, then take off dollars."""

    ex_date: date
    ratio: Decimal
    dividend: Decimal

    def cents_after(self, cents: int) -> int:
        """What a share that cost `cents` at the close before is worth at the open, at least one cent."""
        worth = Decimal(cents) / self.ratio - self.dividend * 100
        return max(1, int(worth.to_integral_value(rounding=ROUND_HALF_UP)))

    def cents_before(self, cents: int) -> int:
        """What a share that costs `cents` at the open was worth at the close before."""
        worth = (Decimal(cents) + self.dividend * 100) * self.ratio
        return max(1, int(worth.to_integral_value(rounding=ROUND_HALF_UP)))


def corporate_action_id(action: CorporateAction) -> UUID:
    """The action's id, the same in every simulator."""
    return stable_uuid("corporate action", type(action).__name__, action.symbol, action.ex_date.isoformat())


def stand_in_cusip(symbol: str) -> str:
    """Nine digits that stand for the symbol; nobody's real CUSIP."""
    return f"{short_digest('cusip ' + symbol) % 10**9:09d}"


class CorporateActions:
    """Every corporate action there will be, by its dates."""

    def __init__(self, actions: Iterable[CorporateAction] = ()) -> None:
        self.listed = tuple(sorted(actions, key=lambda one: (one.ex_date, one.symbol, type(one).__name__)))
        changes = [one for one in self.listed if isinstance(one, SymbolChange)]
        self._renamed_to = {one.symbol: one for one in changes}
        self._renamed_from = {one.new_symbol: one for one in changes}

    def effective_on(self, day: date) -> tuple[CorporateAction, ...]:
        """Actions whose ex-date is `day`."""
        return tuple(action for action in self.listed if action.ex_date == day)

    def payable_on(self, day: date) -> tuple[CashDividend, ...]:
        """Dividends that are paid on `day`."""
        return tuple(one for one in self.listed if isinstance(one, CashDividend) and one.payable_date == day)

    def split_ratio(self, symbol: str, after: date, until: date) -> Decimal:
        """Shares at `until` for each share of `symbol` at `after`: splits with after < ex-date <= until."""
        ratio = Decimal(1)
        for action in self.listed:
            if isinstance(action, Split) and action.symbol == symbol and after < action.ex_date <= until:
                ratio *= action.ratio
        return ratio

    def lineage(self, symbol: str) -> tuple[str, ...]:
        """Every symbol the asset behind `symbol` has or will have, oldest first."""
        symbols = [symbol]
        while (older := self._renamed_from.get(symbols[0])) is not None:
            symbols.insert(0, older.symbol)
        while (newer := self._renamed_to.get(symbols[-1])) is not None:
            symbols.append(newer.new_symbol)
        return tuple(symbols)

    def listed_from(self, symbol: str) -> date | None:
        """The first day an asset trades as `symbol`, None when it always did."""
        change = self._renamed_from.get(symbol)
        return None if change is None else change.ex_date

    def listed_until(self, symbol: str) -> date | None:
        """The first day an asset no longer trades as `symbol`, None when it always will."""
        change = self._renamed_to.get(symbol)
        return None if change is None else change.ex_date

    def is_listed(self, symbol: str, day: date) -> bool:
        """Whether an asset trades as `symbol` on `day`."""
        first, until = self.listed_from(symbol), self.listed_until(symbol)
        return (first is None or first <= day) and (until is None or day < until)

    def price_changes(self, symbol: str) -> tuple[PriceChange, ...]:
        """What happens to the price of the asset behind `symbol`, under any of its symbols, by date."""
        symbols = self.lineage(symbol)
        found: dict[date, PriceChange] = {}
        for action in self.listed:
            if action.symbol not in symbols or isinstance(action, SymbolChange):
                continue
            so_far = found.get(action.ex_date, PriceChange(action.ex_date, Decimal(1), Decimal(0)))
            match action:
                case Split():
                    found[action.ex_date] = replace(so_far, ratio=so_far.ratio * action.ratio)
                case CashDividend():
                    found[action.ex_date] = replace(so_far, dividend=so_far.dividend + action.rate)
        return tuple(found[day] for day in sorted(found))
