"""Whatever frames a client sends to either websocket: an answer, never an exception, and the stream goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alpaca_simulator.streams.market_data import MarketDataConnection
from alpaca_simulator.streams.market_data_codec import JsonCodec, MsgpackCodec
from alpaca_simulator.streams.trade_updates import StreamConnection
from unit.simulator.floor import PAPER, Floor
from unit.simulator.fuzzing import EARLY_NOON, garbage, json_text, nested, texts, values

KEY_ID, SECRET = PAPER["APCA-API-KEY-ID"], PAPER["APCA-API-SECRET-KEY"]
LARGEST_ANSWER_BYTES = 256 * 1024
CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "news", "corrections")

keys = st.sampled_from([KEY_ID, KEY_ID, "nobody", "", "\ud800"]) | values
secrets = st.sampled_from([SECRET, SECRET, "x", "\U0001f4a5"]) | values

trade_messages = st.one_of(
    st.fixed_dictionaries(
        {"action": st.just("authenticate"), "data": st.fixed_dictionaries({"key_id": keys, "secret_key": secrets})}
    ),
    st.fixed_dictionaries({"action": st.just("auth"), "key": keys, "secret": secrets}),
    st.fixed_dictionaries(
        {
            "action": st.just("listen"),
            "data": st.fixed_dictionaries({"streams": st.lists(st.just("trade_updates") | values, max_size=3)})
            | values,
        }
    ),
    st.fixed_dictionaries({"action": values, "data": values}),
    values,
)
data_messages = st.one_of(
    st.fixed_dictionaries({"action": st.just("auth"), "key": keys, "secret": secrets}),
    st.builds(
        lambda action, channels: {"action": action, **channels},
        st.sampled_from(["subscribe", "unsubscribe"]),
        st.dictionaries(
            st.sampled_from(CHANNELS), st.lists(st.sampled_from(["SPY", "TLT", "*"]) | texts, max_size=4) | values
        ),
    ),
    st.fixed_dictionaries({"action": values, "bars": values}),
    values,
)


def as_frame(value: object) -> bytes:
    return json_text(value)


def as_text_frame(value: object) -> str:
    return json.dumps(value)


def as_packed_frame(value: object) -> bytes:
    """The value in MessagePack, as far as it has a form there."""
    try:
        return msgpack.packb(value, unicode_errors="surrogatepass")
    except (OverflowError, ValueError):
        return b"\xc1"


def frames_of(messages: st.SearchStrategy[Any]) -> st.SearchStrategy[str | bytes]:
    return st.one_of(
        messages.map(as_frame),
        messages.map(as_text_frame),
        messages.map(as_packed_frame),
        garbage,
        st.text(max_size=20),
        # An array of 2**32 - 1 elements, a map that ends too early, an extension type, a timestamp of 12 bytes.
        st.sampled_from([b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff\x01", b"\xc7\x01\x2a\x00", b"\x91" * 5_000]),
        st.just(b"\xc7\x0c\xff" + b"\xff" * 12),
    )


def told(frame: str | bytes, read: Callable[[Any], Any]) -> Any:
    assert len(frame) <= LARGEST_ANSWER_BYTES
    return read(frame)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(frames_of(trade_messages), max_size=10))
@example([nested(30_000), b'{"action":"authenticate","data":[]}', b'{"action":{}}'])
@example([b'{"action":"listen","data":{"streams":{"trade_updates":1}}}', b"[]", b"\xff"])
def test_the_trade_updates_stream_outlives_every_frame(frames: list[str | bytes]) -> None:
    floor = Floor(EARLY_NOON)
    stranger, client = (StreamConnection(floor.simulator.rest.keys) for _ in range(2))
    for frame in frames:
        for answer in stranger.receive(frame):
            message = told(answer, json.loads)
            assert message["stream"] in {"authorization", "listening", "error"}
            assert SECRET not in answer.decode()
    client.receive(as_frame({"action": "auth", "key": KEY_ID, "secret": SECRET}))
    client.receive(as_frame({"action": "listen", "data": {"streams": ["trade_updates"]}}))
    floor.buy("SPY", 1)
    (update,) = floor.updates()
    heard = client.update(update)
    assert heard is not None
    assert json.loads(heard)["data"]["event"] == "new"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(frames_of(data_messages), max_size=10), st.booleans(), st.sampled_from([0, 1, 60]))
@example([b'{"action":"subscribe","bars":[[]]}', b"\xdd\xff\xff\xff\xff"], True, 1)
def test_the_market_data_stream_outlives_every_frame(frames: list[str | bytes], packed: bool, seconds: int) -> None:
    floor = Floor(EARLY_NOON)
    codec, read = (MsgpackCodec(), _unpacked) if packed else (JsonCodec(), json.loads)
    connection, greeting = floor.simulator.market_data.connect("iex", codec)
    heard = [message for frame in greeting for message in told(frame, read)]
    assert heard == [{"T": "success", "msg": "connected"}]
    for frame in frames:
        answers = connection.receive(frame)
        assert answers
        for answer in answers:
            for message in told(answer, read):
                _must_be_well_formed(message)
        floor.step(seconds)
        for told_frame in connection.advance(floor.now):
            for message in told(told_frame, read):
                _must_be_well_formed(message)
    connection.close()
    connection.close()
    _must_still_serve(floor)


def _unpacked(frame: bytes) -> Any:
    return msgpack.unpackb(frame)


def _must_be_well_formed(message: dict[str, Any]) -> None:
    match message["T"]:
        case "error":
            assert 400 <= message["code"] < 500
            assert message["msg"]
        case "success":
            assert message["msg"] == "authenticated"
        case "subscription":
            assert all(isinstance(message[name], list) for name in message if name != "T")
        case _:
            assert message["S"]
            assert message["t"]


def _must_still_serve(floor: Floor) -> None:
    """A place that was given up is free again, and the next client hears what it asks for."""
    connection: MarketDataConnection
    connection, _ = floor.simulator.market_data.connect("iex", JsonCodec(), KEY_ID, SECRET)
    assert connection.is_authenticated
    connection.receive(json.dumps({"action": "subscribe", "quotes": ["SPY"]}))
    floor.step(5)
    assert connection.advance(floor.now)
