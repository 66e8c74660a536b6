"""`/v2/corporate_actions/announcements`: splits and cash dividends as Alpaca announces them.

Nothing is told before its declaration date; a change of symbol has no announcement at Alpaca.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from alpaca_simulator.api.messages import Request
from alpaca_simulator.api.parameters import date_parameter
from alpaca_simulator.exchange import refusals
from alpaca_simulator.market.corporate_actions import (
    CashDividend,
    CorporateAction,
    CorporateActions,
    Split,
    corporate_action_id,
)
from alpaca_simulator.values.identity import short_digest
from alpaca_simulator.values.quantities import decimal_text

#: How long before its ex-date an action is declared.
DECLARED_BEFORE = timedelta(days=14)
LONGEST_RANGE = timedelta(days=90)

_TYPES = frozenset({"dividend", "merger", "spinoff", "split"})
_DATES = ("declaration_date", "ex_date", "record_date", "payable_date")


@dataclass(frozen=True, slots=True)
class Announcement:
    """One action as announced; rates count shares afterwards (`new_rate`) for shares before (`old_rate`)."""

    announcement_id: UUID
    kind: str
    sub_kind: str
    symbol: str
    dates: dict[str, date]
    cash: str
    old_rate: str
    new_rate: str

    @property
    def cusip(self) -> str:
        """Nine digits that stand for the symbol; nobody's real CUSIP."""
        return f"{short_digest('cusip ' + self.symbol) % 10**9:09d}"

    def json(self) -> dict[str, object]:
        """Alpaca's announcement."""
        dates = {name: day.isoformat() for name, day in self.dates.items()}
        return {
            "id": str(self.announcement_id),
            "corporate_action_id": f"{self.cusip}_{self.announcement_id.hex[:6].upper()}",
            "ca_type": self.kind,
            "ca_sub_type": self.sub_kind,
            "initiating_symbol": self.symbol,
            "initiating_original_cusip": self.cusip,
            "target_symbol": self.symbol,
            "target_original_cusip": self.cusip,
            **dates,
            "cash": self.cash,
            "old_rate": self.old_rate,
            "new_rate": self.new_rate,
        }


def announced(actions: CorporateActions, today: date) -> list[Announcement]:
    """Everything that has been declared by `today`, by ex-date."""
    made = (_announcement(action) for action in actions.listed)
    return [one for one in made if one is not None and one.dates["declaration_date"] <= today]


def announcements_asked_for(request: Request, actions: CorporateActions, today: date) -> list[Announcement]:
    """The announcements that the parameters of a request choose; raises Refusal."""
    wanted = request.parameters
    kinds = frozenset(kind.lower() for kind in wanted.get("ca_types", "").split(",") if kind)
    if not kinds or not kinds <= _TYPES:
        raise refusals.bad_parameter(f"ca_types is required: one or more of {', '.join(sorted(_TYPES))}")
    since, until = date_parameter(request, "since"), date_parameter(request, "until")
    if since is None or until is None:
        raise refusals.bad_parameter("since and until are required")
    if not timedelta(0) <= until - since <= LONGEST_RANGE:
        raise refusals.bad_parameter(f"until must be from 0 to {LONGEST_RANGE.days} days after since")
    date_type = wanted.get("date_type") or "ex_date"
    if date_type not in _DATES:
        raise refusals.bad_parameter(f"invalid date_type: {date_type[:40]}")
    return [
        one
        for one in announced(actions, today)
        if one.kind in kinds
        and since <= one.dates[date_type] <= until
        and wanted.get("symbol", "") in {"", one.symbol}
        and wanted.get("cusip", "") in {"", one.cusip}
    ]


def _announcement(action: CorporateAction) -> Announcement | None:
    match action:
        case CashDividend(symbol, ex_date, payable_date, rate):
            return Announcement(
                corporate_action_id(action),
                "dividend",
                "cash",
                symbol,
                _dates(ex_date, payable_date),
                decimal_text(rate),
                "1",
                "1",
            )
        case Split(symbol, ex_date, new, old):
            sub_kind = "stock_split" if new >= old else "reverse_split"
            return Announcement(
                corporate_action_id(action),
                "split",
                sub_kind,
                symbol,
                _dates(ex_date, ex_date),
                "0",
                decimal_text(old),
                decimal_text(new),
            )
    return None


def _dates(ex_date: date, payable_date: date) -> dict[str, date]:
    # Trades settle the day after: who bought before the ex-date is on record on it.
    return dict(zip(_DATES, (ex_date - DECLARED_BEFORE, ex_date, ex_date, payable_date), strict=True))
