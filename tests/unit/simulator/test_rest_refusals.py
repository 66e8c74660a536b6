"""How the REST API says no: Alpaca's statuses, codes and bodies, whatever is sent."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.api.messages import LARGEST_BODY_BYTES, Request
from unit.simulator.floor import Floor

MARKET_BUY = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("change", "status", "code", "message"),
    [
        ({"symbol": None}, 422, 40010001, "symbol is required"),
        ({"symbol": "NOSUCH"}, 422, 42210000, 'asset "NOSUCH" not found'),
        ({"symbol": "ZVZZT"}, 422, 42210000, "asset ZVZZT is not tradable"),
        ({"symbol": 7}, 422, 40010001, "invalid symbol"),
        ({"qty": None}, 422, 40010001, "qty or notional is required"),
        ({"qty": "0"}, 422, 40010001, "qty must be > 0"),
        ({"qty": "-1"}, 422, 40010001, "qty must be > 0"),
        ({"qty": "ten"}, 422, 40010001, "invalid qty"),
        ({"qty": "1_0"}, 422, 40010001, "invalid qty"),
        ({"qty": True}, 422, 40010001, "invalid qty"),
        ({"qty": "1." + "0" * 32 + "1"}, 422, 40010001, "invalid qty"),
        ({"qty": 1e-300}, 422, 40010001, "invalid qty"),
        ({"qty": 10**16}, 422, 40010001, "invalid qty"),
        ({"qty": "0.0000000001"}, 422, 42210000, "qty must be limited to 9 decimal places"),
        ({"qty": "1000000001"}, 422, 42210000, "qty must be at most 1000000000"),
        ({"notional": "5"}, 422, 40010001, "only one of qty or notional is accepted"),
        ({"qty": None, "notional": "much"}, 422, 40010001, "invalid notional"),
        ({"qty": None, "notional": "-5"}, 422, 40010001, "notional must be > 0"),
        ({"qty": None, "notional": "0.99"}, 422, 42210000, "notional must be >= 1.00"),
        ({"qty": None, "notional": "5.001"}, 422, 42210000, "notional value must be limited to 2 decimal places"),
        ({"qty": None, "notional": "5", "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY orders"),
        ({"qty": "0.001"}, 403, 40310000, "cost basis must be >= minimal amount of order 1"),
        ({"side": "hold"}, 422, 40010001, "invalid side"),
        ({"type": "iceberg"}, 422, 40010001, "invalid order type"),
        ({"type": "stop"}, 422, 40010001, "stop orders require a stop price"),
        (
            {"type": "stop", "stop_price": "5", "limit_price": "4"},
            422,
            40010001,
            "stop orders must not have limit_price",
        ),
        ({"type": "stop", "stop_price": "5.123"}, 422, 42210000, "invalid stop_price 5.123. sub-penny increment"),
        ({"type": "stop_limit", "stop_price": "5"}, 422, 40010001, "stop limit orders require both stop and limit"),
        ({"type": "trailing_stop"}, 422, 40010001, "must specify one of trail_price or trail_percent"),
        (
            {"type": "trailing_stop", "trail_price": "5", "trail_percent": "1"},
            422,
            40010001,
            "must specify one of trail_price or trail_percent",
        ),
        (
            {"type": "trailing_stop", "trail_percent": "0.09"},
            422,
            40010001,
            "trail_percent must be greater than or equal to 0.1",
        ),
        ({"type": "stop", "stop_price": "900", "time_in_force": "ioc"}, 422, 42210000, 'support only "day" or "gtc"'),
        ({"time_in_force": "opg"}, 403, 40310000, "opg orders must be submitted after 7:00pm and before 9:28am"),
        ({"time_in_force": "gtd"}, 422, 40010001, "invalid time_in_force"),
        ({"limit_price": "5"}, 422, 40010001, "market orders require no stop or limit price"),
        ({"stop_price": "5"}, 422, 40010001, "market orders require no stop or limit price"),
        ({"trail_price": "5"}, 422, 40010001, "market orders must not have trail_price"),
        ({"type": "limit"}, 422, 40010001, "limit orders require a limit price"),
        ({"type": "limit", "limit_price": "-5"}, 422, 40010001, "limit price must be > 0"),
        ({"type": "limit", "limit_price": "cheap"}, 422, 40010001, "invalid limit_price"),
        ({"type": "limit", "limit_price": "100.123"}, 422, 42210000, "sub-penny increment"),
        ({"type": "limit", "limit_price": "0.12345"}, 422, 42210000, "sub-penny increment"),
        ({"order_class": "nonsense"}, 422, 40010001, "invalid order_class"),
        ({"order_class": "mleg"}, 422, 42210000, "order class mleg is not supported"),
        ({"take_profit": {"limit_price": 5}}, 422, 40010001, "simple orders must not have take_profit"),
        ({"order_class": "bracket", "take_profit": "5"}, 400, 40010000, "request body format is invalid"),
        ({"order_class": "bracket"}, 422, 40010001, "bracket orders require take_profit.limit_price"),
        (
            {"order_class": "bracket", "take_profit": {"limit_price": 5}, "stop_loss": {"trail_percent": 5}},
            422,
            40010001,
            "bracket orders require stop_loss.stop_price",
        ),
        ({"order_class": "oto"}, 422, 40010001, "oto orders require either take_profit or stop_loss"),
        ({"extended_hours": True}, 422, 42210000, "extended hours order must be DAY or GTC limit orders"),
        (
            {"extended_hours": True, "type": "stop", "stop_price": "9"},
            422,
            42210000,
            "stop orders are not eligible for extended hours trading",
        ),
        ({"extended_hours": "yes"}, 422, 40010001, "invalid extended_hours"),
        ({"position_intent": "sell_to_open"}, 422, 42210000, "position intent mismatch, inferred: buy_to_open"),
        ({"position_intent": "to_win"}, 422, 40010001, "invalid position_intent"),
        ({"client_order_id": 5}, 422, 40010001, "invalid client_order_id"),
        ({"client_order_id": "x" * 129}, 422, 40010001, "client_order_id must be no more than 128"),
    ],
)
def test_an_order_that_cannot_be_accepted_is_refused_as_alpaca_does(
    change: dict[str, object], status: int, code: int, message: str
) -> None:
    floor = Floor()
    answer = floor.order(**{**MARKET_BUY, **change})
    assert (answer.status, answer.code) == (status, code)
    assert message in answer.message
    assert floor.events() == []


@pytest.mark.parametrize("price", ["0.1234", "1.01", "5", 5, 5.25])
def test_prices_to_the_penny_or_below_a_dollar_to_the_hundredth_of_one_are_accepted(price: object) -> None:
    assert Floor().order(**{**MARKET_BUY, "type": "limit", "limit_price": price}).status == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"qty": NaN}', b"[" * 100_00, b'"text"'])
def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    answer = Floor().send("POST", "/v2/orders", body)
    assert (answer.status, answer.code) == (400, 40010000)


def test_a_body_over_the_limit_is_a_413() -> None:
    assert Floor().send("POST", "/v2/orders", b" " * (LARGEST_BODY_BYTES + 1)).status == 413


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"APCA-API-KEY-ID": "PKDEMOPAPER"},
        {"APCA-API-KEY-ID": "PKDEMOPAPER", "APCA-API-SECRET-KEY": "wrong"},
        {"APCA-API-KEY-ID": "nobody", "APCA-API-SECRET-KEY": "demo-paper-secret"},
        {"Authorization": "Bearer token"},
        {"Authorization": "Basic !"},
        {"Authorization": "Basic " + base64.b64encode(b"PKDEMOPAPER:wrong").decode()},
    ],
)
def test_unknown_keys_are_a_401(keys: dict[str, str]) -> None:
    floor = Floor()
    floor.keys = keys
    trading, data = floor.get("/v2/account"), floor.get("/v2/stocks/bars")
    assert (trading.status, trading.code) == (401, 40110000)
    assert (data.status, data.code) == (401, None)


def test_header_names_have_any_case_and_basic_authorization_works() -> None:
    floor = Floor()
    floor.keys = {"apca-api-key-id": "PKDEMOPAPER", "Apca-Api-Secret-Key": "demo-paper-secret"}
    assert floor.get("/v2/account").status == 200
    floor.keys = {"Authorization": "Basic " + base64.b64encode(b"PKDEMOPAPER:demo-paper-secret").decode()}
    assert floor.get("/v2/account").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/nothing", 404),
        ("PUT", "/v2/account", 404),
        ("POST", "/v2/positions", 404),
        ("GET", "/v2/orders/" + UNKNOWN_ID, 404),
        ("GET", "/v2/orders/not-a-uuid", 422),
        ("DELETE", "/v2/orders/" + UNKNOWN_ID, 404),
        ("PATCH", "/v2/orders/" + UNKNOWN_ID, 404),
        ("GET", "/v2/orders:by_client_order_id", 422),
        ("GET", "/v2/positions/SPY", 404),
        ("DELETE", "/v2/positions/SPY", 404),
        ("GET", "/v2/assets/NOSUCH", 404),
        ("GET", "/v2/watchlists", 501),
        ("GET", "/v2/options/contracts", 501),
        ("POST", "/v2/positions/SPY/exercise", 501),
        ("GET", "/v2/stocks/nothing", 404),
        ("GET", "/v1beta3/crypto/us/bars", 501),
        ("GET", "/admin/nothing", 404),
        ("GET", "/admin/accounts/nobody/orders", 404),
    ],
)
def test_what_is_not_there_says_so_in_alpacas_shape(method: str, path: str, status: int) -> None:
    answer = Floor().send(method, path)
    assert answer.status == status
    assert answer.message


@pytest.mark.parametrize(
    "query",
    [
        {"status": "weird"},
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "1.5"},
        {"limit": "many"},
        {"after": "yesterday"},
        {"direction": "up"},
        {"nested": "maybe"},
        {"after_order_id": "first"},
    ],
)
def test_a_list_of_orders_with_a_bad_filter_is_a_422(query: dict[str, str]) -> None:
    assert Floor().get("/v2/orders", **query).status == 422


@pytest.mark.parametrize(
    "query",
    [
        {"symbols": ""},
        {"timeframe": ""},
        {"sort": "up"},
        {"limit": "10001"},
        {"start": "never"},
        {"start": "2026-03-02", "end": "2026-03-01"},
        {"page_token": "!"},
        {"page_token": base64.urlsafe_b64encode(b"SPY|never").decode()},
        {"feed": "pigeon"},
        {"adjustment": "chiropractic"},
        {"currency": "EUR"},
    ],
)
def test_bars_asked_for_badly_are_a_400_without_code(query: dict[str, str]) -> None:
    answer = Floor().get("/v2/stocks/bars", **{"symbols": "SPY", "timeframe": "1Min", **query})
    assert (answer.status, answer.code) == (400, None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"seconds": -1},
        {"seconds": "soon"},
        {"seconds": 10**9},
        {"seconds": 1, "to": "2026-03-03"},
        {"to": "never"},
        {"to": "2026-01-01"},
        {"to": "2040-01-01"},
        {"until": "lunch"},
    ],
)
def test_a_step_that_makes_no_sense_is_a_422_and_moves_nothing(body: dict[str, object]) -> None:
    floor = Floor()
    before = floor.now
    assert floor.send("POST", "/admin/clock/step", json.dumps(body).encode()).status == 422
    assert floor.now == before


def test_a_running_clock_cannot_be_stepped() -> None:
    floor = Floor(clock={"mode": "scaled", "speed": 1})
    answer = floor.send("POST", "/admin/clock/step", b'{"seconds": 1}')
    assert answer.status == 422
    assert "only a stepped one" in answer.message
    with pytest.raises(TypeError, match="only a stepped one"):
        floor.simulator.step(timedelta(seconds=1))


def test_when_the_calendar_has_run_out_every_request_says_so() -> None:
    class Broken:
        mode = "real"

        def now(self):  # type: ignore[no-untyped-def]  # stands for a clock beyond the calendar
            return Floor().exchange.calendar.sessions[-1].closes_at

    floor = Floor()
    floor.simulator.rest.clock = Broken()  # type: ignore[assignment]
    floor.get("/healthz")
    assert floor.get("/v2/clock").status == 503


def test_every_order_received_is_in_the_log_with_how_it_was_answered() -> None:
    floor = Floor()
    floor.buy("SPY", 1, client_order_id="a")
    floor.buy("SPY", 1, client_order_id="a")
    floor.buy("SPY", 10**6, client_order_id="b")
    floor.send("POST", "/v2/orders", b"nonsense")
    for account in ("paper", str(next(iter(floor.exchange.accounts)))):
        log = floor.get(f"/admin/accounts/{account}/requests").body
        assert log["received"] == 4
        assert [(e["client_order_id"], e["status"], e["code"]) for e in log["requests"]] == [
            ("a", 200, None),
            ("a", 422, 40010001),
            ("b", 403, 40310000),
            (None, 400, 40010000),
        ]
    assert len(floor.get("/admin/accounts/paper/orders").body) == 1


def test_the_log_of_orders_received_is_bounded_and_still_counts() -> None:
    floor = Floor(limits={"requests_kept": 2})
    for number in range(5):
        floor.buy("SPY", 1, client_order_id=str(number))
    log = floor.get("/admin/accounts/paper/requests").body
    assert (log["received"], log["kept"]) == (5, 2)
    assert [entry["number"] for entry in log["requests"]] == [4, 5]


# -- whatever is sent ---------------------------------------------------------------------------

names = st.sampled_from(
    [
        "account", "clock", "calendar", "assets", "orders", "orders:by_client_order_id", "positions", "stocks",
        "bars", "quotes", "trades", "latest", "SPY", UNKNOWN_ID, "", "..", "%00", "%ff", "watchlists", "é",
    ]
)  # fmt: skip
paths = st.one_of(
    st.lists(names, max_size=4).map(lambda parts: "/v2/" + "/".join(parts)),
    st.sampled_from(["/healthz", "/admin/state", "/admin/clock/step", "/admin/accounts/paper/requests"]),
    st.text(max_size=20).map(lambda text: "/" + text),
)
parameters = st.sampled_from(
    [
        "symbols", "timeframe", "start", "end", "limit", "page_token", "sort", "status", "after", "until",
        "direction", "side", "qty", "percentage", "cancel_orders", "client_order_id", "feed",
    ]
)  # fmt: skip
odd_texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["SPY", "1Min", "1Day", "2026-03-02", "0001-01-01", "9999-12-31T23:59:59Z", "2026-03-02T25:00", "1e5", "-1"]
    ),
)
queries = st.dictionaries(parameters, odd_texts, max_size=4)
odd_values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    odd_texts,
    st.just([]),
    st.just({}),
)
order_bodies = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(st.just(value), odd_values)
        for name, value in {**MARKET_BUY, "limit_price": "5", "client_order_id": "x", "seconds": 1}.items()
    },
).map(lambda fields: json.dumps(fields).encode())
bodies = st.one_of(order_bodies, order_bodies, st.binary(max_size=30))

FUZZED = Floor()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["GET", "POST", "DELETE", "PATCH", "PUT", "HEAD"]), paths, queries, bodies)
def test_whatever_is_sent_is_answered_in_alpacas_shape(
    method: str, path: str, query: dict[str, str], body: bytes
) -> None:
    answer = FUZZED.send(method, path, body, **query)
    assert answer.status in {200, 204, 207, 400, 401, 403, 404, 413, 422, 501}
    if answer.status >= 400:
        assert isinstance(answer.message, str)
        assert answer.code is None or isinstance(answer.code, int)


@settings(max_examples=300, deadline=None)
@given(order_bodies)
def test_whatever_order_is_sent_is_accepted_or_refused(body: bytes) -> None:
    answer = FUZZED.send("POST", "/v2/orders", body)
    assert answer.status in {200, 403, 422}


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_path_and_query_can_be_taken_apart(path: str, query: str) -> None:
    request = Request("GET", path, query)
    assert request.segments
    assert isinstance(request.parameters, dict)
