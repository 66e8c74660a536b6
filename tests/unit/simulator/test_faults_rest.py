"""What each fault of a REST request does to the client, and what the exchange knows of it."""

from __future__ import annotations

import json

import pytest
import requests

from unit.simulator.faulty_floor import FaultyFloor

ORDERS = {"route": "POST /v2/orders"}


def test_a_status_comes_with_alpacas_body_or_without_a_code_and_the_exchange_sees_nothing() -> None:
    floor = FaultyFloor()
    floor.fault("status", status=403, code=40310000, message="insufficient buying power", match=ORDERS, count=1)
    floor.fault("status", status=500, message="boom", match=ORDERS, count=1)
    coded, codeless = floor.client_order("a"), floor.client_order("b")
    assert (coded.status_code, coded.json()) == (403, {"code": 40310000, "message": "insufficient buying power"})
    assert (codeless.status_code, codeless.json()) == (500, {"message": "boom"})
    assert floor.orders() == []


def test_latency_fails_a_client_that_does_not_wait_so_long_though_the_exchange_has_the_order() -> None:
    floor = FaultyFloor()
    floor.fault("latency", seconds=5, match=ORDERS)
    order = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    with pytest.raises(requests.ReadTimeout):
        floor.client("POST", "/v2/orders", timeout=2, json=order)
    assert floor.client("POST", "/v2/orders", timeout=6, json=order).status_code == 200
    assert floor.waited == [2, 5]
    assert len(floor.orders()) == 2


def test_slow_bytes_take_their_time_and_a_timeout_between_bytes_does_not_notice() -> None:
    floor = FaultyFloor()
    floor.fault("slow_bytes", bytes_per_second=10)
    answer = floor.client("GET", "/v2/clock", timeout=1)
    assert answer.json()["is_open"] is True
    assert sum(floor.waited) == pytest.approx(len(answer.content) / 10)
    floor.delete("/admin/faults")
    floor.fault("slow_bytes", bytes_per_second=0.5)
    with pytest.raises(requests.ConnectionError):
        floor.client("GET", "/v2/clock", timeout=1)


@pytest.mark.parametrize("reaches_exchange", [False, True])
def test_a_hang_lasts_until_the_client_gives_up(reaches_exchange: bool) -> None:
    floor = FaultyFloor()
    floor.fault("hang", match=ORDERS, reaches_exchange=reaches_exchange, at_most_seconds=30)
    with pytest.raises(requests.ReadTimeout):
        floor.client_order("a")
    assert floor.orders() == (["a"] if reaches_exchange else [])


def test_a_hang_ends_with_a_reset_for_a_client_that_never_gives_up() -> None:
    floor = FaultyFloor()
    floor.fault("hang", at_most_seconds=30)
    with pytest.raises(requests.ConnectionError) as broken:
        floor.client("GET", "/v2/account", timeout=None)
    assert not isinstance(broken.value, requests.Timeout)
    assert floor.waited == [30]


@pytest.mark.parametrize(("kind", "there"), [("reset_before", []), ("reset_after", ["a"])])
def test_a_reset_before_leaves_no_order_and_a_reset_after_leaves_one(kind: str, there: list[str]) -> None:
    floor = FaultyFloor()
    floor.fault(kind, match=ORDERS, count=1)
    with pytest.raises(requests.ConnectionError, match="Connection reset"):
        floor.client_order("a")
    assert floor.orders() == there


def test_an_order_whose_answer_was_lost_cannot_be_sent_again() -> None:
    floor = FaultyFloor()
    floor.fault("reset_after", match=ORDERS, count=1)
    with pytest.raises(requests.ConnectionError):
        floor.client_order("a")
    again = floor.client_order("a")
    assert (again.status_code, again.json()["code"]) == (422, 40010001)


def test_a_gateway_timeout_comes_after_the_order_was_accepted() -> None:
    floor = FaultyFloor()
    floor.fault("timeout_after", match=ORDERS, count=1)
    assert floor.client_order("a").status_code == 504
    assert floor.orders() == ["a"]


def test_truncated_json_does_not_parse() -> None:
    floor = FaultyFloor()
    floor.fault("truncated_json", fraction=0.4, match={"route": "GET /v2/account"})
    whole = floor.get("/v2/account").raw.body
    answer = floor.client("GET", "/v2/account")
    assert (answer.status_code, answer.content) == (200, whole[: int(len(whole) * 0.4)])
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_body_that_ends_before_its_promised_length_breaks_the_connection() -> None:
    floor = FaultyFloor()
    floor.fault("truncated_json", honest_length=False)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        floor.client("GET", "/v2/account")


def test_an_empty_body_comes_with_the_right_status() -> None:
    floor = FaultyFloor()
    floor.fault("empty_body", match=ORDERS)
    answer = floor.client_order("a")
    assert (answer.status_code, answer.content) == (200, b"")
    assert floor.orders() == ["a"]


def test_an_html_page_comes_where_json_is_expected() -> None:
    floor = FaultyFloor()
    floor.fault("html_error", status=502)
    answer = floor.client("GET", "/v2/account")
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")
    assert answer.text.startswith("<html>")


def test_an_injected_rate_limit_tells_when_to_come_back_or_nothing_at_all() -> None:
    floor = FaultyFloor()
    floor.fault("rate_limit", retry_after_seconds=7, count=1)
    floor.fault("rate_limit", headers=False, count=1)
    told, bare = floor.client("GET", "/v2/account"), floor.client("GET", "/v2/account")
    assert [(one.status_code, one.json()["code"]) for one in (told, bare)] == [(429, 42910000)] * 2
    assert told.headers["Retry-After"] == "7"
    assert told.headers["X-Ratelimit-Reset"] == str(int(floor.now.timestamp()) + 7)
    assert not {"Retry-After", "X-Ratelimit-Limit"} & set(bare.headers)


def test_keys_expire_in_mid_day_and_work_again_later() -> None:
    floor = FaultyFloor()
    floor.fault("expired_keys", match={"account": "paper"}, since="2026-03-02T17:01:00Z", until="2026-03-02T17:02:00Z")
    assert floor.client("GET", "/v2/account").status_code == 200
    floor.step(60)
    trading, data = floor.client("GET", "/v2/account"), floor.client("GET", "/v2/stocks/quotes/latest?symbols=SPY")
    assert (trading.status_code, trading.json()["code"]) == (401, 40110000)
    assert (data.status_code, "code" in data.json()) == (401, False)
    floor.step(60)
    assert floor.client("GET", "/v2/account").status_code == 200


def test_columns_of_market_data_are_missing_or_null() -> None:
    floor = FaultyFloor()
    bars = "/v2/stocks/bars?symbols=SPY&timeframe=1Min&limit=3"
    floor.fault("bad_columns", columns=["v", "o"], count=1)
    floor.fault("bad_columns", columns=["v"], how="null", count=1)
    missing, null, right = (floor.client("GET", bars).json()["bars"]["SPY"] for _ in range(3))
    assert all(not {"v", "o"} & bar.keys() for bar in missing)
    assert all(bar["v"] is None and bar["o"] for bar in null)
    assert all(bar["v"] for bar in right)
    assert len(missing) == len(null) == len(right) == 3


def test_a_fault_that_the_exchange_never_saw_is_not_counted_as_a_request() -> None:
    floor = FaultyFloor()
    floor.fault("reset_before", match=ORDERS)
    with pytest.raises(requests.ConnectionError):
        floor.client_order("a")
    assert floor.get("/admin/accounts/paper/requests").body["received"] == 0


def test_what_was_injected_is_logged_with_its_market_time() -> None:
    floor = FaultyFloor()
    rule_id = floor.fault("status", status=503, count=1)
    floor.step(5)
    floor.client("GET", "/v2/account")
    (line,) = floor.log()
    assert line == {
        "number": 1,
        "time": "2026-03-02T17:00:05Z",
        "id": rule_id,
        "kind": "status",
        "account": "paper",
        "what": "GET /v2/account",
    }
    assert json.loads(floor.get(f"/admin/faults/{rule_id}").raw.body)["injected"] == 1
