"""Sums and z-scores of windows: what they are, and that nothing before the window is in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_runtime.strategies.windows import lagged, window_sums, window_z_scores

PRICES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(prices=PRICES, length=st.integers(1, 20))
def test_a_sum_is_that_of_the_last_rows(prices: list[float], length: int) -> None:
    found = window_sums(np.array(prices)[:, None], length)[:, 0]
    for row in range(len(prices)):
        if row + 1 < length:
            assert np.isnan(found[row])
        else:
            assert found[row] == pytest.approx(sum(prices[row + 1 - length : row + 1]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(prices=PRICES, length=st.integers(2, 20), cut=st.integers(0, 39))
def test_what_came_before_the_window_changes_no_bit(prices: list[float], length: int, cut: int) -> None:
    values = np.array(prices)[:, None]
    first = min(cut, max(len(values) - length, 0))
    for measured in (window_sums, window_z_scores):
        assert measured(values, length)[-1].tobytes() == measured(values[first:], length)[-1].tobytes()


def test_a_z_score_is_the_distance_from_the_mean_in_deviations() -> None:
    # Mean 3, squares 4 + 1 + 0 + 1 + 4 = 10, deviation sqrt(10 / 4), distance 2.
    (z,) = window_z_scores(np.array([1.0, 2, 3, 4, 5])[:, None], 5)[-1]
    assert z == pytest.approx(2 / 2.5**0.5)


def test_prices_that_stand_still_are_no_distance_at_all() -> None:
    assert window_z_scores(np.full((9, 1), 0.1), 7)[-1, 0] == 0.0


def test_a_missing_price_is_missing_as_long_as_it_is_in_the_window() -> None:
    values = np.array([1.0, np.nan, 3, 4, 5])[:, None]
    assert np.isnan(window_sums(values, 3)[:, 0]).tolist() == [True, True, True, True, False]


def test_a_lag_that_is_longer_than_all_leaves_nothing() -> None:
    assert np.isnan(lagged(np.ones((3, 1)), 5)).all()
