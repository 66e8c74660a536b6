"""Whatever is sent to whatever route: never a fault, always Alpaca's error shape, and books that balance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alpaca_simulator.api.messages import Request
from unit.simulator.floor import PAPER, Floor
from unit.simulator.fuzzing import (
    EARLY_NOON,
    books_must_balance,
    encoded,
    garbage,
    headers,
    json_text,
    must_be_answered_well,
    query_of,
    texts,
    values,
)

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "", "\x00")

ORDER_FIELDS: dict[str, tuple[object, ...]] = {
    "symbol": ("SPY", "TLT", "GLD", "NOSUCH"),
    "qty": ("1", "3", "0.5", "100", 2, None),
    "notional": (None, None, None, "100", "0.01"),
    "side": ("buy", "buy", "sell"),
    "type": ("market", "limit", "stop", "stop_limit", "trailing_stop"),
    "time_in_force": ("day", "gtc", "ioc", "fok", "opg", "cls"),
    "limit_price": (None, "5", "5000", "5.001", "0.0001"),
    "stop_price": (None, "5", "5000"),
    "trail_percent": (None, "1", "100"),
    "trail_price": (None, "3"),
    "order_class": (None, "", "simple", "bracket", "oco", "oto", "mleg"),
    "take_profit": (None, {"limit_price": "5000"}, {"limit_price": "5"}),
    "stop_loss": (None, {"stop_price": "5"}, {"stop_price": "5", "limit_price": "4.5"}, {"stop_price": "5000"}),
    "extended_hours": (None, False, True),
    "client_order_id": (None, "mine", "yours"),
    "position_intent": (None, "buy_to_open", "sell_to_open"),
    "legs": (None,),
}

#: Every route, and the parameters it knows. `{}` stands for something that may or may not exist.
ROUTES: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", "/v2/account"): (),
    ("GET", "/v2/account/configurations"): (),
    ("PATCH", "/v2/account/configurations"): (),
    ("GET", "/v2/account/portfolio/history"): (
        *("period", "timeframe", "intraday_reporting", "start", "end", "date_end", "pnl_reset", "extended_hours"),
        "cashflow_types",
    ),
    ("GET", "/v2/account/activities"): (
        *("activity_types", "category", "date", "until", "after", "direction", "page_size", "page_token"),
    ),
    ("GET", "/v2/account/activities/{}"): ("date", "until", "after", "direction", "page_size", "page_token"),
    ("GET", "/v2/clock"): (),
    ("GET", "/v2/calendar"): ("start", "end", "date_type"),
    ("GET", "/v2/assets"): ("status", "asset_class", "exchange", "attributes"),
    ("GET", "/v2/assets/{}"): (),
    ("GET", "/v2/orders"): (
        *("status", "limit", "after", "until", "direction", "nested", "symbols", "side", "asset_class"),
    ),
    ("POST", "/v2/orders"): (),
    ("DELETE", "/v2/orders"): (),
    ("GET", "/v2/orders/{}"): ("nested",),
    ("PATCH", "/v2/orders/{}"): (),
    ("DELETE", "/v2/orders/{}"): (),
    ("GET", "/v2/orders:by_client_order_id"): ("client_order_id",),
    ("GET", "/v2/positions"): (),
    ("DELETE", "/v2/positions"): ("cancel_orders",),
    ("GET", "/v2/positions/{}"): (),
    ("DELETE", "/v2/positions/{}"): ("qty", "percentage"),
    ("POST", "/v2/positions/{}/exercise"): (),
    ("GET", "/v2/watchlists"): (),
    ("POST", "/v2/watchlists"): (),
    ("GET", "/v2/options/contracts"): ("underlying_symbols",),
    ("GET", "/v2/corporate_actions/announcements"): ("ca_types", "since", "until", "symbol", "cusip", "date_type"),
    ("GET", "/v2/corporate_actions/announcements/{}"): (),
    **{
        ("GET", f"/v2/stocks/{kind}"): (
            *("symbols", "timeframe", "start", "end", "limit", "adjustment", "feed", "sort", "page_token", "asof"),
            "currency",
        )
        for kind in ("bars", "quotes", "trades", "auctions", "{}/bars", "{}/quotes", "{}/trades")
    },
    **{
        ("GET", f"/v2/stocks/{kind}"): ("symbols", "feed", "currency")
        for kind in (
            *("bars/latest", "quotes/latest", "trades/latest", "snapshots", "{}/snapshot", "{}/bars/latest"),
            *("{}/quotes/latest", "{}/trades/latest", "meta/conditions/{}", "meta/exchanges"),
        )
    },
    ("GET", "/v1beta1/news"): (),
    ("GET", "/healthz"): (),
    ("GET", "/admin"): (),
    ("GET", "/admin/state"): (),
    ("GET", "/admin/accounts/{}/orders"): ("limit", "status"),
    ("GET", "/admin/accounts/{}/requests"): ("limit",),
    ("POST", "/admin/clock/step"): (),
}

#: In a place of a path: what exists on the floor, and what does not.
NEWEST_ORDER = "newest order"
places = st.sampled_from([NEWEST_ORDER, NEWEST_ORDER, "SPY", "TLT", "paper", "FILL", "DIV", ".", ".."]) | texts


@dataclass(frozen=True)
class Sent:
    """A request as it is drawn: the place of an order in the path is filled in when it is sent."""

    method: str
    path: str
    place: str
    query: str
    headers: dict[str, str]
    body: bytes


def order_body(fields: dict[str, Any], wrong: dict[str, Any]) -> bytes:
    return json_text({**{name: value for name, value in fields.items() if value is not None}, **wrong})


orders = st.builds(
    order_body,
    st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in ORDER_FIELDS.items()}),
    st.dictionaries(st.sampled_from(sorted(ORDER_FIELDS)), values, max_size=1),
)
SIMPLE = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
simple_orders = st.builds(
    order_body,
    st.fixed_dictionaries(
        {
            "symbol": st.sampled_from(["SPY", "TLT"]),
            "qty": st.sampled_from(["1", "40", "0.25"]),
            "side": st.sampled_from(["buy", "buy", "sell"]),
            "type": st.just("market"),
            "time_in_force": st.just("day"),
        }
    ),
    st.dictionaries(st.sampled_from(sorted(ORDER_FIELDS)), values, max_size=1),
)
replacements = st.dictionaries(
    st.sampled_from(
        ["qty", "limit_price", "stop_price", "trail", "time_in_force", "client_order_id", "extended_hours"]
    ),
    st.sampled_from(["1", "7", "5", "5000", "gtc", "day", "mine"]) | values,
    max_size=3,
).map(json_text)
settings_bodies = st.dictionaries(
    st.sampled_from(
        [
            *("suspend_trade", "no_shorting", "fractional_trading", "max_margin_multiplier", "trade_confirm_email"),
            *("dtbp_check", "pdt_check", "ptp_no_exception_entry", "disable_overnight_trading"),
        ]
    ),
    st.booleans() | st.sampled_from(["1", "2", "4", "all", "none", "both"]) | values,
    max_size=3,
).map(json_text)
steps = st.dictionaries(
    st.sampled_from(["seconds", "to", "until"]),
    st.sampled_from([0, 1, 60, 3600, "open", "close", "2016-02-02T15:00:00Z"]) | values,
    max_size=2,
).map(json_text)
BODIES = {
    ("POST", "/v2/orders"): orders,
    ("PATCH", "/v2/orders/{}"): replacements,
    ("PATCH", "/v2/account/configurations"): settings_bodies,
    ("POST", "/admin/clock/step"): steps,
}


@st.composite
def requests_of_routes(draw: st.DrawFn) -> Sent:
    route = draw(st.sampled_from(sorted(ROUTES)))
    method, path = route
    body = BODIES.get(route, garbage)
    return Sent(method, path, draw(places), draw(query_of(ROUTES[route])), draw(headers), draw(body | garbage))


@st.composite
def requests_of_no_route(draw: st.DrawFn) -> Sent:
    parts = draw(st.lists(st.sampled_from(["v2", "stocks", "orders", "admin", "account"]) | texts, max_size=5))
    raw = draw(st.text(max_size=15))
    path = draw(st.sampled_from(["/" + "/".join(encoded(part) for part in parts), raw, "//", "/%", "/v2/%zz/%ff"]))
    return Sent(draw(st.sampled_from(METHODS)), path, "x", draw(query_of(())), draw(headers), draw(garbage))


trades = st.builds(
    Sent, st.just("POST"), st.just("/v2/orders"), st.just(""), st.just(""), st.just(PAPER), simple_orders
)
waits = st.builds(Sent, st.just("POST"), st.just("/admin/clock/step"), st.just(""), st.just(""), st.just({}), steps)
scripts = st.lists(
    st.one_of(requests_of_routes(), requests_of_routes(), requests_of_no_route(), trades, waits), max_size=12
)


def carry_out(script: list[Sent]) -> Floor:
    floor = Floor(EARLY_NOON)
    floor.holding("SPY", 10)
    for sent in script:
        newest = next(floor.exchange.accounts[account].orders_newest_first() for account in floor.exchange.accounts)
        place = sent.place
        if place == NEWEST_ORDER:
            order = next(newest, None)
            place = str(order.order_id) if order else "none"
        path = sent.path.replace("{}", encoded(place))
        request = Request(sent.method, path, sent.query, sent.headers, sent.body)
        must_be_answered_well(floor.simulator.rest.handle(request), request)
    return floor


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scripts)
@example([])
def test_no_sequence_of_requests_is_answered_with_a_fault(script: list[Sent]) -> None:
    floor = carry_out(script)
    books_must_balance(floor)
    floor.keys = PAPER
    for path in ("/v2/account", "/v2/positions", "/v2/orders", "/v2/clock", "/admin/state"):
        assert floor.get(path).status == 200


@settings(max_examples=250, deadline=None)
@given(st.lists(orders, min_size=1, max_size=6), st.sampled_from([1, 60, 30_000]))
@example([order_body(SIMPLE, {"order_class": [None]})], 1)
@example([order_body(SIMPLE, {"order_class": {"bracket": 1}, "side": ["buy"]})], 1)
def test_no_order_is_answered_with_a_fault(bodies: list[bytes], seconds: int) -> None:
    floor = Floor(EARLY_NOON)
    for body in bodies:
        request = Request("POST", "/v2/orders", "", PAPER, body)
        must_be_answered_well(floor.simulator.rest.handle(request), request)
    floor.step(seconds)
    floor.delete("/v2/orders")
    books_must_balance(floor)
