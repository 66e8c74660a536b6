"""Bars and quotes that must not be traded by: each check by name, and ages judged by the exchange's calendar."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import OPEN, bars
from tradingbot_api import DataQualitySpec, Timeframe
from tradingbot_runtime.core.quality import Observed, bars_missed, defect, judge, sessions_missed
from tradingbot_runtime.core.values import BrokerQuote, MarketSession

FIVE = timedelta(minutes=5)
SPEC = DataQualitySpec()


def a_session(day: date, hours: float = 6.5) -> MarketSession:
    """A winter session in New York."""
    opens = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
    return MarketSession(day, opens, opens + timedelta(hours=hours))


THURSDAY, FRIDAY, MONDAY = (a_session(date(2026, 2, 26)), a_session(date(2026, 2, 27)), a_session(date(2026, 3, 2)))
WEEK = (THURSDAY, FRIDAY, MONDAY)


def a_quote(bid: str = "100", ask: str = "100.05", at: datetime = OPEN) -> BrokerQuote:
    return BrokerQuote("AAPL", Decimal(bid), Decimal(ask), at)


def verdict_of(closes: Sequence[float], until: datetime = OPEN, **observed: Any) -> str | None:
    fields: dict[str, Any] = {"at": until, "market_open": True, **observed}
    seen = Observed(frames=bars({"AAPL": closes}, until), **fields)
    return judge(seen, frozenset({"AAPL"}), Timeframe.MIN_5, SPEC).bad.get("AAPL")


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda f: f.drop(columns="volume"), "missing_columns"),
        (lambda f: pd.concat([f, f.tail(1)]), "duplicate_timestamps"),
        (lambda f: f.iloc[::-1], "non_monotonic_index"),
        (lambda f: f.assign(close=float("nan")), "null_values"),
        (lambda f: f.assign(low=0.0), "non_positive_prices"),
        (lambda f: f.assign(volume=-1.0), "negative_volume"),
        (lambda f: f.assign(high=1.0), "invalid_ohlc_bounds"),
        (lambda f: f, None),
    ],
)
def test_each_defect_of_bars_has_its_name(spoil, name: str | None) -> None:  # type: ignore[no-untyped-def]
    assert defect(spoil(bars({"AAPL": [100, 101, 102]})["AAPL"])) == name


def test_a_bad_symbol_is_left_out_and_the_others_stay() -> None:
    frames = bars({"AAPL": [100, 101], "MSFT": [-1, 2]}) | {"NVDA": pd.DataFrame()}
    symbols = frozenset({"AAPL", "MSFT", "NVDA", "TSLA"})
    verdict = judge(Observed(frames, OPEN, market_open=True), symbols, Timeframe.MIN_5, SPEC)
    assert verdict.prices == {"AAPL": Decimal("101.0")}
    assert list(verdict.frames) == ["AAPL"]
    assert verdict.bad == {"MSFT": "non_positive_prices", "NVDA": "no_data", "TSLA": "no_data"}
    assert verdict.bad_percent() == 75


def test_a_long_weekend_is_not_stale_and_a_missing_session_is() -> None:
    friday_bar = datetime(2026, 2, 27, 5, tzinfo=UTC)  # midnight in New York
    assert sessions_missed(friday_bar, MONDAY.opens_at, WEEK) == 0
    assert sessions_missed(friday_bar, MONDAY.closes_at, WEEK) == 1
    assert sessions_missed(friday_bar - timedelta(days=1), MONDAY.opens_at, WEEK) == 1


@pytest.mark.parametrize(
    ("newest", "at", "missed"),
    [
        (MONDAY.opens_at, MONDAY.opens_at + FIVE, 0),
        (MONDAY.opens_at, MONDAY.opens_at + 2 * FIVE, 1),
        (MONDAY.opens_at, MONDAY.opens_at + 2 * FIVE - timedelta(seconds=1), 0),
        (FRIDAY.closes_at - FIVE, MONDAY.opens_at, 0),
        (FRIDAY.closes_at - FIVE, MONDAY.opens_at + FIVE, 1),
        (FRIDAY.closes_at - 3 * FIVE, MONDAY.opens_at, 2),
        (THURSDAY.closes_at - FIVE, MONDAY.opens_at, 78),
    ],
)
def test_bars_that_are_missing_are_counted_within_sessions(newest: datetime, at: datetime, missed: int) -> None:
    assert bars_missed(newest, at, WEEK, FIVE) == missed


def test_hourly_bars_count_from_midnight_and_half_days_end_early() -> None:
    half = a_session(date(2026, 11, 27), hours=3.5)
    nine = half.opens_at - timedelta(minutes=30)
    assert bars_missed(nine - timedelta(days=1), half.closes_at, (half,), timedelta(hours=1)) == 4
    assert bars_missed(half.closes_at - timedelta(hours=1), half.closes_at + timedelta(days=1), (half,), FIVE * 12) == 0


@given(st.integers(0, 77), st.integers(0, 390))
def test_no_bar_is_missed_that_is_not_over(newest: int, minutes: int) -> None:
    at = MONDAY.opens_at + timedelta(minutes=minutes)
    missed = bars_missed(MONDAY.opens_at + newest * FIVE, at, WEEK, FIVE)
    assert missed == max(0, minutes // 5 - newest - 1)


def test_stale_bars_stop_their_symbol_by_name() -> None:
    late = OPEN + timedelta(minutes=25)
    assert verdict_of([100, 101], OPEN + FIVE, at=late, sessions=WEEK) == (
        "stale_data: 4 bars are missing since 2026-03-02 14:30 UTC"
    )
    assert verdict_of([100, 101], OPEN + FIVE, at=late - FIVE, sessions=WEEK) is None


def test_a_daily_bar_that_is_missing_is_always_stale() -> None:
    index = pd.DatetimeIndex([datetime(2026, 2, 26, 5, tzinfo=UTC)])
    frame = pd.DataFrame({"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}, index=index)
    seen = Observed({"AAPL": frame}, MONDAY.opens_at, market_open=True, sessions=WEEK)
    assert judge(seen, frozenset({"AAPL"}), Timeframe.DAY_1, SPEC).bad["AAPL"].startswith("stale_data: 1 ")


def test_a_jump_is_not_believed_in_its_first_bar() -> None:
    assert (verdict_of([100, 131]) or "").startswith("price_jump: 100 to 131 is 31.0 %")
    assert verdict_of([100, 131, 130]) is None
    assert verdict_of([100, 130]) is None


@pytest.mark.parametrize(
    ("quote", "problem"),
    [
        (a_quote(), None),
        (a_quote(at=OPEN + timedelta(seconds=9)), None),
        (a_quote(at=OPEN - timedelta(seconds=301)), "stale_quote: 301 s old"),
        (a_quote(bid="0"), "stale_quote: bid 0 and ask 100.05 are no market"),
        (a_quote(bid="101"), "stale_quote: bid 101 and ask 100.05 are no market"),
        (None, "stale_quote: there is none"),
    ],
)
def test_a_symbol_without_a_market_is_not_traded(quote: BrokerQuote | None, problem: str | None) -> None:
    quotes = {} if quote is None else {"AAPL": quote}
    assert verdict_of([100, 101], quotes=quotes) == problem
    assert verdict_of([100, 101], quotes=quotes, market_open=False) is None
