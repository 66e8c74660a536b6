"""Splits, cash dividends and changes of symbol, each on the day given.

They take effect before the open of their ex-date. What they do to prices is the market's, what
they do to positions and orders the exchange's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from alpaca_simulator.values.identity import stable_uuid


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


def corporate_action_id(action: CorporateAction) -> UUID:
    """The action's id, the same in every simulator."""
    return stable_uuid("corporate action", type(action).__name__, action.symbol, action.ex_date.isoformat())


class CorporateActions:
    """Every corporate action there will be, by its dates."""

    def __init__(self, actions: Iterable[CorporateAction] = ()) -> None:
        self.listed = tuple(sorted(actions, key=lambda one: (one.ex_date, one.symbol, type(one).__name__)))

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
