"""Figures of a series of returns, and how likely chance alone would make them. Pure; each formula names its source.

Returns are simple returns of equal periods as shares (0.01 is 1 %), drawdowns are positive shares. Nothing here rounds.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Final

import numpy as np

from tradingbot_research.market import Floats

DAYS_PER_YEAR: Final = 252
"""Sessions of a US exchange in a year."""
EULER_MASCHERONI: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Moments:
    """What the Sharpe ratio of a stretch needs to be known, so that stretches can be joined without their returns."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, returns: Floats) -> "Moments":
        """Of a series."""
        return cls(len(returns), float(returns.sum()), float(returns @ returns))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean return of one period; 0 where there is none."""
        return self.total / self.count if self.count else 0.0

    @property
    def sharpe(self) -> float:
        """Sharpe ratio of one period: mean / standard deviation (n - 1); 0 where nothing moved."""
        if self.count < 2:
            return 0.0
        variance = (self.squares - self.total * self.mean) / (self.count - 1)
        # Of equal numbers the two terms leave rounding, not a deviation.
        return self.mean / math.sqrt(variance) if variance > 1e-14 * self.squares / self.count else 0.0


def sharpe_ratio(returns: Floats, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Annual Sharpe ratio without a risk-free rate: mean / standard deviation (n - 1) x sqrt(periods); 0 if flat."""
    if _is_flat(returns):
        return 0.0
    return float(returns.mean() / returns.std(ddof=1)) * math.sqrt(periods_per_year)


def _is_flat(returns: Floats) -> bool:
    if len(returns) < 2:
        return True
    return bool(returns.std(ddof=1) <= 1e-12 * max(float(np.abs(returns).max()), 1e-300))


def max_drawdown(equity: Floats, start: float) -> float:
    """Largest fall from a peak, as a share of the peak; `start` is what there was before the first value."""
    if not len(equity):
        return 0.0
    return float(drawdowns(equity, start).max())


def drawdowns(equity: Floats, start: float) -> Floats:
    """At each value, how far it is below the highest before it, as a share."""
    peaks = np.maximum(np.maximum.accumulate(equity), start)
    return 1 - equity / peaks


def annual_return(returns: Floats, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Compound return of a year; -1 where everything was lost."""
    if not len(returns):
        return 0.0
    growth = float(np.prod(1 + returns))
    if growth <= 0:
        return -1.0
    # More than e^50 is a year in which somebody found a mistake.
    return math.expm1(min(math.log(growth) * periods_per_year / len(returns), 50.0))


def annual_volatility(returns: Floats, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Standard deviation (n - 1) x sqrt(periods)."""
    return float(returns.std(ddof=1)) * math.sqrt(periods_per_year) if len(returns) > 1 else 0.0


def turnover(traded_value: float, equity: Floats, years: float) -> float:
    """Bought and sold in a year, over the mean equity: 2 is one complete exchange of everything."""
    mean = float(equity.mean()) if len(equity) else 0.0
    return traded_value / mean / years if mean > 0 and years > 0 else 0.0


# ---------------------------------------------------------------------- significance


@dataclass(frozen=True)
class TTest:
    """One-sample t-test of the mean return against zero."""

    t: float
    degrees: int
    p: float
    """Chance of a t as large or larger if the mean is zero or below (one-sided)."""


def t_test(returns: Floats) -> TTest:
    """t = mean / (standard deviation / sqrt(n)), n - 1 degrees of freedom; t is 0 and p is 1 where nothing moved."""
    if _is_flat(returns):
        return TTest(0.0, max(len(returns) - 1, 0), 1.0)
    t = float(returns.mean() / returns.std(ddof=1)) * math.sqrt(len(returns))
    degrees = len(returns) - 1
    tail = 0.5 * _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))
    return TTest(t, degrees, tail if t > 0 else 1 - tail)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) by its continued fraction (DLMF 8.17.22), evaluated with Lentz's method."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    above, below = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value = below
    for step in range(1, 500):
        for numerator in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            below = 1 / (1 + numerator * below or tiny)
            above = 1 + numerator / above or tiny
            value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return front * value / a


@dataclass(frozen=True)
class PermutationTest:
    """A statistic, and the same statistic where the order of things is chance."""

    observed: float
    permuted: Floats
    p: float
    """(1 + permuted as large or larger) / (1 + permuted): never 0 (Phipson and Smyth 2010)."""


def shift_test(weights: Floats, returns: Floats, *, gap: int = 0) -> PermutationTest:
    """Whether it matters when the positions were held: the weights are shifted against the returns, in a circle.

    `weights`: held over each period, `returns`: of the symbols in it, both periods x symbols. The statistic is the
    mean of their product; all shifts by more than `gap` periods either way are taken, so there is no seed. Each keeps
    how long positions are held, how much is held, and how returns follow each other; what it breaks is the timing
    alone. `gap` must be the strategy's lookback at least: a shift back by less lays positions on the very returns that
    they were made from, which is no chance. It is at most a quarter of the periods.
    """
    periods = len(weights)
    gap = min(gap, periods // 4)
    if periods < 2:
        return PermutationTest(0.0, np.zeros(0), 1.0)
    centred = returns - returns.mean(axis=0)  # the same for all shifts, and so no difference
    spectrum = np.zeros(periods // 2 + 1, dtype=np.complex128)
    for column in range(weights.shape[1]):  # one by one: the spectra of all would be four times the bars
        spectrum += np.fft.rfft(centred[:, column]) * np.conj(np.fft.rfft(weights[:, column]))
    sums = np.fft.irfft(spectrum, n=periods) / periods
    level = float((weights.mean(axis=0) * returns.mean(axis=0)).sum())
    noise = 1e-12 * float(np.abs(weights).max() * np.abs(returns).max())
    observed, permuted = float(sums[0]), sums[1 + gap : periods - gap]
    p = (1 + int((permuted >= observed - noise).sum())) / (1 + len(permuted))
    return PermutationTest(observed + level, permuted + level, p)


def sign_test(returns: Floats, *, seed: int, permutations: int = 2000) -> PermutationTest:
    """Whether the mean is above zero: each return gets a sign by chance, which is as likely if they are symmetric."""
    if len(returns) < 2:
        return PermutationTest(0.0, np.zeros(0), 1.0)
    rng = np.random.default_rng(seed)
    permuted = np.empty(permutations)
    for number in range(permutations):
        signs = rng.integers(0, 2, len(returns), dtype=np.int8)
        permuted[number] = 2 * float(returns @ signs) - float(returns.sum())
    permuted /= len(returns)
    observed = float(returns.mean())
    noise = 1e-12 * float(np.abs(returns).max())
    return PermutationTest(observed, permuted, (1 + int((permuted >= observed - noise).sum())) / (1 + permutations))


# ---------------------------------------------------------------------- many trials


def skewness(returns: Floats) -> float:
    """Third standardised moment, of the population; 0 where nothing moved."""
    return 0.0 if _is_flat(returns) else float((((returns - returns.mean()) / returns.std()) ** 3).mean())


def kurtosis(returns: Floats) -> float:
    """Fourth standardised moment, of the population: 3 for a normal distribution, and where nothing moved."""
    return 3.0 if _is_flat(returns) else float((((returns - returns.mean()) / returns.std()) ** 4).mean())


def probabilistic_sharpe(sharpe: float, benchmark: float, count: int, skew: float, kurt: float) -> float:
    """Chance that the true Sharpe ratio is above the benchmark; both of one period, not annual.

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skew SR + (kurt - 1) / 4 SR^2)); Bailey and Lopez de Prado, "The Sharpe ratio
    efficient frontier", Journal of Risk 15 (2012).
    """
    spread = 1 - skew * sharpe + (kurt - 1) / 4 * sharpe**2
    if count < 2 or spread <= 0:
        return 0.0
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(count - 1) / math.sqrt(spread))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The Sharpe ratio to expect of the best of so many trials without any skill; of the trials' period.

    sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), g Euler-Mascheroni's number, Z the normal quantile; Bailey and
    Lopez de Prado, "The deflated Sharpe ratio", Journal of Portfolio Management 40 (2014).
    """
    if trials < 2 or variance <= 0:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


def deflated_sharpe(returns: Floats, trials: int, variance: float) -> float:
    """Chance that the Sharpe ratio is more than the best of so many trials by luck; as `expected_best_sharpe`.

    `variance`: of the trials' Sharpe ratios of one period, not annual.
    """
    benchmark = expected_best_sharpe(trials, variance)
    sharpe = sharpe_ratio(returns, 1)
    return probabilistic_sharpe(sharpe, benchmark, len(returns), skewness(returns), kurtosis(returns))


def overfit_probability(blocks: list[list[Moments]]) -> float | None:
    """Chance that the best trial in one half of the time is below the median in the other half.

    `blocks`: for each trial the moments of the same even number of stretches. Combinatorially symmetric
    cross-validation; Bailey, Borwein, Lopez de Prado, Zhu, "The probability of backtest overfitting", Journal of
    Computational Finance 20 (2017). None with fewer than two trials.
    """
    if len(blocks) < 2:
        return None
    parts = len(blocks[0])
    table = np.array([[(one.count, one.total, one.squares) for one in trial] for trial in blocks])
    halves = list(combinations(range(parts), parts // 2))
    chosen = np.zeros((len(halves), parts))
    for row, half in enumerate(halves):
        chosen[row, list(half)] = 1
    inside, outside = _sharpes(table, chosen), _sharpes(table, 1 - chosen)
    best = inside.argmax(axis=1)
    of_best = outside[np.arange(len(halves)), best][:, None]
    # Ties count as half, so that equal trials are at the median and not at the top.
    ranks = (outside < of_best).sum(axis=1) + ((outside == of_best).sum(axis=1) + 1) / 2
    return float((ranks / (len(blocks) + 1) <= 0.5).mean())


def _sharpes(table: Floats, chosen: Floats) -> Floats:
    """Sharpe ratios, choices x trials."""
    count, total, squares = (chosen @ table[:, :, field].T for field in range(3))
    mean = total / np.maximum(count, 1)
    variance = (squares - total * mean) / np.maximum(count - 1, 1)
    found: Floats = np.where(variance > 1e-18, mean / np.sqrt(np.maximum(variance, 1e-18)), 0.0)
    return found


# ---------------------------------------------------------------------- in and out of sample

MOST_RATIO: Final = 999.0
"""What stands for a ratio whose denominator is nothing."""


def walk_forward_efficiency(inside: float, outside: float) -> float:
    """Out-of-sample over in-sample annual return, as a share.

    Above zero only where both made money: two losses are no efficiency. Pardo, "The evaluation and optimization of
    trading strategies", 2008.
    """
    if inside <= 0 or outside <= 0:
        return -min(abs(outside / inside), MOST_RATIO) if inside else 0.0
    return min(outside / inside, MOST_RATIO)


def overfit_ratio(inside: float, outside: float) -> float:
    """In-sample over out-of-sample Sharpe ratio: 1 is the same, 2 is half of it left.

    Below zero where one of the two is a loss; two losses are no small ratio either.
    """
    if inside == 0 or outside == 0:
        return MOST_RATIO
    if inside < 0 or outside < 0:
        # Not so near to zero that it is zero once it is rounded.
        return -min(max(abs(inside / outside), 0.001), MOST_RATIO)
    return min(inside / outside, MOST_RATIO)
