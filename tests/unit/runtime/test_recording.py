"""A recording is every event with its commands; a replay makes the same ones, byte for byte, or says where not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest

from builders import OPEN, a_clock, a_config, a_position, a_snapshot, a_word, an_order, at, bars, figures
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, OrderState
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.values import BrokerQuote, MarketSession
from tradingbot_runtime.recording import NotARecording, Recorder, commands_text, replay
from tradingbot_runtime.strategies.momentum import Momentum

RISING = {"AAPL": [100.0, 101.1, 103.3], "MSFT": [300.0, 299.0, 298.7]}
CONFIG = a_config(strategy={"name": "momentum", "parameters": {"lookback": 2, "max_weight": 0.2}})


def some_bars(minute: float) -> seen.BarsClosed:
    moment = OPEN + timedelta(minutes=minute)
    quote = BrokerQuote("AAPL", Decimal("103.29"), Decimal("103.31"), moment)
    session = MarketSession(OPEN.date(), OPEN, OPEN + timedelta(hours=6.5))
    quotes = {"AAPL": quote, "MSFT": replace(quote, symbol="MSFT")}
    return seen.BarsClosed(moment - timedelta(minutes=5), bars(RISING, moment), moment, quotes, (session,))


def a_day() -> list[seen.Event]:
    order = an_order(1, qty=Decimal(19), limit_price=Decimal("103.40"))
    word = a_word(order, "partially_filled", "7", "103.31", legs=(a_word(an_order(2), "held"),))
    return [
        seen.GrantSeen(granted=True, max_capital=Decimal("1000.50")),
        seen.GrantSeen(granted=False, why="status.grant is absent"),
        seen.ControlPlaneSeen(),
        seen.ClockRead(a_clock(5)),
        seen.StreamConnected(),
        seen.SnapshotTaken(a_snapshot([a_position("AAPL", "0.5")]), at().machine),
        seen.SnapshotTaken(a_snapshot([a_position("AAPL", "0.5")])),
        seen.ClockRead(a_clock(6)),
        some_bars(5),
        seen.TargetsComputed("2026-03-02T175", {"AAPL": Decimal("0.2")}),
        seen.TargetsFailed("2026-03-02T175", "ValueError: no"),
        seen.KeysRefused("401"),
        seen.KeysAccepted(),
        seen.PositionsAccepted("mine"),
        seen.FiguresRead(figures("1234.5678")),
        seen.SubmitAcknowledged(word),
        seen.TradeUpdate("fill", replace(word, status="filled", filled_qty=Decimal(19))),
        seen.SubmitRejected("nobody's", "403"),
        seen.SubmitInDoubt("nobody's", "timeout"),
        seen.SubmitWithheld("nobody's", "paused"),
        seen.QueryAnswered("nobody's", None),
        seen.CancelAccepted("nobody's", at().machine),
        seen.BarsFailed("503"),
        seen.SnapshotFailed("503"),
        seen.StreamLost("reset"),
        seen.PauseSeen(True),
        seen.BreakerResetAsked("why not"),
        seen.EvaluationAsked("monday"),
        seen.Tick(),
        seen.IncidentAcknowledged("broker_unreachable", "me"),
        seen.NoticeDelivered("nobody's"),
        seen.NoticeUndelivered("nobody's", "503"),
        seen.KillSeen("enough", "TradingBot"),
        seen.BotDeleted(),
        seen.Tick(),
    ]


def recovered() -> Recovered:
    return Recovered(
        orders=(an_order(5, state=OrderState.FILLED),),
        fills=(Fill("x", 1, "MSFT", Decimal("0.000000001"), Decimal("298.123456789"), OPEN),),
        kill=None,
        checkpoints={"trading": '{"last_bar": null, "last_request": null}'},
    )


def recorded(path: Path, events: Sequence[seen.Event], start: Recovered | None = None) -> int:
    start = start or recovered()
    engine = Engine(CONFIG, Momentum.from_parameters({"lookback": 2, "max_weight": 0.2}), start, watched=True)
    count = 0
    with Recorder(path, CONFIG, start, watched=True) as recorder:
        for number, event in enumerate(events):
            now = at(number * 2.5, 5)
            commands = engine.handle(event, now)
            recorder.record(event, now, commands)
            count += len(commands)
    return count


def test_every_event_is_replayed_to_the_same_commands(tmp_path: Path) -> None:
    events = a_day()
    assert {type(event) for event in events} == set(get_args(seen.Event))
    commands = recorded(tmp_path / "day.jsonl", events)
    found = replay(tmp_path / "day.jsonl")
    assert (found.difference, found.events, found.commands) == (None, len(events), commands)
    assert commands > 20


def test_a_kill_on_the_volume_is_replayed_too(tmp_path: Path) -> None:
    killed = replace(recovered(), kill=KillState("enough", "TradingBot", flatten=True, observed_at=OPEN))
    recorded(tmp_path / "day.jsonl", a_day(), killed)
    assert replay(tmp_path / "day.jsonl").difference is None


def test_another_command_is_named_with_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    recorded(path, a_day())
    path.write_text(path.read_text().replace("103.40", "103.41").replace("103.4\\", "103.5\\"))
    changed = [line for line in path.read_text().splitlines() if "SubmitOrder" in line]
    assert changed
    path.write_text(path.read_text().replace("target weight 0.2000", "a hunch"))
    found = replay(path)
    assert found.difference is not None
    assert "TargetsComputed" in found.difference and "a hunch" in found.difference


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    recorded(path, a_day())
    path.write_text(path.read_text() + '{"now": {"mach')
    assert replay(path).difference is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: "", "line 1"),
        (lambda text: "PK\x03\x04 no recording\n", "line 1"),
        (lambda text: text.replace('"format":1', '"format":2'), "format 2"),
        (lambda text: text.replace('"event":"Tick"', '"event":"Quantum"'), "no event 'Quantum'"),
    ],
)
def test_what_is_no_recording_is_refused_by_the_line(tmp_path: Path, spoil: Any, message: str) -> None:
    path = tmp_path / "day.jsonl"
    recorded(path, a_day())
    path.write_text(spoil(path.read_text()))
    with pytest.raises(NotARecording, match=message):
        replay(path)


def test_equal_commands_have_equal_bytes() -> None:
    command = do.Journal("x", {"b": "1", "a": "2"})
    assert commands_text([command]) == commands_text([do.Journal("x", {"a": "2", "b": "1"})])
