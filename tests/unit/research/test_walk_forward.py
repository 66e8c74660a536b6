"""Windows never judge a day that they were chosen on, and a sweep finds the same on one core as on two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tradingbot_research.days import Days
from tradingbot_research.engine import backtest
from tradingbot_research.rules import Rules
from tradingbot_research.statistics import Moments
from tradingbot_research.sweep import TooManyTrials, grid, sweep, targets_of
from tradingbot_research.walk_forward import Scheme, TooFewDays, walk_forward, windows
from tradingbot_runtime.strategies.momentum import Momentum, MomentumParameters
from unit.research.candidates import market_of_moods
from unit.research.markets import a_market

SCHEMES = st.builds(
    Scheme,
    windows=st.integers(1, 12),
    first_training=st.sampled_from([0.2, 0.4, 0.6]),
    anchored=st.booleans(),
    purge_days=st.integers(0, 10),
    embargo_days=st.integers(0, 10),
)


class TestWindows:
    @given(days=st.integers(1, 2000), scheme=SCHEMES)
    def test_no_day_is_chosen_on_and_judged(self, days: int, scheme: Scheme) -> None:
        try:
            found = windows(days, scheme)
        except TooFewDays:
            return
        for one in found:
            assert 0 <= one.training[0] < one.training[1] == one.test[0] - scheme.purge_days
            assert one.test[0] + scheme.embargo_days == one.judged[0] < one.judged[1] == one.test[1] <= days
        assert [one.test[0] for one in found[1:]] == [one.test[1] for one in found[:-1]]
        assert found[-1].test[1] == days

    def test_anchored_trainings_grow_and_rolling_ones_move(self) -> None:
        anchored = windows(1000, Scheme(purge_days=0))
        rolling = windows(1000, Scheme(purge_days=0, anchored=False))
        assert [one.training[0] for one in anchored] == [0] * 5
        assert {one.training[1] - one.training[0] for one in rolling} == {400}

    def test_too_few_days_say_how_many_are_needed(self) -> None:
        with pytest.raises(TooFewDays, match="20 days of training"):
            windows(30, Scheme())

    def test_the_best_in_training_lives_through_the_test(self) -> None:
        bars = a_market(300, seed=3)
        days, rules = Days.of(bars.time), Rules(share_step=0, rebalance_band=None)
        wins = windows(len(days), Scheme(windows=2))
        sets = [np.zeros((300, 1)), np.ones((300, 1))]
        good, bad = Moments.of(np.array([0.1, 0.2])), Moments.of(np.array([-0.1, -0.2]))
        found = walk_forward(bars, days, rules, wins, [[good, bad], [bad, good]], lambda trial: sets[trial])
        assert [one.chosen for one in found.judged] == [0, 1]
        first, second = (window.test for window in wins)
        held = found.result.positions[:, 0]
        assert not held[: second[0] - first[0]].any()
        assert held[second[0] - first[0] + 1 :].all()
        assert len(found.returns) == sum(one.judged[1] - one.judged[0] for one in wins)


class TestDays:
    def test_minutes_are_summed_up_to_days_in_new_york(self) -> None:
        time = np.array(
            ["2024-01-02T20:59", "2024-01-03T14:30", "2024-01-03T20:59", "2024-01-04T02:00"], "datetime64[ns]"
        )
        found = Days.of(time)
        assert [str(one) for one in found.date] == ["2024-01-02", "2024-01-03"]
        assert found.first.tolist() == [0, 1]
        assert found.last.tolist() == [0, 3]

    def test_a_daily_bar_is_a_day_whatever_hour_it_has(self) -> None:
        time = np.array(["2024-03-08", "2024-03-09", "2024-03-10", "2024-03-11"], "datetime64[ns]")
        assert len(Days.of(time)) == 4

    def test_returns_of_days_make_the_equity(self) -> None:
        bars = a_market(2000, seed=2, unit="h")
        found = backtest(bars, np.full(2000, 0.5))
        returns = Days.of(bars.time).returns(found)
        assert len(returns) < 100
        assert np.prod(1 + returns) * found.capital == pytest.approx(found.equity[-1])


class TestSweep:
    def strategies(self) -> list[Momentum]:
        return [Momentum.from_parameters(one) for one in grid(MomentumParameters, {}, {"lookback": [5, 10, 20, 40]})]  # type: ignore[misc] # from_parameters names its own class no closer

    def test_two_processes_find_what_one_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bars = market_of_moods(1, days=300)
        told: list[tuple[int, int]] = []
        alone = sweep(self.strategies(), bars, Rules(), [(0, 100), (100, 300)], processes=1)
        monkeypatch.setattr("tradingbot_research.sweep._WORTH_A_PROCESS_SECONDS", 0.0)
        together = sweep(
            self.strategies(), bars, Rules(), [(0, 100), (100, 300)], processes=2, progress=lambda *at: told.append(at)
        )
        assert together == alone
        assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_a_grid_is_every_combination_that_the_model_allows(self) -> None:
        found = grid(MomentumParameters, {"max_weight": 0.5}, {"lookback": [1, 5, 9], "threshold_percent": [0, 1]})
        assert [(one["lookback"], one["threshold_percent"]) for one in found] == [(5, 0), (5, 1), (9, 0), (9, 1)]
        assert {one["max_weight"] for one in found} == {0.5}

    def test_a_grid_with_nothing_that_is_allowed_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            grid(MomentumParameters, {}, {"lookback": [0, 1]})

    def test_a_grid_that_nobody_can_try_is_refused(self) -> None:
        with pytest.raises(TooManyTrials):
            grid(MomentumParameters, {}, {"lookback": list(range(500)), "max_weight": list(range(500))})

    def test_moments_are_those_of_the_stretch(self) -> None:
        bars, strategy = market_of_moods(1, days=300), self.strategies()[0]
        (trial,) = sweep([strategy], bars, Rules(), [(50, 200)], processes=1)
        returns = Days.of(bars.time).returns(backtest(bars, targets_of(strategy, bars)))
        assert trial.moments == (Moments.of(returns[50:200]),)
