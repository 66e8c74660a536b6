"""The engine event by event: what it journals, sends, asks and refuses."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

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
from tradingbot_runtime.core.values import Side
from tradingbot_runtime.strategies.momentum import Momentum

RISING = {"AAPL": [100, 101, 103], "MSFT": [300, 299, 298]}
FALLING = {"AAPL": [103, 101, 100], "MSFT": [300, 299, 298]}


class Desk:
    """An engine, and the commands it has given so far."""

    def __init__(self, recovered: Recovered | None = None, *, watched: bool = False, **config: Any) -> None:
        parameters = {"lookback": 2, "max_weight": 0.2}
        self.engine = Engine(
            a_config(**config), Momentum.from_parameters(parameters), recovered or Recovered(), watched=watched
        )
        self.minute = 0.0
        self.second = 0.0

    def tell(self, event: seen.Event, seconds: float = 0.01) -> list[do.Command]:
        self.second += seconds
        return self.engine.handle(event, at(self.second, self.minute))

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
    desk.engine._strategy.targets = lambda frames: pd.DataFrame()  # type: ignore[method-assign]
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


def test_the_broker_must_say_unknown_three_times_before_it_is_believed() -> None:
    desk, order = doubtful()
    desk.tell(seen.SubmitInDoubt(order.client_order_id, "timeout"))
    for _ in range(2):
        assert of(do.QueryOrder, desk.tell(seen.QueryAnswered(order.client_order_id, None)))
    (entry,) = of(do.Journal, desk.tell(seen.QueryAnswered(order.client_order_id, None)))
    assert entry.changes[0].order.state is OrderState.NOT_SENT
    (other,) = [command.order for command in of(do.SubmitOrder, desk.bar(RISING))]
    assert other.client_order_id != order.client_order_id


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
    assert of(do.QueryOrder, again)
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


def test_a_gap_counts_when_it_is_seen_twice_and_the_broker_wins() -> None:
    desk = Desk(Recovered(fills=(Fill("x", 1, "AAPL", Decimal(5), Decimal(100), OPEN),)))
    desk.tell(seen.ClockRead(a_clock()))
    desk.tell(seen.StreamConnected())
    books = a_snapshot([a_position("AAPL", "7", "90"), a_position("MSFT", "1", "300")])
    assert [entry.kind for entry in of(do.Journal, desk.tell(seen.SnapshotTaken(books)))] == ["risk"]
    assert not desk.engine.is_ready
    corrected = of(do.Journal, desk.tell(seen.SnapshotTaken(books)))
    kinds = [entry.kind for entry in corrected if entry.kind != "risk"]
    assert kinds == ["position_corrected", "position_corrected", "reconciliation"]
    report = desk.report()
    assert [(position.symbol, position.qty) for position in report.positions] == [("AAPL", 7), ("MSFT", 1)]
    assert report.last_reconciliation is not None and report.last_reconciliation.result == "Mismatch"


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
