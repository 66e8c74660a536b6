"""What can be traded: the listed symbols with the character of their simulated prices.

Only facts of the listing live here; prices are the market's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from alpaca_simulator.market.corporate_actions import SymbolChange
from alpaca_simulator.values.identity import stable_uuid


@dataclass(frozen=True, slots=True)
class Asset:
    """One listed symbol.

    `reference_cents` is the price its walk starts from and is gently drawn back to,
    `yearly_volatility` the standard deviation of its yearly return (0.2 is 20 %),
    `daily_volume` the shares of an ordinary day. The loadings are its correlations with the market's
    and its sector's shocks; their squares add up to at most 1. `first_symbol` is
    what a renamed asset was called at first. `maintenance_margin` is in percent.
    """

    symbol: str
    name: str
    exchange: str
    reference_cents: int
    yearly_volatility: float
    daily_volume: int
    tradable: bool = True
    fractionable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    marginable: bool = True
    maintenance_margin: int = 30
    active: bool = True
    attributes: tuple[str, ...] = ()
    sector: str = ""
    market_loading: float = 0.5
    sector_loading: float = 0.4
    first_symbol: str = ""

    def __hash__(self) -> int:
        return hash(self.symbol)

    @property
    def walk(self) -> str:
        """The symbol that the asset's prices are drawn for."""
        return self.first_symbol or self.symbol

    @property
    def asset_id(self) -> UUID:
        """The asset's id, the same in every simulator."""
        return stable_uuid("asset", self.symbol)


class AssetCatalogue:
    """The listed assets, found by symbol or id."""

    def __init__(self, assets: tuple[Asset, ...]) -> None:
        self._by_symbol = {asset.symbol: asset for asset in sorted(assets, key=lambda asset: asset.symbol)}
        self._by_id = {str(asset.asset_id): asset for asset in assets}

    def __iter__(self) -> Iterator[Asset]:
        return iter(self._by_symbol.values())

    def find(self, symbol_or_id: str) -> Asset | None:
        """The asset of that symbol or id, None when there is none."""
        return self._by_symbol.get(symbol_or_id) or self._by_id.get(symbol_or_id.lower())

    def listed(self, symbol: str) -> Asset | None:
        """The asset of that very symbol, None when there is none."""
        return self._by_symbol.get(symbol)

    def with_changes(self, changes: tuple[SymbolChange, ...]) -> AssetCatalogue:
        """A catalogue that also lists what assets will be called; raises ValueError.

        A later symbol has the prices of the first one.
        """
        catalogue = self
        for change in sorted(changes, key=lambda one: one.ex_date):
            asset = catalogue.listed(change.symbol)
            if asset is None:
                raise ValueError(f"{change.symbol} is not listed and cannot become {change.new_symbol}")
            if catalogue.listed(change.new_symbol) is not None:
                raise ValueError(f"{change.symbol} cannot become {change.new_symbol}, which is listed already")
            catalogue = catalogue.with_more((replace(asset, symbol=change.new_symbol, first_symbol=asset.walk),))
        return catalogue

    def only(self, symbols: frozenset[str]) -> AssetCatalogue:
        """A catalogue of just these symbols, as far as they are listed."""
        return AssetCatalogue(tuple(asset for asset in self if asset.symbol in symbols))

    def with_more(self, more: tuple[Asset, ...]) -> AssetCatalogue:
        """A catalogue in which `more` replaces or joins what is listed here."""
        return AssetCatalogue(tuple({**self._by_symbol, **{asset.symbol: asset for asset in more}}.values()))


def _asset(
    symbol: str,
    name: str,
    exchange: str,
    dollars: int,
    volatility: float,
    millions: float,
    sector: str,
    market_loading: float,
    sector_loading: float,
) -> Asset:
    return Asset(
        symbol,
        name,
        exchange,
        dollars * 100,
        volatility,
        int(millions * 1_000_000),
        sector=sector,
        market_loading=market_loading,
        sector_loading=sector_loading,
    )


#: Names are real, prices are not: each is a walk that starts near the dollars given and moves with
#: the market and its sector by the two loadings at the end.
DEFAULT_CATALOGUE = AssetCatalogue(
    (
        _asset("AAPL", "Apple Inc. Common Stock", "NASDAQ", 210, 0.28, 55, "technology", 0.65, 0.4),
        _asset("AMD", "Advanced Micro Devices, Inc. Common Stock", "NASDAQ", 150, 0.45, 45, "technology", 0.6, 0.5),
        _asset("AMZN", "Amazon.com, Inc. Common Stock", "NASDAQ", 190, 0.32, 40, "technology", 0.65, 0.35),
        _asset("BAC", "Bank of America Corporation", "NYSE", 42, 0.28, 38, "banks", 0.6, 0.6),
        _asset("BRK.B", "Berkshire Hathaway Inc. Class B", "NYSE", 450, 0.18, 4, "banks", 0.7, 0.3),
        _asset("CSCO", "Cisco Systems, Inc. Common Stock", "NASDAQ", 58, 0.22, 18, "technology", 0.6, 0.35),
        _asset("CVX", "Chevron Corporation", "NYSE", 155, 0.25, 8, "energy", 0.4, 0.7),
        _asset("DBC", "Invesco DB Commodity Index Tracking Fund", "ARCA", 22, 0.18, 1, "energy", 0.25, 0.5),
        _asset("DIS", "The Walt Disney Company", "NYSE", 105, 0.28, 9, "consumer", 0.6, 0.2),
        _asset("EFA", "iShares MSCI EAFE ETF", "ARCA", 80, 0.16, 14, "", 0.8, 0),
        _asset("GLD", "SPDR Gold Shares", "ARCA", 240, 0.15, 8, "", 0.05, 0),
        _asset("GOOGL", "Alphabet Inc. Class A Common Stock", "NASDAQ", 170, 0.28, 28, "technology", 0.65, 0.4),
        _asset("IEF", "iShares 7-10 Year Treasury Bond ETF", "NASDAQ", 95, 0.07, 7, "bonds", -0.2, 0.9),
        _asset("INTC", "Intel Corporation Common Stock", "NASDAQ", 30, 0.38, 60, "technology", 0.55, 0.45),
        _asset("IWM", "iShares Russell 2000 ETF", "ARCA", 215, 0.22, 28, "", 0.85, 0),
        _asset("JNJ", "Johnson & Johnson", "NYSE", 155, 0.16, 7, "staples", 0.4, 0.3),
        _asset("JPM", "JPMorgan Chase & Co.", "NYSE", 210, 0.24, 9, "banks", 0.6, 0.6),
        _asset("KO", "The Coca-Cola Company", "NYSE", 63, 0.15, 14, "staples", 0.4, 0.6),
        _asset("META", "Meta Platforms, Inc. Class A Common Stock", "NASDAQ", 520, 0.36, 14, "technology", 0.6, 0.4),
        _asset("MSFT", "Microsoft Corporation Common Stock", "NASDAQ", 420, 0.25, 20, "technology", 0.7, 0.45),
        _asset("NVDA", "NVIDIA Corporation Common Stock", "NASDAQ", 120, 0.48, 230, "technology", 0.6, 0.5),
        _asset("PEP", "PepsiCo, Inc. Common Stock", "NASDAQ", 165, 0.16, 5, "staples", 0.4, 0.6),
        _asset("PG", "The Procter & Gamble Company", "NYSE", 165, 0.15, 7, "staples", 0.4, 0.6),
        _asset("QQQ", "Invesco QQQ Trust, Series 1", "NASDAQ", 470, 0.21, 40, "technology", 0.88, 0.35),
        _asset("SPY", "SPDR S&P 500 ETF Trust", "ARCA", 550, 0.16, 60, "", 0.97, 0),
        _asset("TLT", "iShares 20+ Year Treasury Bond ETF", "NASDAQ", 93, 0.15, 35, "bonds", -0.25, 0.9),
        _asset("TSLA", "Tesla, Inc. Common Stock", "NASDAQ", 240, 0.55, 95, "consumer", 0.5, 0.2),
        _asset("V", "Visa Inc.", "NYSE", 275, 0.20, 6, "banks", 0.65, 0.3),
        _asset("VTI", "Vanguard Total Stock Market ETF", "ARCA", 270, 0.16, 3, "", 0.97, 0),
        _asset("WMT", "Walmart Inc.", "NYSE", 70, 0.19, 16, "staples", 0.4, 0.4),
        _asset("XOM", "Exxon Mobil Corporation", "NYSE", 115, 0.25, 15, "energy", 0.4, 0.7),
        # The exchange's own test symbols stand for what an order may run into.
        Asset("ZVZZT", "NASDAQ TEST STOCK, not tradable", "NASDAQ", 1_500, 0.3, 100_000, tradable=False),
        Asset("ZWZZT", "NASDAQ TEST STOCK, no fractions", "NASDAQ", 2_500, 0.3, 500_000, fractionable=False),
    )
)
