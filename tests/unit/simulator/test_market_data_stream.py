"""The market data stream, frame by frame: who may listen, what is told, and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.market.halts import Halt
from alpaca_simulator.streams.market_data import MarketDataConnection
from alpaca_simulator.streams.market_data_codec import JsonCodec, MsgpackCodec, codec_for
from unit.simulator.floor import LIVE, MONDAY_BEFORE_OPEN, MONDAY_NOON, PAPER, Floor

KEY, SECRET = PAPER["APCA-API-KEY-ID"], PAPER["APCA-API-SECRET-KEY"]
LIVE_KEY, LIVE_SECRET = LIVE["APCA-API-KEY-ID"], LIVE["APCA-API-SECRET-KEY"]
THIRTY_ONE = [f"SYM{number}" for number in range(31)]


class Client:
    """A client of the stream in JSON, authenticated unless told otherwise."""

    def __init__(self, floor: Floor, feed: str = "iex", keys: tuple[str, str] | None = (KEY, SECRET)) -> None:
        self.floor = floor
        self.connection: MarketDataConnection
        self.connection, self.greeting = floor.simulator.market_data.connect(feed, JsonCodec())
        self.welcome = self.send(action="auth", key=keys[0], secret=keys[1]) if keys else []

    def send(self, **message: object) -> list[Any]:
        return [one for frame in self.connection.receive(json.dumps(message)) for one in json.loads(frame)]

    def subscribe(self, **channels: list[str]) -> Client:
        (answer,) = self.send(action="subscribe", **channels)
        assert answer["T"] == "subscription", answer
        return self

    def heard(self) -> list[Any]:
        return [one for frame in self.connection.advance(self.floor.now) for one in json.loads(frame)]

    def after(self, seconds: float) -> list[Any]:
        self.floor.step(seconds)
        return self.heard()


def code(answer: list[Any]) -> int:
    (only,) = answer
    assert only["T"] == "error"
    return int(only["code"])


def of(kind: str, messages: list[Any]) -> list[Any]:
    return [message for message in messages if message["T"] == kind]


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}


# -- who may listen -------------------------------------------------------------------------


def test_a_client_is_greeted_and_authenticates_with_its_keys() -> None:
    client = Client(Floor())
    assert client.greeting == ['[{"T":"success","msg":"connected"}]']
    assert client.welcome == [{"T": "success", "msg": "authenticated"}]


def test_keys_in_the_headers_authenticate_at_once() -> None:
    _, frames = Floor().simulator.market_data.connect("iex", JsonCodec(), KEY, SECRET)
    assert [json.loads(frame)[0]["msg"] for frame in frames] == ["connected", "authenticated"]


def test_wrong_keys_fail_and_right_ones_may_follow() -> None:
    client = Client(Floor(), keys=(KEY, "wrong"))
    assert client.welcome == [{"T": "error", "code": 402, "msg": "auth failed"}]
    assert client.send(action="auth", key=KEY, secret=SECRET)[0]["msg"] == "authenticated"


def test_keys_that_are_no_text_fail() -> None:
    assert code(Client(Floor(), keys=None).send(action="auth", key=1, secret=None)) == 402


def test_authenticating_twice_is_an_error() -> None:
    assert code(Client(Floor()).send(action="auth", key=KEY, secret=SECRET)) == 403


def test_nothing_can_be_subscribed_to_before_authentication() -> None:
    assert code(Client(Floor(), keys=None).send(action="subscribe", bars=["SPY"])) == 401


def test_a_client_that_does_not_authenticate_in_time_is_sent_away() -> None:
    connection = Client(Floor(), keys=None).connection
    assert code([json.loads(frame)[0] for frame in connection.time_out()]) == 404
    assert connection.is_ending


def test_a_key_has_one_connection_to_a_feed_and_another_once_it_is_closed() -> None:
    floor = Floor()
    first = Client(floor)
    second = Client(floor)
    assert code(second.welcome) == 406
    assert second.connection.is_ending
    first.connection.close()
    assert Client(floor).welcome[0]["msg"] == "authenticated"


def test_a_refused_connection_takes_nobodys_place_when_it_closes() -> None:
    floor = Floor()
    Client(floor)
    Client(floor).connection.close()
    assert code(Client(floor).welcome) == 406


def test_other_feeds_and_other_keys_have_connections_of_their_own() -> None:
    floor = Floor()
    Client(floor)
    assert Client(floor, "test").welcome[0]["msg"] == "authenticated"
    assert Client(floor, keys=(LIVE_KEY, LIVE_SECRET)).welcome[0]["msg"] == "authenticated"


def test_more_connections_can_be_configured() -> None:
    floor = Floor(market_data_stream={"connections": 2})
    assert [Client(floor).welcome[0]["T"] for _ in range(3)] == ["success", "success", "error"]


def test_the_free_plan_has_no_sip() -> None:
    client = Client(Floor(), "sip")
    assert client.welcome == [{"T": "error", "code": 409, "msg": "insufficient subscription"}]
    assert client.connection.is_ending


def test_the_unlimited_plan_has_every_feed_and_symbol() -> None:
    client = Client(Floor(market_data_stream={"plan": "unlimited"}), "sip")
    (answer,) = client.send(action="subscribe", trades=[*THIRTY_ONE, "*"])
    assert len(answer["trades"]) == 32


# -- subscriptions --------------------------------------------------------------------------


def test_a_subscription_is_answered_with_everything_that_is_listened_to() -> None:
    client = Client(Floor())
    client.subscribe(trades=["AAPL"], bars=["*"])
    assert client.send(action="subscribe", trades=["SPY", "AAPL"], quotes=["SPY"]) == [
        {
            "T": "subscription",
            "trades": ["AAPL", "SPY"],
            "quotes": ["SPY"],
            "bars": ["*"],
            "updatedBars": [],
            "dailyBars": [],
            "statuses": [],
            "lulds": [],
            "corrections": ["AAPL", "SPY"],
            "cancelErrors": ["AAPL", "SPY"],
        }
    ]


def test_unsubscribing_leaves_the_rest() -> None:
    client = Client(Floor()).subscribe(trades=["AAPL", "SPY"], bars=["*", "SPY"])
    (answer,) = client.send(action="unsubscribe", trades=["AAPL", "TLT"], bars=["*"])
    assert (answer["trades"], answer["bars"]) == (["SPY"], ["SPY"])


def test_the_thirty_first_symbol_with_trades_or_quotes_is_one_too_many_and_changes_nothing() -> None:
    client = Client(Floor()).subscribe(trades=THIRTY_ONE[:15], quotes=THIRTY_ONE[:30])
    assert code(client.send(action="subscribe", quotes=THIRTY_ONE)) == 405
    assert code(client.send(action="subscribe", trades=["*"])) == 405
    (answer,) = client.send(action="unsubscribe", bars=["NONE"])
    assert answer["quotes"] == THIRTY_ONE[:30]


def test_bars_have_no_limit() -> None:
    Client(Floor()).subscribe(bars=[*THIRTY_ONE, "*"], dailyBars=["*"], statuses=["*"], lulds=["*"])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({}, 400),
        ({"action": "listen"}, 400),
        ({"action": "subscribe"}, 400),
        ({"action": "subscribe", "bars": "SPY"}, 400),
        ({"action": "subscribe", "bars": [1]}, 400),
        ({"action": "subscribe", "bars": ["\ud800"]}, 400),
        ({"action": "unsubscribe", "bars": {"SPY": 1}}, 400),
        ({"action": "subscribe", "news": ["*"]}, 410),
        ({"action": "subscribe", "bars": [f"S{number}" for number in range(10_001)]}, 405),
    ],
)
def test_what_cannot_be_understood_is_answered_with_its_error(message: dict[str, Any], expected: int) -> None:
    assert code(Client(Floor()).send(**message)) == expected


@pytest.mark.parametrize("frame", ["", "{", "[]", "nan", b"\xff"])
def test_a_frame_that_is_no_message_is_a_syntax_error(frame: str | bytes) -> None:
    connection = Client(Floor()).connection
    assert code(json.loads(connection.receive(frame)[0])) == 400


# -- what is told ---------------------------------------------------------------------------


def test_a_minute_bar_is_told_when_its_minute_is_over_and_not_before() -> None:
    client = Client(Floor()).subscribe(bars=["SPY"])
    assert client.after(59) == []
    (bar,) = client.after(1)
    assert (bar["T"], bar["S"], bar["t"]) == ("b", "SPY", "2026-03-02T17:00:00Z")


def test_the_bars_told_are_those_of_the_data_api() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    client = Client(floor).subscribe(bars=["SPY"])
    told = client.after(12 * 60 + 30) + client.after(6.5 * 3600 - 600) + client.after(3600)
    asked = floor.get("/v2/stocks/bars", symbols="SPY", timeframe="1Min", start="2026-03-02", limit=1000)
    assert [without(bar, "T", "S") for bar in told] == asked.body["bars"]["SPY"]
    assert len(told) == 390


def test_the_day_so_far_is_told_each_minute_and_ends_as_the_days_bar() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    client = Client(floor).subscribe(dailyBars=["SPY"])
    assert client.after(300) == []
    (first,) = client.after(60)
    (second,) = client.after(60)
    assert second["v"] > first["v"]
    (last,) = client.after(7 * 3600)
    day = floor.get("/v2/stocks/bars", symbols="SPY", timeframe="1Day", start="2026-03-02").body["bars"]["SPY"]
    assert [without(last, "T", "S")] == day
    assert client.after(60) == []


def test_the_quotes_and_trades_told_are_those_of_the_data_api() -> None:
    floor = Floor()
    client = Client(floor).subscribe(quotes=["SPY"], trades=["SPY"])
    told = client.after(20)
    span = {"symbols": "SPY", "start": "2026-03-02T17:00:01Z", "end": "2026-03-02T17:00:20.999999Z"}
    for kind, path in (("q", "quotes"), ("t", "trades")):
        asked = floor.get(f"/v2/stocks/{path}", **span).body[path]["SPY"]
        shown = [without(one, "T", "S") for one in of(kind, told)]
        assert [one for one in shown if one["t"] <= "2026-03-02T17:00:20Z"] == asked
    assert len(of("q", told)) == 20


def test_what_is_told_is_in_the_order_of_time() -> None:
    client = Client(Floor()).subscribe(quotes=["SPY", "TLT"])
    times = [message["t"] for message in client.after(30)]
    assert times == sorted(times)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_bars_do_not_depend_on_how_finely_time_passes(steps: list[int]) -> None:
    at_once, bit_by_bit = Floor(), Floor()
    channels = {"bars": ["SPY", "TLT"], "lulds": ["SPY"]}
    coarse = Client(at_once).subscribe(**channels).after(sum(steps))
    client = Client(bit_by_bit).subscribe(**channels)
    fine = [message for seconds in steps for message in client.after(seconds)]
    assert fine == coarse


def test_a_jump_of_the_clock_thins_prices_to_the_newest_but_keeps_every_bar_of_the_day() -> None:
    client = Client(Floor(MONDAY_BEFORE_OPEN)).subscribe(quotes=["SPY"], bars=["SPY"])
    told = client.after(6.5 * 3600 + 300)
    assert len(of("b", told)) == 390
    quotes = of("q", told)
    assert len(quotes) == 600
    assert quotes[-1]["t"] == "2026-03-02T21:00:00Z"


def test_a_years_jump_is_told_in_frames_of_bounded_size() -> None:
    client = Client(Floor(MONDAY_NOON)).subscribe(bars=["*"])
    client.floor.step(360 * 86400)
    frames = client.connection.advance(client.floor.now)
    assert all(len(json.loads(frame)) <= 500 for frame in frames)
    assert len(frames) < 100


def test_nothing_is_told_twice_and_nothing_from_before_the_subscription() -> None:
    client = Client(Floor())
    client.floor.step(60)
    client.subscribe(quotes=["SPY"])
    assert client.heard() == []
    assert len(client.after(1)) == 1
    assert client.heard() == []


def test_who_listens_to_nothing_hears_nothing() -> None:
    client = Client(Floor()).subscribe(quotes=["SPY"])
    client.send(action="unsubscribe", quotes=["SPY"])
    assert client.after(60) == []


def test_a_symbol_that_is_not_listed_is_accepted_and_silent() -> None:
    assert Client(Floor()).subscribe(quotes=["NOSUCH"], bars=["NOSUCH"]).after(120) == []


def test_a_halt_is_told_with_its_code_and_silences_the_symbol_until_it_resumes() -> None:
    floor = Floor()
    client = Client(floor).subscribe(statuses=["*"], quotes=["SPY"], trades=["SPY"])
    client.after(10)
    floor.exchange.halts.add(Halt("SPY", int(floor.now.timestamp()), None))
    (halt,) = client.heard()
    assert without(halt, "t", "z") == {
        "T": "s", "S": "SPY", "sc": "H", "sm": "Trading Halt", "rc": "T1", "rm": "Halt News Pending",
    }  # fmt: skip
    assert client.after(60) == []
    floor.exchange.halts.resume("SPY", int(floor.now.timestamp()))
    told = client.after(10)
    assert (told[0]["sc"], told[0]["rc"]) == ("T", "")
    assert of("q", told)


def test_halts_from_before_the_connection_are_not_told() -> None:
    floor = Floor()
    floor.exchange.halts.add(Halt("SPY", int(floor.now.timestamp()) - 60, None))
    assert Client(floor).subscribe(statuses=["*"]).after(60) == []


def test_price_bands_are_told_at_the_open_around_the_opening_price() -> None:
    client = Client(Floor(MONDAY_BEFORE_OPEN)).subscribe(lulds=["SPY"])
    (band,) = client.after(300)
    bar = client.floor.market.minutes(
        client.floor.exchange.catalogue.find("SPY"), client.floor.exchange.calendar.open_at(client.floor.now)
    )
    opening = bar.open[0] / 100
    assert (band["T"], band["t"], band["i"]) == ("l", "2026-03-02T14:30:00Z", "B")
    assert band["d"] == pytest.approx(opening * 0.95, abs=0.006)
    assert band["u"] == pytest.approx(opening * 1.05, abs=0.006)


def test_the_delayed_feed_is_fifteen_minutes_behind() -> None:
    floor = Floor()
    now = Client(floor).subscribe(bars=["SPY"])
    late = Client(floor, "delayed_sip").subscribe(bars=["SPY"])
    (bar,) = now.after(60)
    assert late.heard()[0]["t"] == "2026-03-02T16:45:00Z"
    floor.step(15 * 60)
    assert late.heard()[-1] == bar


def test_the_test_feed_tells_of_its_own_symbol_around_the_clock() -> None:
    saturday = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)
    client = Client(Floor(saturday), "test").subscribe(quotes=["*"], trades=["FAKEPACA"], bars=["FAKEPACA"])
    told = client.after(60)
    assert {message["S"] for message in told} == {"FAKEPACA"}
    assert len(of("q", told)) == 60
    assert of("t", told)
    assert [bar["t"] for bar in of("b", told)] == ["2026-03-07T03:00:00Z"]
    assert all("2026-03-07T03:00" <= message["t"] <= "2026-03-07T03:01:01" for message in told)


def test_faults_of_market_data_spoil_what_is_told_too() -> None:
    floor = Floor()
    fault = {"kind": "missing_bars", "match": {"symbol": "SPY"}}
    assert floor.send("POST", "/admin/faults", json.dumps(fault).encode()).status == 200
    assert {bar["S"] for bar in Client(floor).subscribe(bars=["SPY", "TLT"]).after(300)} == {"TLT"}


# -- the bytes ------------------------------------------------------------------------------


def test_messagepack_carries_times_as_timestamps() -> None:
    floor = Floor()
    connection, greeting = floor.simulator.market_data.connect("iex", MsgpackCodec(), KEY, SECRET)
    assert [msgpack.unpackb(frame)[0]["T"] for frame in greeting] == ["success", "success"]
    connection.receive(msgpack.packb({"action": "subscribe", "quotes": ["SPY"]}))
    floor.step(1)
    (frame,) = connection.advance(floor.now)
    (quote,) = msgpack.unpackb(frame)
    assert quote["t"].to_datetime() == MONDAY_NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("content_type", "codec"),
    [
        ("application/msgpack", MsgpackCodec),
        ("Application/MsgPack; charset=x", MsgpackCodec),
        ("application/json", JsonCodec),
        ("", JsonCodec),
        (None, JsonCodec),
    ],
)
def test_the_content_type_decides_how_frames_are_written(content_type: str | None, codec: type) -> None:
    assert isinstance(codec_for(content_type), codec)


def test_the_same_market_times_give_the_same_bytes() -> None:
    def told() -> list[str | bytes]:
        floor = Floor(seed=9)
        client = Client(floor).subscribe(quotes=["SPY", "TSLA"], trades=["SPY"], bars=["*"], lulds=["*"])
        frames: list[str | bytes] = []
        for seconds in (1, 30, 400):
            floor.step(seconds)
            frames += client.connection.advance(floor.now)
        return frames

    assert told() == told()
