"""A session's record: what was covered, traded and earned, closed once, the same after a restart in its middle."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from builders import OPEN, a_clock, a_config, a_position, a_snapshot, a_word, at, bars, evaluated
from tradingbot_api import SessionReport
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.orders import Fill, Order
from tradingbot_runtime.core.records import PutSession
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.report import instant
from tradingbot_runtime.core.values import BrokerPosition, MarketClock
from tradingbot_runtime.strategies.momentum import Momentum

RISING = {"AAPL": [100, 101, 103], "MSFT": [300, 299, 298]}
CLOSE = 390.0


class Day:
    """A bot in one session, with a volume that survives it."""

    def __init__(self, volume: "Day | None" = None) -> None:
        self.orders: dict[str, Order] = dict(volume.orders) if volume else {}
        self.fills: list[Fill] = list(volume.fills) if volume else []
        self.checkpoints: dict[str, str] = dict(volume.checkpoints) if volume else {}
        self.closed: list[SessionReport] = list(volume.closed) if volume else []
        recovered = Recovered(tuple(self.orders.values()), tuple(self.fills), None, self.checkpoints)
        self.engine = Engine(a_config(), Momentum.from_parameters({"lookback": 2, "max_weight": 0.2}), recovered)
        self.second = volume.second + 60 if volume else 0.0
        self.minute = volume.minute if volume else -5.0

    def tell(self, event: seen.Event, seconds: float = 1) -> list[do.Command]:
        self.second += seconds
        now = at(self.second, self.minute)
        commands = evaluated(self.engine, self.engine.handle(event, now), now)
        for command in commands:
            for change in command.changes if isinstance(command, do.Journal) else ():
                match change:
                    case do.PutOrder(order):
                        self.orders[order.client_order_id] = order
                    case do.PutFill(fill):
                        self.fills.append(fill)
                    case do.PutCheckpoint(name, document):
                        self.checkpoints[name] = document
                    case PutSession(session):
                        self.closed.append(SessionReport.model_validate(json.loads(session.payload)))
        return commands

    def clock(self, minute: float, seconds: float = 1) -> list[do.Command]:
        self.minute = minute
        clock = a_clock(minute, is_open=0 <= minute % 1440 < CLOSE)
        days = int(minute // 1440)
        commands = self.tell(
            seen.ClockRead(MarketClock(clock.timestamp, clock.is_open, clock.next_open, a_close(days))), seconds
        )
        if do.ReadBars() in commands and not clock.is_open:
            commands += self.closing_bars()
        return commands

    def closing_bars(self) -> list[do.Command]:
        """What the broker's data say after a close."""
        close = OPEN + timedelta(minutes=self.minute)
        return self.tell(seen.BarsClosed(close, {}, close))

    def start(self, *positions: BrokerPosition) -> "Day":
        self.clock(self.minute)
        self.tell(seen.StreamConnected())
        self.snapshot(*positions)
        return self

    def snapshot(self, *positions: BrokerPosition) -> list[do.Command]:
        return self.tell(seen.SnapshotTaken(a_snapshot(positions), at(self.second).machine))

    def run(self, first: float, last: float, step: float = 5) -> None:
        minute = first
        while minute <= last:
            self.clock(minute)
            minute += step

    def trade(self, price: str = "103.51") -> Order:
        moment = OPEN + timedelta(minutes=self.minute)
        commands = self.tell(seen.BarsClosed(moment - timedelta(minutes=5), bars(RISING, moment), moment))
        (order,) = [command.order for command in commands if isinstance(command, do.SubmitOrder)]
        self.tell(seen.SubmitAcknowledged(a_word(order, "new")))
        self.tell(seen.TradeUpdate("fill", a_word(order, "filled", str(order.qty), price)))
        return order


def a_close(days: int) -> Any:
    return OPEN + timedelta(days=days, minutes=CLOSE)


def worth(price: str, qty: str = "19") -> BrokerPosition:
    return replace(a_position("AAPL", qty, price), market_value=Decimal(qty) * Decimal(price))


def a_traded_day() -> Day:
    day = Day().start()
    day.run(0, 10)
    day.trade()
    day.run(15, 385)
    return day


def test_a_session_is_closed_once_after_its_books_were_compared() -> None:
    day = a_traded_day()
    assert any(isinstance(command, do.TakeSnapshot) for command in day.clock(CLOSE))
    assert day.closed == []
    day.snapshot(worth("110"))
    day.clock(CLOSE + 5)
    day.snapshot(worth("110"))
    (report,) = day.closed
    assert (report.session, report.closed_normally, report.starts) == ("2026-03-02", True, 1)
    assert report.coverage_percent == 100
    assert (report.orders, report.filled_orders, report.fills, report.rejected_orders) == (1, 1, 1, 0)
    assert report.pnl == (Decimal("110") - Decimal("103.51")) * 19
    assert report.return_percent == (report.pnl / 100).quantize(Decimal("0.0001"))
    assert report.shadow_return_percent == Decimal("1.33")  # 19 shares from 103 to 110 on 10,000
    assert report.slippage_bps == Decimal("49.51")  # 51 cents on 103 dollars
    assert report.fill_rate_percent == 100
    assert report.turnover == Decimal("1966.69")
    assert report.operations > 0


@pytest.mark.parametrize(("late", "worth_then"), [(5, "115"), (90, "110")])
def test_a_session_is_worth_what_it_was_at_its_close_and_not_what_the_evening_makes_of_it(
    late: int, worth_then: str
) -> None:
    day = Day().start()
    day.run(0, 10)
    day.trade()
    day.run(15, 380)
    day.snapshot(worth("110"))
    day.clock(385)
    day.snapshot(worth("112"))  # nobody knows whether that was before or after the close
    day.clock(CLOSE + late)
    day.snapshot(worth("115"))
    (report,) = day.closed
    assert report.pnl == (Decimal(worth_then) - Decimal("103.51")) * 19
    day.snapshot(worth("120"))
    next_day = 24 * 60
    day.run(next_day, next_day + 385)
    day.clock(next_day + CLOSE)
    day.snapshot(worth("121"))
    assert day.closed[1].pnl == (Decimal("121") - Decimal(worth_then)) * 19  # from close to close


def test_the_close_of_a_bar_of_the_session_is_a_price_of_the_session() -> None:
    day = Day().start()
    day.run(0, 10)
    day.trade()
    day.run(15, 385)
    moment = OPEN + timedelta(minutes=385)
    day.tell(seen.BarsClosed(moment - timedelta(minutes=5), bars({"AAPL": ["100", "108"]}, moment), moment))
    day.clock(CLOSE + 90)
    day.snapshot(worth("115"))
    assert day.closed[0].pnl == (Decimal("108") - Decimal("103.51")) * 19


class Closes(Day):
    """A day whose last bar can be read, but only a moment after the close."""

    closes_at = "109"

    def closing_bars(self) -> list[do.Command]:
        close = OPEN + timedelta(minutes=CLOSE)
        self.tell(seen.BarsClosed(close, bars({"AAPL": [100, 101]}, close - timedelta(minutes=5)), close))  # too early
        return []

    def last_bar(self) -> None:
        close = OPEN + timedelta(minutes=CLOSE)
        self.tell(seen.BarsClosed(close, bars({"AAPL": [100, 109]}, close), close))


def test_the_closing_prices_are_those_of_the_last_bar_whatever_came_first() -> None:
    for bars_first in (True, False):
        day = Closes().start()
        day.run(0, 10)
        day.trade()
        day.run(15, 385)
        day.clock(CLOSE + 1)
        if bars_first:
            day.last_bar()
            assert not day.closed
        day.snapshot(worth("115"))
        if not bars_first:
            assert not day.closed
            day.last_bar()
        (report,) = day.closed
        assert report.closed_normally
        assert report.pnl == (Decimal("109") - Decimal("103.51")) * 19


def test_closing_prices_that_never_come_are_not_waited_for_for_ever() -> None:
    day = Closes().start()
    day.run(0, 10)
    day.trade()
    day.run(15, 385)
    day.clock(CLOSE + 1)
    day.snapshot(worth("115"))
    assert not day.closed
    day.clock(CLOSE + 2, seconds=25)
    (report,) = day.closed
    assert report.closed_normally
    assert report.pnl == (Decimal("115") - Decimal("103.51")) * 19


def test_a_bot_that_was_away_over_night_begins_at_the_prices_it_finds() -> None:
    day = a_traded_day()
    day.clock(CLOSE)
    day.snapshot(worth("110"))
    next_day = 24 * 60
    day.clock(next_day - 5, seconds=3600)
    day.snapshot(worth("118"))
    day.run(next_day, next_day + 385)
    day.clock(next_day + CLOSE)
    day.snapshot(worth("118"))
    assert day.closed[1].pnl == 0


def test_a_restart_in_the_middle_changes_what_was_traded_in_nothing() -> None:
    first = Day().start()
    first.run(0, 10)
    first.trade()
    first.run(15, 195)
    again = Day(first).start(worth("103.51"))
    again.run(200, 385)
    again.clock(CLOSE)
    again.snapshot(worth("110"))
    (report,) = again.closed
    whole = a_traded_day()
    whole.clock(CLOSE)
    whole.snapshot(worth("110"))
    (same,) = whole.closed
    fields = ("orders", "filled_orders", "fills", "pnl", "slippage_bps", "turnover", "shadow_return_percent")
    assert {name: getattr(report, name) for name in fields} == {name: getattr(same, name) for name in fields}
    assert report.starts == 2
    assert 95 < report.coverage_percent < 100


def test_time_without_the_broker_is_not_covered() -> None:
    day = Day().start()
    day.run(0, 100)
    day.tell(seen.StreamLost("reset"))
    day.run(105, 200)
    day.tell(seen.StreamConnected())
    day.snapshot()
    day.run(205, 385)
    day.clock(CLOSE)
    day.snapshot()
    assert 70 < day.closed[0].coverage_percent < 75
    assert day.closed[0].operational_errors == 1


def test_a_long_silence_of_the_machine_is_not_covered() -> None:
    day = Day().start()
    day.run(0, 100)
    day.clock(300, seconds=31)
    day.run(305, 385)
    day.clock(CLOSE)
    day.snapshot()
    assert 45 < day.closed[0].coverage_percent < 50


def test_a_session_whose_end_was_not_seen_is_closed_as_such_when_the_next_one_comes() -> None:
    day = Day().start()
    day.run(0, 100)
    later = Day(day)
    later.minute = 1440
    later.start()
    later.run(1441, 1450)
    (report,) = later.closed
    assert (report.session, report.closed_normally) == ("2026-03-02", False)
    assert report.coverage_percent < 30


def test_the_coverage_of_a_bot_that_starts_late_counts_from_there() -> None:
    day = Day()
    day.minute = 195
    day.start()
    day.run(195, 385)
    day.clock(CLOSE)
    day.snapshot()
    assert day.closed[0].coverage_percent == 50


def test_a_session_says_when_the_bot_first_saw_it_open_also_after_a_restart() -> None:
    day = Day().start()
    day.clock(0)
    began_at = instant(at(day.second).machine)
    day.run(5, 100)
    again = Day(day).start()
    again.run(105, 385)
    again.clock(CLOSE)
    again.snapshot()
    (report,) = again.closed
    assert (report.began_at, report.starts) == (began_at, 2)


def test_a_checkpoint_of_an_older_version_says_nothing_of_it() -> None:
    day = Day().start()
    day.run(0, 100)
    document = json.loads(day.checkpoints["session"])
    del document["running"]["began_at"]
    day.checkpoints["session"] = json.dumps(document)
    again = Day(day).start()
    again.run(105, 385)
    again.clock(CLOSE)
    again.snapshot()
    assert again.closed[0].began_at == ""
    older = again.closed[0].model_dump(mode="json", by_alias=True, exclude={"began_at"})
    assert SessionReport.model_validate(older) == again.closed[0]


def evening(minute: float) -> MarketClock:
    """The broker's clock after a close: the next session is tomorrow's."""
    clock = a_clock(minute, is_open=False)
    return MarketClock(clock.timestamp, False, OPEN + timedelta(days=1), a_close(1))


@pytest.mark.parametrize("is_ending", [False, True])
def test_what_is_filled_at_the_open_before_our_clock_has_seen_it_belongs_to_the_session(is_ending: bool) -> None:
    day = Day().start()
    day.run(0, 385)
    day.minute = CLOSE - 1
    moment = OPEN + timedelta(minutes=day.minute)
    commands = day.tell(seen.BarsClosed(moment - timedelta(minutes=5), bars(RISING, moment), moment))
    (order,) = [command.order for command in commands if isinstance(command, do.SubmitOrder)]
    day.tell(seen.SubmitAcknowledged(a_word(order, "accepted")))
    day.clock(CLOSE)
    day.snapshot()
    if not is_ending:
        day.tell(seen.ClockRead(evening(CLOSE + 5)), seconds=30)
        day.snapshot()
        assert [report.session for report in day.closed] == ["2026-03-02"]
    day.tell(seen.ClockRead(evening(CLOSE + 30)), seconds=0.1)
    the_open = OPEN + timedelta(days=1)
    day.tell(seen.TradeUpdate("fill", a_word(order, "filled", str(order.qty), "103.51", filled_at=the_open)))
    (first,) = day.closed
    assert (first.orders, first.filled_orders, first.fills, first.pnl) == (1, 0, 0, 0)
    day.run(1440 + 5, 1440 + 385)
    assert day.fills[0].at == the_open
    day.clock(1440 + CLOSE)
    day.snapshot(worth("110", str(order.qty)))
    day.clock(1440 + CLOSE + 5, seconds=30)
    day.snapshot(worth("110", str(order.qty)))
    second = day.closed[-1]
    assert (second.session, second.orders, second.filled_orders, second.fills) == ("2026-03-03", 0, 1, 1)
    assert second.turnover == order.qty * Decimal("103.51")
    assert second.pnl == order.qty * (Decimal("110") - Decimal("103.51"))


def test_a_fill_of_the_evening_begins_no_session() -> None:
    day = a_traded_day()
    day.clock(CLOSE)
    day.tell(seen.ClockRead(evening(CLOSE + 5)))
    (order,) = day.orders.values()
    late = a_word(order, "filled", str(order.qty), "103.51", filled_at=OPEN + timedelta(minutes=CLOSE + 3))
    assert day.tell(seen.TradeUpdate("fill", late)) == []


def test_what_the_broker_tells_of_others_begins_no_session() -> None:
    day = a_traded_day()
    day.clock(CLOSE)
    day.snapshot(worth("110"))
    day.tell(seen.ClockRead(evening(CLOSE + 5)), seconds=30)
    (order,) = day.orders.values()
    stranger = a_word(order, "filled", "1", "103", client_order_id="somebody-else", broker_id="theirs")
    for at_open in (OPEN + timedelta(days=1), OPEN + timedelta(days=400)):
        day.tell(seen.TradeUpdate("fill", replace(stranger, filled_at=at_open)))
    progress = json.loads(day.checkpoints["session"])
    assert progress["running"] is None
