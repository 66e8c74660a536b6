"""The seed's market over years: symbols move together, jump now and then, and cost what their minutes say."""

from __future__ import annotations

import math
from datetime import date
from itertools import pairwise
from statistics import correlation, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.market.assets import DEFAULT_CATALOGUE, Asset
from alpaca_simulator.market.calendar import new_york_stock_exchange
from alpaca_simulator.market.prices import Market
from alpaca_simulator.market.turnover import agreed_turnover

NYSE = new_york_stock_exchange()
TWO_YEARS = NYSE.between(date(2024, 1, 1), date(2025, 12, 31))


def listed(symbol: str) -> Asset:
    asset = DEFAULT_CATALOGUE.listed(symbol)
    assert asset is not None
    return asset


def returns(market: Market, asset: Asset) -> list[float]:
    closes = [market.day(asset, session).close for session in TWO_YEARS]
    return [math.log(after / before) for before, after in pairwise(closes)]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("SPY", "VTI", 0.85, 1.0),
        ("SPY", "QQQ", 0.65, 0.95),
        ("AAPL", "MSFT", 0.45, 0.75),
        ("XOM", "CVX", 0.5, 0.8),
        ("XOM", "KO", 0.0, 0.35),
        ("SPY", "GLD", -0.15, 0.2),
        ("SPY", "TLT", -0.4, -0.05),
    ],
)
def test_symbols_move_together_as_their_loadings_say(
    seed: int, one: str, other: str, least: float, most: float
) -> None:
    market = Market(seed, NYSE)
    assert least < correlation(returns(market, listed(one)), returns(market, listed(other))) < most


def test_loadings_are_correlations() -> None:
    market = Market(3, NYSE)
    asset = Asset("PAIR", "", "NYSE", 10_000, 0.3, 1_000_000, sector="pairs", market_loading=0, sector_loading=0.9)
    other = Asset("TWIN", "", "NYSE", 20_000, 0.2, 1_000_000, sector="pairs", market_loading=0, sector_loading=0.9)
    alone = Asset("SOLO", "", "NYSE", 20_000, 0.2, 1_000_000, market_loading=0, sector_loading=0)
    assert correlation(returns(market, asset), returns(market, other)) == pytest.approx(0.81, abs=0.08)
    assert abs(correlation(returns(market, asset), returns(market, alone))) < 0.12


@pytest.mark.parametrize("symbol", ["SPY", "AAPL", "TSLA", "IEF"])
def test_volatility_is_about_what_is_configured(symbol: str) -> None:
    asset = listed(symbol)
    yearly = stdev(returns(Market(1, NYSE, jumps_a_year=0), asset)) * math.sqrt(252)
    assert 0.85 * asset.yearly_volatility < yearly < 1.3 * asset.yearly_volatility


def test_minutes_move_together_too() -> None:
    market, noises = Market(1, NYSE), []
    for symbol in ("SPY", "VTI"):
        moves: list[float] = []
        for session in TWO_YEARS[:60]:
            bars = market.minutes(listed(symbol), session)
            moves += [close / opening - 1 for opening, close in zip(bars.open, bars.close, strict=True)]
        noises.append(moves)
    assert correlation(*noises) > 0.3


def test_jumps_come_at_their_rate_and_happen_within_a_minute() -> None:
    quiet, jumpy = Market(1, NYSE, jumps_a_year=0), Market(1, NYSE, jumps_a_year=12)
    asset = listed("AAPL")
    assert not any(quiet.day(asset, session).jump for session in NYSE.sessions[:1000])
    jumps = [(session, day.jump) for session in NYSE.sessions if (day := jumpy.day(asset, session)).jump]
    years = len(NYSE.sessions) / 252
    assert 10 * years < len(jumps) < 14 * years
    for session, jump in jumps[:40]:
        assert jump is not None
        bars = jumpy.minutes(asset, session)
        assert (bars.open[jump.minute], bars.close[jump.minute]) == (jump.before, jump.after)
        assert abs(jump.after / jump.before - 1) > 0.04


def test_gaps_lie_between_sessions() -> None:
    market, asset = Market(1, NYSE), listed("NVDA")
    days = [market.day(asset, session) for session in TWO_YEARS]
    gaps = [abs(after.open / before.close - 1) for before, after in pairwise(days)]
    assert sum(gap > 0.005 for gap in gaps) > len(gaps) / 3


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_shares_and_their_cost_are_split_exactly_whatever_is_promised(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 30))
    low = data.draw(st.integers(1, 100_000))
    path = [low + data.draw(st.integers(0, 500)) for _ in range(count + 1)]
    opens, closes = np.array(path[:-1]), np.array(path[1:])
    highs, lows = np.maximum(opens, closes) + 1, np.maximum(1, np.minimum(opens, closes) - 1)
    volume = data.draw(st.integers(1, 10**9))
    least, most = volume * int(lows.min()), volume * int(highs.max())
    turnover = data.draw(st.integers(least, most))
    weights = np.array([data.draw(st.integers(1, 6_000)) for _ in range(count)])
    at_least = np.full(count, 4 if volume >= 4 * count else 0)
    agreed = agreed_turnover(volume, turnover, weights, at_least, (opens, highs, lows, closes))
    assert int(agreed.volume.sum()) == volume
    assert int(agreed.turnover.sum()) == turnover
    assert (agreed.volume >= 0).all()
    assert (agreed.volume * lows <= agreed.turnover).all()
    assert (agreed.turnover <= agreed.volume * highs).all()
