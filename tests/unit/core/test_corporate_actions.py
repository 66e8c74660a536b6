"""Splits, dividends and renamed symbols: recognised by the broker's activities, applied once, and nobody's gain."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from builders import OPEN, a_clock, a_config, a_position, a_snapshot, at
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.orders import Fill
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import BrokerActivity, BrokerPosition
from tradingbot_runtime.strategies.momentum import Momentum


class Bot:
    """A bot that holds 10 AAPL, bought at 200 each."""

    def __init__(self, checkpoints: dict[str, str] | None = None, fills: Sequence[Fill] | None = None) -> None:
        held = (Fill("", 1, "AAPL", Decimal(10), Decimal(200), OPEN),) if fills is None else tuple(fills)
        recovered = Recovered(fills=held, checkpoints=checkpoints or {})
        self.engine = Engine(a_config(), Momentum.from_parameters({"lookback": 2}), recovered)
        self.second, self.fills, self.checkpoints = 0.0, list(held), dict(checkpoints or {})
        self.tell(seen.ClockRead(a_clock()))
        self.tell(seen.StreamConnected())

    def tell(self, event: seen.Event) -> list[do.Command]:
        self.second += 3
        commands = self.engine.handle(event, at(self.second))
        for command in commands:
            for change in command.changes if isinstance(command, do.Journal) else ():
                if isinstance(change, do.PutFill):
                    self.fills.append(change.fill)
                if isinstance(change, do.PutCheckpoint):
                    self.checkpoints[change.name] = change.document
        return commands

    def snapshot(self, positions: Sequence[BrokerPosition], *activities: BrokerActivity) -> list[do.Command]:
        return self.tell(seen.SnapshotTaken(replace(a_snapshot(positions), activities=activities)))

    @property
    def profit(self) -> Decimal:
        return self.engine._books.profit(self.engine._known.prices)


def worth(symbol: str, qty: str, price: str) -> BrokerPosition:
    return replace(a_position(symbol, qty, price), market_value=Decimal(qty) * Decimal(price))


def an_activity(kind: str, symbol: str, qty: str = "0", amount: str = "0", number: int = 1) -> BrokerActivity:
    return BrokerActivity(f"a-{number}", kind, symbol, Decimal(qty), Decimal(amount), OPEN + timedelta(hours=-1))


def kinds(commands: Sequence[do.Command]) -> list[Any]:
    lines = [command for command in commands if isinstance(command, do.Journal) and command.kind != "risk"]
    return [line.kind for line in lines if line.detail.get("result") != "Clean"]


def test_a_split_changes_shares_at_no_cost_and_is_no_difference() -> None:
    bot = Bot()
    bot.snapshot([worth("AAPL", "10", "200")])
    assert bot.profit == 0
    commands = bot.snapshot([worth("AAPL", "40", "50")], an_activity("SPLIT", "AAPL", "30"))
    assert kinds(commands) == ["position_corrected", "split"]
    holding = bot.engine._books.portfolio.holdings["AAPL"]
    assert (holding.qty, holding.average_entry_price, bot.profit) == (40, 50, 0)
    assert bot.engine.is_ready
    assert bot.engine.counters["reconciliation", "mismatch"] == 0


def test_a_reverse_split_keeps_what_the_holding_cost() -> None:
    bot = Bot()
    bot.snapshot([worth("AAPL", "10", "200")])
    bot.snapshot([worth("AAPL", "1", "2000")], an_activity("SPLIT", "AAPL", "-9"))
    holding = bot.engine._books.portfolio.holdings["AAPL"]
    assert (holding.qty, holding.average_entry_price, bot.profit) == (1, 2000, 0)


def test_shares_that_no_activity_explains_stay_a_difference() -> None:
    bot = Bot()
    bot.snapshot([worth("AAPL", "10", "200")])
    split = an_activity("SPLIT", "AAPL", "29")
    assert kinds(bot.snapshot([worth("AAPL", "40", "50")], split)) == []
    assert "reconciliation" in kinds(bot.snapshot([worth("AAPL", "40", "50")], split))


def test_activities_are_asked_for_when_something_differs() -> None:
    bot = Bot()
    bot.snapshot([worth("AAPL", "10", "200")])
    bot.snapshot([worth("AAPL", "40", "50")])
    (asked,) = [one for one in bot.tell(seen.Tick()) if isinstance(one, do.TakeSnapshot)]
    assert asked.activities_since is not None


def test_a_dividend_is_income_once_also_over_a_restart() -> None:
    bot = Bot()
    dividend = an_activity("DIV", "AAPL", amount="5.00")
    assert kinds(bot.snapshot([worth("AAPL", "10", "200")], dividend)) == ["dividend"]
    assert kinds(bot.snapshot([worth("AAPL", "10", "200")], dividend)) == []
    assert bot.profit == 5
    again = Bot(bot.checkpoints, bot.fills)
    assert kinds(again.snapshot([worth("AAPL", "10", "200")], dividend)) == []
    assert again.profit == 5


def test_a_dividend_on_somebody_else_s_symbol_is_not_ours() -> None:
    bot = Bot()
    bot.snapshot([worth("AAPL", "10", "200")], an_activity("DIV", "GLD", amount="5.00"))
    assert bot.profit == 0


def test_a_renamed_symbol_moves_with_its_cost() -> None:
    bot = Bot()
    bot.snapshot([worth("AAPL", "10", "200")])
    out, into = an_activity("NC", "AAPL", "-10"), an_activity("NC", "MSFT", "10", number=2)
    bot.snapshot([worth("MSFT", "10", "200")], out, into)
    portfolio = bot.engine._books.portfolio
    assert portfolio.qty("AAPL") == 0
    assert (portfolio.qty("MSFT"), portfolio.holdings["MSFT"].average_entry_price, bot.profit) == (10, 200, 0)
    assert bot.engine.counters["reconciliation", "mismatch"] == 0


def test_a_split_is_applied_once_over_a_restart() -> None:
    bot = Bot()
    bot.snapshot([worth("AAPL", "10", "200")])
    split = an_activity("SPLIT", "AAPL", "30")
    bot.snapshot([worth("AAPL", "40", "50")], split)
    again = Bot(bot.checkpoints, bot.fills)
    assert kinds(again.snapshot([worth("AAPL", "40", "50")], split)) == []
    assert again.engine._books.portfolio.qty("AAPL") == 40
