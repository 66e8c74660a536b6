"""The kinds of fault of market data, in answers and streams, and of fills.

Market data is only spoilt on its way to a client: orders are matched against the true market.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from alpaca_simulator.faults.rest_kinds import AfterExchange
from alpaca_simulator.faults.rules import ClientOrderIdPrefix, Instant, Match, Rule, Strict, Symbol


class DataMatch(Strict):
    """Which market data a fault is for; a field left out matches everything."""

    symbol: Symbol | None = None


class DataRule(Rule):
    """A fault of market data; an opportunity is one symbol of one answer or stream message."""

    match: DataMatch = DataMatch()


class StaleQuotes(DataRule):
    """Quotes (and, when asked for, trades) stand still as they were at `frozen_at`, their old time included.

    Without `frozen_at` they stand still as of `since`, or as of the moment the rule was added.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "stale_quotes",
        "match": {"symbol": "AAPL"},
        "frozen_at": "2026-03-02T15:00:00Z",
    }
    kind: Literal["stale_quotes"]
    frozen_at: Instant | None = None
    trades: bool = Field(default=False, description="whether trades stand still too")


class AbsurdQuotes(DataRule):
    """Quotes that no market would make: a bid of zero, bid and ask crossed, or a hundred times the price."""

    example: ClassVar[dict[str, Any]] = {"kind": "absurd_quotes", "shape": "crossed", "probability": 0.05}
    kind: Literal["absurd_quotes"]
    shape: Literal["zero", "crossed", "jump"] = "crossed"


class BarsRule(DataRule):
    """A fault of bars: `fraction` of them are concerned, chosen by the seed, the symbol and the bar's own time.

    The same bar is chosen however often it is asked for.
    """

    fraction: float = Field(default=1.0, gt=0, le=1)
    since_bar: Instant | None = Field(default=None, description="only bars that begin then or later")
    until_bar: Instant | None = Field(default=None, description="only bars that begin before")


class MissingBars(BarsRule):
    """Bars are left out."""

    example: ClassVar[dict[str, Any]] = {"kind": "missing_bars", "match": {"symbol": "SPY"}, "fraction": 0.25}
    kind: Literal["missing_bars"]


class DuplicatedBars(BarsRule):
    """Bars come twice in a row."""

    example: ClassVar[dict[str, Any]] = {"kind": "duplicated_bars", "fraction": 0.1}
    kind: Literal["duplicated_bars"]


class OutOfOrderBars(BarsRule):
    """Bars change places with the one before them."""

    example: ClassVar[dict[str, Any]] = {"kind": "out_of_order_bars", "fraction": 0.5}
    kind: Literal["out_of_order_bars"]


class AbsurdBars(BarsRule):
    """Bars that no market would make.

    `negative` and `zero` prices, `high_below_low`, a `jump` to a hundred times the price and back, or a
    `huge_volume`.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "absurd_bars",
        "shape": "jump",
        "fraction": 0.01,
        "match": {"symbol": "AAPL"},
    }
    kind: Literal["absurd_bars"]
    shape: Literal["negative", "zero", "high_below_low", "jump", "huge_volume"] = "negative"


class BadColumns(AfterExchange):
    """In an answer of the data API these columns of every bar, quote and trade are missing, or null."""

    example: ClassVar[dict[str, Any]] = {
        "kind": "bad_columns",
        "columns": ["v", "vw"],
        "how": "null",
        "match": {"route": "GET /v2/stocks/bars"},
    }
    kind: Literal["bad_columns"]
    columns: tuple[str, ...] = Field(min_length=1, max_length=12, description="by their names in the JSON: o, h, v, bp")
    how: Literal["missing", "null"] = "missing"


class FillMatch(Match):
    """Which orders a fault is for; a field left out matches everything."""

    symbol: Symbol | None = None
    client_order_id_prefix: ClientOrderIdPrefix | None = None


class PartialFillStall(Rule):
    """An order is filled up to `fraction` of its shares (or `shares`), and then not at all for `seconds`.

    Market time; an opportunity is an order about to be filled for the first time since the rule is there.
    """

    example: ClassVar[dict[str, Any]] = {
        "kind": "partial_fill_stall",
        "fraction": 0.5,
        "seconds": 600,
        "match": {"symbol": "AAPL"},
        "count": 1,
    }
    kind: Literal["partial_fill_stall"]
    match: FillMatch = FillMatch()
    fraction: float = Field(default=0.5, ge=0, lt=1)
    shares: int | None = Field(default=None, ge=0, le=10**9, description="instead of a fraction")
    seconds: float = Field(default=300, gt=0, le=10**7)


DataKind = (
    StaleQuotes
    | AbsurdQuotes
    | MissingBars
    | DuplicatedBars
    | OutOfOrderBars
    | AbsurdBars
    | BadColumns
    | PartialFillStall
)
