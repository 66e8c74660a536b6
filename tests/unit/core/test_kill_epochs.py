"""Kills are counted: which one a start finds over, which one it is told of, and what of the time before may go on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from builders import OPEN, UID, a_clock, a_config, a_live_config, a_position, a_snapshot, a_word, an_order, at
from tradingbot_api import RuntimeConfig, RuntimeReport, TradingState
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import OrderState, client_order_id, epoch_of
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import Side
from tradingbot_runtime.strategies.momentum import Momentum

BEFORE = at(-3600).machine
KILL = KillState("enough", "TradingBot", flatten=True, observed_at=BEFORE, epoch=1)
TOLD = {"epoch": 3, "reason": "asked of the bot before"}


class Process:
    """One process of a bot, from its start on."""

    def __init__(self, config: RuntimeConfig, recovered: Recovered | None = None) -> None:
        momentum = Momentum.from_parameters({"lookback": 2, "max_weight": 0.2})
        self.engine = Engine(config, momentum, recovered or Recovered())
        self.seconds = 0.0

    def tell(self, event: seen.Event, seconds: float = 0.01) -> list[do.Command]:
        self.seconds += seconds
        now = at(self.seconds)
        if isinstance(event, seen.SnapshotTaken) and event.asked_at is None:
            event = replace(event, asked_at=now.machine)
        return self.engine.handle(event, now)

    def reads(self, *orders: Any, positions: Sequence[Any] = ()) -> list[do.Command]:
        return self.tell(seen.SnapshotTaken(a_snapshot(positions, orders)))

    def report(self) -> RuntimeReport:
        return self.engine.report(at(self.seconds), version="1", started_at=datetime(2026, 1, 1, tzinfo=UTC))

    @property
    def kill(self) -> tuple[int, str] | None:
        kill = self.report().kill
        return None if kill is None else (kill.epoch, kill.scope)


def killed_volume(kill: KillState = KILL, **more: Any) -> Recovered:
    return Recovered(kill=kill, **more)


def lines(commands: Sequence[do.Command], kind: str) -> list[do.Journal]:
    return [one for one in commands if isinstance(one, do.Journal) and one.kind == kind]


def put_kills(commands: Sequence[do.Command]) -> list[KillState]:
    entries = [one for one in commands if isinstance(one, do.Journal)]
    return [change.kill for entry in entries for change in entry.changes if isinstance(change, do.PutKill)]


@pytest.mark.parametrize("epoch", [0, 1, 7])
@pytest.mark.parametrize("scope", ["TradingBot", "BrokerAccount", "File"])
def test_a_kill_that_the_bot_sees_itself_is_the_one_after_the_last_that_was_released(epoch: int, scope: str) -> None:
    bot = Process(a_config(epoch=epoch))
    (entry,) = lines(bot.tell(seen.KillSeen("enough", scope)), "kill")
    assert (entry.detail["epoch"], entry.detail["observed_at"]) == (str(epoch + 1), at(0.01).machine.isoformat())
    assert bot.kill == (epoch + 1, scope)


@pytest.mark.parametrize(
    ("number", "epoch", "is_over"), [(1, 0, False), (1, 1, True), (1, 5, True), (3, 2, False), (3, 3, True)]
)
def test_a_kill_on_the_volume_is_over_once_its_number_is_released(number: int, epoch: int, is_over: bool) -> None:
    bot = Process(a_config(epoch=epoch), killed_volume(replace(KILL, epoch=number)))
    commands = bot.tell(seen.Tick())
    assert (bot.kill is None) is is_over
    assert (bot.report().trading_state is not TradingState.HALTED) is is_over
    assert len(lines(commands, "kill_released")) == is_over
    if is_over:
        (entry,) = lines(commands, "kill_released")
        assert (entry.detail["epoch"], entry.detail["last_released_epoch"]) == (str(number), str(epoch))
        (kill,) = put_kills(commands)
        assert (kill.epoch, kill.released_at) == (number, at(0.01).machine)


def test_a_release_is_the_first_thing_that_is_journaled_and_happens_once() -> None:
    bot = Process(a_config(epoch=1), killed_volume())
    commands = bot.tell(seen.StreamConnected())
    assert isinstance(commands[0], do.Journal) and commands[0].kind == "kill_released"
    assert lines(bot.tell(seen.Tick()), "kill_released") == []


def test_after_a_release_the_bot_trades_once_its_books_were_compared() -> None:
    bot = Process(a_config(epoch=1), killed_volume())
    bot.tell(seen.ClockRead(a_clock()))
    bot.tell(seen.StreamConnected())
    assert bot.report().trading_state is TradingState.REDUCING
    bot.reads()
    assert bot.report().trading_state is TradingState.ACTIVE


def test_a_bot_is_killed_at_once_by_what_its_config_tells() -> None:
    bot = Process(a_config(epoch=2, killed=TOLD, onKill="Flatten"))
    commands = bot.tell(seen.ClockRead(a_clock()))
    assert isinstance(commands[0], do.Journal) and commands[0].kind == "kill"
    (kill,) = put_kills(commands)
    assert (kill.epoch, kill.scope, kill.reason, kill.flatten) == (3, "KillRecord", TOLD["reason"], True)
    assert [one for one in commands if isinstance(one, do.TakeSnapshot)]
    assert bot.kill == (3, "KillRecord")
    assert bot.tell(seen.KillSeen("again", "TradingBot")) == []


def test_an_empty_volume_does_not_keep_the_kill_from_cancelling_and_closing() -> None:
    """The broker's list of the bot's own orders says what was the bot's: some more were there before it."""
    bot = Process(a_config(epoch=2, killed=TOLD, onKill="Flatten"))
    bot.tell(seen.ClockRead(a_clock()))
    bought = an_order(1, client_order_id=client_order_id(UID, "paper", 2, 1))
    resting = an_order(2, symbol="MSFT", client_order_id=client_order_id(UID, "paper", 2, 2))
    commands = bot.reads(
        a_word(bought, "filled", "10", "100"),
        a_word(resting, "new"),
        positions=[a_position("AAPL", "110"), a_position("MSFT", "5")],
    )
    assert [one.client_order_id for one in commands if isinstance(one, do.CancelOrder)] == [resting.client_order_id]
    assert [one for one in commands if isinstance(one, do.ClosePosition)] == [do.ClosePosition("AAPL", "10")]
    bot.tell(seen.TradeUpdate("canceled", a_word(resting, "canceled")))
    bot.reads(positions=[a_position("AAPL", "100"), a_position("MSFT", "5")])
    kill = bot.report().kill
    assert kill is not None and kill.orders_cancelled_at is not None and kill.flat_at is not None


def test_a_kill_that_is_on_the_volume_already_is_not_begun_anew() -> None:
    known = replace(KILL, epoch=3, orders_cancelled_at=BEFORE)
    bot = Process(a_config(epoch=2, killed=TOLD), killed_volume(known))
    assert put_kills(bot.tell(seen.Tick())) == []
    assert bot.kill == (3, "TradingBot")


def test_one_kill_is_released_and_the_next_is_told_of_in_the_same_decision() -> None:
    bot = Process(a_config(epoch=2, killed=TOLD), killed_volume(replace(KILL, epoch=2)))
    released, begun = put_kills(bot.tell(seen.Tick()))
    assert (released.epoch, released.is_in_force) == (2, False)
    assert (begun.epoch, begun.is_in_force) == (3, True)
    assert bot.kill == (3, "KillRecord")


def test_a_bot_whose_annotation_is_still_there_is_killed_again_under_the_next_number() -> None:
    bot = Process(a_config(epoch=1), killed_volume())
    bot.tell(seen.KillSeen("enough", "TradingBot"))
    assert bot.kill == (2, "TradingBot")


def entry_of(epoch: int, state: OrderState = OrderState.NEW) -> Any:
    order_id = client_order_id(UID, "paper", epoch, 4)
    return an_order(4, client_order_id=order_id, state=state, broker_id=None if state is OrderState.IN_DOUBT else "b")


@pytest.mark.parametrize("state", [OrderState.IN_DOUBT, OrderState.NEW, OrderState.PENDING_CANCEL])
def test_an_entry_from_before_the_release_is_cancelled_wherever_it_turns_up(state: OrderState) -> None:
    order = entry_of(0, state)
    bot = Process(a_config(epoch=1), killed_volume(orders=(order,)))
    bot.tell(seen.StreamConnected())
    commands = bot.reads(a_word(order, "new"))
    assert [one.client_order_id for one in commands if isinstance(one, do.CancelOrder)] == [order.client_order_id]


def test_an_entry_from_before_the_release_is_cancelled_though_the_volume_is_empty() -> None:
    bot = Process(a_config(epoch=1))
    commands = bot.tell(seen.TradeUpdate("new", a_word(entry_of(0), "new")))
    assert [one for one in commands if isinstance(one, do.CancelOrder)]


def test_an_entry_of_this_epoch_and_an_exit_of_any_stay() -> None:
    kept = (entry_of(1), replace(entry_of(0), client_order_id=client_order_id(UID, "paper", 0, 5), reducing=True))
    bot = Process(a_config(epoch=1), Recovered(orders=kept))
    bot.tell(seen.ClockRead(a_clock()))
    bot.tell(seen.StreamConnected())
    commands = bot.reads(*(a_word(order, "new") for order in kept))
    assert [one for one in commands if isinstance(one, do.CancelOrder)] == []


def test_what_took_the_place_of_an_entry_from_before_the_release_is_cancelled_too() -> None:
    order = entry_of(0)
    bot = Process(a_config(epoch=1), killed_volume(orders=(order,)))
    bot.tell(seen.StreamConnected())
    successor = a_word(order, "new", client_order_id="somebody-elses", broker_id="c", replaces="b")
    commands = bot.reads(a_word(order, "replaced", broker_id="b"), successor)
    assert [one.client_order_id for one in commands if isinstance(one, do.CancelOrder)] == ["somebody-elses"]


def test_a_decision_that_was_still_owed_when_the_kill_came_is_not_made_up_for_after_the_release() -> None:
    owed = json.dumps({"last_bar": "2026-03-02T174", "last_request": None, "owed": True})
    bot = Process(a_config(epoch=1), killed_volume(checkpoints={"trading": owed}))
    (entry,) = lines(bot.tell(seen.StreamConnected()), "decisions_dropped")
    (change,) = entry.changes
    assert isinstance(change, do.PutCheckpoint)
    assert json.loads(change.document) == {"last_bar": "2026-03-02T174", "last_request": None, "owed": False}
    bot.reads()
    assert do.ReadBars() not in bot.tell(seen.ClockRead(a_clock()))
    assert do.ReadBars() in bot.tell(seen.ClockRead(a_clock(5)))


@pytest.mark.parametrize("asked_first", [True, False])
def test_an_evaluation_asked_for_beside_a_kill_is_not_made_after_the_release(asked_first: bool) -> None:
    bot = Process(a_config())
    events = [seen.EvaluationAsked("monday"), seen.KillSeen("enough", "TradingBot")]
    commands = [command for event in (events if asked_first else events[::-1]) for command in bot.tell(event)]
    (kill,) = put_kills(commands)
    entries = [one for one in commands if isinstance(one, do.Journal)]
    documents = [change.document for one in entries for change in one.changes if isinstance(change, do.PutCheckpoint)]
    again = Process(a_config(epoch=1), killed_volume(kill, checkpoints={"trading": documents[-1]}))
    again.tell(seen.StreamConnected())
    again.reads()
    again.tell(seen.ClockRead(a_clock(1)))  # the bar of this moment, which is decided anew
    assert again.tell(seen.EvaluationAsked("monday")) == []
    assert again.tell(seen.EvaluationAsked("tuesday")) != []


def test_what_an_earlier_kill_left_alone_says_nothing_of_the_next() -> None:
    stale = json.dumps({"AAPL": "500"})
    recovered = killed_volume(
        orders=(an_order(1, state=OrderState.FILLED, filled_qty=Decimal(10)),), checkpoints={"flatten": stale}
    )
    bot = Process(a_config(epoch=1, onKill="Flatten"), recovered)
    (entry,) = lines(bot.tell(seen.KillSeen("again", "TradingBot")), "kill_released")
    assert do.PutCheckpoint("flatten", "null") in entry.changes
    bot.tell(seen.ClockRead(a_clock()))
    commands = bot.reads(positions=[a_position("AAPL", "20")])
    assert [one.qty for one in commands if isinstance(one, do.ClosePosition)] == [], "none of it was the bot's"


def test_paper_and_live_each_go_by_their_own_volume() -> None:
    live = Process(a_live_config().model_copy(update={"epoch": 1}), killed_volume(replace(KILL, epoch=2)))
    paper = Process(a_config(epoch=1), killed_volume())
    live.tell(seen.Tick())
    paper.tell(seen.Tick())
    assert (live.kill, paper.kill) == ((2, "TradingBot"), None)


def test_each_step_is_journaled_with_its_time_and_measured_once() -> None:
    bot = Process(a_config(onKill="Flatten"))
    bot.tell(seen.ClockRead(a_clock()))
    order = an_order()
    bot.tell(seen.TradeUpdate("partial_fill", a_word(order, "partially_filled", "4", "100")))
    bot.tell(seen.KillSeen("enough", "TradingBot"))
    seen_at = at(bot.seconds).machine
    steps: list[tuple[str, float]] = []
    told: dict[str, str] = {}

    def go_on(event: seen.Event, seconds: float) -> None:
        commands = bot.tell(event, seconds)
        steps.extend((one.step, one.seconds) for one in commands if isinstance(one, do.KillStep))
        for entry in lines(commands, "kill_progress"):
            told.update({name: value for name, value in entry.detail.items() if name.endswith("_at")})

    go_on(seen.CancelAccepted("older", seen_at - timedelta(seconds=1)), 0)
    go_on(seen.CancelAccepted(order.client_order_id, seen_at + timedelta(seconds=0.02)), 1)
    go_on(seen.CancelAccepted("later", seen_at + timedelta(seconds=0.5)), 0)
    go_on(seen.TradeUpdate("canceled", a_word(order, "canceled", "4", "100")), 0)
    go_on(seen.SnapshotTaken(a_snapshot([a_position("AAPL", "4")])), 1)
    go_on(seen.SnapshotTaken(a_snapshot()), 2)
    go_on(seen.SnapshotTaken(a_snapshot()), 2)
    assert steps == [("first_cancel", 0.02), ("orders_cancelled", 2.0), ("flat", 4.0)]
    assert told == {
        "first_cancel_at": (seen_at + timedelta(seconds=0.02)).isoformat(),
        "orders_cancelled_at": (seen_at + timedelta(seconds=2)).isoformat(),
        "flat_at": (seen_at + timedelta(seconds=4)).isoformat(),
    }


def test_closings_that_wait_for_the_open_are_said_to_be_queued_for_it() -> None:
    bot = Process(a_config(onKill="Flatten"))
    bot.tell(seen.ClockRead(a_clock(is_open=False)))
    bot.tell(seen.TradeUpdate("fill", a_word(an_order(), "filled", "10", "100")))
    bot.tell(seen.KillSeen("enough", "TradingBot"))
    held = [a_position("AAPL", "10")]

    def said() -> str:
        kill = bot.report().kill
        assert kill is not None
        return kill.message

    bot.reads(positions=held)
    assert said() == "positions are being closed: 1 left"
    closing = an_order(9, side=Side.SELL)
    half = a_word(closing, "accepted", client_order_id="uuid", qty=Decimal(5))
    bot.reads(half, positions=held)
    assert said() == "positions are being closed: 1 left"
    bot.reads(a_word(closing, "accepted", client_order_id="uuid"), positions=held)
    opens = (OPEN + timedelta(days=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert f"closings are queued for the open of {opens}" in said()
    assert bot.report().kill.orders_cancelled_at is not None  # type: ignore[union-attr]
    bot.tell(seen.ClockRead(a_clock(1)))
    bot.reads(a_word(closing, "accepted", client_order_id="uuid"), positions=held)
    assert said() == "positions are being closed: 1 left"
    bot.reads()
    assert said() == "the broker says that nothing of this bot is left"


@pytest.mark.parametrize(("order_id", "epoch"), [(client_order_id(UID, "paper", 12, 3), 12), ("tb-other-p-1-2", None)])
def test_an_order_tells_its_epoch(order_id: str, epoch: int | None) -> None:
    assert epoch_of(order_id, UID, "paper") == epoch
