"""The statistics agree with figures that nobody here made: published examples, and other people's libraries.

scipy and arch are asked here. The figures that are written down, of scipy 1.17.1, quantstats 0.0.86 and
empyrical-reloaded 0.7.1, were made with those libraries from RETURNS, which is a formula and not a random draw, so that
anyone can make them again.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from tradingbot_research.statistics import (
    Moments,
    annual_return,
    annual_volatility,
    deflated_sharpe,
    drawdowns,
    expected_best_sharpe,
    kurtosis,
    max_drawdown,
    overfit_probability,
    overfit_ratio,
    probabilistic_sharpe,
    sharpe_ratio,
    shift_test,
    sign_test,
    skewness,
    t_test,
    turnover,
    walk_forward_efficiency,
)

STEPS = np.arange(500)
RETURNS = 0.0006 + 0.011 * np.sin(STEPS * 1.7) + 0.004 * np.cos(STEPS**1.3) - 0.03 * (STEPS % 97 == 0)

SERIES = arrays(
    float, st.integers(5, 60), elements=st.floats(-0.2, 0.2).map(lambda one: round(one, 6)), unique=True
).filter(lambda one: one.std() > 1e-4)


class TestAgainstOtherLibraries:
    def test_sharpe_is_that_of_quantstats_and_empyrical(self) -> None:
        assert sharpe_ratio(RETURNS) == pytest.approx(0.7716072548471147, rel=1e-12)

    def test_drawdown_is_that_of_quantstats_and_empyrical(self) -> None:
        assert max_drawdown(np.cumprod(1 + RETURNS), 1.0) == pytest.approx(0.044686174200847195, rel=1e-12)

    def test_annual_return_and_volatility_are_those_of_quantstats_and_empyrical(self) -> None:
        assert annual_return(RETURNS) == pytest.approx(0.10417390809845073, rel=1e-12)
        assert annual_volatility(RETURNS) == pytest.approx(0.1414018370559651, rel=1e-12)

    def test_t_is_that_of_scipy(self) -> None:
        found = t_test(RETURNS)
        assert found.t == pytest.approx(1.0868785906890497, rel=1e-12)
        assert found.p == pytest.approx(0.13880759690215444, rel=1e-10)
        assert found.degrees == 499

    @pytest.mark.parametrize(
        ("degrees", "t", "p"),
        [
            (1, 0.5, 0.35241638234956674),
            (2, 40.0, 0.0003122073360923703),
            (4, 2.0, 0.05805826175840778),
            (30, -1.3, 0.8982495207309416),
            (500, 3.1, 0.0010221570395428864),
            (5000, 8.0, 7.669935943457742e-16),
        ],
    )
    def test_p_of_t_is_that_of_scipy(self, degrees: int, t: float, p: float) -> None:
        noise = np.resize([1.0, -1.0], degrees + 1) + np.linspace(-0.1, 0.1, degrees + 1)
        noise -= noise.mean()
        returns = noise + t * noise.std(ddof=1) / math.sqrt(degrees + 1)
        assert t_test(returns).p == pytest.approx(p, rel=1e-9)

    def test_skewness_and_kurtosis_are_those_of_scipy(self) -> None:
        assert skewness(RETURNS) == pytest.approx(-0.2692119910617567, rel=1e-12)
        assert kurtosis(RETURNS) == pytest.approx(2.719530758609568, rel=1e-12)

    @settings(max_examples=50, deadline=None)
    @given(returns=SERIES)
    def test_t_and_moments_of_anything_are_those_of_scipy(self, returns: np.ndarray) -> None:
        theirs = stats.ttest_1samp(returns, 0, alternative="greater")
        ours = t_test(returns)
        assert ours.t == pytest.approx(theirs.statistic, rel=1e-9)
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-7, abs=1e-12)
        assert skewness(returns) == pytest.approx(stats.skew(returns), rel=1e-7, abs=1e-9)
        assert kurtosis(returns) == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-7)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_signs_by_chance_are_those_of_scipys_permutation_test(self, seed: int) -> None:
        returns = np.random.default_rng(seed).normal(0.003, 0.01, 12)  # so few that scipy tries all 4,096 signs
        theirs = stats.permutation_test((returns,), np.mean, permutation_type="samples", alternative="greater")
        assert len(theirs.null_distribution) == 4096
        assert sign_test(returns, seed=seed, permutations=20_000).p == pytest.approx(theirs.pvalue, abs=0.015)

    @pytest.mark.parametrize("edge", [0.0, 0.002])
    def test_luck_and_an_edge_are_told_apart_as_by_arch(self, edge: float) -> None:
        # arch's test of superior predictive ability (Hansen 2005), White's reality check with a better null: whether
        # the best of many is better than nothing. Another method for the question of the deflated Sharpe ratio.
        from arch.bootstrap import SPA

        returns = np.random.default_rng(1).normal(0, 0.01, (1000, 50))
        returns[:, 7] += edge
        theirs = SPA(np.zeros(1000), -returns, block_size=10, reps=500, seed=1)
        theirs.compute()
        sharpes = np.array([sharpe_ratio(one, 1) for one in returns.T])
        best = returns[:, sharpes.argmax()]
        ours = deflated_sharpe(best, 50, float(np.delete(sharpes, 7).var(ddof=1)))
        assert (theirs.pvalues["consistent"] < 0.05) == (ours >= 0.95) == bool(edge)

    def test_the_probabilistic_sharpe_ratio_is_that_of_quantstats(self) -> None:
        # quantstats takes the moments of the sample, this those of the population, as the paper does.
        found = probabilistic_sharpe(sharpe_ratio(RETURNS, 1), 0, 500, skewness(RETURNS), kurtosis(RETURNS))
        assert found == pytest.approx(0.8595259325594322, abs=1e-4)


class TestAgainstPublishedExamples:
    def test_probabilistic_sharpe_of_the_hedge_fund_of_the_paper(self) -> None:
        # Bailey and Lopez de Prado 2012: 24 months, Sharpe 0.458, skewness -2.448, kurtosis 10.164.
        assert probabilistic_sharpe(0.458, 0, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)

    def test_expected_best_of_a_hundred_trials(self) -> None:
        # Bailey and Lopez de Prado 2014: variance 1/2 of annual ratios of 250 days.
        assert expected_best_sharpe(100, 1 / 2 / 250) == pytest.approx(0.1132, abs=5e-5)

    @pytest.mark.parametrize(
        ("trials", "skew", "kurt", "expected"), [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)]
    )
    def test_deflated_sharpe_of_the_paper(self, trials: int, skew: float, kurt: float, expected: float) -> None:
        benchmark = expected_best_sharpe(trials, 1 / 2 / 250)
        found = probabilistic_sharpe(2.5 / math.sqrt(250), benchmark, 1250, skew, kurt)
        assert found == pytest.approx(expected, abs=5e-5)

    def test_the_best_of_many_normals_is_what_the_formula_expects(self) -> None:
        rng = np.random.default_rng(3)
        assert rng.normal(size=(4000, 200)).max(axis=1).mean() == pytest.approx(expected_best_sharpe(200, 1), rel=0.01)


def test_more_trials_make_less_of_the_same_result() -> None:
    found = [deflated_sharpe(RETURNS + 0.002, trials, 0.001) for trials in (1, 10, 1000)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(
        probabilistic_sharpe(sharpe_ratio(RETURNS + 0.002, 1), 0, 500, skewness(RETURNS), kurtosis(RETURNS))
    )


class TestPermutations:
    def test_positions_that_know_the_future_are_no_chance(self) -> None:
        returns = np.random.default_rng(1).normal(0, 0.01, (300, 2))
        assert shift_test(np.sign(returns), returns).p == pytest.approx(1 / 300)

    def test_every_shift_is_what_shifting_gives(self) -> None:
        rng = np.random.default_rng(2)
        weights, returns = rng.random((40, 3)), rng.normal(0.001, 0.01, (40, 3))
        found = shift_test(weights, returns)
        shifted = [float((np.roll(weights, shift, axis=0) * returns).sum() / 40) for shift in range(40)]
        assert found.observed == pytest.approx(shifted[0])
        np.testing.assert_allclose(found.permuted, shifted[1:])
        assert found.p == (1 + sum(one >= shifted[0] for one in shifted[1:])) / 40

    def test_positions_are_not_laid_on_the_returns_they_were_made_from(self) -> None:
        returns = np.random.default_rng(6).normal(0, 0.01, (400, 1))
        followed = np.zeros((400, 1))
        for lag in range(1, 11):
            followed[lag:] += returns[:-lag]  # what rose in the last ten periods, in a market without memory
        raw, fair = shift_test(followed, returns), shift_test(followed, returns, gap=10)
        assert raw.permuted.max() > 3 * np.abs(fair.permuted).max()
        assert len(fair.permuted) == 400 - 1 - 20

    def test_a_position_that_never_changes_times_nothing(self) -> None:
        returns = np.random.default_rng(3).normal(0.01, 0.01, (300, 1))
        assert shift_test(np.ones((300, 1)), returns).p == 1.0

    def test_under_chance_p_is_spread_evenly(self) -> None:
        found = []
        for seed in range(400):
            rng = np.random.default_rng(seed)
            found.append(shift_test(rng.random((60, 1)), rng.normal(0, 0.01, (60, 1))).p)
        assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)
        assert np.mean(found) == pytest.approx(0.5, abs=0.05)

    def test_signs_have_a_seed(self) -> None:
        assert sign_test(RETURNS, seed=1).p == sign_test(RETURNS, seed=1).p
        assert sign_test(RETURNS, seed=1, permutations=5000).p == pytest.approx(t_test(RETURNS).p, abs=0.02)

    def test_a_mean_far_from_zero_is_no_chance(self) -> None:
        assert sign_test(RETURNS + 0.01, seed=1).p == pytest.approx(1 / 2001)


class TestOverfitProbability:
    def trials(self, edge: float) -> list[list[Moments]]:
        rng = np.random.default_rng(5)
        found = []
        for trial in range(40):
            returns = rng.normal(edge if trial == 7 else 0, 0.01, 600)
            found.append([Moments.of(block) for block in np.array_split(returns, 8)])
        return found

    def test_the_best_of_noise_is_as_good_as_any_later_on(self) -> None:
        found = overfit_probability(self.trials(0.0))
        assert found is not None
        assert 0.3 < found < 0.95

    def test_the_best_with_an_edge_stays_the_best(self) -> None:
        assert overfit_probability(self.trials(0.005)) == 0.0

    def test_one_trial_has_nothing_to_be_compared_with(self) -> None:
        assert overfit_probability(self.trials(0.0)[:1]) is None


class TestRatios:
    def test_half_is_left(self) -> None:
        assert walk_forward_efficiency(0.2, 0.1) == pytest.approx(0.5)
        assert overfit_ratio(2.0, 1.0) == pytest.approx(2.0)

    @given(inside=st.floats(-5, 5), outside=st.floats(-5, 5))
    def test_a_loss_never_looks_good(self, inside: float, outside: float) -> None:
        if inside <= 0 or outside <= 0:
            assert walk_forward_efficiency(inside, outside) <= 0
            assert not 0 < overfit_ratio(inside, outside) <= 2
            assert round(overfit_ratio(inside, outside), 9) != 0

    def test_flat_is_flat(self) -> None:
        flat = np.zeros(100)
        assert sharpe_ratio(flat) == 0
        assert t_test(flat).p == 1
        assert max_drawdown(flat + 1, 1.0) == 0

    def test_a_fall_from_the_start_is_a_drawdown(self) -> None:
        assert drawdowns(np.array([0.5, 0.75]), 1.0).tolist() == [0.5, 0.25]

    def test_turnover_is_what_is_traded_over_what_there_is(self) -> None:
        assert turnover(400.0, np.array([100.0, 100.0]), 2.0) == 2.0

    @given(split=st.integers(1, 499))
    def test_moments_join(self, split: int) -> None:
        joined = Moments.of(RETURNS[:split]) + Moments.of(RETURNS[split:])
        assert joined.sharpe * math.sqrt(252) == pytest.approx(sharpe_ratio(RETURNS), rel=1e-9)
