"""The trade-update stream as frames in and frames out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_simulator.streams.trade_updates import StreamConnection
from unit.simulator.floor import LIVE, Floor

LOGIN = {"action": "authenticate", "data": {"key_id": "PKDEMOPAPER", "secret_key": "demo-paper-secret"}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}


def tell(connection: StreamConnection, message: object) -> Any:
    (answer,) = connection.receive(json.dumps(message))
    return json.loads(answer)


def listening(floor: Floor) -> StreamConnection:
    connection = StreamConnection(floor.simulator.rest.keys)
    assert tell(connection, LOGIN)["data"] == {"action": "authenticate", "status": "authorized"}
    assert tell(connection, LISTEN) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
    return connection


def heard(connection: StreamConnection, floor: Floor) -> list[Any]:
    frames = (connection.update(update) for update in floor.updates())
    return [json.loads(frame)["data"] for frame in frames if frame is not None]


def test_a_listener_hears_its_orders_in_alpacas_words() -> None:
    floor = Floor()
    connection = listening(floor)
    order = floor.buy("SPY", 3)
    floor.step(1)
    new, fill = heard(connection, floor)
    assert (new["event"], new["order"]["status"]) == ("new", "new")
    assert (fill["event"], fill["qty"], fill["position_qty"]) == ("fill", "3", "3")
    assert fill["order"]["id"] == order.body["id"]
    assert fill["order"]["filled_avg_price"] == fill["price"]
    assert fill["timestamp"] == fill["order"]["filled_at"] == "2026-03-02T17:00:01Z"
    assert fill["execution_id"] != new["execution_id"]


def test_nobody_hears_another_account() -> None:
    floor = Floor()
    connection = listening(floor)
    floor.keys = LIVE
    floor.buy("SPY", 1)
    assert heard(connection, floor) == []


def test_what_happened_before_listening_is_not_replayed() -> None:
    floor = Floor()
    floor.buy("SPY", 1)
    floor.updates()
    assert heard(listening(floor), floor) == []


def test_who_stops_listening_hears_no_more() -> None:
    floor = Floor()
    connection = listening(floor)
    assert tell(connection, {"action": "listen", "data": {"streams": []}})["data"] == {"streams": []}
    floor.buy("SPY", 1)
    assert heard(connection, floor) == []


@pytest.mark.parametrize(
    "login",
    [
        {"action": "authenticate"},
        {"action": "authenticate", "data": {"key_id": "PKDEMOPAPER", "secret_key": "wrong"}},
        {"action": "authenticate", "data": {"key_id": 1, "secret_key": None}},
        {"action": "auth", "key": "nobody", "secret": "x"},
    ],
)
def test_wrong_keys_are_unauthorized_and_hear_nothing(login: object) -> None:
    floor = Floor()
    connection = StreamConnection(floor.simulator.rest.keys)
    assert tell(connection, login)["data"]["status"] == "unauthorized"
    assert tell(connection, LISTEN)["data"] == {"action": "listen", "status": "unauthorized"}
    floor.buy("SPY", 1)
    assert heard(connection, floor) == []


def test_the_older_form_of_authentication_works() -> None:
    connection = StreamConnection(Floor().simulator.rest.keys)
    login = {"action": "auth", "key": "PKDEMOPAPER", "secret": "demo-paper-secret"}
    assert tell(connection, login)["data"]["status"] == "authorized"


@given(st.one_of(st.text(max_size=30), st.binary(max_size=30)))
def test_nonsense_is_answered_with_an_error_frame(frame: str | bytes) -> None:
    (answer,) = StreamConnection(Floor().simulator.rest.keys).receive(frame)
    assert json.loads(answer)["stream"] == "error"
