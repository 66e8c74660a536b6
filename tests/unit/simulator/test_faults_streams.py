"""What each fault of the streams does to a client that listens, in virtual time."""

from __future__ import annotations

import json

import pytest

from alpaca_simulator.faults.socket_faults import Drop
from alpaca_simulator.in_process import StreamRefusedError
from alpaca_simulator.simulator import MachineTime
from alpaca_simulator.streams.client_socket import ClientSocket
from alpaca_simulator.streams.market_data_codec import JsonCodec
from unit.simulator.faulty_floor import KEYS, FaultyFloor, told
from unit.simulator.floor import MONDAY_NOON

RESTING = {"type": "limit", "limit_price": "5", "symbol": "TLT"}


def placed(floor: FaultyFloor, *names: str) -> None:
    """Orders that rest: each is told of by one `new`."""
    for name in names:
        assert floor.client_order(name, **RESTING).status_code == 200


def data_socket(floor: FaultyFloor) -> ClientSocket:
    """A client of the market data stream that has subscribed to SPY's bars."""
    socket = floor.simulator.streams.open_market_data("iex", JsonCodec(), *KEYS)
    socket.receive(json.dumps({"action": "subscribe", "bars": ["SPY"]}))
    return socket


def received(floor: FaultyFloor, socket: ClientSocket) -> list[object]:
    """Every message that has come, and how the connection ended."""
    floor.simulator.streams.deliver()
    found: list[object] = []
    while (one := socket.next()) is not None:
        found += [one] if isinstance(one, Drop) else json.loads(one)
    return found


def test_a_stream_without_faults_tells_what_happened_by_the_clock() -> None:
    floor = FaultyFloor()
    stream = floor.listening()
    floor.client_order("a")
    assert told(stream) == ["new a"]
    floor.step(1)
    assert told(stream) == ["fill a"]
    assert stream.ping()


def test_a_duplicate_has_the_execution_id_of_the_first() -> None:
    floor = FaultyFloor()
    floor.fault("duplicate_update", match={"events": ["fill"]}, copies=2)
    stream = floor.listening()
    floor.client_order("a")
    floor.step(1)
    messages = [json.loads(frame)["data"] for frame in stream.frames()]
    assert [one["event"] for one in messages] == ["new", "fill", "fill", "fill"]
    assert len({one["execution_id"] for one in messages[1:]}) == 1


def test_a_lost_update_never_comes() -> None:
    floor = FaultyFloor()
    floor.fault("lose_update", match={"events": ["fill"]}, count=1)
    stream = floor.listening()
    floor.client_order("a")
    floor.step(1)
    floor.client_order("b")
    floor.step(3600)
    assert told(stream) == ["new a", "new b", "fill b"]


def test_a_delayed_update_comes_when_market_time_has_passed() -> None:
    floor = FaultyFloor()
    floor.fault("delay_update", seconds=30, match={"events": ["fill"]})
    stream = floor.listening()
    floor.client_order("a")
    floor.step(1)
    floor.client_order("b")
    assert told(stream) == ["new a", "new b"]
    floor.step(29)
    assert told(stream) == []
    floor.step(1)
    assert told(stream) == ["fill a"]
    floor.step(60)
    assert told(stream) == ["fill b"]


def test_a_delay_counts_from_the_update_however_far_the_clock_is_stepped() -> None:
    def heard(*steps: int) -> list[str]:
        floor = FaultyFloor()
        floor.fault("delay_update", seconds=30, match={"client_order_id_prefix": "late", "events": ["fill"]})
        stream = floor.listening()
        floor.client_order("late")
        floor.client_order("limit", type="limit", limit_price="5000", time_in_force="gtc")
        found = []
        for seconds in steps:
            floor.step(seconds)
            found += told(stream)
        return found

    assert heard(1, 10, 19, 60) == heard(90) == ["new late", "new limit", "fill limit", "fill late"]


def test_delays_are_of_the_machine_where_the_clock_runs_by_itself() -> None:
    seconds = [1_000_000.0]
    machine = MachineTime(lambda: seconds[0], lambda: seconds[0])
    floor = FaultyFloor(machine=machine, clock={"mode": "scaled", "start": MONDAY_NOON, "speed": 1000})
    floor.fault("delay_update", seconds=2)
    stream = floor.listening()
    floor.client_order("a", **RESTING)
    assert told(stream) == []
    seconds[0] += 1.9
    assert told(stream) == []
    seconds[0] += 0.2
    assert told(stream) == ["new a"]


def test_a_reordered_update_lets_later_ones_of_its_account_go_first() -> None:
    floor = FaultyFloor()
    floor.fault("reorder_update", window=2, match={"client_order_id_prefix": "a"})
    stream = floor.listening()
    placed(floor, "a", "b")
    assert told(stream) == ["new b"]
    placed(floor, "c", "d")
    assert told(stream) == ["new c", "new a", "new d"]


def test_a_reordered_update_does_not_wait_for_ever() -> None:
    floor = FaultyFloor()
    floor.fault("reorder_update", window=5, seconds=20)
    stream = floor.listening()
    placed(floor, "a")
    floor.step(19)
    assert told(stream) == []
    floor.step(1)
    assert told(stream) == ["new a"]


def test_updates_are_struck_by_symbol_account_and_client_order_id() -> None:
    floor = FaultyFloor()
    floor.fault("lose_update", match={"account": "live"})
    floor.fault("lose_update", match={"symbol": "SPY", "client_order_id_prefix": "bot"})
    stream = floor.listening()
    floor.client_order("bot-1", type="limit", limit_price="5")
    floor.client_order("hand-1", type="limit", limit_price="5")
    floor.client_order("bot-2", **RESTING)
    assert told(stream) == ["new hand-1", "new bot-2"]


def test_who_takes_updates_without_a_stream_meets_the_same_faults() -> None:
    floor = FaultyFloor()
    floor.fault("duplicate_update", match={"events": ["new"]})
    placed(floor, "a")
    assert floor.events() == ["new", "new"]


def test_a_socket_is_dropped_at_every_second_message_which_is_lost() -> None:
    floor = FaultyFloor()
    floor.fault("drop_socket", when="message", every=2)
    stream = floor.listening()
    placed(floor, "a", "b", "c")
    assert told(stream) == []
    assert (stream.is_open, stream.dropped) == (False, Drop(None))
    with pytest.raises(ConnectionResetError):
        stream.send({"action": "listen"})


def test_what_came_before_a_close_frame_is_received() -> None:
    floor = FaultyFloor()
    floor.fault("drop_socket", when="message", skip=2, close_code=1011, count=1)
    stream = floor.listening()
    placed(floor, "a", "b", "c")
    assert told(stream) == ["new a", "new b"]
    assert stream.dropped == Drop(1011)


def test_a_storm_drops_each_connection_as_it_begins_to_listen_until_it_is_over() -> None:
    floor = FaultyFloor()
    floor.fault("drop_socket", when="listening", count=3, match={"stream": "trade_updates", "account": "paper"})
    connections = [floor.simulator.open_stream(*KEYS) for _ in range(4)]
    for one in connections:
        one.frames()
    assert [one.is_open for one in connections] == [False, False, False, True]


def test_a_socket_is_dropped_at_once_without_any_occasion() -> None:
    floor = FaultyFloor()
    stream, other = floor.listening(), floor.listening()
    floor.fault("drop_socket", when="now", count=1)
    assert (stream.frames(), other.frames()) == ([], [])
    assert (stream.is_open, other.is_open) == (False, True)


@pytest.mark.parametrize("answers_pings", [True, False])
def test_a_mute_socket_stays_open_and_says_nothing_for_a_while(answers_pings: bool) -> None:
    floor = FaultyFloor()
    stream = floor.listening()
    floor.fault("mute_socket", seconds=60, answers_pings=answers_pings, count=1)
    placed(floor, "a")
    assert told(stream) == []
    assert (stream.is_open, stream.ping()) == (True, answers_pings)
    floor.step(61)
    placed(floor, "b")
    assert told(stream) == ["new b"]
    assert stream.ping()


def test_a_mute_socket_speaks_again_when_the_rule_is_removed() -> None:
    floor = FaultyFloor()
    stream = floor.listening()
    rule_id = floor.fault("mute_socket", when="message", skip=1)
    placed(floor, "a", "b", "c")
    assert told(stream) == ["new a"]
    floor.delete(f"/admin/faults/{rule_id}")
    placed(floor, "d")
    assert told(stream) == ["new d"]


@pytest.mark.parametrize("content", ["noise", "cut_off", "wrong_shape", "empty"])
def test_a_garbage_frame_is_no_message(content: str) -> None:
    floor = FaultyFloor()
    floor.fault("garbage_frame", when="message", content=content, count=1)
    stream = floor.listening()
    placed(floor, "a")
    garbage, right = stream.frames()
    assert json.loads(right)["stream"] == "trade_updates"
    try:
        assert not isinstance(json.loads(garbage), dict)
    except ValueError:
        assert content != "wrong_shape"


def test_a_garbage_frame_may_take_the_place_of_a_message() -> None:
    floor = FaultyFloor()
    floor.fault("garbage_frame", when="message", content="wrong_shape", instead=True, every=2)
    stream = floor.listening()
    placed(floor, "a", "b", "c")
    frames = stream.frames()
    assert [frame[:1] for frame in frames] == [b"{", b"[", b"{"]


@pytest.mark.parametrize("status", [503, 401, None])
def test_new_connections_are_refused(status: int | None) -> None:
    floor = FaultyFloor()
    floor.fault("refuse_connection", status=status, count=1, match={"stream": "trade_updates"})
    with pytest.raises(StreamRefusedError) as refused:
        floor.simulator.open_stream(*KEYS)
    assert refused.value.status == status
    assert floor.listening().is_open


def test_right_keys_are_unauthorized_on_reconnect() -> None:
    floor = FaultyFloor()
    first = floor.listening()
    floor.fault("expired_keys", match={"place": "trade_updates"}, count=1)
    second = floor.simulator.open_stream(*KEYS)
    statuses = [json.loads(frame)["data"]["status"] for frame in second.frames()]
    assert statuses == ["unauthorized", "unauthorized"]
    assert (first.is_listening, second.is_listening) == (True, False)
    assert floor.client("GET", "/v2/account").status_code == 200
    assert floor.simulator.open_stream(*KEYS).is_listening


def test_the_data_stream_sends_an_error_of_its_own_and_ends() -> None:
    floor = FaultyFloor()
    floor.fault("error_frame", when="listening", code=406, message="connection limit exceeded", count=1)
    *_, error, drop = received(floor, data_socket(floor))
    assert error == {"T": "error", "code": 406, "msg": "connection limit exceeded"}
    assert drop == Drop(1000)


def test_the_trade_update_stream_says_an_error_in_its_own_words_and_may_go_on() -> None:
    floor = FaultyFloor()
    floor.fault("error_frame", when="message", code=500, message="internal error", closes=False, count=1)
    stream = floor.listening()
    placed(floor, "a")
    error, update = (json.loads(frame) for frame in stream.frames())
    assert error == {"stream": "error", "data": {"code": 500, "error": "internal error"}}
    assert update["stream"] == "trade_updates"


def test_faults_of_sockets_strike_the_data_stream_too() -> None:
    floor = FaultyFloor()
    floor.fault("drop_socket", when="message", match={"stream": "market_data", "account": "paper"}, skip=1)
    trades, data = floor.listening(), data_socket(floor)
    received(floor, data)
    floor.step(60)
    (bar,) = received(floor, data)
    assert isinstance(bar, dict)
    assert (bar["T"], bar["S"]) == ("b", "SPY")
    floor.step(60)
    assert received(floor, data) == [Drop(None)]
    assert trades.is_open


def test_keys_expire_for_the_data_stream_as_wrong_ones() -> None:
    floor = FaultyFloor()
    floor.fault("expired_keys", match={"place": "market_data"})
    socket = floor.simulator.streams.open_market_data("iex", JsonCodec(), *KEYS)
    assert received(floor, socket)[-1] == {"T": "error", "code": 402, "msg": "auth failed"}


def test_a_client_that_reads_too_slowly_is_cut_off_and_memory_stays_bounded() -> None:
    floor = FaultyFloor(limits={"updates_per_socket": 3})
    stream = floor.simulator.streams.open_trade_updates()
    login = {"action": "auth", "key": KEYS[0], "secret": KEYS[1]}
    stream.receive(json.dumps(login))
    stream.receive(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
    placed(floor, "a", "b", "c")
    floor.simulator.streams.deliver()
    assert stream.fell_behind
    assert stream.next() == Drop(1013)
    assert stream.next() is None
