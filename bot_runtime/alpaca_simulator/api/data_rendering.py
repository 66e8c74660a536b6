"""Market data as the JSON that Alpaca's data API and its stream tell.

Only shapes live here: never decide anything. Prices in dollars, sizes in shares.
"""

from __future__ import annotations

from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.bars import Bar
from alpaca_simulator.market.within_minute import Quote, Trade
from alpaca_simulator.values.instants import utc_text

Json = dict[str, object]

#: The exchange that everything is told to have happened on: IEX, as on Alpaca's free feed.
TOLD_EXCHANGE = "V"
_TAPES = {"NYSE": "A", "NASDAQ": "C"}
_ODD_LOT = 100

#: Alpaca's codes of the exchanges.
EXCHANGES = {
    "A": "NYSE American (AMEX)",
    "B": "NASDAQ OMX BX",
    "C": "National Stock Exchange",
    "D": "FINRA ADF",
    "E": "Market Independent",
    "H": "MIAX",
    "I": "International Securities Exchange",
    "J": "Cboe EDGA",
    "K": "Cboe EDGX",
    "L": "Long Term Stock Exchange",
    "M": "Chicago Stock Exchange",
    "N": "New York Stock Exchange",
    "P": "NYSE Arca",
    "Q": "NASDAQ OMX",
    "S": "NASDAQ Small Cap",
    "T": "NASDAQ Int",
    "U": "Members Exchange",
    "V": "IEX",
    "W": "CBOE",
    "X": "NASDAQ OMX PSX",
    "Y": "Cboe BYX",
    "Z": "Cboe BZ",
}

#: The conditions this simulator prints, by the kind of tick; each tape knows more.
CONDITIONS = {
    "trade": {
        "@": "Regular Sale",
        "6": "Closing Prints",
        "I": "Odd Lot Trade",
        "M": "Market Center Official Close",
        "O": "Opening Prints",
        "Q": "Market Center Official Open",
        "T": "Form T",
    },
    "quote": {"R": "Regular Market Maker Open"},
}


def tape_of(asset: Asset) -> str:
    """The consolidated tape that tells of an asset: A for NYSE, C for Nasdaq, B for the others."""
    return _TAPES.get(asset.exchange, "B")


def bar_json(bar: Bar) -> Json:
    """A bar."""
    return {
        "t": utc_text(bar.at),
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": bar.volume,
        "n": bar.trades,
        "vw": bar.vwap,
    }


def quote_json(quote: Quote, tape: str = "C") -> Json:
    """A quote."""
    return {
        "t": utc_text(quote.at),
        "ax": TOLD_EXCHANGE,
        "ap": quote.ask / 100,
        "as": quote.ask_size,
        "bx": TOLD_EXCHANGE,
        "bp": quote.bid / 100,
        "bs": quote.bid_size,
        "c": ["R"],
        "z": tape,
    }


def trade_json(trade: Trade, tape: str = "C") -> Json:
    """A trade."""
    return {
        "t": utc_text(trade.at),
        "x": TOLD_EXCHANGE,
        "p": trade.price / 100,
        "s": trade.size,
        "c": ["@", "I"] if trade.size < _ODD_LOT else ["@"],
        "i": trade.identity,
        "z": tape,
    }


def snapshot_json(asset: Asset, trade: Trade | None, quote: Quote | None, minute: Bar | None, days: list[Bar]) -> Json:
    """A snapshot; `days` are the newest daily bars, newest first."""
    tape = tape_of(asset)
    return {
        "latestTrade": None if trade is None else trade_json(trade, tape),
        "latestQuote": None if quote is None else quote_json(quote, tape),
        "minuteBar": None if minute is None else bar_json(minute),
        "dailyBar": bar_json(days[0]) if days else None,
        "prevDailyBar": bar_json(days[1]) if len(days) > 1 else None,
    }


def auction_json(trade: Trade, conditions: tuple[str, ...]) -> list[Json]:
    """The prints of one auction, one a condition: the same trade told as print and as official price."""
    return [
        {"c": condition, "p": trade.price / 100, "s": trade.size, "t": utc_text(trade.at), "x": TOLD_EXCHANGE}
        for condition in conditions
    ]
