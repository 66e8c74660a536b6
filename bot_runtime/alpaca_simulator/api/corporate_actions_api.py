"""The data API's `/v1/corporate-actions`: splits, cash dividends and changes of symbol.

Nothing is told before it is announced. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from alpaca_simulator.api.announcements import DECLARED_BEFORE
from alpaca_simulator.api.data_parameters import is_descending, limit_of, page_token_of
from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.corporate_actions import (
    CashDividend,
    CorporateAction,
    Split,
    SymbolChange,
    corporate_action_id,
    stand_in_cusip,
)
from alpaca_simulator.market.paging import PageToken
from alpaca_simulator.values.instants import NEW_YORK, read_date

ACTIONS_A_PAGE = 100
ACTIONS_A_PAGE_AT_MOST = 1_000

#: Every type that Alpaca knows; those not in _SINGULARS never happen here.
_TYPES = {
    "reverse_split",
    "forward_split",
    "unit_split",
    "cash_dividend",
    "stock_dividend",
    "spin_off",
    "cash_merger",
    "stock_merger",
    "stock_and_cash_merger",
    "redemption",
    "name_change",
    "worthless_removal",
    "rights_distribution",
}


@dataclass(frozen=True, slots=True)
class _Told:
    """One action as it is told: its type, the day it is processed, its fields."""

    action: CorporateAction
    kind: str
    processed: date
    fields: dict[str, object]


class CorporateActionsApi:
    """Answers `/v1/corporate-actions` for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, request: Request) -> Response:
        """Answer a request; raises Refusal."""
        if request.method != "GET" or request.segments != ("v1", "corporate-actions"):
            raise refusals.Refusal(404, None, "endpoint not found.")
        today = self._exchange.now.astimezone(NEW_YORK).date()
        chosen = _chosen(request, [_told(one) for one in self._announced(today)], today)
        limit = limit_of(request, ACTIONS_A_PAGE, ACTIONS_A_PAGE_AT_MOST)
        first = _position(chosen, page_token_of(request))
        body: dict[str, list[dict[str, object]]] = {}
        for one in chosen[first : first + limit]:
            body.setdefault(f"{one.kind}s", []).append(one.fields)
        more = first + limit < len(chosen)
        token = _token(chosen[first + limit - 1]).text() if more else None
        return json_response(200, {"corporate_actions": body, "next_page_token": token})

    def _announced(self, today: date) -> Iterator[CorporateAction]:
        listed = self._exchange.market.actions.listed
        return (action for action in listed if action.ex_date - DECLARED_BEFORE <= today)


def _told(action: CorporateAction) -> _Told:
    cusip = stand_in_cusip(action.symbol)
    dates: dict[str, object] = {"ex_date": action.ex_date.isoformat()}
    match action:
        case Split():
            forward = action.new > action.old
            kind, processed = "forward_split" if forward else "reverse_split", action.ex_date
            cusips = {"cusip": cusip} if forward else {"old_cusip": cusip, "new_cusip": cusip}
            rates = {"old_rate": float(action.old), "new_rate": float(action.new)}
            fields = {"symbol": action.symbol, **cusips, **rates, **dates, "payable_date": dates["ex_date"]}
        case CashDividend():
            kind, processed = "cash_dividend", action.payable_date
            paid = {"payable_date": processed.isoformat(), "record_date": dates["ex_date"]}
            flags = {"special": False, "foreign": False}
            fields = {"symbol": action.symbol, "cusip": cusip, "rate": float(action.rate), **flags, **dates, **paid}
        case SymbolChange():
            kind, processed = "name_change", action.ex_date
            fields = {
                "old_symbol": action.symbol,
                "old_cusip": cusip,
                "new_symbol": action.new_symbol,
                "new_cusip": stand_in_cusip(action.new_symbol),
            }
    identity = str(corporate_action_id(action))
    return _Told(action, kind, processed, {"id": identity, **fields, "process_date": processed.isoformat()})


def _chosen(request: Request, listed: list[_Told], today: date) -> list[_Told]:
    """What is asked for, in the order of the days it is processed."""
    wanted = request.parameters
    ids, symbols, cusips = (_listed(wanted.get(name, "")) for name in ("ids", "symbols", "cusips"))
    types = _listed(wanted.get("types", ""))
    if not types <= _TYPES:
        raise refusals.bad_data_parameter("invalid types")
    if ids and (symbols or cusips or types or wanted.get("start") or wanted.get("end")):
        raise refusals.bad_data_parameter("ids cannot be combined with other filters")
    first, last = _day(request, "start", today), _day(request, "end", today)
    if first > last:
        raise refusals.bad_data_parameter("end should not be before start")
    found = [
        one
        for one in listed
        if (one.fields["id"] in ids if ids else first <= one.processed <= last)
        and (not symbols or not symbols.isdisjoint(_named(one, "symbol")))
        and (not cusips or not cusips.isdisjoint(_named(one, "cusip")))
        and (not types or one.kind in types)
    ]
    return sorted(found, key=lambda one: (one.processed, str(one.fields["id"])), reverse=is_descending(request))


def _named(one: _Told, what: str) -> set[object]:
    return {value for name, value in one.fields.items() if name.endswith(what)}


def _listed(text: str) -> set[str]:
    return {part.strip() for part in text.split(",")} - {""}


def _day(request: Request, name: str, otherwise: date) -> date:
    raw = request.parameters.get(name)
    if not raw:
        return otherwise
    day = read_date(raw)
    if day is None:
        raise refusals.bad_data_parameter(f"invalid {name}: not a date")
    return day


def _token(one: _Told) -> PageToken:
    return PageToken(str(one.fields["id"]), datetime.combine(one.processed, time(), UTC))


def _position(chosen: list[_Told], after: PageToken | None) -> int:
    """Where the page after `after` begins."""
    if after is None:
        return 0
    for number, one in enumerate(chosen):
        if one.fields["id"] == after.label:
            return number + 1
    raise refusals.bad_data_parameter("invalid page_token")
