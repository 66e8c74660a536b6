"""`.tradingbot/ci.yaml`: what `tradingbot ci` looks at, and how strict it is. Unknown fields are errors.

Holds no way to loosen a gate: what is left out or forgiven here is forgiven by this command alone.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from tradingbot_api.model import Amount, ApiModel, Percent
from tradingbot_runtime.commands.endings import WrongConfig
from tradingbot_runtime.commands.inputs import bytes_of, mapping_in, wrong_fields

DEFAULT_PATH: Final = Path(".tradingbot/ci.yaml")

EXAMPLE: Final = """\
# What `tradingbot ci` looks at. Paths are seen from the folder in which it is run. Unknown fields are errors.
bots: [bot.yaml]                 # files with TradingBots; PromotionGates and BrokerAccounts in them count, too
bars: tests/bars.csv             # what backtest and validation read: a file, or a folder with one for each symbol

checkStrategy:                   # always done, on markets from a seed
  tries: 20                      # bars of each market at which it is asked

backtest:                        # what is not written is shown, and not judged
  minimumSharpe: "0.5"           # annual, after costs
  maximumDrawdownPercent: "20"   # from a peak of the equity, in percent of it
  minimumReturnPercent: "0"      # over all bars, in percent of the capital
  minimumTrades: 10              # fills that closed something

validation:                      # leave it out for no validation
  trials: 10                     # other sets of parameters that are tried
  windows: 3                     # of the walk-forward
  mayFail: [StatisticalSignificance, DeflatedSharpe]   # shown, and no failure: they need years of bars

base:                            # what is compared with, to say what the change would void
  ref: origin/main
  failOnVoid: false              # whether voiding something is a failure
  imageSources: [src, pyproject.toml, Dockerfile]      # what the bot's image is built from
"""

FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
BasisPoints = Annotated[Amount, Field(ge=0, lt=10_000)]


class MayFail(StrEnum):
    """Checks of a validation that may be forgiven. Causality never is."""

    BACKTEST_SHARPE = "BacktestSharpe"
    BACKTEST_MAX_DRAWDOWN = "BacktestMaxDrawdown"
    WALK_FORWARD_EFFICIENCY = "WalkForwardEfficiency"
    OVERFIT_RATIO = "OverfitRatio"
    STATISTICAL_SIGNIFICANCE = "StatisticalSignificance"
    DEFLATED_SHARPE = "DeflatedSharpe"


class CheckStrategy(ApiModel):
    """How the contract of a strategy is tried, on markets from a seed."""

    tries: Annotated[int, Field(ge=2, le=10_000)] = 20
    """Bars of each market at which it is asked: spread evenly, as many after changes, as many after holes."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    """Seed of the markets and of all that is drawn."""


class Costs(ApiModel):
    """What each fill of a backtest costs. Never zero unless somebody writes it."""

    commission_bps: BasisPoints = Decimal("0.5")
    """Commission, in basis points of the value."""
    minimum_commission: BasisPoints = Decimal(0)
    """Least commission of a fill, in account currency."""
    half_spread_bps: BasisPoints = Decimal(1)
    """Half of the spread, in basis points."""
    slippage_bps: BasisPoints = Decimal(3)
    """Slippage, in basis points."""


class Backtest(ApiModel):
    """What a backtest over all bars has to reach. What is absent is shown, and not judged."""

    minimum_sharpe: Amount | None = None
    """Least annual Sharpe ratio, after costs."""
    maximum_drawdown_percent: Percent | None = None
    """Largest fall of the equity from a peak, in percent of the peak."""
    minimum_return_percent: Amount | None = None
    """Least return over all bars, after costs, in percent of the capital."""
    minimum_trades: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """Least number of fills that closed something."""


class Validation(ApiModel):
    """A validation, short enough for a pull request. Thresholds are those of the bot's gate, where the files hold it,
    and else the defaults of a gate."""

    trials: Annotated[int, Field(ge=0, le=10_000)] = 10
    """How many other sets of parameters are drawn."""
    declared_trials: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    """How many sets of parameters you have tried so far."""
    windows: Annotated[int, Field(ge=1, le=100)] = 3
    """Windows of the walk-forward."""
    purge_days: Annotated[int, Field(ge=0, le=1000)] = 1
    """Days before each test that are not trained on."""
    embargo_days: Annotated[int, Field(ge=0, le=1000)] = 1
    """First days of each test that are not judged."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    """Seed of everything that is drawn."""
    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes; one for each core when absent."""
    may_fail: Annotated[list[MayFail], Field(max_length=len(MayFail))] = Field(default_factory=list)
    """Checks that are shown, and are no failure where they do not pass."""


class Base(ApiModel):
    """What the files are compared with, to say what the change would void."""

    ref: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^-\s][^\s]*$")] | None = None
    """A commit, branch or tag of Git whose files of the same names are compared with."""
    files: Annotated[list[FilePath], Field(max_length=50)] = Field(default_factory=list)
    """Files as they were, instead of a ref."""
    fail_on_void: bool = False
    """Whether it is a failure where the change would void something."""
    image_sources: Annotated[list[FilePath], Field(max_length=100)] = Field(default_factory=list)
    """With a ref: files and folders that the bot's image is built from; a change of them is another image."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.ref is not None and self.files:
            raise ValueError("give ref or files, and not both")
        if self.image_sources and self.ref is None:
            raise ValueError("imageSources needs ref: only Git knows what has changed in them")
        if self.fail_on_void and self.ref is None and not self.files:
            raise ValueError("failOnVoid needs ref or files: there is nothing to compare with")
        return self


class CiConfig(ApiModel):
    """All of it."""

    bots: Annotated[list[FilePath], Field(min_length=1, max_length=50)]
    """Files with TradingBots; PromotionGates and BrokerAccounts in them count for what is voided."""
    bars: FilePath | None = None
    """Bars: a CSV or Parquet file, or a folder with one for each symbol."""
    check_strategy: CheckStrategy = CheckStrategy()
    """How the contract is tried."""
    costs: Costs = Costs()
    """What trading costs, in backtest and validation."""
    backtest: Backtest | None = None
    """What a backtest has to reach; with bars there is always one."""
    validation: Validation | None = None
    """A validation; none when absent."""
    base: Base = Base()
    """What is compared with; nothing when absent."""

    @model_validator(mode="after")
    def _judged_by_bars(self) -> Self:
        if self.bars is None and (self.backtest is not None or self.validation is not None):
            raise ValueError("bars: backtest and validation need a file with bars")
        return self


def read_ci(path: Path | None, changes: Mapping[str, Any]) -> CiConfig:
    """The config in a file, with what the options change of it. Raises WrongConfig with every field that is wrong.

    `path`: None reads the usual file where it is there. `changes`: values by field, nested as in the file, in the place
    of what the file says.
    """
    found: dict[str, Any] = {}
    if path is None and DEFAULT_PATH.exists():
        path = DEFAULT_PATH
    if path is not None:
        found = mapping_in(bytes_of(path), path, "checks: `tradingbot ci --print-example` shows some")
    elif "bots" not in changes:
        raise WrongConfig(
            "InvalidOptions", f"give --bot, or write {DEFAULT_PATH}: `tradingbot ci --print-example` shows one"
        )
    try:
        return CiConfig.model_validate(_merged(found, changes))
    except ValidationError as error:
        reason = "InvalidConfig" if path is not None else "InvalidOptions"
        raise WrongConfig(reason, f"{path or 'options'}: {wrong_fields(error)}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        before = merged.get(name)
        merged[name] = _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged
