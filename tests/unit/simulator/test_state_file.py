"""The state directory: what is written, what is read back, and what is refused."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.config import SimulatorConfig
from alpaca_simulator.simulator import Simulator
from alpaca_simulator.state.directory import StateInUseError
from alpaca_simulator.state.kept_simulator import kept_simulator, verified
from alpaca_simulator.state.records import (
    CorruptStateError,
    Header,
    Record,
    StateError,
    entry_line,
    header_line,
    read_log,
)
from alpaca_simulator.state.replay import state_digest, state_json
from unit.simulator.floor import LIVE, MONDAY_NOON, PAPER, Floor


class KeptFloor(Floor):
    """A floor on a simulator that somebody else has opened."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.exchange = simulator.exchange
        self.market = simulator.exchange.market
        self.keys = PAPER


def config(directory: Path, **more: Any) -> SimulatorConfig:
    # What survives the machine's own failure is not what these tests can see: they may be quick.
    state = {"directory": directory, "fsync": False, **more.pop("state", {})}
    content = {"clock": {"mode": "stepped", "start": MONDAY_NOON}, "state": state, **more}
    return SimulatorConfig.model_validate(content)


@contextmanager
def opened(directory: Path, **more: Any) -> Iterator[KeptFloor]:
    with kept_simulator(config(directory, **more)) as simulator:
        yield KeptFloor(simulator)


@contextmanager
def killed_and_reopened(directory: Path, **more: Any) -> Iterator[KeptFloor]:
    """What a new process finds after this one was killed now: the files as they are on the disk."""
    with TemporaryDirectory() as elsewhere:
        copy = Path(elsewhere) / "state"
        shutil.copytree(directory, copy)
        with opened(copy, **more) as floor:
            yield floor


def busy(floor: Floor) -> Floor:
    """Something of everything: fills, an open order, a cancel, a refusal, two accounts."""
    floor.buy("SPY", 10, client_order_id="first")
    floor.step(60)
    open_order = floor.buy("TLT", 5, limit=5, tif="gtc")
    floor.delete(f"/v2/orders/{floor.buy('QQQ', 1, limit=10).body['id']}")
    assert floor.buy("NOSUCH", 1).status == 422
    floor.sell("SPY", 4)
    floor.send("PATCH", "/v2/account/configurations", b'{"no_shorting": true}')
    floor.keys = LIVE
    floor.buy("AAPL", 3)
    floor.keys = PAPER
    floor.step(3600)
    assert floor.status(open_order) == "new"
    return floor


def everything(floor: Floor) -> list[bytes]:
    """The bytes a client of each account can read."""
    paths = (
        "/v2/account",
        "/v2/account/configurations",
        "/v2/account/activities",
        "/v2/account/portfolio/history",
        "/v2/positions",
        "/v2/orders",
        "/v2/clock",
    )
    seen = []
    for keys in (PAPER, LIVE):
        floor.keys = keys
        for path in paths:
            seen.append(floor.get(path, status="all").raw.body)
    floor.keys = PAPER
    return seen


# -- coming back ----------------------------------------------------------------------------


def test_after_a_kill_everything_reads_as_it_did(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        before = everything(busy(floor))
        with killed_and_reopened(tmp_path) as again:
            assert everything(again) == before


def test_after_an_orderly_stop_everything_reads_as_it_did(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        before = everything(busy(floor))
    with opened(tmp_path) as again:
        assert everything(again) == before


def test_a_run_with_restarts_ends_as_a_run_without(tmp_path: Path) -> None:
    never_stopped = Floor()
    for _ in range(3):
        with opened(tmp_path) as floor:
            for one in (floor, never_stopped):
                one.buy("SPY", 2)
                one.step(90)
                one.buy("TLT", 1, limit=5)
    with opened(tmp_path) as floor:
        assert everything(floor) == everything(never_stopped)


def test_client_order_ids_stay_unique(tmp_path: Path) -> None:
    with opened(tmp_path, limits={"orders_kept": 10}) as floor:
        floor.buy("SPY", 1, client_order_id="mine")
        for _ in range(12):
            floor.buy("SPY", 1)
            floor.step(1)
        with killed_and_reopened(tmp_path, limits={"orders_kept": 10}) as again:
            assert again.get("/v2/orders:by_client_order_id", client_order_id="mine").status == 404
            assert again.buy("SPY", 1, client_order_id="mine").code == 40010001


def test_market_time_goes_on_from_the_newest_time_anybody_saw(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        floor.buy("SPY", 1)
        floor.step(3600)
        seen = floor.get("/v2/clock").body
        with killed_and_reopened(tmp_path) as again:
            assert again.get("/v2/clock").body == seen


def test_a_fill_that_was_told_is_never_untold(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        order = floor.buy("SPY", 1)
        floor.simulator.step(timedelta(seconds=5))
        assert "fill" in floor.events()
        with killed_and_reopened(tmp_path) as again:
            assert again.delete(f"/v2/orders/{order.body['id']}").status == 422
            assert again.status(order) == "filled"


def test_trade_updates_are_not_told_again(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
        with killed_and_reopened(tmp_path) as again:
            assert again.updates() == []


def test_a_running_clock_goes_on_where_it_stopped(tmp_path: Path) -> None:
    running = {"mode": "scaled", "start": MONDAY_NOON, "speed": 1_000_000, "skip_closed": False}
    with kept_simulator(config(tmp_path, clock=running)) as simulator:
        first = KeptFloor(simulator)
        first.buy("SPY", 1)
        seen = first.get("/v2/clock").body["timestamp"]
    with kept_simulator(config(tmp_path, clock={**running, "speed": 1})) as simulator:
        again = KeptFloor(simulator).get("/v2/clock").body["timestamp"]
        assert seen <= again < seen[:11] + "99"


def test_reading_writes_no_records(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        size = (tmp_path / "log").stat().st_size
        for path in ("/v2/account", "/v2/orders", "/admin/state"):
            floor.get(path)
        floor.keys = {}
        assert floor.buy("SPY", 1).status == 401
        assert (tmp_path / "log").stat().st_size == size


def test_a_body_that_is_no_text_is_kept_byte_for_byte(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        floor.send("POST", "/v2/orders", b"\xff\xfe{\x00")
        with killed_and_reopened(tmp_path) as again:
            assert state_json(again.exchange) == state_json(floor.exchange)


def test_keys_and_the_clock_may_change_between_runs(tmp_path: Path) -> None:
    accounts = [{"name": "desk", "key_id": "PKONE", "secret_key": "one"}]
    with opened(tmp_path, accounts=accounts):
        pass
    accounts = [{"name": "desk", "key_id": "PKTWO", "secret_key": "two"}]
    with kept_simulator(config(tmp_path, accounts=accounts, clock={"mode": "scaled", "speed": 2})):
        pass
    assert "one" not in (tmp_path / "log").read_text()


def test_hands_from_outside_are_remembered_and_foreign_pages_are_not(tmp_path: Path) -> None:
    cash = json.dumps({"kind": "cash_change", "account": "paper", "amount": "-250"}).encode()
    halt = json.dumps({"kind": "halt", "symbol": "SPY"}).encode()
    with opened(tmp_path) as floor:
        for body in (cash, halt):
            assert floor.send("POST", "/admin/interventions", body).status == 200
        floor.keys = {"Sec-Fetch-Site": "cross-site"}
        assert floor.send("POST", "/admin/interventions", cash).status == 403
        floor.keys = PAPER
        floor.step(60)
        with killed_and_reopened(tmp_path) as again:
            assert again.account()["cash"] == "99750"
            assert again.exchange.halts.listed() == floor.exchange.halts.listed()


@pytest.mark.parametrize("snapshot_bytes", [1_000, 4_000_000])
def test_fills_that_a_fault_held_up_stay_as_they_were_though_the_fault_is_gone(
    tmp_path: Path, snapshot_bytes: int
) -> None:
    stall = json.dumps({"kind": "partial_fill_stall", "fraction": 0.5, "seconds": 600}).encode()
    state = {"snapshot_bytes": snapshot_bytes}
    with opened(tmp_path, state=state) as floor:
        assert floor.send("POST", "/admin/faults", stall).status == 200
        held_up = floor.buy("SPY", 10)
        floor.step(60)
        for _ in range(10):
            floor.buy("TLT", 1, limit=5)
        floor.step(60)
        before = floor.get(f"/v2/orders/{held_up.body['id']}").body
        assert (before["filled_qty"], before["status"]) == ("5", "partially_filled")
        with killed_and_reopened(tmp_path, state=state) as again:
            assert again.get("/admin/faults").body == []
            assert again.get(f"/v2/orders/{held_up.body['id']}").body == before
            again.step(60)
            assert again.status(held_up) == "filled"


# -- the property ---------------------------------------------------------------------------

INTERVENTIONS: list[dict[str, Any]] = [
    {"kind": "cash_change", "account": "paper", "amount": "-77.5"},
    {"kind": "position_change", "account": "live", "symbol": "SPY", "quantity": "3"},
    {"kind": "halt", "symbol": "SPY", "seconds": 600},
    {"kind": "resume", "symbol": "SPY"},
]

ORDERS: list[dict[str, Any]] = [
    {"type": "stop", "stop_price": "470", "side": "sell"},
    {"type": "stop_limit", "stop_price": "600", "limit_price": "601", "side": "buy"},
    {"type": "trailing_stop", "trail_percent": "0.1", "side": "sell"},
    {"type": "market", "side": "buy", "time_in_force": "cls"},
    {"type": "limit", "limit_price": "10", "side": "buy", "time_in_force": "gtc", "extended_hours": True},
    {
        "type": "market",
        "side": "buy",
        "order_class": "bracket",
        "take_profit": {"limit_price": "474"},
        "stop_loss": {"stop_price": "470"},
    },
    {
        "type": "limit",
        "limit_price": "474",
        "side": "sell",
        "order_class": "oco",
        "take_profit": {"limit_price": "474"},
        "stop_loss": {"stop_price": "470"},
    },
]

symbols = st.sampled_from(["SPY", "TLT", "ZVZZT", "NOSUCH"])
actions = st.one_of(
    st.tuples(st.just("buy"), symbols, st.integers(1, 300), st.sampled_from([None, 5, 400, 10_000])),
    st.tuples(st.just("sell"), symbols, st.integers(1, 300), st.sampled_from([None, 5, 400, 10_000])),
    st.tuples(st.just("order"), st.sampled_from(ORDERS)),
    st.tuples(st.just("replace"), st.integers(0, 5)),
    st.tuples(st.just("step"), st.sampled_from([0, 1, 59, 3_600, 30_000])),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("cancel all")),
    st.tuples(st.just("close"), symbols),
    st.tuples(st.just("account"), st.sampled_from(["paper", "live"])),
    st.tuples(st.just("garbage"), st.binary(max_size=20)),
    st.tuples(st.just("intervene"), st.sampled_from(INTERVENTIONS)),
    st.tuples(st.just("stall"), st.sampled_from([0.0, 0.5])),
    st.tuples(st.just("no faults")),
    st.tuples(st.just("restart")),
)


def act(floor: Floor, action: tuple[Any, ...]) -> None:
    match action:
        case ("buy" | "sell" as side, symbol, quantity, limit):
            floor.buy(symbol, quantity, limit) if side == "buy" else floor.sell(symbol, quantity, limit)
        case ("step", seconds):
            floor.step(seconds)
        case ("cancel", index):
            orders = floor.get("/v2/orders", status="all").body
            if index < len(orders):
                floor.delete(f"/v2/orders/{orders[index]['id']}")
        case ("order", fields):
            floor.order(**{"symbol": "SPY", "qty": "2", "time_in_force": "day", **fields})
        case ("replace", index):
            orders = floor.get("/v2/orders", status="open").body
            if index < len(orders):
                floor.send("PATCH", f"/v2/orders/{orders[index]['id']}", b'{"qty": "1"}')
        case ("cancel all",):
            floor.delete("/v2/orders")
        case ("close", symbol):
            floor.delete(f"/v2/positions/{symbol}")
        case ("account", name):
            floor.keys = PAPER if name == "paper" else LIVE
        case ("intervene", intervention):
            floor.send("POST", "/admin/interventions", json.dumps(intervention).encode())
        case ("stall", fraction):
            stall = {"kind": "partial_fill_stall", "fraction": fraction, "seconds": 90}
            floor.send("POST", "/admin/faults", json.dumps(stall).encode())
        case ("no faults",):
            floor.delete("/admin/faults")
        case ("garbage", body):
            floor.send("POST", "/v2/orders", body)


@settings(max_examples=50, deadline=None)
@given(st.lists(actions, max_size=25), st.sampled_from([1_000, 4_000_000]), st.sampled_from([0, 1_500]))
def test_replaying_the_log_gives_the_same_state(did: list[tuple[Any, ...]], snapshot_bytes: int, delay: int) -> None:
    with TemporaryDirectory() as name, ExitStack() as open_now:
        directory, state = Path(name) / "state", {"snapshot_bytes": snapshot_bytes}
        delays = {"exchange": {"cancel_delay_milliseconds": delay, "replace_delay_milliseconds": delay}}
        floor: KeptFloor = open_now.enter_context(opened(directory, state=state, **delays))
        for action in did:
            if action == ("restart",):
                open_now.close()
                floor = open_now.enter_context(opened(directory, state=state, **delays))
            act(floor, action)
        with killed_and_reopened(directory, state=state, **delays) as again:
            assert state_json(again.exchange) == state_json(floor.exchange)
            # Faults end with their process; without them both go on alike.
            floor.delete("/admin/faults")
            for one in (floor, again):
                one.step(7_200)
                one.step_until("close")
            assert state_json(again.exchange) == state_json(floor.exchange)


# -- size -----------------------------------------------------------------------------------


def test_a_long_log_is_replaced_by_a_snapshot(tmp_path: Path) -> None:
    with opened(tmp_path, state={"snapshot_bytes": 5_000}) as floor:
        for _ in range(100):
            floor.send("POST", "/v2/orders", b"{}")
        assert (tmp_path / "log").stat().st_size < 40_000
        with killed_and_reopened(tmp_path) as again:
            assert state_json(again.exchange) == state_json(floor.exchange)


def test_a_kill_between_the_snapshot_and_its_new_log_loses_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
        old_log = (tmp_path / "log").read_bytes()
        before = everything(floor)
    (tmp_path / "log").write_bytes(old_log)
    with opened(tmp_path) as again:
        assert everything(again) == before


def test_a_half_written_snapshot_is_not_looked_at(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        before = everything(busy(floor))
    (tmp_path / "snapshot.new").write_bytes(b"half")
    with opened(tmp_path) as again:
        assert everything(again) == before


# -- refusals -------------------------------------------------------------------------------


def test_two_processes_never_share_a_directory(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StateInUseError, match=rf"in use by process {os.getpid()}"), opened(tmp_path):
        pass
    with opened(tmp_path):
        pass


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 8}, "seed: 1 there, 8 here"),
        ({"accounts": [{"name": "desk", "key_id": "K", "secret_key": "s"}]}, "accounts.0.name: paper there, desk here"),
        ({"partial_fill_probability": 0.5}, "partial_fill_probability"),
        ({"limits": {"orders_kept": 77}}, "limits.orders_kept: 10000 there, 77 here"),
    ],
)
def test_another_seed_or_configuration_is_refused_with_what_differs(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    with opened(tmp_path):
        pass
    with pytest.raises(StateError, match=named), opened(tmp_path, **change):
        pass


def test_the_same_cash_written_otherwise_is_no_other_configuration(tmp_path: Path) -> None:
    for cash in ("1000", "1000.00"):
        with opened(tmp_path, accounts=[{"name": "desk", "key_id": "K", "secret_key": "s", "cash": cash}]):
            pass


def test_files_with_other_prices_are_refused(tmp_path: Path) -> None:
    prices = tmp_path / "SPY.csv"
    row = "2026-03-02,100,101,99,{close},1000000"
    market = {"replay": {"path": prices}}
    for close in ("100", "100"):
        prices.write_text(f"date,open,high,low,close,volume\n{row.format(close=close)}\n")
        with opened(tmp_path / "state", market=market):
            pass
    prices.write_text(f"date,open,high,low,close,volume\n{row.format(close='100.5')}\n")
    with pytest.raises(StateError, match="files with prices"), opened(tmp_path / "state", market=market):
        pass


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("log").write_bytes(header_line(Header(1, MONDAY_NOON, {}, format=2)))
    with pytest.raises(StateError, match="format 2, newer than this simulator's 1"), opened(tmp_path):
        pass


def test_a_torn_tail_is_cut_off(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
        before = everything(floor)
        shutil.copytree(tmp_path, tmp_path / "killed")
    log = tmp_path / "killed" / "log"
    whole = log.read_bytes()
    log.write_bytes(whole + b'1234abcd {"n":99,"at":"20')
    with opened(tmp_path / "killed") as again:
        assert log.read_bytes() == whole
        assert everything(again) == before


def test_a_log_of_which_not_even_the_header_was_written_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(header_line(Header(1, MONDAY_NOON, {}))[:20])
    with opened(tmp_path) as floor:
        assert floor.account()["cash"] == "100000"


def test_a_corrupt_record_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
        shutil.copytree(tmp_path, tmp_path / "killed")
    log = tmp_path / "killed" / "log"
    lines = log.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"TLT", b"QQQ")
    log.write_bytes(b"\n".join(lines))
    with pytest.raises(CorruptStateError, match="record 2 does not read"), opened(tmp_path / "killed"):
        pass


def test_a_corrupt_snapshot_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
    snapshot = tmp_path / "snapshot"
    snapshot.write_bytes(snapshot.read_bytes().replace(b"SPY", b"TLT", 1))
    with pytest.raises(CorruptStateError, match="the snapshot is corrupt"), opened(tmp_path):
        pass


def test_a_log_whose_snapshot_is_gone_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
    (tmp_path / "snapshot").unlink()
    with pytest.raises(StateError, match="snapshot that is missing"), opened(tmp_path):
        pass


def test_a_torn_time_file_costs_nothing_but_the_time_since_the_last_record(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
        shutil.copytree(tmp_path, tmp_path / "killed")
    (tmp_path / "killed" / "time").write_bytes(b"torn")
    with opened(tmp_path / "killed") as again:
        assert len(again.get("/v2/orders", status="all").body) == 4


@contextmanager
def full_disk_at(bytes_at_most: int) -> Iterator[None]:
    """No file may grow beyond that: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_at_most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_order_that_cannot_be_recorded_is_refused_and_not_done(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        floor.buy("SPY", 1)
        size = (tmp_path / "log").stat().st_size
        with full_disk_at(size + 10):
            refused = floor.buy("SPY", 2)
        assert (refused.status, refused.message.startswith("nothing was done")) == (503, True)
        assert (tmp_path / "log").stat().st_size == size
        assert len(floor.get("/v2/orders", status="all").body) == 1
        assert floor.buy("SPY", 3).status == 200
        with killed_and_reopened(tmp_path) as again:
            assert [order["qty"] for order in again.get("/v2/orders", status="all").body] == ["3", "1"]


# -- verifying ------------------------------------------------------------------------------


def test_a_verified_directory_ends_where_the_simulator_was_and_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as floor:
        busy(floor)
        digest = state_digest(floor.exchange)
        shutil.copytree(tmp_path, tmp_path / "killed")
    log = tmp_path / "killed" / "log"
    log.write_bytes(log.read_bytes() + b"torn")
    before = log.read_bytes()
    header, end = verified(tmp_path / "killed")
    assert (header.seed, end.torn_bytes, end.number) == (1, 4, 8)
    assert state_digest(end.simulator.exchange) == digest
    assert log.read_bytes() == before


def test_a_directory_in_use_or_without_a_state_is_not_verified(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StateInUseError):
        verified(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StateError, match="holds no state"):
        verified(tmp_path / "empty")


# -- the log's bytes ------------------------------------------------------------------------


def log_of(count: int) -> tuple[bytes, list[bytes]]:
    at = MONDAY_NOON
    lines = [header_line(Header(7, at, {"a": [1]}))]
    lines += [
        entry_line(Record(number, at + timedelta(seconds=number), "desk", "POST", "/v2/orders", "", b"{\xff}"))
        for number in range(1, count + 1)
    ]
    return b"".join(lines), lines


@settings(max_examples=100)
@given(st.integers(0, 4), st.data())
def test_any_prefix_of_a_log_reads_as_its_whole_lines(count: int, data: st.DataObject) -> None:
    raw, lines = log_of(count)
    length = data.draw(st.integers(0, len(raw)))
    whole = [line for index, line in enumerate(lines) if sum(map(len, lines[: index + 1])) <= length]
    log = read_log(raw[:length])
    if not whole:
        assert log is None
    else:
        assert log is not None
        assert len(log.entries) == len(whole) - 1
        assert (log.good_bytes, log.torn_bytes) == (sum(map(len, whole)), length - sum(map(len, whole)))


@settings(max_examples=100)
@given(st.integers(2, 4), st.data())
def test_a_flipped_bit_anywhere_but_in_the_last_record_is_found(count: int, data: st.DataObject) -> None:
    raw, lines = log_of(count)
    place = data.draw(st.integers(0, len(raw) - len(lines[-1]) - 1))
    flipped = bytearray(raw)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptStateError):
        read_log(bytes(flipped))


def test_a_record_reads_back_as_it_was_written() -> None:
    raw, _ = log_of(3)
    log = read_log(raw)
    assert log is not None
    assert log.header == Header(7, MONDAY_NOON, {"a": [1]})
    assert log.entries[2] == Record(3, MONDAY_NOON + timedelta(seconds=3), "desk", "POST", "/v2/orders", "", b"{\xff}")


def test_a_simulator_without_a_state_directory_forgets() -> None:
    with kept_simulator(SimulatorConfig()) as simulator:
        assert simulator.rest.journal is None
