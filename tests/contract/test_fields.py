"""The fields of the simulator's bodies are those that alpaca-py's models know: none missing, none made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from alpaca.data.mappings import (
    BAR_MAPPING,
    QUOTE_MAPPING,
    SNAPSHOT_MAPPING,
    TRADE_MAPPING,
)
from alpaca.trading.enums import OrderClass
from alpaca.trading.models import (
    AccountConfiguration,
    Asset,
    Calendar,
    Clock,
    NonTradeActivity,
    Order,
    PortfolioHistory,
    Position,
    TradeAccount,
    TradeActivity,
    TradeUpdate,
)
from alpaca.trading.requests import LimitOrderRequest, StopLossRequest, TakeProfitRequest
from pydantic import BaseModel

from alpaca_simulator.streams.trade_updates import trade_update_frame
from contract.conftest import Venue, buy, in_process_venue, resting

Json = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """A body, the fields that the library knows of it, and where the two may differ and why.

    `more`: Alpaca documents them, this version of the library drops them. `less`: the library knows them, they need
    not be in a body of this kind. `gone`: the library still knows them, Alpaca sends them no longer.
    """

    get: Callable[[Venue], Json]
    known: set[str]
    more: frozenset[str] = frozenset()
    less: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def fields(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def latest(path: str, kind: str) -> Callable[[Venue], Json]:
    return lambda venue: venue.data().get(f"/stocks/{path}", {"symbols": "SPY"})[kind]["SPY"]


def invested(venue: Venue) -> Venue:
    venue.trading().submit_order(buy())
    venue.step(1)
    return venue


def bracket(venue: Venue) -> Json:
    request = buy(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfitRequest(limit_price=5000),
        stop_loss=StopLossRequest(stop_price=5.5),
    )
    return venue.trading().post("/orders", request.to_request_fields())


def update(venue: Venue) -> Json:
    invested(venue)
    *_, fill = venue.simulator.take_trade_updates()
    return json.loads(trade_update_frame(fill))["data"]


ORDER = {
    "known": fields(Order),
    # Both are in Alpaca's own examples of an order.
    "more": frozenset({"subtag", "source"}),
    # Only legs of option orders have it.
    "less": frozenset({"ratio_qty"}),
}
#: Since 2026-07-06 Alpaca sends none of these.
DAY_TRADING = frozenset({"daytrading_buying_power", "pattern_day_trader", "daytrade_count"})

SHAPES: Mapping[str, Shape] = {
    "account": Shape(
        lambda venue: venue.trading().get("/account"),
        fields(TradeAccount),
        more=frozenset({"position_market_value", "effective_buying_power", "bod_dtbp"}),
        gone=DAY_TRADING,
    ),
    "account configurations": Shape(
        lambda venue: venue.trading().get("/account/configurations"),
        fields(AccountConfiguration),
        more=frozenset({"disable_overnight_trading"}),
        less=frozenset({"dtbp_check", "pdt_check"}),
    ),
    "portfolio history": Shape(
        lambda venue: venue.trading().get("/account/portfolio/history"),
        fields(PortfolioHistory),
        more=frozenset({"base_value_asof"}),
        # Only when it was asked for.
        less=frozenset({"cashflow"}),
    ),
    "fill activity": Shape(
        lambda venue: invested(venue).trading().get("/account/activities/FILL")[0],
        fields(TradeActivity),
        # The trading API may leave it out: it tells an account what is its own.
        less=frozenset({"account_id"}),
    ),
    "clock": Shape(lambda venue: venue.trading().get("/clock"), fields(Clock)),
    "calendar": Shape(
        lambda venue: venue.trading().get("/calendar", {"start": "2026-03-02", "end": "2026-03-02"})[0],
        fields(Calendar),
        more=frozenset({"session_open", "session_close", "settlement_date"}),
    ),
    "asset": Shape(
        lambda venue: venue.trading().get("/assets/SPY"),
        fields(Asset),
        more=frozenset({"margin_requirement_long", "margin_requirement_short"}),
        # Crypto alone has these.
        less=frozenset({"min_order_size", "min_trade_increment", "price_increment"}),
    ),
    "order": Shape(lambda venue: venue.trading().post("/orders", resting().to_request_fields()), **ORDER),
    "bracket": Shape(bracket, **ORDER),
    "leg of a bracket": Shape(lambda venue: bracket(venue)["legs"][0], **ORDER),
    "position": Shape(
        lambda venue: invested(venue).trading().get("/positions/SPY"),
        fields(Position),
        # Only for accounts in another currency.
        less=frozenset({"swap_rate", "avg_entry_swap_rate", "usd"}),
    ),
    "trade update": Shape(update, fields(TradeUpdate), more=frozenset({"event_id", "at"})),
    "latest bar": Shape(latest("bars/latest", "bars"), set(BAR_MAPPING)),
    "latest quote": Shape(latest("quotes/latest", "quotes"), set(QUOTE_MAPPING)),
    "latest trade": Shape(latest("trades/latest", "trades"), set(TRADE_MAPPING)),
    "snapshot": Shape(
        lambda venue: venue.data().get("/stocks/snapshots", {"symbols": "SPY"})["SPY"],
        set(SNAPSHOT_MAPPING),
        # Options alone have these.
        less=frozenset({"impliedVolatility", "greeks"}),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_body_has_the_fields_that_the_library_knows(name: str) -> None:
    shape = SHAPES[name]
    sent = set(shape.get(in_process_venue()))
    assert {
        "unknown to the library": sorted(sent - shape.known - shape.more),
        "missing": sorted(shape.known - shape.less - shape.gone - sent),
        "not to be sent": sorted(sent & shape.gone),
    } == {"unknown to the library": [], "missing": [], "not to be sent": []}


def test_a_dividend_has_the_fields_of_what_is_no_trade() -> None:
    action = {"type": "dividend", "symbol": "SPY", "ex_date": "2026-03-03", "payable_date": "2026-03-04", "rate": "1.5"}
    venue = invested(in_process_venue(corporate_actions=[action]))
    venue.step(4 * 86_400)
    (dividend,) = venue.trading().get("/account/activities/DIV")
    parsed = NonTradeActivity(**{"account_id": venue.trading().get_account().id, **dividend})
    assert (parsed.symbol, parsed.net_amount, parsed.qty, parsed.per_share_amount) == ("SPY", 15.0, 10.0, 1.5)
    assert set(dividend) <= fields(NonTradeActivity) | {"group_id", "created_at", "cusip"}


def test_an_order_that_is_no_bracket_has_no_legs() -> None:
    order = (
        in_process_venue()
        .trading()
        .post(
            "/orders",
            LimitOrderRequest(
                symbol="SPY", qty=1, side="buy", time_in_force="day", limit_price=5.5, order_class="simple"
            ).to_request_fields(),
        )
    )
    assert (order["legs"], order["order_class"]) == (None, "")
