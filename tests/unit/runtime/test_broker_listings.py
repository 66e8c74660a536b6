"""Quotes, bars, assets, sessions and account activities: whole, bounded, and one bad symbol hides no other."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from broker_desk import Answer, Desk, Wire, refusal
from tradingbot_runtime.broker import market_data
from tradingbot_runtime.broker.listings import ACTIVITIES_A_PAGE, ASSETS_ASKED_ONE_BY_ONE, MAX_ACTIVITY_PAGES
from tradingbot_runtime.broker.port import BrokerUnavailable, OrderRejected

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)


class Answering(Wire):
    """Answers each question by a function of its path and its parameters."""

    def __init__(self, answer: Callable[[str, dict[str, str]], Answer]) -> None:
        super().__init__()
        self._answer = answer

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.answers = [self._answer(parts.path, parameters)]
        return super().send(request, *args, **kwargs)


def a_quote(bid: float, ask: float) -> dict[str, Any]:
    return {"t": "2026-03-02T16:59:59.123456789Z", "bp": bid, "ap": ask, "bs": 1, "as": 1}


def a_bar(minute: int) -> dict[str, Any]:
    return {"t": f"2026-03-02T16:{minute:02d}:00Z", "o": 1, "h": 1, "l": 1, "c": minute, "v": 1}


async def test_quotes_are_exact_and_an_empty_side_is_zero() -> None:
    desk = Desk((200, {"quotes": {"AAPL": a_quote(100.1, 100.2), "MSFT": a_quote(0, 5), "ZZZZ": None}}))
    quotes = await desk.broker.quotes(["AAPL", "MSFT", "ZZZZ"])
    assert set(quotes) == {"AAPL", "MSFT"}
    assert (quotes["AAPL"].bid, quotes["AAPL"].ask) == (Decimal("100.1"), Decimal("100.2"))
    assert quotes["MSFT"].bid == 0
    assert quotes["AAPL"].at == datetime(2026, 3, 2, 16, 59, 59, 123456, tzinfo=UTC)


def refuses(bad: str) -> Callable[[str, dict[str, str]], Answer]:
    def answer(path: str, parameters: dict[str, str]) -> Answer:
        symbols = parameters["symbols"].split(",")
        if bad in symbols:
            return (400, refusal(None, f"invalid symbol: {bad}"))
        if path.endswith("quotes/latest"):
            return (200, {"quotes": {symbol: a_quote(1, 2) for symbol in symbols}})
        return (200, {"bars": {symbol: [a_bar(minute) for minute in range(50, 59)] for symbol in symbols}})

    return answer


async def test_a_symbol_that_the_broker_refuses_hides_no_other() -> None:
    symbols = [*(f"S{number}" for number in range(9)), "BAD!"]
    desk = Desk(wire=Answering(refuses("BAD!")))
    assert set(await desk.broker.quotes(symbols)) == set(symbols) - {"BAD!"}
    assert set(await desk.broker.bars(symbols, "1Min", 5, NOON)) == set(symbols) - {"BAD!"}


async def test_a_question_that_is_refused_for_every_symbol_is_refused() -> None:
    desk = Desk((403, refusal(None, "subscription does not permit")))
    with pytest.raises(OrderRejected, match="subscription"):
        await desk.broker.quotes(["AAPL", "MSFT"])
    assert len(desk.sent) == 1
    with pytest.raises(OrderRejected, match="invalid"):
        await Desk((400, refusal(None, "invalid symbol"))).broker.bars(["A!", "B!"], "1Min", 5, NOON)


async def test_many_symbols_are_asked_for_in_parts() -> None:
    desk = Desk(wire=Answering(refuses("none")))
    assert len(await desk.broker.quotes([f"S{number}" for number in range(250)])) == 250
    assert len(desk.sent) == 3


async def test_pages_of_bars_are_put_together_and_a_symbol_without_bars_is_absent() -> None:
    def answer(path: str, parameters: dict[str, str]) -> Answer:
        page = int(parameters.get("page_token", "0"))
        bars = {"AAPL": [a_bar(minute) for minute in range(10 * page, 10 * page + 10)], "ZZZZ": []}
        return (200, {"bars": bars, "next_page_token": str(page + 1) if page < 5 else None})

    frames = await Desk(wire=Answering(answer)).broker.bars(["AAPL", "ZZZZ"], "1Min", 30, NOON)
    assert set(frames) == {"AAPL"}
    assert frames["AAPL"]["close"].tolist() == [float(minute) for minute in range(30, 60)]


async def test_pages_of_bars_that_never_end_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_data, "MAX_PAGES", 5)
    desk = Desk((200, {"bars": {"AAPL": [a_bar(1)]}, "next_page_token": "again"}))
    with pytest.raises(BrokerUnavailable, match="more than 5 pages"):
        await desk.broker.bars(["AAPL"], "1Min", 1, NOON)
    assert len(desk.sent) == 5


@pytest.mark.parametrize("body", [{"bars": [1]}, {"bars": {"AAPL": 7}}, {"bars": {"AAPL": [7]}}, [], None])
async def test_bars_of_another_shape_are_no_answer(body: object) -> None:
    with pytest.raises(BrokerUnavailable):
        await Desk((200, body)).broker.bars(["AAPL"], "1Min", 1, NOON)


def an_asset(symbol: str, **changes: Any) -> dict[str, Any]:
    usual = {"status": "active", "tradable": True, "fractionable": True, "shortable": False}
    return {"symbol": symbol, "exchange": "AN EXCHANGE THAT IS NEW", **usual, **changes}


async def test_an_asset_that_is_not_active_is_not_tradable_and_an_unknown_one_absent() -> None:
    def answer(path: str, parameters: dict[str, str]) -> Answer:
        symbol = path.rpartition("/")[2]
        if symbol == "ZZZZ":
            return (404, refusal(40410000, "asset not found for ZZZZ"))
        return (200, an_asset(symbol, status="inactive" if symbol == "DEAD" else "active"))

    assets = await Desk(wire=Answering(answer)).broker.assets(["AAPL", "DEAD", "ZZZZ", "AAPL"])
    assert {symbol: asset.tradable for symbol, asset in assets.items()} == {"AAPL": True, "DEAD": False}
    assert (assets["AAPL"].fractionable, assets["AAPL"].shortable) == (True, False)


async def test_many_assets_are_picked_out_of_one_list() -> None:
    symbols = [f"S{number}" for number in range(ASSETS_ASKED_ONE_BY_ONE + 1)]
    desk = Desk((200, [an_asset(symbol) for symbol in [*symbols, "OTHER"]]))
    assert set(await desk.broker.assets(symbols)) == set(symbols)
    assert len(desk.sent) == 1


async def test_sessions_know_half_days_and_summer_time() -> None:
    days = [
        {"date": "2026-11-27", "open": "09:30", "close": "13:00"},
        {"date": "2026-03-09", "open": "09:30", "close": "16:00"},
        {"date": "2026-03-06", "open": "09:30", "close": "16:00"},
    ]
    sessions = await Desk((200, days)).broker.sessions(date(2026, 3, 1), date(2026, 11, 30))
    assert [(one.opens_at.hour, one.closes_at.hour) for one in sessions] == [(14, 21), (13, 20), (14, 18)]
    assert [one.day for one in sessions] == sorted(one.day for one in sessions)


def an_activity(number: int, kind: str = "SPLIT", **changes: Any) -> dict[str, Any]:
    usual = {"activity_type": kind, "date": "2026-03-02", "symbol": "AAPL", "qty": "30", "net_amount": "0"}
    return {"id": f"20260302000000000::{number:08d}-0000-0000-0000-000000000000", **usual, **changes}


async def test_activities_say_what_holding_and_cash_changed_by() -> None:
    listed = [
        an_activity(1, description="4 for 1"),
        an_activity(2, "DIV", qty="10", net_amount="2.5", per_share_amount="0.25"),
        an_activity(3, "JNLC", qty=None, symbol=None, net_amount="-100", created_at="2026-03-02T15:00:00Z"),
        an_activity(4, "A KIND THAT IS NEW"),
        an_activity(5, "FILL", side="buy"),
        an_activity(6, "DIV", status="canceled"),
    ]
    desk = Desk((200, listed))
    split, dividend, journal, new = await desk.broker.activities(NOON)
    assert (split.kind, split.qty, split.net_amount, split.description) == ("SPLIT", Decimal(30), 0, "4 for 1")
    assert split.at == datetime(2026, 3, 2, 5, 0, tzinfo=UTC)
    assert (dividend.qty, dividend.net_amount) == (0, Decimal("2.5"))
    assert (journal.symbol, journal.qty, journal.net_amount) == ("", 0, Decimal(-100))
    assert journal.at == datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    assert new.kind == "A KIND THAT IS NEW"
    assert "after=2026-03-02T17" in desk.sent[0]


def pages_of_activities(last: int) -> Callable[[str, dict[str, str]], Answer]:
    def answer(path: str, parameters: dict[str, str]) -> Answer:
        begin = int(parameters.get("page_token", "20260302000000000::00000000-0").split("::")[1].split("-")[0])
        numbers = range(begin + 1, min(begin + ACTIVITIES_A_PAGE, last) + 1)
        return (200, [an_activity(number) for number in numbers])

    return answer


async def test_activities_are_read_by_the_page_to_the_last() -> None:
    desk = Desk(wire=Answering(pages_of_activities(3 * ACTIVITIES_A_PAGE + 7)))
    found = await desk.broker.activities(None)
    assert len({activity.activity_id for activity in found}) == 3 * ACTIVITIES_A_PAGE + 7


async def test_more_activities_than_can_be_read_are_no_answer() -> None:
    desk = Desk(wire=Answering(pages_of_activities(10**6)))
    with pytest.raises(BrokerUnavailable, match="a part is not taken for the whole"):
        await desk.broker.activities(None)
    assert len(desk.sent) == MAX_ACTIVITY_PAGES


async def test_an_options_activity_that_cannot_be_read_hides_no_split() -> None:
    odd = [
        an_activity(1, "OPEXP", qty="all", symbol="AAPL260619C00150000"),
        an_activity(2, "JNLS", net_amount="?", symbol="BTC/USD"),
        an_activity(3),
    ]
    desk = Desk((200, odd))
    assert [one.kind for one in await desk.broker.activities(None)] == ["SPLIT"]
    assert desk.broker.health().unreadable_skipped == 2
    with pytest.raises(BrokerUnavailable):
        await Desk((200, [an_activity(1, qty="all")])).broker.activities(None)
