"""What goes wrong on the way to a server: values, bodies, paths, queries and headers, as hypothesis strategies.

Only strategies live here, and what must hold of every answer, whatever was sent.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from alpaca_simulator.api.messages import Request, Response
from unit.simulator.floor import LIVE, PAPER, Floor

#: A Monday at noon, early in the calendar: a fresh market has few days behind it and is made in no time.
EARLY_NOON = datetime(2016, 2, 1, 17, 0, tzinfo=UTC)
#: The largest answer is a page of 10,000 bars or the whole calendar.
LARGEST_ANSWER_BYTES = 4 * 1024 * 1024
LONGEST_MESSAGE = 1_000

#: Texts that parsers stumble over.
NASTY_TEXTS = (
    *("", " ", "0", "-1", "1e400", "1e-400", "NaN", "Infinity", "-0", "1_000", "٣", "+5", "0x10", "null", "true"),
    *("99999999999999999999999", "0.0000000001", "1.5", "100", "2016-02-01", "2016-02-01T15:00:00Z", "2016-13-45"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2016-02-01T15:00:00.123456789012Z", "99999-01-01"),
    *("SPY", "spy", "BRK.B", "SPY,TLT", ",,,", "*", "BTC/USD", "SPY260320C00500000", "../../etc/passwd", "%00", "%"),
    *("\x00", "\x1b[2J", "\ud800", "\U0001f4a5", "é" * 200, "A" * 5_000, "'; DROP TABLE orders", "{{7*7}}"),
    *("buy", "sell", "market", "limit", "day", "gtc", "bracket", "oco", "oto", "mleg", "asc", "desc", "all"),
    *("1Min", "0Min", "-5Min", "99999999999Min", "1Day", "12Month", "1D", "1A", "1M", "raw", "split", "sip", "iex"),
)

texts = st.sampled_from(NASTY_TEXTS) | st.text(max_size=12)
numbers = (
    st.sampled_from(
        [0, -1, 1, 3, 0.5, 1e-12, 1e300, float("nan"), float("inf"), -float("inf"), 10**30, 10**400, -(2**63)]
    )
    | st.integers(-100, 10_000)
    | st.floats(width=32)
)
scalars = st.none() | st.booleans() | numbers | texts
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def json_text(value: object) -> bytes:
    """JSON as a careless client prints it: NaN, lone surrogates and numbers of any length included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def nested(depth: int) -> bytes:
    """A body that is nothing but brackets."""
    return b"[" * depth + b"]" * depth


garbage = (
    st.binary(max_size=40)
    | st.sampled_from(
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"text"',
            b"{}{}",
            b'{"a":1}\x00',
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\x00}\x00",
            b'{"qty":1' + b"0" * 5_000 + b"}",
            b'{"qty":1e999999999}',
            b'{"symbol":"\\ud800"}',
            nested(100),
            nested(30_000),
            b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
            b" " * 70_000,
        ]
    )
    | values.map(json_text)
)


def encoded(text: str) -> str:
    """`text` as one percent-encoded part of a path or query."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


headers = st.sampled_from(
    [
        *[PAPER] * 8,
        LIVE,
        {},
        {"APCA-API-KEY-ID": "PKDEMOPAPER", "APCA-API-SECRET-KEY": "\x00\U0001f4a5"},
        {"apca-api-key-id": "PKDEMOPAPER", "APCA-API-SECRET-KEY": ""},
        {"APCA-API-KEY-ID": "\ud800", "APCA-API-SECRET-KEY": "\ud800"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + "QQ==" * 2_000},
        {"Authorization": "Basic UEtERU1PUEFQRVI6ZGVtby1wYXBlci1zZWNyZXQ="},
        {"Authorization": "Bearer \ud800"},
        {"Content-Length": "-1", "X-Request-ID": "\r\nSet-Cookie: a=b", **PAPER},
    ]
)


def query_of(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """A query of the parameters that a route knows, of others, and of what is no query at all."""
    name = st.sampled_from(names) if names else texts
    pairs = st.lists(st.tuples(name | texts, texts | st.integers().map(str)), max_size=4)
    written = pairs.map(lambda found: "&".join(f"{encoded(key)}={encoded(value)}" for key, value in found))
    return written | st.sampled_from(["", "&&&", "=", "%", "a=%zz", "limit", "limit=1&limit=2", "x" * 9_000])


def must_be_answered_well(response: Response, request: Request) -> None:
    """What holds of every answer: no fault, a bounded size, and Alpaca's shape when it says no."""
    what = (request.method, request.path[:80], request.query[:80], request.body[:200], response.status)
    assert 200 <= response.status < 600, what
    assert response.status != 500, what
    assert len(response.body) <= LARGEST_ANSWER_BYTES, what
    if response.status == 204:
        assert response.body == b"", what
        return
    if response.headers.get("Content-Type", "").startswith("text/html"):
        return
    body = json.loads(response.body, parse_constant=_no_such_number)
    if response.status >= 400:
        assert isinstance(body, dict), what
        assert isinstance(body["message"], str) and body["message"], what
        assert len(body["message"]) <= LONGEST_MESSAGE, what
        assert isinstance(body.get("code", 0), int), what
        assert "Traceback" not in body["message"], what


def books_must_balance(floor: Floor) -> None:
    """Cash and shares are what the accounts opened with and what has happened since."""
    for account in floor.exchange.accounts.values():
        moved = sum((one.net_amount for one in account.activities), Decimal(0))
        assert account.cash == account.terms.cash + moved
        shares: dict[str, Decimal] = {}
        for one in account.activities:
            if one.symbol is not None:
                shares[one.symbol] = shares.get(one.symbol, Decimal(0)) + one.quantity
        held = {symbol: position.quantity for symbol, position in account.positions.items()}
        assert held == {symbol: quantity for symbol, quantity in shares.items() if quantity}
        assert all(order.is_open for order in account.open_orders.values())


def _no_such_number(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")
