"""The engine event by event: what it journals, sends, asks and refuses."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import pandas as pd
import pytest

from builders import (
    OPEN,
    UID,
    a_clock,
    a_config,
    a_position,
    a_snapshot,
    a_word,
    an_order,
    at,
    bars,
    evaluated,
    figures,
)
from tradingbot_api import RuntimeReport, TradingState
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.books import TERMINAL_ORDERS_KEPT
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order, OrderState, client_order_id
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.risk import RiskLedger
from tradingbot_runtime.core.shutdown import EARLY_CHECKS_AT_MOST
from tradingbot_runtime.core.values import BrokerAsset, Side
from tradingbot_runtime.strategies.all_weather import AllWeather
from tradingbot_runtime.strategies.contract import Strategy
from tradingbot_runtime.strategies.momentum import Momentum
from tradingbot_runtime.strategies.momentum_brackets import MomentumBrackets

RISING = {"AAPL": [100, 101, 103], "MSFT": [300, 299, 298]}
FALLING = {"AAPL": [103, 101, 100], "MSFT": [300, 299, 298]}


class Desk:
    """An engine, and the commands it has given so far."""

    def __init__(
        self,
        recovered: Recovered | None = None,
        *,
        watched: bool = False,
        strategy: Strategy[Any] | None = None,
        **config: Any,
    ) -> None:
        momentum = Momentum.from_parameters({"lookback": 2, "max_weight": 0.2})
        self.engine = Engine(a_config(**config), strategy or momentum, recovered or Recovered(), watched=watched)
        self.minute = 0.0
        self.second = 0.0

    def tell(self, event: seen.Event, seconds: float = 0.01) -> list[do.Command]:
        self.second += seconds
        now = at(self.second, self.minute)
        if isinstance(event, seen.SnapshotTaken) and event.asked_at is None:
            event = replace(event, asked_at=now.machine)
        return evaluated(self.engine, self.engine.handle(event, now), now)

    def ready(self, **books: Any) -> "Desk":
        self.tell(seen.ClockRead(a_clock(self.minute)))
        self.tell(seen.StreamConnected())
        self.tell(seen.SnapshotTaken(a_snapshot(**books)))
        assert self.engine.is_ready, self.report()
        return self

    def bar(self, closes: dict[str, Sequence[float]], minutes: float = 5) -> list[do.Command]:
        self.minute += minutes
        asked = self.tell(seen.ClockRead(a_clock(self.minute)))
        if do.ReadBars() not in asked:
            return asked
        frames = bars(closes, OPEN + timedelta(minutes=self.minute))
        return asked + self.tell(seen.BarsClosed(OPEN + timedelta(minutes=self.minute - 5), frames))

    def report(self) -> RuntimeReport:
        return self.engine.report(
            at(self.second, self.minute), version="1", started_at=datetime(2026, 1, 1, tzinfo=UTC)
        )


def of(kind: type[Any], commands: Sequence[do.Command]) -> list[Any]:
    return [command for command in commands if isinstance(command, kind)]


def test_a_bar_becomes_an_order_that_is_journaled_before_it_is_sent() -> None:
    commands = Desk().ready().bar(RISING)
    kinds = [type(command) for command in commands]
    assert kinds.index(do.Journal) < kinds.index(do.SubmitOrder)
    (order,) = [command.order for command in of(do.SubmitOrder, commands)]
    assert (order.symbol, order.side, order.qty, order.limit_price) == (
        "AAPL",
        Side.BUY,
        Decimal(19),
        Decimal("103.10"),
    )
    journaled = [change for entry in of(do.Journal, commands) for change in entry.changes]
    assert do.PutOrder(order) in journaled
    assert order.client_order_id == client_order_id(UID, "paper", 0, 1)


def test_the_same_events_give_the_same_commands() -> None:
    def run() -> list[do.Command]:
        desk = Desk().ready()
        return desk.bar(RISING) + desk.bar(FALLING)

    assert run() == run()


def test_a_bar_is_evaluated_once() -> None:
    desk = Desk().ready()
    desk.bar(RISING)
    assert desk.bar(RISING, minutes=1) == []


def test_a_bar_that_closes_while_another_is_read_is_evaluated_too() -> None:
    desk = Desk().ready()
    desk.minute = 5
    assert do.ReadBars() in desk.tell(seen.ClockRead(a_clock(5)))
    assert do.ReadBars() not in desk.tell(seen.ClockRead(a_clock(10)))
    desk.tell(seen.BarsClosed(OPEN, bars(RISING)))
    assert do.ReadBars() in desk.tell(seen.ClockRead(a_clock(10)))


def test_a_daily_bot_is_asked_once_a_session() -> None:
    desk = Desk(timeframe="1Day").ready()
    assert of(do.SubmitOrder, desk.bar(RISING))
    assert do.ReadBars() not in desk.bar(RISING)
    assert do.ReadBars() in desk.bar(RISING, minutes=24 * 60)


def test_nothing_is_evaluated_while_the_market_is_closed() -> None:
    desk = Desk().ready()
    assert desk.tell(seen.ClockRead(a_clock(5, is_open=False))) == []


def test_a_filled_order_becomes_a_holding_and_the_exit_sells_it() -> None:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    (entry,) = of(do.Journal, desk.tell(seen.TradeUpdate("fill", a_word(order, "filled", "19", "103"))))
    assert [type(change) for change in entry.changes] == [do.PutOrder, do.PutFill]
    assert desk.report().positions[0].qty == 19
    (exit_order,) = [command.order for command in of(do.SubmitOrder, desk.bar(FALLING))]
    assert (exit_order.side, exit_order.qty) == (Side.SELL, 19)
    assert desk.report().filled_orders == 1


def test_an_order_that_goes_the_wrong_way_is_cancelled_before_another_is_sent() -> None:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    commands = desk.bar(FALLING)
    assert of(do.CancelOrder, commands) and not of(do.SubmitOrder, commands)


def test_a_failing_strategy_stops_trading_and_says_why() -> None:
    desk = Desk().ready()
    desk.engine.strategy.targets = lambda frames: pd.DataFrame()  # type: ignore[method-assign]
    commands = desk.bar(RISING)
    assert [notice.name for notice in of(do.Notice, commands)] == ["strategy_failed"]
    assert desk.report().reason == "StrategyFailed"


def test_bars_that_could_not_be_read_are_asked_for_again() -> None:
    desk = Desk().ready()
    desk.minute = 5
    assert do.ReadBars() in desk.tell(seen.ClockRead(a_clock(5)))
    assert desk.tell(seen.ClockRead(a_clock(5))) == []
    desk.tell(seen.BarsFailed("timeout"))
    assert do.ReadBars() in desk.tell(seen.ClockRead(a_clock(5)))


def test_without_any_bars_nothing_is_traded_and_it_is_said() -> None:
    commands = Desk().ready().bar({})
    assert [notice.name for notice in of(do.Notice, commands)] == ["data_quality", "data_quality", "data_halt"]


# ---------------------------------------------------------------- doubt


def doubtful() -> tuple[Desk, Order]:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    return desk, order


def test_in_doubt_is_asked_and_never_sent_again() -> None:
    desk, order = doubtful()
    commands = desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout"))
    assert of(do.QueryOrder, commands) and not of(do.SubmitOrder, commands)
    assert desk.bar(RISING) and not of(do.SubmitOrder, desk.bar(RISING))
    again = desk.tell(seen.SubmitInDoubt(order.client_order_id, "still no answer"))
    assert [query.after_seconds for query in of(do.QueryOrder, again)] == [2.0]


def test_unknown_is_believed_only_long_after_the_last_attempt_and_several_times_over() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout"))
    for _ in range(5):  # every answer within the minute in which the request may still be on its way
        assert of(do.QueryOrder, desk.tell(seen.QueryAnswered(order.client_order_id, None), seconds=10))
        assert of(do.SubmitOrder, desk.bar(RISING)) == []
    (entry,) = of(do.Journal, desk.tell(seen.QueryAnswered(order.client_order_id, None), seconds=10))
    assert entry.changes[0].order.state is OrderState.NOT_SENT
    (other,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    assert other.client_order_id != order.client_order_id


def test_an_order_that_arrives_after_it_was_given_up_is_cancelled() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout"))
    for _ in range(6):
        desk.tell(seen.QueryAnswered(order.client_order_id, None), seconds=11)
    late = desk.tell(seen.TradeUpdate("new", a_word(order, "new")))
    assert of(do.CancelOrder, late)
    assert desk.engine.counters["orders", "arrived_late"] == 1


def test_an_order_the_broker_had_is_never_taken_for_one_that_never_left() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitAcknowledged(a_word(order, "partially_filled", "5", "103")))
    for _ in range(4):
        desk.tell(seen.QueryAnswered(order.client_order_id, None), seconds=30)
    assert desk.report().recent_orders[0].status == "partially_filled"
    assert of(do.SubmitOrder, desk.bar(RISING)) == []
    books = [a_position("AAPL", "5")]
    for _ in range(4):
        desk.tell(seen.SnapshotTaken(a_snapshot(books)))
    assert desk.report().reason == "ReconciliationFailed"
    assert "missing_from_broker" in desk.report().message


def test_an_order_is_asked_about_once_at_a_time() -> None:
    desk, order = doubtful()
    assert of(do.QueryOrder, desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout")))
    for _ in range(3):
        assert of(do.QueryOrder, desk.tell(seen.SnapshotTaken(a_snapshot()))) == []


def test_unknown_means_not_yet_while_the_request_is_under_way() -> None:
    desk, order = doubtful()
    for _ in range(5):
        assert desk.tell(seen.QueryAnswered(order.client_order_id, None)) == []
    assert desk.report().recent_orders[0].status == "journaled"


def test_a_doubtful_order_that_is_found_is_ours() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout"))
    desk.tell(seen.QueryAnswered(order.client_order_id, a_word(order, "filled", "19", "103")))
    assert desk.report().positions[0].qty == 19
    assert desk.tell(seen.SubmitInDoubt(order.client_order_id, "late")) == []
    assert desk.tell(seen.QueryAnswered(order.client_order_id, None)) == []


def test_a_refused_order_ends_with_the_broker_s_words() -> None:
    desk, order = doubtful()
    (entry,) = of(do.Journal, desk.tell(seen.SubmitRejected(order.client_order_id, "insufficient buying power")))
    assert entry.changes[0].order.reason == "insufficient buying power"
    assert desk.tell(seen.SubmitRejected(order.client_order_id, "again")) == []


def test_an_order_of_the_process_before_is_asked_about_at_start() -> None:
    order = an_order()
    desk = Desk(Recovered(orders=(order,)))
    desk.tell(seen.ClockRead(a_clock()))
    desk.tell(seen.StreamConnected())
    commands = desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert [query.client_order_id for query in of(do.QueryOrder, commands)] == [order.client_order_id]
    assert not desk.engine.is_ready
    again = desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert of(do.QueryOrder, again) == []  # one question at a time
    desk.tell(seen.QueryAnswered(order.client_order_id, a_word(order, "canceled")))
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert desk.engine.is_ready


def test_a_lost_volume_finds_its_orders_again_by_their_ids() -> None:
    order = an_order(sequence=41, state=OrderState.FILLED)
    desk = Desk().ready(positions=[a_position("AAPL", "10")], orders=[a_word(order, "filled", "10", "100")])
    assert desk.report().positions[0].qty == 10
    (new,) = [c.order for c in of(do.SubmitOrder, desk.bar(RISING))]
    assert new.client_order_id.endswith("00000042")


def test_someone_else_s_order_is_never_touched() -> None:
    stranger = a_word(an_order(), "new", client_order_id="not-ours")
    desk = Desk().ready(orders=[stranger])
    assert desk.tell(seen.TradeUpdate("new", stranger)) == []
    assert desk.engine.counters["reconciliation", "unknown_at_broker"] == 1


def test_orders_long_terminal_leave_memory_and_are_not_taken_in_again() -> None:
    old = [an_order(n, state=OrderState.FILLED, filled_qty=Decimal(10)) for n in range(1, TERMINAL_ORDERS_KEPT + 3)]
    desk = Desk(Recovered(orders=tuple(old))).ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.TradeUpdate("fill", a_word(order, "filled", "19", "103")))
    assert desk.tell(seen.TradeUpdate("fill", a_word(old[0], "filled", "10", "100"))) == []
    assert desk.report().positions[0].qty == 19


# ---------------------------------------------------------------- reconciliation


def held(qty: str, symbol: str = "AAPL") -> Recovered:
    return Recovered(fills=(Fill("x", 1, symbol, Decimal(qty), Decimal(100), OPEN),))


def connected(recovered: Recovered, **config: Any) -> Desk:
    desk = Desk(recovered, **config)
    desk.tell(seen.ClockRead(a_clock()))
    desk.tell(seen.StreamConnected())
    return desk


def test_less_than_we_thought_counts_when_it_is_seen_twice_and_the_broker_wins() -> None:
    desk = connected(held("5"))
    books = a_snapshot([a_position("AAPL", "3", "90")])
    assert of(do.Journal, desk.tell(seen.SnapshotTaken(books))) == []
    assert not desk.engine.is_ready
    corrected = of(do.Journal, desk.tell(seen.SnapshotTaken(books)))
    kinds = [entry.kind for entry in corrected if entry.kind != "risk"]
    assert kinds == ["position_corrected", "reconciliation"]
    report = desk.report()
    assert [(position.symbol, position.qty) for position in report.positions] == [("AAPL", 3)]
    assert report.last_reconciliation is not None and report.last_reconciliation.result == "Mismatch"


def test_an_answer_that_was_asked_for_before_the_first_look_does_not_count_as_the_second() -> None:
    desk = connected(held("5"))
    books = a_snapshot([a_position("AAPL", "3", "90")])
    for seconds in (0, -20):
        told = of(do.Journal, desk.tell(seen.SnapshotTaken(books, at(desk.second + seconds).machine)))
        assert "position_corrected" not in [entry.kind for entry in told]
    again = of(do.Journal, desk.tell(seen.SnapshotTaken(books)))
    assert "position_corrected" in [entry.kind for entry in again]


def test_the_same_difference_about_other_shares_is_another_difference() -> None:
    desk = connected(held("5"))
    nothing = a_snapshot()
    desk.tell(seen.SnapshotTaken(nothing))  # ours 5, the broker's 0: they are being sold, and nobody has said so yet
    desk.engine._books.adjust("AAPL", Decimal(-5), Decimal(100), OPEN, reason="sold")
    desk.engine._books.adjust("AAPL", Decimal(5), Decimal(100), OPEN, reason="bought anew")
    told = of(do.Journal, desk.tell(seen.SnapshotTaken(nothing)))
    assert "position_corrected" not in [entry.kind for entry in told]
    again = of(do.Journal, desk.tell(seen.SnapshotTaken(nothing)))
    assert "position_corrected" in [entry.kind for entry in again]


def test_a_price_that_jumps_is_believed_when_it_is_told_twice() -> None:
    def valued(price: str) -> seen.SnapshotTaken:
        value = Decimal(5) * Decimal(price)
        return seen.SnapshotTaken(a_snapshot([replace(a_position("AAPL", "5"), market_value=value)]))

    desk = connected(held("5"))
    for price in ("100", "10000", "100"):
        desk.tell(valued(price))
    assert desk.engine._known.risk.tripped is None
    desk.tell(valued("10"))
    assert desk.engine._known.prices["AAPL"] == 100
    desk.tell(valued("10.5"))
    assert desk.engine._known.prices["AAPL"] == Decimal("10.5")


def test_shares_that_our_orders_do_not_explain_are_somebody_else_s_and_halt_the_bot() -> None:
    desk = connected(held("5"))
    owners = a_snapshot([a_position("AAPL", "505"), a_position("MSFT", "1", "300")])
    for _ in range(4):
        desk.tell(seen.SnapshotTaken(owners))
    assert (desk.report().trading_state, desk.report().reason) == (TradingState.HALTED, "ReconciliationFailed")
    assert "AAPL: ours 5, broker's 505" in desk.report().message
    assert [(position.symbol, position.qty) for position in desk.report().positions] == [("AAPL", 5)]
    assert of(do.SubmitOrder, desk.bar(FALLING)) == []


def test_a_person_may_say_that_the_account_is_right() -> None:
    desk = connected(held("5"))
    owners = a_snapshot([a_position("AAPL", "505")])
    for _ in range(4):
        desk.tell(seen.SnapshotTaken(owners))
    accepted = desk.tell(seen.PositionsAccepted("mine, trade them"))
    assert of(do.TakeSnapshot, accepted) and of(do.Journal, accepted)
    desk.tell(seen.SnapshotTaken(owners))
    assert desk.report().trading_state is TradingState.ACTIVE
    assert desk.report().positions[0].qty == 505


def test_differences_that_change_every_time_halt_the_bot_too() -> None:
    desk = connected(held("5"))
    for shares in range(100, 120):
        desk.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", str(shares))])))
    assert desk.report().reason == "ReconciliationFailed"


def test_a_halt_outlives_a_restart() -> None:
    desk = connected(held("5"))
    document = ""
    for _ in range(4):
        for entry in of(do.Journal, desk.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", "505")])))):
            for change in entry.changes:
                if isinstance(change, do.PutCheckpoint) and change.name == "reconciliation":
                    document = change.document
    again = connected(replace(held("5"), checkpoints={"reconciliation": document}))
    assert again.report().reason == "ReconciliationFailed"


def test_the_keys_of_another_account_stop_the_bot_and_change_no_books() -> None:
    desk = Desk(replace(held("5"), checkpoints={"account": "mine"}))
    desk.tell(seen.ClockRead(a_clock()))
    desk.tell(seen.StreamConnected())
    other = a_snapshot()
    other = replace(other, figures=replace(other.figures, account_id="another"))
    for _ in range(5):
        desk.tell(seen.SnapshotTaken(other))
    assert desk.report().reason == "WrongAccount"
    assert desk.report().positions[0].qty == 5


def test_an_order_that_ended_here_and_works_there_is_taken_up_again() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitRejected(order.client_order_id, "403"))
    books = a_snapshot(orders=[a_word(order, "new")])
    desk.tell(seen.SnapshotTaken(books))
    desk.tell(seen.SnapshotTaken(books))
    assert desk.report().recent_orders[0].status == "new"
    assert desk.engine.counters["orders", "reopened"] == 1
    cancels = of(do.CancelOrder, desk.tell(seen.KillSeen("stop", "TradingBot")))
    assert [cancel.client_order_id for cancel in cancels] == [order.client_order_id]


def test_a_broker_that_is_away_for_hours_writes_one_line_every_ten_minutes() -> None:
    desk = Desk().ready()
    lines = [entry for _ in range(600) for entry in of(do.Journal, desk.tell(seen.SnapshotFailed("503"), seconds=2))]
    assert 2 <= len(lines) <= 4


def test_three_unclean_runs_halt_and_two_clean_ones_resume() -> None:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    for _ in range(3):
        desk.tell(seen.SnapshotFailed("503"))
    assert desk.report().trading_state is TradingState.HALTED
    assert not desk.engine.may_send(order.client_order_id)
    desk.tell(seen.SubmitWithheld(order.client_order_id, "halted"))
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert desk.report().reason == "ReconciliationFailed"
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert desk.report().trading_state is TradingState.ACTIVE


def test_an_order_the_list_does_not_show_is_asked_about() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    commands = desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert do.QueryOrder(order.client_order_id) in commands


def test_the_books_are_compared_on_a_schedule_and_after_a_reconnect() -> None:
    desk = Desk().ready()
    assert desk.tell(seen.Tick()) == []
    assert of(do.TakeSnapshot, desk.tell(seen.Tick(), seconds=61))
    assert desk.tell(seen.Tick(), seconds=61) == []  # one at a time
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    desk.tell(seen.StreamLost("mute"))
    assert not desk.engine.is_ready and desk.report().reason == "StreamDisconnected"
    assert of(do.TakeSnapshot, desk.tell(seen.StreamConnected()))
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    desk.minute += 3
    assert of(do.TakeSnapshot, desk.tell(seen.ClockRead(a_clock(desk.minute)), seconds=3))


def test_a_snapshot_asks_only_for_what_may_have_changed() -> None:
    desk = Desk()
    (first,) = of(do.TakeSnapshot, desk.tell(seen.StreamConnected()))
    assert first.since is None
    desk.ready()
    (again,) = of(do.TakeSnapshot, desk.tell(seen.StreamConnected()))
    assert again.since == OPEN - timedelta(days=1)
    desk = Desk(Recovered(orders=(an_order(state=OrderState.FILLED),)))
    (later,) = of(do.TakeSnapshot, desk.tell(seen.StreamConnected()))
    assert later.since == OPEN - timedelta(days=1)


def test_an_impossible_word_is_an_incident_and_the_bot_goes_on() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitAcknowledged(a_word(order, "canceled")))
    notices = of(do.Notice, desk.tell(seen.TradeUpdate("fill", a_word(order, "filled", "19", "103"))))
    assert [notice.name for notice in notices] == ["transition_blocked"]
    assert desk.report().positions[0].qty == 19


# ---------------------------------------------------------------- kill, pause, deletion


def killed(**config: Any) -> tuple[Desk, Order, list[do.Command]]:
    desk = Desk(**config).ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    return desk, order, desk.tell(seen.KillSeen("now", "TradingBot"))


def test_a_kill_is_journaled_first_then_cancels_and_asks_the_broker() -> None:
    _, order, commands = killed()
    assert isinstance(commands[0], do.Journal) and isinstance(commands[0].changes[0], do.PutKill)
    assert [cancel.client_order_id for cancel in of(do.CancelOrder, commands)] == [order.client_order_id]
    assert of(do.TakeSnapshot, commands)


def test_a_kill_is_done_when_the_broker_says_so_and_asks_until_then() -> None:
    desk, order, _ = killed()
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "pending_cancel")])))
    report = desk.report()
    assert report.kill is not None and report.kill.open_orders == 1 and report.kill.orders_cancelled_at is None
    assert of(do.TakeSnapshot, desk.tell(seen.Tick(), seconds=0.3))
    desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")))
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "canceled")])))
    report = desk.report()
    assert report.kill is not None and report.kill.orders_cancelled_at is not None
    assert report.trading_state is TradingState.HALTED and report.reason == "Killed"
    assert of(do.TakeSnapshot, desk.tell(seen.Tick(), seconds=0.3)) == []


def test_nothing_is_ordered_after_a_kill_nor_under_a_second_one() -> None:
    desk, _, _ = killed()
    assert desk.tell(seen.KillSeen("again", "BrokerAccount")) == []
    assert of(do.ReadBars, desk.bar(RISING)) == []
    assert desk.tell(seen.BarsClosed(OPEN, bars(RISING))) == []


def test_an_order_journaled_but_not_yet_sent_stays_home_under_a_kill() -> None:
    desk, order = doubtful()
    assert desk.engine.may_send(order.client_order_id)
    desk.tell(seen.KillSeen("now", "TradingBot"))
    assert not desk.engine.may_send(order.client_order_id)
    assert not desk.engine.may_send("unknown")
    (entry,) = of(do.Journal, desk.tell(seen.SubmitWithheld(order.client_order_id, "a kill came first")))
    assert entry.changes[0].order.state is OrderState.NOT_SENT
    assert desk.tell(seen.SubmitWithheld(order.client_order_id, "again")) == []


def test_an_order_that_reaches_the_broker_beside_a_kill_is_cancelled() -> None:
    desk, order = doubtful()
    desk.tell(seen.KillSeen("now", "TradingBot"))
    commands = desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    assert [cancel.client_order_id for cancel in of(do.CancelOrder, commands)] == [order.client_order_id]


def test_a_kill_survives_a_restart_and_begins_by_asking() -> None:
    kill = KillState("now", "TradingBot", flatten=False, observed_at=OPEN)
    desk = Desk(Recovered(kill=kill))
    assert of(do.TakeSnapshot, desk.tell(seen.Tick()))
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(an_order(), "new")])))
    assert of(do.CancelOrder, desk.tell(seen.TradeUpdate("new", a_word(an_order(), "new")), seconds=0.1)) == []
    assert desk.engine.counters["orders", "cancel_asked"] == 1
    assert not desk.engine.is_ready or desk.bar(RISING) == []


def test_flatten_closes_what_the_broker_holds_and_repeats_slowly() -> None:
    desk, order, _ = killed(onKill="Flatten")
    desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled", "4", "103")))
    books = a_snapshot([a_position("AAPL", "4"), a_position("GLD", "9")])
    commands = desk.tell(seen.SnapshotTaken(books))
    assert of(do.ClosePosition, commands) == [do.ClosePosition("AAPL", "4")]
    assert of(do.ClosePosition, desk.tell(seen.SnapshotTaken(books))) == []
    assert of(do.ClosePosition, desk.tell(seen.SnapshotTaken(books), seconds=6))
    desk.tell(seen.SnapshotTaken(a_snapshot([a_position("GLD", "9")])))
    report = desk.report()
    assert report.kill is not None and report.kill.flat_at is not None


def test_a_pause_stops_entries_and_lets_exits_through() -> None:
    desk = Desk().ready(positions=[])
    assert [entry.kind for entry in of(do.Journal, desk.tell(seen.PauseSeen(True)))] == ["pause"]
    assert desk.tell(seen.PauseSeen(True)) == []
    assert of(do.SubmitOrder, desk.bar(RISING)) == []
    assert desk.report().reason == "Paused" and desk.engine.counters["refused", "paused"] == 1
    desk.tell(seen.PauseSeen(False))
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.TradeUpdate("fill", a_word(order, "filled", "19", "103")))
    desk.tell(seen.PauseSeen(True))
    (exit_order,) = [command.order for command in of(do.SubmitOrder, desk.bar(FALLING))]
    assert desk.engine.may_send(exit_order.client_order_id)


@pytest.mark.parametrize(("policy", "cancels"), [("CancelOrders", True), ("Keep", False)])
def test_a_deleted_bot_does_with_its_orders_what_it_was_told(policy: str, cancels: bool) -> None:
    desk = Desk(onDelete=policy).ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    assert bool(of(do.CancelOrder, desk.tell(seen.BotDeleted()))) is cancels
    assert desk.tell(seen.BotDeleted()) == []
    assert desk.report().reason == "Deleted"
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "canceled")])))


def test_a_deletion_is_confirmed_only_by_books_that_were_asked_for_after_it() -> None:
    desk = Desk(onDelete="CancelOrders").ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    assert desk.report().deletion is None
    before = at(desk.second, desk.minute).machine
    desk.tell(seen.BotDeleted())
    desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")))
    desk.tell(seen.SnapshotTaken(a_snapshot(), asked_at=before))
    deletion = desk.report().deletion
    assert deletion is not None
    assert (deletion.on_delete, deletion.orders_cancelled_at) == ("CancelOrders", None)
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    confirmed = desk.report().deletion
    assert confirmed is not None and confirmed.orders_cancelled_at is not None
    assert (confirmed.open_orders, confirmed.flat_at) == (0, None)


def test_an_order_nobody_is_sure_of_is_not_cancelled_for_a_deletion() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout"))
    desk.tell(seen.BotDeleted())
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    deletion = desk.report().deletion
    assert deletion is not None and deletion.orders_cancelled_at is None


def test_a_killed_bot_whose_deletion_says_flatten_is_flattened() -> None:
    desk = connected(held("19"), onDelete="Flatten")
    books = a_snapshot([a_position("AAPL", "19")])
    desk.tell(seen.SnapshotTaken(books))
    desk.tell(seen.KillSeen("stop", "TradingBot"))
    assert of(do.ClosePosition, desk.tell(seen.SnapshotTaken(books))) == []
    desk.tell(seen.BotDeleted())
    assert of(do.ClosePosition, desk.tell(seen.SnapshotTaken(books))) == [do.ClosePosition("AAPL", "19")]
    deletion = desk.report().deletion
    assert deletion is not None and (deletion.flat_at, deletion.open_positions) == (None, 1)
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    report = desk.report()
    assert report.deletion is not None and report.deletion.flat_at is not None
    assert report.kill is not None and report.kill.flat_at is None


def test_a_bot_that_is_deleted_and_keeps_its_orders_confirms_nothing() -> None:
    desk = Desk(onDelete="Keep").ready()
    desk.tell(seen.BotDeleted())
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    deletion = desk.report().deletion
    assert deletion is not None
    assert (deletion.on_delete, deletion.orders_cancelled_at) == ("Keep", None)


# ---------------------------------------------------------------- control plane, breaker, account


def test_nothing_is_traded_before_the_own_tradingbot_was_seen() -> None:
    desk = Desk(watched=True)
    desk.tell(seen.ClockRead(a_clock()))
    desk.tell(seen.StreamConnected())
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert desk.report().reason == "ControlPlaneNotSeen"
    desk.tell(seen.ControlPlaneSeen())
    assert desk.engine.is_ready


@pytest.mark.parametrize(
    ("policy", "state", "reason"),
    [
        ("Continue", TradingState.ACTIVE, ""),
        ("Reduce", TradingState.REDUCING, "ControlPlaneLost"),
        ("Flatten", TradingState.HALTED, "Killed"),
    ],
)
def test_the_loss_of_the_control_plane_does_what_the_spec_says(policy: str, state: TradingState, reason: str) -> None:
    desk = Desk(onControlPlaneLoss=policy)
    desk.tell(seen.ControlPlaneSeen())
    desk.ready()
    desk.tell(seen.Tick(), seconds=301)
    report = desk.report()
    assert (report.trading_state, report.reason) == (state, reason)
    desk.tell(seen.Tick())
    if policy == "Reduce":
        assert of(do.SubmitOrder, desk.bar(RISING)) == []
        desk.tell(seen.ControlPlaneSeen())
        assert desk.report().trading_state is TradingState.ACTIVE


@pytest.mark.parametrize(
    ("policy", "reason", "cancels"),
    [("Continue", "ControlPlaneNotSeen", 0), ("Reduce", "ControlPlaneNotSeen", 1), ("Flatten", "Killed", 1)],
)
def test_a_control_plane_that_was_never_seen_is_missed_from_the_start(policy: str, reason: str, cancels: int) -> None:
    before = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, before.bar(RISING))]
    resting = replace(order, state=OrderState.NEW, broker_id=a_word(order, "new").broker_id)
    desk = Desk(Recovered(orders=(resting,)), watched=True, onControlPlaneLoss=policy)
    desk.tell(seen.ClockRead(a_clock()))
    desk.tell(seen.StreamConnected())
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "new")])))
    assert of(do.Notice, desk.tell(seen.Tick(), seconds=299)) == []
    commands = desk.tell(seen.Tick(), seconds=2)
    assert of(do.Notice, commands)[0].name == "control_plane_lost"
    assert len(of(do.CancelOrder, commands)) == cancels
    assert desk.report().reason == reason


def test_a_lost_day_opens_the_breaker_and_it_is_still_open_after_a_restart() -> None:
    fills = (Fill("x", 1, "AAPL", Decimal(20), Decimal(100), OPEN),)
    risk = {"maxDailyLossPercent": "1"}
    desk = Desk(Recovered(fills=fills), risk=risk).ready(positions=[a_position("AAPL", "20")])
    assert of(do.SubmitOrder, desk.bar({"AAPL": [98, 99, 100], "MSFT": [1, 1, 1]})) == []
    commands = desk.bar({"AAPL": [100, 97, 93], "MSFT": [300, 301, 302]})
    assert "breaker_tripped" in [notice.name for notice in of(do.Notice, commands)]
    assert [order.side for order in (c.order for c in of(do.SubmitOrder, commands))] == [Side.SELL]
    assert desk.report().reason == "DailyLossLimit"
    saved = [c for entry in of(do.Journal, commands) for c in entry.changes if isinstance(c, do.PutCheckpoint)]
    again = Desk(Recovered(fills=fills, checkpoints={c.name: c.document for c in saved}), risk=risk)
    assert again.ready(positions=[a_position("AAPL", "20")]).report().reason == "DailyLossLimit"


def test_a_blocked_account_opens_nothing() -> None:
    desk = Desk().ready()
    desk.tell(seen.FiguresRead(figures(blocked=True)))
    assert of(do.SubmitOrder, desk.bar(RISING)) == []
    assert desk.engine.counters["refused", "reducing"] == 1


def test_the_report_reads_as_the_operator_reads_it() -> None:
    desk = Desk().ready()
    desk.bar(RISING)
    report = desk.report()
    assert RuntimeReport.model_validate_json(report.model_dump_json(by_alias=True)) == report
    assert report.ready and report.trading_state is TradingState.ACTIVE and report.open_orders == 1


def test_before_anything_was_heard_the_report_says_what_is_missing() -> None:
    report = Desk().report()
    assert (report.ready, report.reason) == (False, "BrokerUnreachable")
    desk = Desk()
    desk.tell(seen.ClockRead(a_clock()))
    desk.tell(seen.StreamConnected())
    assert desk.report().reason == "Reconciling"


def test_an_unsent_adopted_word_without_any_time_waits() -> None:
    word = replace(a_word(an_order(), "new"), created_at=None)
    assert Desk().tell(seen.TradeUpdate("new", word)) == []


# ---------------------------------------------------------------- cash, pauses, requests


def test_two_orders_cannot_spend_the_same_cash_and_the_second_passes_once_the_first_is_shown() -> None:
    both = {"AAPL": [100, 101, 103], "MSFT": [100, 101, 103]}
    desk = Desk().ready(cash="3000")
    first = [command.order for command in of(do.SubmitOrder, desk.bar(both))]
    assert [order.symbol for order in first] == ["AAPL"]
    assert desk.engine.counters["refused", "buying_power"] == 1
    desk.tell(seen.SubmitAcknowledged(a_word(first[0], "new")))
    shown = at(desk.second + 1, desk.minute).machine
    # The broker has taken the first order off its buying power: what is left is free.
    desk.tell(seen.FiguresRead(figures("2100"), shown), seconds=2)
    second = [command.order for command in of(do.SubmitOrder, desk.bar(both))]
    assert [order.symbol for order in second] == ["MSFT"]


def test_figures_that_were_asked_for_before_the_answer_show_nothing_of_it() -> None:
    both = {"AAPL": [100, 101, 103], "MSFT": [100, 101, 103]}
    desk = Desk().ready(cash="3000")
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(both))]
    asked = at(desk.second, desk.minute).machine
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")), seconds=1)
    desk.tell(seen.FiguresRead(figures("3000"), asked))
    assert of(do.SubmitOrder, desk.bar(both)) == []


def test_an_evaluation_asked_for_happens_once_and_not_again_after_a_restart() -> None:
    desk = Desk().ready()
    desk.bar({"AAPL": [100, 100, 100], "MSFT": [300, 300, 300]})
    desk.tell(seen.EvaluationAsked("monday review"))
    asked = desk.bar(RISING, minutes=0)
    assert len(of(do.SubmitOrder, asked)) == 1
    desk.tell(seen.EvaluationAsked("monday review"))
    assert desk.bar(RISING, minutes=0) == []
    (checkpoint,) = [
        change
        for entry in of(do.Journal, asked)
        for change in entry.changes
        if isinstance(change, do.PutCheckpoint) and change.name == "trading"
    ]
    again = Desk(Recovered(checkpoints={"trading": checkpoint.document})).ready()
    assert again.tell(seen.EvaluationAsked("monday review")) == []
    assert do.ReadBars() not in again.tell(seen.ClockRead(a_clock(desk.minute)))


def test_a_reset_of_the_breaker_is_carried_out_once_and_journaled_with_its_reason() -> None:
    tripped = RiskLedger(session="2026-03-02", drawdown_tripped=True, tripped_at=OPEN - timedelta(hours=1))
    desk = Desk(Recovered(checkpoints={"risk": tripped.to_json()}))
    asked = desk.tell(seen.BreakerResetAsked("the feed was wrong"))  # before the clock was read: kept
    assert asked == []
    desk.ready()
    assert desk.report().trading_state is TradingState.ACTIVE
    assert desk.engine.counters["breaker", "reset"] == 1
    assert desk.tell(seen.BreakerResetAsked("the feed was wrong")) == []


def test_a_reset_within_the_cool_down_is_refused_and_says_until_when() -> None:
    tripped = RiskLedger(session="2026-03-02", drawdown_tripped=True, tripped_at=OPEN)
    desk = Desk(Recovered(checkpoints={"risk": tripped.to_json()})).ready()
    commands = desk.tell(seen.BreakerResetAsked("please"))
    assert [notice.name for notice in of(do.Notice, commands)] == ["breaker_reset_refused"]
    assert "15:00" in of(do.Notice, commands)[0].message
    assert desk.report().trading_state is TradingState.REDUCING


def test_the_accounts_own_loss_of_the_day_leaves_exits_only() -> None:
    desk = Desk(accountLimits={"maxDailyLossPercent": "5"}).ready()
    lost = replace(figures("100000"), equity=Decimal(94_999))
    desk.tell(seen.FiguresRead(lost))
    assert desk.report().reason == "AccountDailyLoss"
    assert of(do.SubmitOrder, desk.bar(RISING)) == []


def test_too_much_bad_data_halts_the_bot_and_one_good_cycle_resumes() -> None:
    desk = Desk().ready()
    halted = desk.bar({"AAPL": [100, 101, 500], "MSFT": [100, 101, 500]})
    assert of(do.SubmitOrder, halted) == []
    assert (desk.report().trading_state, desk.report().reason) == (TradingState.HALTED, "DataQuality")
    resumed = desk.bar(RISING)
    assert len(of(do.SubmitOrder, resumed)) == 1
    kinds = [entry.kind for entry in of(do.Journal, [*halted, *resumed])]
    assert [kind for kind in kinds if kind.startswith("data")] == ["data_halt", "data_resume"]


def test_one_bad_symbol_stops_itself_and_not_the_others() -> None:
    desk = Desk().ready()
    commands = desk.bar(RISING | {"MSFT": [300, 301, 900]})
    assert [command.order.symbol for command in of(do.SubmitOrder, commands)] == ["AAPL"]
    assert desk.report().trading_state is TradingState.ACTIVE
    again = desk.bar(RISING | {"MSFT": [301, 302, 905]})
    assert [notice for notice in of(do.Notice, again) if notice.name == "data_quality"] == []


# ---------------------------------------------------------------- a kill, to the end


def stopped(recovered: Recovered | None = None, **config: Any) -> tuple[Desk, Order]:
    desk = Desk(recovered, **config)
    portfolio = desk.engine._books.portfolio
    desk.ready(positions=[a_position(symbol, str(one.qty)) for symbol, one in portfolio.holdings.items()])
    sent = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    order = next(one for one in sent if one.symbol == "AAPL")
    for other in sent:
        if other is not order:
            desk.tell(seen.SubmitRejected(other.client_order_id, "not today"))
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    desk.tell(seen.KillSeen("stop", "TradingBot"))
    return desk, order


def test_books_that_were_asked_for_before_the_kill_confirm_nothing() -> None:
    desk, _ = stopped()
    before = at(desk.second - 1).machine
    desk.tell(seen.SnapshotTaken(a_snapshot(), before))
    assert desk.report().kill is not None and desk.report().kill.orders_cancelled_at is None
    assert of(do.TakeSnapshot, desk.tell(seen.Tick(), 1))


def test_a_kill_is_not_confirmed_while_our_own_books_have_an_open_order() -> None:
    desk, order = stopped()
    desk.tell(seen.SnapshotTaken(a_snapshot()))  # the broker's list does not show it
    report = desk.report().kill
    assert report is not None and (report.open_orders, report.orders_cancelled_at) == (1, None)
    desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")))
    desk.tell(seen.SnapshotTaken(a_snapshot()))
    assert desk.report().kill.orders_cancelled_at is not None  # type: ignore[union-attr]


def test_the_last_cancel_told_reads_the_books_at_once_and_others_do_not() -> None:
    desk, order = stopped()
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "new")])))
    assert not of(do.TakeSnapshot, desk.tell(seen.TradeUpdate("pending_cancel", a_word(order, "pending_cancel"))))
    assert of(do.TakeSnapshot, desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled"))))


def test_a_closing_that_the_broker_fills_reads_the_books_at_once_until_the_kill_is_done() -> None:
    desk, order = stopped(held("4", "MSFT"), onKill="Flatten")
    desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")))
    desk.tell(seen.SnapshotTaken(a_snapshot([a_position("MSFT", "4")])))
    sale = an_order(9, symbol="MSFT", side=Side.SELL, qty=Decimal(4))
    filled = seen.TradeUpdate("fill", a_word(sale, "filled", "4", "100", client_order_id="uuid"))
    assert of(do.TakeSnapshot, desk.tell(filled))
    assert not of(do.TakeSnapshot, desk.tell(seen.SnapshotTaken(a_snapshot())))
    assert desk.report().kill.flat_at is not None  # type: ignore[union-attr]
    assert not of(do.TakeSnapshot, desk.tell(filled))


def test_what_is_told_while_the_books_are_read_is_looked_for_again_unless_the_reading_began_later() -> None:
    for began, again in ((-0.5, 1), (0.5, 0)):
        desk, order = stopped(held("4", "MSFT"), onKill="Flatten")
        desk.second += 1
        told_at = desk.second
        desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")), 0)
        desk.second += 1
        books = a_snapshot([a_position("MSFT", "4")])
        commands = desk.tell(seen.SnapshotTaken(books, at(told_at + began).machine))
        assert len(of(do.TakeSnapshot, commands)) == again


def test_trade_updates_alone_do_not_eat_the_request_limit_of_a_kill() -> None:
    desk, order = stopped(held("4", "MSFT"), onKill="Flatten")
    desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")))
    books = a_snapshot([a_position("MSFT", "4")])
    desk.tell(seen.SnapshotTaken(books))
    asked = 0
    for number in range(100):
        sale = an_order(number + 9, symbol="MSFT", side=Side.SELL, qty=Decimal(1))
        told = desk.tell(seen.TradeUpdate("fill", a_word(sale, "filled", "1", "100", client_order_id=f"uuid{number}")))
        if of(do.TakeSnapshot, told):
            asked += 1
            desk.tell(seen.SnapshotTaken(books))
    assert asked == EARLY_CHECKS_AT_MOST
    assert of(do.TakeSnapshot, desk.tell(seen.Tick(), 1))


def test_books_that_are_slow_to_come_are_asked_for_with_a_pause_for_what_was_told_meanwhile() -> None:
    desk, order = stopped()
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "new")])), 0.1)
    assert of(do.TakeSnapshot, desk.tell(seen.Tick(), 0.3))
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "new")])), 1)
    assert not of(do.TakeSnapshot, desk.tell(seen.Tick(), 1.9))
    assert of(do.TakeSnapshot, desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled"))))
    desk.tell(seen.SnapshotTaken(a_snapshot(orders=[a_word(order, "new")])), 4)
    assert of(do.TakeSnapshot, desk.tell(seen.Tick(), 5))


def test_a_kill_reads_the_ended_orders_of_its_own_symbols_and_a_scheduled_look_those_of_all() -> None:
    desk, order = stopped()
    (asked,) = of(do.TakeSnapshot, desk.tell(seen.StreamConnected()))
    assert asked.urgent
    assert asked.symbols == ("AAPL", "MSFT")
    elsewhere, kept = Desk(symbols=["NVDA"]), a_snapshot(orders=[a_word(order, "new")])
    elsewhere.tell(seen.SnapshotTaken(kept))
    (asked,) = of(do.TakeSnapshot, elsewhere.tell(seen.StreamConnected()))
    assert (asked.urgent, asked.symbols) == (False, ())
    elsewhere.tell(seen.SnapshotTaken(kept))
    (asked,) = of(do.TakeSnapshot, elsewhere.tell(seen.KillSeen("stop", "TradingBot")))
    assert asked.symbols == ("AAPL", "NVDA")


def test_a_kill_reads_all_ended_orders_before_the_books_were_compared_once_and_after_a_failure() -> None:
    desk = Desk()
    (asked,) = of(do.TakeSnapshot, desk.tell(seen.KillSeen("stop", "TradingBot")))
    assert (asked.urgent, asked.symbols) == (True, ())
    # An entry of a symbol that left the config: its exit is still open, under an id of the broker's.
    entry, exit_ = an_order(1, symbol="GLD"), a_word(an_order(2, symbol="GLD"), "new", client_order_id="theirs")
    words = [a_word(entry, "filled", "5", "100", legs=(exit_,), order_class="bracket")]
    commands = desk.tell(seen.SnapshotTaken(a_snapshot([a_position("GLD", "5")], words)))
    assert [cancel.broker_id for cancel in of(do.CancelOrder, commands)] == [exit_.broker_id]
    (asked,) = of(do.TakeSnapshot, desk.tell(seen.Tick(), 1))
    assert asked.symbols == ("AAPL", "GLD", "MSFT")
    desk.tell(seen.SnapshotFailed("422: MSFT"))
    (asked,) = of(do.TakeSnapshot, desk.tell(seen.Tick(), 1))
    assert asked.symbols == ()


def test_a_symbol_that_left_the_config_is_flattened_too() -> None:
    recovered = Recovered(fills=(Fill("x", 1, "GLD", Decimal(5), Decimal(100), OPEN),))
    desk = Desk(recovered, onKill="Flatten").ready(positions=[a_position("GLD", "5")])
    desk.tell(seen.KillSeen("stop", "TradingBot"))
    books = a_snapshot([a_position("GLD", "5")])
    assert of(do.ClosePosition, desk.tell(seen.SnapshotTaken(books))) == [do.ClosePosition("GLD", "5")]
    assert desk.report().kill.flat_at is None  # type: ignore[union-attr]


def test_one_stuck_cancel_does_not_keep_the_other_symbols_from_being_closed() -> None:
    desk, order = stopped(held("4", "MSFT"), onKill="Flatten")
    desk.tell(seen.TradeUpdate("partial_fill", a_word(order, "partially_filled", "3", "103")))
    books = a_snapshot(
        [a_position("AAPL", "3"), a_position("MSFT", "4")], [a_word(order, "pending_cancel", "3", "103")]
    )
    assert of(do.ClosePosition, desk.tell(seen.SnapshotTaken(books))) == [do.ClosePosition("MSFT", "4")]


def test_flattening_leaves_the_owner_s_shares_alone_also_after_a_restart() -> None:
    desk = connected(held("19"))
    desk.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", "519")])))
    desk.tell(seen.KillSeen("stop", "TradingBot"))
    desk.engine._known.kill = replace(desk.engine._known.kill, flatten=True)  # type: ignore[type-var]
    commands = desk.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", "519")])))
    assert of(do.ClosePosition, commands) == [do.ClosePosition("AAPL", "19")]
    (document,) = [
        change.document
        for entry in of(do.Journal, commands)
        for change in entry.changes
        if isinstance(change, do.PutCheckpoint) and change.name == "flatten"
    ]
    again = connected(replace(held("19"), kill=desk.engine._known.kill, checkpoints={"flatten": document}))
    again.second = desk.second
    half = a_snapshot([a_position("AAPL", "510")])
    assert of(do.ClosePosition, again.tell(seen.SnapshotTaken(half))) == [do.ClosePosition("AAPL", "10")]
    again.tell(seen.SnapshotTaken(a_snapshot([a_position("AAPL", "500")])))
    assert again.report().kill.flat_at is not None  # type: ignore[union-attr]


def test_a_status_nobody_knows_ends_the_doubt_and_keeps_the_order_working() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout"))
    desk.tell(seen.TradeUpdate("quantum", a_word(order, "quantum")))
    assert desk.report().recent_orders[0].status == "accepted"
    assert of(do.CancelOrder, desk.tell(seen.KillSeen("stop", "TradingBot")))


def test_a_kill_that_waits_for_the_open_asks_twice_a_minute() -> None:
    desk, order = stopped(held("4", "MSFT"), onKill="Flatten")
    desk.tell(seen.TradeUpdate("canceled", a_word(order, "canceled")))
    desk.tell(seen.ClockRead(a_clock(desk.minute, is_open=False)))
    closing = a_word(an_order(9, symbol="MSFT", side=Side.SELL, qty=Decimal(4)), "accepted", client_order_id="uuid")
    books = a_snapshot([a_position("MSFT", "4")], [closing])
    desk.tell(seen.SnapshotTaken(books))
    asked = 0
    for _ in range(600):
        commands = desk.tell(seen.Tick(), 0.5)
        asked += len(of(do.TakeSnapshot, commands))
        if of(do.TakeSnapshot, commands):
            desk.tell(seen.SnapshotTaken(books), 0)
    assert 8 <= asked <= 40


def test_a_kept_deletion_asks_for_nothing_more_than_usual() -> None:
    desk = Desk(onDelete="Keep").ready()
    desk.tell(seen.BotDeleted())
    assert sum(len(of(do.TakeSnapshot, desk.tell(seen.Tick(), 0.5))) for _ in range(40)) <= 1


# ---------------------------------------------------------------- leaving Active


@pytest.mark.parametrize("event", [seen.PauseSeen(True), seen.KillSeen("stop", "TradingBot"), seen.BotDeleted()])
def test_entries_that_rest_are_cancelled_when_no_more_are_wanted(event: seen.Event) -> None:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    assert of(do.CancelOrder, desk.tell(event))


def test_a_connection_that_is_lost_for_a_moment_cancels_nothing() -> None:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    assert of(do.CancelOrder, desk.tell(seen.StreamLost("reset"))) == []
    assert of(do.CancelOrder, desk.tell(seen.Tick())) == []


def test_exits_that_rest_stay_when_the_bot_is_paused() -> None:
    desk = connected(held("19")).ready(positions=[a_position("AAPL", "19")])
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(FALLING))]
    assert order.reducing
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    assert of(do.CancelOrder, desk.tell(seen.PauseSeen(True))) == []


# ---------------------------------------------------------------- what a bar asked for and could not get yet


def test_a_rotation_buys_once_the_sale_has_paid_for_it() -> None:
    fills = (Fill("x", 1, "MSFT", Decimal(30), Decimal(300), OPEN),)
    desk = Desk(Recovered(fills=fills), timeframe="1Day", capital="10000")
    desk.ready(positions=[a_position("MSFT", "30", "300")])
    first = of(do.SubmitOrder, desk.bar(RISING))
    assert [command.order.symbol for command in first] == ["MSFT"]
    sale = first[0].order
    desk.tell(seen.SubmitAcknowledged(a_word(sale, "new")))
    desk.tell(seen.TradeUpdate("fill", a_word(sale, "filled", "30", "298")))
    desk.tell(seen.Tick(), 5)
    again = of(do.SubmitOrder, desk.bar(RISING, minutes=1))
    assert [command.order.symbol for command in again] == ["AAPL"]
    desk.tell(seen.SubmitAcknowledged(a_word(again[0].order, "new")))
    assert of(do.ReadBars, desk.bar(RISING, minutes=1)) == []  # nothing is due any more


def test_what_never_passes_is_tried_so_often_and_no_more() -> None:
    desk = Desk(risk={"maxPositionPercent": "1"}).ready()
    tried = 0
    for _ in range(300):
        desk.tell(seen.Tick(), 60)
        tried += len([one for one in desk.bar(RISING, minutes=0.001) if isinstance(one, do.Notice)])
    assert 2 <= tried <= 30


def test_a_kept_order_never_takes_more_than_is_still_wanted() -> None:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    dearer = {"AAPL": [100, 150, 190], "MSFT": [300, 299, 298]}
    commands = desk.bar(dearer)
    assert of(do.CancelOrder, commands) and not of(do.SubmitOrder, commands)


def test_a_crash_does_not_lock_a_holder_in() -> None:
    desk = connected(held("19")).ready(positions=[a_position("AAPL", "19")])
    commands = desk.bar({"AAPL": [103, 101, 58], "MSFT": [300, 299, 298]})
    assert [(c.order.symbol, c.order.side) for c in of(do.SubmitOrder, commands)] == [("AAPL", Side.SELL)]


def test_keys_that_are_refused_in_mid_day_leave_exits_only_until_they_work_again() -> None:
    desk = Desk().ready()
    desk.tell(seen.KeysRefused("401"))
    assert (desk.report().trading_state, desk.report().reason) == (TradingState.REDUCING, "KeysRefused")
    asked = desk.bar(RISING)
    assert of(do.ReadBars, asked), "only an answer shows that the keys are good again"
    assert of(do.SubmitOrder, asked) == []
    desk.tell(seen.KeysAccepted())
    assert of(do.SubmitOrder, desk.bar(RISING))


def test_a_limit_that_the_market_has_left_behind_is_replaced_when_that_is_asked_for() -> None:
    desk = Desk(execution={"repriceBps": 50}).ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    near = desk.bar({"AAPL": [100, 102, 103.3], "MSFT": [300, 299, 298]})
    assert of(do.ReplaceOrder, near) == []
    (replaced,) = of(do.ReplaceOrder, desk.bar({"AAPL": [100, 103, 104.5], "MSFT": [300, 299, 298]}))
    assert replaced.order.replaces_id == order.client_order_id
    assert (replaced.order.limit_price, replaced.order.qty) == (Decimal("104.60"), Decimal(19))


def test_a_symbol_that_the_broker_does_not_trade_is_refused_and_said_once() -> None:
    desk = Desk().ready()
    desk.minute = 5
    desk.tell(seen.ClockRead(a_clock(5)))
    moment = OPEN + timedelta(minutes=5)
    assets = {"AAPL": BrokerAsset("AAPL", False, True, True), "MSFT": BrokerAsset("MSFT", True, True, True)}
    commands = desk.tell(seen.BarsClosed(OPEN, bars(RISING, moment), assets=assets))
    assert of(do.SubmitOrder, commands) == []
    assert desk.engine.counters["refused", "tradable"] == 1
    assert [notice.message for notice in of(do.Notice, commands) if notice.name == "untradable"] == [
        "AAPL: the broker does not trade it"
    ]


def test_open_incidents_are_in_the_report() -> None:
    desk = Desk().ready()
    desk.tell(seen.KillSeen("stop", "TradingBot"))
    desk.tell(seen.Tick(), 6)
    (incident,) = desk.report().incidents
    assert (incident.name, incident.state, len(incident.id)) == ("killed", "open", 16)


def test_every_scheduled_comparison_leaves_a_line_and_a_kill_s_polling_does_not() -> None:
    desk = Desk().ready()
    lines = []
    for minute in (2, 4, 6):
        desk.minute = minute
        desk.tell(seen.ClockRead(a_clock(minute)), 3)
        lines += of(do.Journal, desk.tell(seen.SnapshotTaken(a_snapshot())))
    found = [line.detail for line in lines if line.kind == "reconciliation"]
    assert [(one["result"], one["holdings"], one["open_orders"]) for one in found] == [("Clean", "{}", "0")] * 3
    desk.tell(seen.KillSeen("stop", "TradingBot"))
    polled = [entry for _ in range(20) for entry in of(do.Journal, desk.tell(seen.SnapshotTaken(a_snapshot()), 0.2))]
    assert len([line for line in polled if line.kind == "reconciliation"]) <= 1


def test_an_order_and_its_replacement_reserve_the_cash_of_one() -> None:
    both = {"AAPL": [100, 101, 103], "MSFT": [100, 101, 103]}
    desk = Desk(capital="4000", execution={"repriceBps": 10}).ready()
    sent = [command.order for command in of(do.SubmitOrder, desk.bar(both))]
    assert len(sent) == 2
    for order in sent:
        desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    later = {"AAPL": [100, 102, 104], "MSFT": [100, 102, 104]}
    assert len(of(do.ReplaceOrder, desk.bar(later))) == 2
    reserved = desk.engine._books.reserved()
    assert sum(reserved.values()) < 2 * Decimal("0.21") * 4000


def test_an_order_that_the_broker_rejects_later_counts_as_rejected_once() -> None:
    desk = Desk().ready()
    (order,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    desk.tell(seen.SubmitAcknowledged(a_word(order, "new")))
    for _ in range(2):
        desk.tell(seen.TradeUpdate("rejected", a_word(order, "rejected")))
    assert desk.engine.counters["orders", "rejected"] == 1


# ---------------------------------------------------------------- brackets and mixes

HALVES = {"weights_percent": {"AAPL": 10, "MSFT": 10}, "drift_percent": 1, "days_apart": 0, "min_trade": 0}


def test_two_bars_are_read_of_a_strategy_that_needs_one() -> None:
    assert Desk(strategy=AllWeather.from_parameters(HALVES)).engine.bars_needed == 2


@pytest.mark.parametrize("tradable", [True, False])
def test_a_sale_that_is_refused_for_good_is_not_waited_for(tradable: bool) -> None:
    desk = Desk(held("40"), strategy=AllWeather.from_parameters(HALVES)).ready(positions=[a_position("AAPL", "40")])
    desk.minute = 5
    desk.tell(seen.ClockRead(a_clock(5)))
    frames = bars({"AAPL": [100, 100], "MSFT": [300, 300]}, OPEN + timedelta(minutes=5))
    assets = {"AAPL": BrokerAsset("AAPL", tradable, True, True), "MSFT": BrokerAsset("MSFT", True, True, True)}
    commands = desk.tell(seen.BarsClosed(OPEN, frames, assets=assets))
    orders = [command.order for command in of(do.SubmitOrder, commands)]
    assert [order.side for order in orders] == [Side.SELL if tradable else Side.BUY]


def test_what_lost_its_exits_is_sold_also_where_the_strategy_fails() -> None:
    strategy = MomentumBrackets.from_parameters({"lookback": 2})
    desk = Desk(held("20"), strategy=strategy).ready(positions=[a_position("AAPL", "20")])

    def fails(_: object) -> NoReturn:
        raise ZeroDivisionError

    strategy.targets = fails  # type: ignore[method-assign]
    commands = desk.bar(RISING)
    assert [notice.name for notice in of(do.Notice, commands)] == ["strategy_failed"]
    assert [(one.order.symbol, one.order.side) for one in of(do.SubmitOrder, commands)] == [("AAPL", Side.SELL)]
