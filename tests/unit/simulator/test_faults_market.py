"""Faults of market data and of fills: what is told is spoilt, what is traded on is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from unit.simulator.faulty_floor import FaultyFloor


def bars(floor: FaultyFloor, **query: object) -> list[Any]:
    answer = floor.client("GET", "/v2/stocks/bars", params={"symbols": "SPY", "timeframe": "1Min", **query})
    assert answer.status_code == 200
    found: list[Any] = answer.json()["bars"]["SPY"]
    return found


def true_bars(**query: object) -> list[Any]:
    return bars(FaultyFloor(), **query)


def latest(floor: FaultyFloor, what: str = "quotes", symbol: str = "SPY") -> Any:
    return floor.get(f"/v2/stocks/{what}/latest", symbols=symbol).body[what][symbol]


def test_quotes_stand_still_as_of_the_moment_the_rule_was_added() -> None:
    floor = FaultyFloor()
    floor.fault("stale_quotes", match={"symbol": "SPY"})
    before, other = latest(floor), latest(floor, symbol="AAPL")
    floor.step(600)
    assert latest(floor) == before
    assert latest(floor, symbol="AAPL") != other
    assert latest(floor, "trades")["t"] != before["t"]


def test_quotes_and_trades_stand_still_as_of_a_time_before() -> None:
    floor = FaultyFloor()
    truth = latest(floor)
    floor.step(600)
    floor.fault("stale_quotes", frozen_at="2026-03-02T17:00:00Z", trades=True)
    assert latest(floor) == truth
    assert latest(floor, "trades")["t"].startswith("2026-03-02T17:00:00")


def test_orders_trade_at_the_true_market_while_quotes_stand_still() -> None:
    floor, honest = FaultyFloor(), FaultyFloor()
    floor.fault("stale_quotes")
    fills = []
    for one in (floor, honest):
        one.step(3600)
        one.client_order("a")
        one.step(1)
        fills.append(one.get("/v2/orders:by_client_order_id", client_order_id="a").body["filled_avg_price"])
    assert fills[0] == fills[1]


@pytest.mark.parametrize(
    ("shape", "absurd"),
    [
        ("zero", lambda quote, true: quote["bp"] == 0),
        ("crossed", lambda quote, true: quote["bp"] > quote["ap"]),
        ("jump", lambda quote, true: quote["ap"] == pytest.approx(100 * true["ap"])),
    ],
)
def test_absurd_quotes_are_absurd(shape: str, absurd: Any) -> None:
    floor = FaultyFloor()
    true = latest(floor)
    floor.fault("absurd_quotes", shape=shape, count=1)
    assert absurd(latest(floor), true)
    assert latest(floor) == true


def test_some_bars_are_missing_and_always_the_same_ones() -> None:
    floor, truth = FaultyFloor(), true_bars()
    floor.fault("missing_bars", fraction=0.25)
    first, again = bars(floor), bars(floor)
    assert first == again
    assert 0.6 * len(truth) < len(first) < 0.9 * len(truth)
    assert [one for one in truth if one in first] == first


def test_only_bars_of_the_hours_asked_for_are_missing() -> None:
    floor = FaultyFloor()
    floor.fault("missing_bars", since_bar="2026-03-02T15:00:00Z", until_bar="2026-03-02T15:30:00Z")
    gone = [one["t"] for one in true_bars() if one not in bars(floor)]
    assert (gone[0], gone[-1], len(gone)) == ("2026-03-02T15:00:00Z", "2026-03-02T15:29:00Z", 30)


def test_bars_come_twice() -> None:
    floor, truth = FaultyFloor(), true_bars(limit=50)
    floor.fault("duplicated_bars", fraction=0.2)
    doubled = bars(floor, limit=50)
    assert len(truth) < len(doubled) < 2 * len(truth)
    assert sorted({one["t"] for one in doubled}) == [one["t"] for one in truth]
    assert [one["t"] for one in doubled] == sorted(one["t"] for one in doubled)


def test_bars_come_out_of_order() -> None:
    floor, truth = FaultyFloor(), true_bars(limit=6)
    floor.fault("out_of_order_bars")
    times = [one["t"] for one in truth]
    swapped = [times[1], times[0], times[3], times[2], times[5], times[4]]
    assert [one["t"] for one in bars(floor, limit=6)] == swapped


@pytest.mark.parametrize(
    ("shape", "absurd"),
    [
        ("negative", lambda bar, true: bar["o"] < 0 and bar["l"] <= bar["h"]),
        ("zero", lambda bar, true: bar["o"] == bar["h"] == bar["l"] == bar["c"] == 0),
        ("high_below_low", lambda bar, true: bar["h"] < bar["l"]),
        ("jump", lambda bar, true: bar["c"] == pytest.approx(100 * true["c"])),
        ("huge_volume", lambda bar, true: bar["v"] >= 100_000 * true["v"] > 0),
    ],
)
def test_absurd_bars_are_absurd_in_one_answer_and_right_in_the_next(shape: str, absurd: Any) -> None:
    floor, truth = FaultyFloor(), true_bars(limit=20)
    floor.fault("absurd_bars", shape=shape, count=1)
    spoilt = bars(floor, limit=20)
    assert all(absurd(bar, true) for bar, true in zip(spoilt, truth, strict=True))
    assert bars(floor, limit=20) == truth


def test_a_stalled_order_is_filled_in_part_and_later_to_the_end() -> None:
    floor = FaultyFloor()
    floor.fault("partial_fill_stall", fraction=0.5, seconds=600, count=1)
    stalled, free = floor.buy("SPY", 10, client_order_id="stalled"), floor.buy("SPY", 10, client_order_id="free")
    floor.step(5)
    assert [floor.status(one) for one in (stalled, free)] == ["partially_filled", "filled"]
    assert floor.get(f"/v2/orders/{stalled.body['id']}").body["filled_qty"] == "5"
    floor.step(590)
    assert floor.status(stalled) == "partially_filled"
    floor.step(10)
    assert floor.status(stalled) == "filled"
    events = [f"{one.event.value} {one.order.client_order_id}" for one in floor.updates()]
    assert events == ["new stalled", "new free", "partial_fill stalled", "fill free", "fill stalled"]


def test_a_stall_may_begin_before_the_first_share_and_ends_when_the_rule_is_removed() -> None:
    floor = FaultyFloor()
    rule_id = floor.fault("partial_fill_stall", shares=0, seconds=100_000, match={"symbol": "SPY", "account": "paper"})
    order = floor.buy("SPY", 10)
    floor.step(600)
    assert floor.status(order) == "new"
    floor.delete(f"/admin/faults/{rule_id}")
    floor.step(1)
    assert floor.status(order) == "filled"


@pytest.mark.parametrize("steps", [[700], [1] * 5 + [695], [350, 350]])
def test_a_stall_is_the_same_however_finely_the_clock_is_stepped(steps: list[int]) -> None:
    floor = FaultyFloor()
    floor.fault("partial_fill_stall", fraction=0.3, seconds=600)
    floor.buy("SPY", 10, client_order_id="a")
    for seconds in steps:
        floor.step(seconds)
    fills = [(one.at.isoformat(), one.quantity) for one in floor.updates() if one.quantity is not None]
    assert fills == [("2026-03-02T17:00:01+00:00", Decimal(3)), ("2026-03-02T17:10:01+00:00", Decimal(7))]
