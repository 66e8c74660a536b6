"""How many requests an account may send, on a stepped clock and on one that runs by itself."""

from __future__ import annotations

from typing import Any

from alpaca_simulator.simulator import MachineTime, stepped
from unit.simulator.faulty_floor import FaultyFloor
from unit.simulator.floor import LIVE, MONDAY_NOON, PAPER


def limited(limit: int = 3, **more: Any) -> FaultyFloor:
    return FaultyFloor(limits={"requests_per_minute": limit}, **more)


def asked(floor: FaultyFloor, times: int = 1, path: str = "/v2/account") -> list[int]:
    return [floor.client("GET", path).status_code for _ in range(times)]


def test_alpacas_limit_is_the_default_and_every_answer_tells_what_is_left() -> None:
    floor = FaultyFloor()
    first, second = floor.client("GET", "/v2/account"), floor.client("DELETE", "/v2/orders/no-such-order")
    for answer, remaining in ((first, "199"), (second, "198")):
        assert answer.headers["X-Ratelimit-Limit"] == "200"
        assert answer.headers["X-Ratelimit-Remaining"] == remaining
        assert answer.headers["X-Ratelimit-Reset"] == str(int(floor.now.timestamp()) + 60)
        assert answer.headers["Date"] == "Mon, 02 Mar 2026 17:00:00 GMT"
    assert second.status_code == 422


def test_one_request_too_many_is_a_429_in_the_words_of_each_api() -> None:
    floor = limited()
    quotes = "/v2/stocks/quotes/latest?symbols=SPY"
    assert asked(floor, 3) + asked(floor, 3, quotes) == [200] * 6
    trading, data = floor.client("GET", "/v2/account"), floor.client("GET", quotes)
    assert (trading.status_code, trading.json()) == (429, {"code": 42910000, "message": "rate limit exceeded"})
    assert (data.status_code, data.json()) == (429, {"message": "too many requests."})
    assert trading.headers["X-Ratelimit-Remaining"] == data.headers["X-Ratelimit-Remaining"] == "0"


def test_an_order_over_the_limit_never_reaches_the_exchange() -> None:
    floor = limited(1)
    assert floor.client_order("a").status_code == 200
    assert floor.client_order("b").status_code == 429
    assert floor.orders() == ["a"]


def test_the_count_begins_anew_a_minute_of_market_time_after_its_first_request() -> None:
    floor = limited()
    floor.step(40)
    assert asked(floor, 4) == [200, 200, 200, 429]
    floor.step(59)
    assert asked(floor) == [429]
    floor.step(1)
    assert asked(floor, 4) == [200, 200, 200, 429]


def test_a_running_clock_counts_by_the_machines_time() -> None:
    seconds = [1_000_000.0]
    machine = MachineTime(lambda: seconds[0], lambda: seconds[0])
    floor = limited(machine=machine, clock={"mode": "scaled", "start": MONDAY_NOON, "speed": 600})
    assert asked(floor, 4) == [200, 200, 200, 429]
    seconds[0] += 59
    answer = floor.client("GET", "/v2/account")
    assert (answer.status_code, answer.headers["X-Ratelimit-Reset"]) == (429, "1000060")
    seconds[0] += 1
    assert asked(floor) == [200]


def test_a_machine_clock_that_is_set_back_does_not_lock_an_account_out() -> None:
    seconds = [1_000_000.0]
    machine = MachineTime(lambda: seconds[0], lambda: seconds[0])
    floor = limited(machine=machine, clock={"mode": "scaled", "start": MONDAY_NOON, "speed": 1})
    assert asked(floor, 4) == [200, 200, 200, 429]
    seconds[0] -= 100_000
    assert asked(floor) == [200]


def test_accounts_are_counted_apart_and_wrong_keys_not_at_all() -> None:
    floor = limited()
    assert asked(floor, 4)[-1] == 429
    floor.keys = LIVE
    assert asked(floor) == [200]
    floor.keys = {**PAPER, "APCA-API-SECRET-KEY": "wrong"}
    answer = floor.client("GET", "/v2/account")
    assert answer.status_code == 401
    assert "X-Ratelimit-Limit" not in answer.headers


def test_without_a_limit_nothing_is_counted_or_told() -> None:
    floor = limited(0)
    assert asked(floor, 300) == [200] * 300
    assert "X-Ratelimit-Limit" not in floor.client("GET", "/v2/account").headers
    assert stepped(MONDAY_NOON).config.limits.requests_per_minute == 0


def test_the_admin_api_and_health_are_not_limited() -> None:
    floor = limited(1)
    assert asked(floor, 3, "/healthz") + asked(floor, 3, "/admin/state") == [200] * 6
