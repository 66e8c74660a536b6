"""The engine: it finds by leaps what a plain loop finds by walking, and it says what it could not do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_research.at_once import applies, run_at_once
from tradingbot_research.engine import backtest
from tradingbot_research.market import Bars, Floats
from tradingbot_research.result import Cause, Obstacle, Result
from tradingbot_research.rules import Costs, Exits, Rules, SizeAt, Sizing
from tradingbot_research.stepping import Stepping
from unit.research.markets import a_market, crossover, targets_for
from unit.research.reference import walk

ALL_IN = Rules(
    costs=Costs(slippage_bps=5),
    sizing=Sizing.EQUITY,
    size_at=SizeAt.FILL,
    share_step=0,
    minimum_trade=0,
    rebalance_band=None,
    maximum_volume=1,
)
FREE = Rules(capital=1000, costs=Costs.none(), maximum_volume=1)


def flat_bars(
    closes: list[float], *, opens: list[float] | None = None, spread: float = 0.0, volume: float = 1e6
) -> Bars:
    close = np.array(closes, dtype=float)[:, None]
    opened = close if opens is None else np.array(opens, dtype=float)[:, None]
    high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
    time = (np.datetime64("2020-01-01", "D") + np.arange(len(close))).astype("datetime64[ns]")
    return Bars(("A",), time, opened, high, low, close, np.full(close.shape, volume))


def assert_same(found: Result, bars: Bars, targets: Floats, rules: Rules) -> None:
    expected = walk(bars, targets, rules)
    fills = found.fills
    shown = [
        (bar, column, Cause(cause).name)
        for bar, column, cause in zip(fills.bar.tolist(), fills.symbol.tolist(), fills.cause.tolist(), strict=True)
    ]
    assert shown == [(bar, column, cause) for bar, column, _, _, cause in expected.fills]
    np.testing.assert_allclose(fills.shares, [one[2] for one in expected.fills], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(fills.price, [one[3] for one in expected.fills], rtol=1e-12)
    np.testing.assert_allclose(found.equity, expected.equity, rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(found.positions, expected.positions, rtol=1e-8, atol=1e-8)
    missed: Counter[tuple[str, str]] = Counter()
    for one in found.unfilled:
        missed[one.symbol, one.obstacle.value] += one.times
    assert missed == Counter(expected.missed)


RULES = st.builds(
    Rules,
    capital=st.sampled_from([1_000.0, 100_000.0]),
    costs=st.builds(
        Costs,
        commission_bps=st.sampled_from([0.0, 1.0]),
        commission_per_share=st.sampled_from([0.0, 0.005]),
        minimum_commission=st.sampled_from([0.0, 1.0]),
        half_spread_bps=st.just(2.0),
        slippage_bps=st.sampled_from([0.0, 5.0]),
    ),
    exits=st.builds(
        Exits,
        stop_loss=st.sampled_from([None, 0.02, 0.1]),
        take_profit=st.sampled_from([None, 0.03]),
        trailing_stop=st.sampled_from([None, 0.03, 0.08]),
        price_places=st.sampled_from([None, 2]),
    ),
    sizing=st.sampled_from(Sizing),
    size_at=st.sampled_from(SizeAt),
    share_step=st.sampled_from([0.0, 0.1, 1.0]),
    minimum_trade=st.sampled_from([0.0, 0.01, 0.05]),
    rebalance_band=st.sampled_from([None, 0.0, 0.03]),
    exits_from_decision=st.booleans(),
    long_only=st.booleans(),
    maximum_volume=st.sampled_from([0.1, 1.0]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rules=RULES,
    seed=st.integers(0, 10_000),
    symbols=st.integers(1, 3),
    bars=st.integers(1, 160),
    every=st.sampled_from([2, 10, 60]),
    holes=st.sampled_from([0.0, 0.1]),
    volume=st.sampled_from([300.0, 1e7]),
)
def test_leaping_finds_what_walking_finds(
    rules: Rules, seed: int, symbols: int, bars: int, every: int, holes: float, volume: float
) -> None:
    market = a_market(bars, symbols, seed=seed, holes=holes, volume=volume, step=0.02)
    targets = targets_for(market, seed=seed, every=every, values=(0.0, 0.5, 1.0, -0.5))
    assert_same(backtest(market, targets, rules), market, targets, rules)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), fast=st.integers(2, 6), slow=st.integers(7, 20), weight=st.sampled_from([1.0, 0.4]))
def test_all_at_once_finds_what_walking_finds(seed: int, fast: int, slow: int, weight: float) -> None:
    market = a_market(200, seed=seed)
    targets = crossover(market.close[:, 0], fast, slow) * weight
    found = run_at_once(market, targets, ALL_IN)
    assert found is not None
    assert_same(found, market, targets, ALL_IN)


@pytest.mark.parametrize(
    "other",
    [
        {"sizing": Sizing.CAPITAL},
        {"size_at": SizeAt.DECISION},
        {"share_step": 1.0},
        {"rebalance_band": 0.0},
        {"exits": Exits(stop_loss=0.1)},
        {"costs": Costs(minimum_commission=1)},
    ],
)
def test_what_needs_a_memory_goes_step_by_step(other: dict[str, object]) -> None:
    market = a_market(200)
    rules = replace(ALL_IN, **other)  # type: ignore[arg-type] # one field of any type
    assert not applies(market, rules)
    targets = crossover(market.close[:, 0], 3, 9)
    assert_same(backtest(market, targets, rules), market, targets, rules)


def test_all_at_once_leaves_to_the_steps_what_a_thin_market_does_not_allow() -> None:
    market = a_market(200, volume=10.0)
    targets = crossover(market.close[:, 0], 3, 9)
    assert run_at_once(market, targets, ALL_IN) is None
    found = backtest(market, targets, ALL_IN)
    assert Obstacle.THIN_VOLUME in {one.obstacle for one in found.unfilled}


def test_a_decision_is_filled_at_the_next_open_with_its_costs() -> None:
    bars = flat_bars([100, 100, 100], opens=[100, 110, 100])
    costs = Costs(commission_bps=10, half_spread_bps=20, slippage_bps=30)
    found = backtest(bars, np.array([0.5, 0.5, 0.5]), Rules(capital=10_000, costs=costs))
    assert found.fills.bar.tolist() == [1]
    assert found.fills.shares.tolist() == [50]
    assert found.fills.price[0] == pytest.approx(110 * 1.005)
    assert found.fills.commission[0] == pytest.approx(50 * 110 * 1.005 * 0.001)
    assert found.equity[-1] == pytest.approx(10_000 - 50 * 110.55 * 1.001 + 50 * 100)


def test_costs_are_not_zero_unless_asked_for() -> None:
    costs = Rules().costs
    assert costs.commission_bps > 0
    assert costs.half_spread_bps > 0
    assert costs.slippage_bps > 0


def test_a_position_drifts_back_by_the_smallest_trade_as_a_bot_does() -> None:
    bars = flat_bars([100, 100, 100.5, 120, 120])
    found = backtest(bars, np.full(5, 0.5), replace(FREE, capital=100_000))
    assert found.fills.bar.tolist() == [1, 4]  # 0.5 % is below the least trade, 20 % is not
    assert found.positions[-1, 0] == 416


def test_within_its_band_a_position_is_left_alone() -> None:
    bars = flat_bars([100, 100, 100.5, 120, 120])
    found = backtest(bars, np.full(5, 0.5), replace(FREE, rebalance_band=0.11))
    assert found.fills.bar.tolist() == [1]


def test_sells_come_before_the_buys_that_need_their_money() -> None:
    close = np.full((5, 2), 100.0)
    time = (np.datetime64("2020-01-01", "D") + np.arange(5)).astype("datetime64[ns]")
    bars = Bars(("A", "B"), time, close, close, close, close, np.full((5, 2), 1e6))
    targets = np.array([[0.0, 1.0]] * 2 + [[1.0, 0.0]] * 3)
    found = backtest(bars, targets, FREE)
    assert found.fills.symbol.tolist() == [1, 1, 0]
    assert found.unfilled == ()


class TestWhatCouldNotBeDone:
    def test_money_that_does_not_suffice_after_a_gap(self) -> None:
        found = backtest(flat_bars([100, 125], opens=[100, 125]), np.array([1.0, 1.0]), FREE)
        assert found.fills.shares.tolist() == [8]
        (missed,) = [one for one in found.unfilled if one.obstacle is Obstacle.NO_CASH]
        assert missed.shares == 2

    def test_no_volume_is_tried_again(self) -> None:
        bars = flat_bars([100] * 5)
        bars.volume[1:3] = 0
        found = backtest(bars, np.full(5, 1.0), replace(FREE, rebalance_band=None))
        assert found.fills.bar.tolist() == [3]
        assert [(one.bar, one.obstacle, one.times) for one in found.unfilled] == [(1, Obstacle.NO_VOLUME, 2)]

    def test_a_thin_market_fills_a_part_and_the_rest_later(self) -> None:
        found = backtest(flat_bars([100] * 5, volume=40), np.full(5, 1.0), replace(FREE, maximum_volume=0.1))
        assert found.fills.shares.tolist() == [4, 4, 2]
        assert [one.shares for one in found.unfilled if one.obstacle is Obstacle.THIN_VOLUME] == [6, 2]

    def test_less_than_one_share(self) -> None:
        found = backtest(flat_bars([5000] * 3), np.full(3, 0.5), FREE)
        assert [(one.obstacle, one.shares) for one in found.unfilled] == [(Obstacle.BELOW_ONE_STEP, 0.1)]

    def test_a_new_target_too_near(self) -> None:
        targets = np.array([0.5, 0.5, 0.504, 0.504])
        found = backtest(flat_bars([10] * 4), targets, replace(FREE, capital=100_000))
        assert [(one.obstacle, one.shares) for one in found.unfilled] == [(Obstacle.BELOW_MINIMUM, 40)]

    def test_a_short_where_only_long_is_allowed(self) -> None:
        found = backtest(flat_bars([100] * 3), np.full(3, -0.5), FREE)
        assert [(one.obstacle, one.shares) for one in found.unfilled] == [(Obstacle.NO_SHORT, -5)]
        assert len(found.fills) == 0

    @pytest.mark.parametrize("rules", [FREE, ALL_IN])
    def test_what_the_last_close_decides(self, rules: Rules) -> None:
        found = backtest(flat_bars([100] * 3), np.array([0.0, 0.0, 1.0]), rules)
        (missed,) = found.unfilled
        assert (missed.bar, missed.obstacle) == (2, Obstacle.END_OF_DATA)
        assert missed.shares > 0


class TestExits:
    def run(
        self, opens: list[float], highs: list[float], lows: list[float], exits: Exits, weight: float = 1.0
    ) -> Result:
        opened = np.array(opens, dtype=float)[:, None]
        high, low = np.array(highs, dtype=float)[:, None], np.array(lows, dtype=float)[:, None]
        time = (np.datetime64("2020-01-01", "D") + np.arange(len(opens))).astype("datetime64[ns]")
        bars = Bars(("A",), time, opened, high, low, opened, np.full(opened.shape, 1e6))
        return backtest(bars, np.full(len(opens), weight), replace(FREE, exits=exits, long_only=False))

    def test_the_stop_comes_before_the_profit_in_one_bar(self) -> None:
        found = self.run([100, 100, 100], [100, 100, 120], [100, 100, 80], Exits(stop_loss=0.1, take_profit=0.1))
        assert Cause(found.fills.cause[-1]) is Cause.STOP_LOSS
        assert found.fills.price[-1] == pytest.approx(90)

    def test_a_gap_through_the_stop_is_filled_at_the_open(self) -> None:
        found = self.run([100, 100, 70], [100, 100, 120], [100, 100, 60], Exits(stop_loss=0.1))
        assert found.fills.price[-1] == pytest.approx(70)

    def test_a_short_is_stopped_above(self) -> None:
        found = self.run([100, 100, 100], [100, 100, 120], [100, 100, 100], Exits(stop_loss=0.1), weight=-1.0)
        assert found.fills.price[-1] == pytest.approx(110)
        assert found.fills.position[-1] == 0

    def test_the_trailing_stop_follows_the_best_price(self) -> None:
        found = self.run([100, 100, 150, 149], [100, 100, 150, 149], [100, 100, 150, 130], Exits(trailing_stop=0.1))
        assert Cause(found.fills.cause[-1]) is Cause.TRAILING_STOP
        assert found.fills.price[-1] == pytest.approx(135)

    def test_after_an_exit_the_symbol_stays_flat_until_its_target_changes(self) -> None:
        prices = [100.0, 100, 80, 80, 80, 80, 80]
        bars = flat_bars(prices)
        targets = np.array([0.5, 0.5, 0.5, 0.5, 0.0, 0.5, 0.5])
        found = backtest(bars, targets, replace(FREE, exits=Exits(stop_loss=0.1)))
        assert found.fills.bar.tolist() == [1, 2, 6]


class TestInvariants:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(rules=RULES, seed=st.integers(0, 10_000), cut=st.integers(20, 119))
    def test_later_bars_change_nothing_earlier(self, rules: Rules, seed: int, cut: int) -> None:
        market = a_market(120, 2, seed=seed, step=0.02)
        targets = targets_for(market, seed=seed)
        whole, part = backtest(market, targets, rules), backtest(market.between(0, cut), targets[:cut], rules)
        np.testing.assert_array_equal(whole.equity[:cut], part.equity)

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(rules=RULES, seed=st.integers(0, 10_000))
    def test_money_is_neither_made_nor_lost_outside_of_fills(self, rules: Rules, seed: int) -> None:
        market = a_market(120, 2, seed=seed, step=0.02)
        found = backtest(market, targets_for(market, seed=seed), rules)
        paid = found.fills.shares * found.fills.price + found.fills.commission
        assert found.cash[-1] == pytest.approx(rules.capital - paid.sum(), abs=1e-6)
        if rules.long_only and rules.costs.minimum_commission == 0:
            assert found.cash.min() >= -1e-6
            assert found.positions.min() >= 0

    def test_a_run_is_the_same_run_again(self) -> None:
        market = a_market(300, 3, holes=0.1)
        targets = targets_for(market, seed=5)
        first, second = backtest(market, targets), backtest(market, targets)
        assert first.unfilled == second.unfilled
        np.testing.assert_array_equal(first.equity, second.equity)


@pytest.mark.parametrize(
    ("targets", "words"),
    [(np.zeros(3), "shape"), (np.full(5, 1.5), "share of the capital"), (np.full(5, np.inf), "inf")],
)
def test_targets_that_mean_nothing_are_refused(targets: Floats, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        backtest(flat_bars([100] * 5), targets)


def test_profit_is_counted_against_the_average_entry() -> None:
    bars = flat_bars([100, 100, 200, 200])
    found = backtest(bars, np.array([1.0, 1.0, 0.0, 0.0]), FREE)
    assert found.fills.profit.tolist() == [0, 1000]
    assert found.traded_value == 3000


def test_stepping_is_what_all_at_once_is() -> None:
    market = a_market(3000, seed=4)
    targets = crossover(market.close[:, 0], 5, 20)
    at_once, steps = run_at_once(market, targets, ALL_IN), Stepping(market, targets, ALL_IN).run()
    assert at_once is not None
    np.testing.assert_allclose(at_once.equity, steps.equity, rtol=1e-9)
    np.testing.assert_array_equal(at_once.fills.bar, steps.fills.bar)
