"""Real prices go through everything, and what comes out agrees with what others found in the same prices."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from tradingbot_api import ValidationEvidence
from tradingbot_research.bars_files import BarsUnusable, read_bars
from tradingbot_research.days import Days
from tradingbot_research.metrics import hold_everything, metrics_of
from tradingbot_research.rules import Costs, Rules
from tradingbot_research.statistics import (
    annual_return,
    annual_volatility,
    kurtosis,
    max_drawdown,
    probabilistic_sharpe,
    sharpe_ratio,
    skewness,
    t_test,
)
from tradingbot_runtime.cli import app
from unit.research import real_prices

# Of closes of 1999-01-04 to 2018-12-31, by empyrical-reloaded 0.7.1 and quantstats 0.0.86, which agree in each to 13
# digits; the last by quantstats alone, whose moments are those of a sample.
OTHERS = {
    "SP500": (0.28273922904460, 0.56775387750305, 0.19098207141371, 0.03639554326852, 0.89658),
    "NASDAQ": (0.34421526936065, 0.77932386292078, 0.25308098889832, 0.05667155442592, 0.93819),
}


@pytest.mark.parametrize("index", real_prices.INDICES)
def test_the_figures_of_an_index_are_those_of_quantstats_and_empyrical(index: str) -> None:
    closes = real_prices.prices(index)["Close"].to_numpy()
    returns = closes[1:] / closes[:-1] - 1
    sharpe, drawdown, volatility, growth, probable = OTHERS[index]
    assert sharpe_ratio(returns) == pytest.approx(sharpe, rel=1e-12)
    assert max_drawdown(closes, closes[0]) == pytest.approx(drawdown, rel=1e-12)
    assert annual_volatility(returns) == pytest.approx(volatility, rel=1e-12)
    assert annual_return(returns) == pytest.approx(growth, rel=1e-12)
    moments = skewness(returns), kurtosis(returns)
    assert probabilistic_sharpe(sharpe_ratio(returns, 1), 0, len(returns), *moments) == pytest.approx(
        probable, abs=1e-4
    )


@pytest.mark.parametrize("index", real_prices.INDICES)
def test_t_and_moments_of_an_index_are_those_of_scipy(index: str) -> None:
    closes = real_prices.prices(index)["Close"].to_numpy()
    returns = closes[1:] / closes[:-1] - 1
    theirs = stats.ttest_1samp(returns, 0, alternative="greater")
    ours = t_test(returns)
    assert (ours.t, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-10)
    assert skewness(returns) == pytest.approx(stats.skew(returns), rel=1e-10)
    assert kurtosis(returns) == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-10)


def test_an_index_that_is_bought_and_kept_makes_what_the_index_made(tmp_path: Path) -> None:
    read = read_bars(real_prices.write(tmp_path / "bars", "SP500"))
    free = Rules(capital=1e9, costs=Costs(0, 0, 0, 0))
    found = metrics_of(hold_everything(read.bars, free), Days.of(read.bars.time))
    closes = real_prices.prices("SP500")["Close"].to_numpy()
    opened = float(real_prices.prices("SP500")["Open"].iloc[1])  # the first close decides, the next open fills
    assert found.total_return == pytest.approx(0.99 * (closes[-1] / opened - 1), rel=0.01)
    # 56.8 % from October 2007 to March 2009, with a hundredth in cash.
    assert found.max_drawdown == pytest.approx(0.568, abs=0.006)


def test_dates_that_may_be_of_either_month_are_refused_as_they_came(tmp_path: Path) -> None:
    with pytest.raises(BarsUnusable, match=r"date '1/4/1999', 5031 in all: write times as 2026-03-02"):
        read_bars(real_prices.shipped("SP500"))


def test_twenty_years_of_two_indices_are_validated_and_a_plain_momentum_is_not_believed(tmp_path: Path) -> None:
    bars, out = real_prices.write(tmp_path / "bars", *real_prices.INDICES), tmp_path / "out"
    asked = ["validate", "--strategy", "momentum", "--bars", str(bars), "--out", str(out), "--trials", "10"]
    result = CliRunner().invoke(app, [*asked, "--processes", "1"])
    assert result.exit_code == 1, result.output
    evidence = ValidationEvidence.model_validate_json(result.stdout)
    assert evidence.artifacts_verified
    assert evidence.causal
    assert "FAILED StatisticalSignificance" in result.stderr
    (folder,) = out.iterdir()
    report = (folder / "report.html").read_text()
    for words in ("momentum on NASDAQ, SP500", "1999-01-04 to 2018-12-31", "5031 days", "2008", "Survivorship: all 2"):
        assert words in report, words
    assert "Adjustment: prices are adjusted for splits and dividends" in report
    manifest = json.loads((folder / "manifest.json").read_text())
    held = manifest["results"]["held"]
    # What half of each, bought at the second day's open, made: to a part of a thousand, for costs and whole shares.
    tables = [real_prices.prices(index) for index in real_prices.INDICES]
    worth = sum(table["Close"].to_numpy()[1:] / float(table["Open"].iloc[1]) for table in tables) / 2
    assert held["total_return"] == pytest.approx(0.99 * (worth[-1] - 1), rel=0.03)
    falls = 1 - worth / np.maximum.accumulate(worth)
    assert held["max_drawdown"] == pytest.approx(float(falls.max()), abs=0.01)
    assert math.isfinite(manifest["results"]["deflatedSharpe"])
