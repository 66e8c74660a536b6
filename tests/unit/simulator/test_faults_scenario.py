"""Scenarios and interventions: what is done to the books, by whom, and exactly when."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from alpaca_simulator.cli import app
from alpaca_simulator.config import SimulatorConfig, StateConfig
from alpaca_simulator.faults.interventions import INTERVENTIONS, intervention_json, read_intervention
from alpaca_simulator.faults.scenario import ScenarioError, parse_scenario, planned
from alpaca_simulator.market.calendar import new_york_stock_exchange
from alpaca_simulator.state.kept_simulator import kept_simulator
from unit.simulator.faulty_floor import FaultyFloor, told
from unit.simulator.floor import MONDAY_BEFORE_OPEN, MONDAY_NOON

BAD_MONDAY = """
name: a bad Monday
steps:
  - {at: open+30m, add: {kind: status, status: 503, name: down}}
  - {at: 2026-03-02T15:10:00Z, remove: down}
  - {at: close-5m, do: {kind: halt, symbol: AAPL}}
  - {at: open, day: 2, do: {kind: cash_change, account: paper, amount: "-5000"}}
  - {at: open+1s, day: 2, do: {kind: resume, symbol: MSFT}}
"""


def playing(tmp_path: Path, text: str = BAD_MONDAY) -> FaultyFloor:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    return FaultyFloor(MONDAY_BEFORE_OPEN, faults={"scenario": file}, limits={"requests_per_minute": 0})


def outcomes(floor: FaultyFloor) -> list[str | None]:
    return [step["outcome"] for step in floor.get("/admin/scenario").body["steps"]]


# -- interventions --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(INTERVENTIONS))
def test_the_example_of_each_intervention_reads_back_the_same(kind: str) -> None:
    found = read_intervention(json.dumps(INTERVENTIONS[kind].example))
    assert found.kind == kind
    assert read_intervention(json.dumps(intervention_json(found))) == found


def test_an_order_of_somebody_else_is_heard_and_filled_like_any_other() -> None:
    floor = FaultyFloor()
    stream = floor.listening()
    order = {"symbol": "SPY", "qty": 2, "side": "buy", "type": "market", "time_in_force": "day"}
    answer = floor.intervene("foreign_order", account="paper", order={**order, "client_order_id": "not-mine"})
    assert answer.body["result"]["client_order_id"] == "not-mine"
    floor.step(1)
    assert told(stream) == ["new not-mine", "fill not-mine"]
    assert floor.get("/v2/positions/SPY").body["qty"] == "2"
    assert floor.get("/admin/accounts/paper/requests").body["received"] == 0


def test_a_position_changes_behind_everybodys_back_without_an_update() -> None:
    floor = FaultyFloor().holding("SPY", 5)
    assert isinstance(floor, FaultyFloor)
    cash = floor.account()["cash"]
    assert floor.intervene("position_change", account="paper", symbol="SPY", quantity="-2").body["result"]["qty"] == "3"
    floor.intervene("position_change", account="paper", symbol="AAPL", quantity="4", price="10")
    held = {one["symbol"]: one["qty"] for one in floor.get("/v2/positions").body}
    assert held == {"SPY": "3", "AAPL": "4"}
    assert floor.get("/v2/positions/AAPL").body["avg_entry_price"] == "10"
    assert floor.account()["cash"] == cash
    assert floor.events() == []


def test_cash_changes_and_is_an_activity() -> None:
    floor = FaultyFloor()
    floor.intervene("cash_change", account="paper", amount="-25000.50")
    assert floor.account()["cash"] == "74999.5"
    (activity,) = floor.get("/v2/account/activities/JNLC").body
    assert activity["net_amount"] == "-25000.5"


def test_a_halted_symbol_does_not_trade_until_it_is_resumed() -> None:
    floor = FaultyFloor()
    assert floor.intervene("halt", symbol="SPY").status == 200
    halted, other = floor.buy("SPY", 1), floor.buy("AAPL", 1)
    floor.step(300)
    assert [floor.status(one) for one in (halted, other)] == ["new", "filled"]
    assert floor.intervene("resume", symbol="SPY").status == 200
    floor.step(2)
    assert floor.status(halted) == "filled"


def test_a_halt_of_given_length_ends_by_itself() -> None:
    floor = FaultyFloor()
    floor.intervene("halt", symbol="SPY", seconds=100)
    order = floor.buy("SPY", 1)
    floor.step(100)
    assert floor.status(order) == "new"
    floor.step(1)
    assert floor.status(order) == "filled"


def test_an_event_happens_to_an_order_by_the_exchanges_own_doing() -> None:
    floor = FaultyFloor()
    stream = floor.listening()
    order = floor.buy("TLT", 1, limit=5, client_order_id="mine")
    by_client_id = floor.intervene("force_event", account="paper", client_order_id="mine", event="suspended")
    assert by_client_id.body["result"]["status"] == "suspended"
    by_id = floor.intervene("force_event", account="paper", order_id=order.body["id"], event="rejected")
    assert by_id.body["result"]["status"] == "rejected"
    assert told(stream) == ["new mine", "suspended mine", "rejected mine"]
    again = floor.intervene("force_event", account="paper", client_order_id="mine", event="canceled")
    assert (again.status, again.code) == (422, 42210000)


@pytest.mark.parametrize(
    ("intervention", "status", "said"),
    [
        ({"kind": "cash_change", "account": "paper"}, 422, "amount:"),
        ({"kind": "cash_change", "account": "nobody", "amount": "1"}, 404, "no account nobody"),
        ({"kind": "cash_change", "account": "paper", "amount": "1.001"}, 422, "amount:"),
        ({"kind": "halt", "symbol": "NOSUCH"}, 422, 'asset "NOSUCH" not found'),
        ({"kind": "halt", "symbol": "spy"}, 422, "symbol:"),
        ({"kind": "resume", "symbol": "SPY"}, 422, "SPY is not halted"),
        ({"kind": "foreign_order", "account": "paper", "order": {"symbol": "SPY"}}, 422, ""),
        ({"kind": "foreign_order", "account": "paper", "order": {"qty": float(10**30)}}, 422, ""),
        ({"kind": "force_event", "account": "paper", "event": "canceled"}, 422, "order_id or client_order_id"),
        ({"kind": "force_event", "account": "paper", "event": "new", "client_order_id": "x"}, 404, "not found for x"),
        ({"kind": "dance"}, 422, "body:"),
    ],
)
def test_an_intervention_that_cannot_be_is_refused_and_not_logged(
    intervention: dict[str, object], status: int, said: str
) -> None:
    floor = FaultyFloor()
    answer = floor.post("/admin/interventions", **intervention)
    assert answer.status == status
    assert said in answer.message
    assert floor.log() == []


# -- scenarios ------------------------------------------------------------------------------


def test_steps_come_at_their_market_times_and_say_what_came_of_them(tmp_path: Path) -> None:
    floor = playing(tmp_path)
    floor.step_until("open")
    floor.step(1799)
    assert floor.client("GET", "/v2/account").status_code == 200
    floor.step(1)
    assert floor.client("GET", "/v2/account").status_code == 503
    floor.step(600)
    assert floor.client("GET", "/v2/account").status_code == 200
    floor.step_until("close")
    assert outcomes(floor) == ["done", "done", "done", None, None]
    floor.step_until("open")
    floor.step(1)
    assert floor.account()["cash"] == "95000"
    assert outcomes(floor) == ["done", "done", "done", "done", "MSFT is not halted"]


def test_a_step_comes_at_its_exact_time_however_far_the_clock_is_stepped(tmp_path: Path) -> None:
    def filled_at(*steps: int) -> str:
        floor = playing(tmp_path, "steps: [{at: open+10m, do: {kind: halt, symbol: TLT, seconds: 600}}]")
        floor.step_until("open")
        order = floor.buy("TLT", 1, tif="day", client_order_id="a")
        for seconds in steps:
            floor.step(seconds)
        times: str = floor.get("/v2/orders/" + order.body["id"]).body["filled_at"]
        log = [(line["kind"], line["time"]) for line in floor.log()]
        assert log == [("halt", "2026-03-02T14:40:00Z")]
        return times

    assert filled_at(3600) == filled_at(*[300] * 12)


def test_what_happens_at_a_step_happens_between_the_updates_before_and_after(tmp_path: Path) -> None:
    text = (
        "steps: [{at: open+5m, do: {kind: foreign_order, account: paper, order: "
        "{symbol: SPY, qty: 1, side: buy, type: market, time_in_force: day, client_order_id: theirs}}}]"
    )
    floor = playing(tmp_path, text)
    stream = floor.listening()
    floor.client_order("mine", time_in_force="day")
    floor.step(7200)
    assert told(stream) == ["new mine", "fill mine", "new theirs", "fill theirs"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [{at: open, colour: red, remove: x}]", "steps.0.colour:"),
        ("steps: [{at: lunch, remove: x}]", "steps.0.at:"),
        ("steps: [{at: open}]", "exactly one of add, remove and do"),
        ("steps: [{at: open, add: {kind: status, status: 7}}]", "steps.0.add.status:"),
        ("steps: [{at: open, do: {kind: halt, symbol: SPY, secs: 1}}]", "steps.0.do.secs:"),
        ("steps: [{at: 2026-03-02T15:00:00Z, day: 2, remove: x}]", "day goes with open and close only"),
        ("steps: [{at: open, remove: x}]", "no rule x to remove"),
        ("steps: [{at: 2026-03-01T15:00:00Z, do: {kind: resume, symbol: SPY}}]", "before the start"),
        (
            "steps: [{at: open, add: {kind: hang, name: x}}, {at: close, add: {kind: hang, name: x}}]",
            "a rule x is there already",
        ),
        ("steps: {", "scenario:"),
        ("steps: !!python/object:os.system {}", "scenario:"),
        ("[]", "steps:"),
        ("- 1", "scenario:"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        planned(parse_scenario(text), new_york_stock_exchange(), MONDAY_BEFORE_OPEN)
    assert said in str(refused.value)


def test_days_are_counted_from_the_first_session_that_is_not_over() -> None:
    text = "steps: [{at: close, do: {kind: halt, symbol: SPY}}, {at: open-1h, day: 2, do: {kind: resume, symbol: SPY}}]"
    steps = planned(parse_scenario(text), new_york_stock_exchange(), datetime(2026, 3, 6, 22, 0, tzinfo=UTC))
    # From a Friday evening: Monday, and Tuesday after New York's clocks have gone forward.
    assert [f"{one.at:%a %H:%M}" for one in steps] == ["Mon 20:00", "Tue 12:30"]


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_any_text_is_a_scenario_or_refused_as_none(text: str) -> None:
    with suppress(ScenarioError):
        parse_scenario(text)


def test_the_command_line_prints_what_would_happen_when(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(BAD_MONDAY)
    done = CliRunner().invoke(app, ["scenario", "check", str(file), "--start", "2026-03-02T09:25:00-05:00"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "a bad Monday: 5 steps from 2026-03-02T14:25:00Z"
    assert lines[1].startswith('2026-03-02T15:00:00Z  step 1: add {"kind": "status"')
    assert lines[4] == (
        '2026-03-03T14:30:00Z  step 4: do {"kind": "cash_change", "account": "paper", "amount": "-5000"}'
    )


@pytest.mark.parametrize("command", [["scenario", "check"], ["serve", "--port", "0", "--scenario"]])
def test_the_command_line_explains_in_one_line_what_is_wrong(tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("steps: [{at: open, colour: red, remove: x}]")
    done = CliRunner().invoke(app, [*command, str(file)])
    assert done.exit_code == 2
    assert "steps.0.colour" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_noon_is_no_time_for_a_step_before_it(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(BAD_MONDAY)
    with pytest.raises(ScenarioError, match=r"step 1: .* before the start"):
        FaultyFloor(MONDAY_NOON, faults={"scenario": file})


# -- across a restart -----------------------------------------------------------------------


def kept(tmp_path: Path) -> SimulatorConfig:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "steps: ["
        "{at: open, do: {kind: cash_change, account: paper, amount: '-5000'}},"
        "{at: open+1m, add: {kind: status, status: 503, name: down}},"
        "{at: open+10m, do: {kind: cash_change, account: paper, amount: '-700'}}]"
    )
    return SimulatorConfig.model_validate(
        {
            "clock": {"mode": "stepped", "start": MONDAY_BEFORE_OPEN},
            "faults": {"scenario": scenario},
            "state": {"directory": tmp_path / "state", "fsync": False},
        }
    )


def test_after_a_restart_rules_are_in_force_again_and_nothing_is_done_twice(tmp_path: Path) -> None:
    config = kept(tmp_path)
    with kept_simulator(config) as before:
        before.step(timedelta(minutes=7))
        assert [str(one.cash) for one in before.exchange.accounts.values()] == ["95000", "100000"]
    with kept_simulator(config) as after:
        after.rest.catch_up()
        assert [str(one.cash) for one in after.exchange.accounts.values()] == ["95000", "100000"]
        assert [one.rule_id for one in after.rest.faults.book.in_force()] == ["down"]
        after.step(timedelta(minutes=8))
        assert [str(one.cash) for one in after.exchange.accounts.values()] == ["94300", "100000"]


def test_a_scenario_that_was_cut_off_by_a_kill_is_replayed_from_the_log_alone(tmp_path: Path) -> None:
    config = kept(tmp_path)
    with kept_simulator(config) as before:
        before.step(timedelta(minutes=16))
        # As a killed process leaves it: the log, and no snapshot at the end.
        copy = shutil.copytree(tmp_path / "state", tmp_path / "killed")
    killed = config.model_copy(update={"state": StateConfig(directory=copy, fsync=False)})
    with kept_simulator(killed) as after:
        assert [str(one.cash) for one in after.exchange.accounts.values()] == ["94300", "100000"]
