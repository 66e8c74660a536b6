"""No method of alpaca-py's clients is forgotten: each is in one table, with a test that calls it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.historical.news import NewsClient
from alpaca.data.historical.screener import ScreenerClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import MarketMoversRequest, NewsRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import (
    CreateWatchlistRequest,
    GetOptionContractsRequest,
    UpdateWatchlistRequest,
)
from alpaca.trading.stream import TradingStream

from contract.alpaca_py_calls import CALLS, PAGE, page
from contract.conftest import PAPER, Venue

CLIENTS = {
    one.__name__: one
    for one in (TradingClient, StockHistoricalDataClient, CorporateActionsClient, TradingStream, StockDataStream)
}
SOME_ID = UUID("8f1c1b0a-5a0e-4c56-9f11-1b7f2f8f2d11")

#: How each refused method is called.
REFUSED: dict[tuple[str, str], Callable[[Any], object]] = {
    ("TradingClient", "put"): lambda client: client.put("/orders", {}),
    ("TradingClient", "get_watchlists"): lambda client: client.get_watchlists(),
    ("TradingClient", "get_watchlist_by_id"): lambda client: client.get_watchlist_by_id(SOME_ID),
    ("TradingClient", "create_watchlist"): lambda client: client.create_watchlist(
        CreateWatchlistRequest(name="mine", symbols=["SPY"])
    ),
    ("TradingClient", "update_watchlist_by_id"): lambda client: client.update_watchlist_by_id(
        SOME_ID, UpdateWatchlistRequest(name="ours")
    ),
    ("TradingClient", "add_asset_to_watchlist_by_id"): lambda client: client.add_asset_to_watchlist_by_id(
        SOME_ID, "SPY"
    ),
    ("TradingClient", "remove_asset_from_watchlist_by_id"): lambda client: client.remove_asset_from_watchlist_by_id(
        SOME_ID, "SPY"
    ),
    ("TradingClient", "delete_watchlist_by_id"): lambda client: client.delete_watchlist_by_id(SOME_ID),
    ("TradingClient", "get_option_contracts"): lambda client: client.get_option_contracts(
        GetOptionContractsRequest(underlying_symbols=["SPY"])
    ),
    ("TradingClient", "get_option_contract"): lambda client: client.get_option_contract("SPY260320C00500000"),
    ("TradingClient", "exercise_options_position"): lambda client: client.exercise_options_position(
        "SPY260320C00500000"
    ),
    ("StockHistoricalDataClient", "post"): lambda client: client.post("/stocks/bars", {}),
    ("StockHistoricalDataClient", "put"): lambda client: client.put("/stocks/bars", {}),
    ("StockHistoricalDataClient", "patch"): lambda client: client.patch("/stocks/bars", {}),
    ("StockHistoricalDataClient", "delete"): lambda client: client.delete("/stocks/bars"),
    ("CorporateActionsClient", "post"): lambda client: client.post("/corporate-actions", {}),
    ("CorporateActionsClient", "put"): lambda client: client.put("/corporate-actions", {}),
    ("CorporateActionsClient", "patch"): lambda client: client.patch("/corporate-actions", {}),
    ("CorporateActionsClient", "delete"): lambda client: client.delete("/corporate-actions"),
}


def public_methods(client: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(client, callable) if not name.startswith("_")}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_public_method_is_in_the_table_once(client: str) -> None:
    listed = [call.method for call in CALLS[client]]
    assert sorted(listed) == sorted(public_methods(CLIENTS[client]))


def definitions(path: Path) -> dict[str, str]:
    """The source of each function and class of a module."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: ast.unparse(node) for node in body if isinstance(node, kinds)}


def calls_made_by_test() -> dict[str, str]:
    """The source of each test, with that of what it uses of its module and of the shared one."""
    here = Path(__file__).parent
    shared = definitions(here / "conftest.py")
    found = {}
    for path in here.glob("test_*.py"):
        known = shared | definitions(path)
        for name, source in known.items():
            if name.startswith("test_"):
                used = [other for key, other in known.items() if key != name and f"{key}(" in source]
                found[name] = "\n".join([source, *used])
    return found


def test_every_method_is_called_by_the_test_that_the_table_names() -> None:
    made = calls_made_by_test()
    missing = [
        f"{client}.{call.method}: {call.proof}"
        for client, calls in CALLS.items()
        for call in calls
        if call.state == "covered" and f".{call.method}" not in made.get(call.proof, "")
    ]
    assert missing == []


def test_every_refused_method_is_tried() -> None:
    listed = {(name, call.method) for name, calls in CALLS.items() for call in calls if call.state == "refused"}
    assert listed == set(REFUSED)


@pytest.mark.parametrize(("client", "method"), sorted(REFUSED))
def test_what_the_simulator_does_not_do_is_refused_in_alpacas_shape(venue: Venue, client: str, method: str) -> None:
    connected = venue.connected(CLIENTS[client](*PAPER, url_override=venue.url))
    with pytest.raises(APIError) as refusal:
        REFUSED[client, method](connected)
    assert refusal.value.status_code in {404, 501}
    assert refusal.value.message


@pytest.mark.parametrize(
    ("client", "call"),
    [
        (NewsClient, lambda one: one.get_news(NewsRequest())),
        (ScreenerClient, lambda one: one.get_market_movers(MarketMoversRequest())),
    ],
)
def test_the_other_clients_are_refused(venue: Venue, client: Callable[..., Any], call: Callable[[Any], object]) -> None:
    with pytest.raises(APIError) as refusal:
        call(venue.connected(client(*PAPER, url_override=venue.url)))
    assert (refusal.value.status_code, refusal.value.code) == (501, 50110000)


def test_the_page_is_what_the_table_says() -> None:
    current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert current == page(), "run: python tests/contract/alpaca_py_calls.py"
