"""Many sets of parameters over the same bars, on all cores. The result is the same on one core as on many."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from tradingbot_research.days import Days
from tradingbot_research.engine import backtest
from tradingbot_research.handled import rules_of
from tradingbot_research.market import Bars, Floats
from tradingbot_research.rules import Rules
from tradingbot_research.statistics import Moments
from tradingbot_runtime.strategies.contract import Parameters, Strategy

MOST_TRIALS: Final = 100_000
WEIGHT_PLACES: Final = 6
"""Decimals of a weight, as a bot rounds them."""
_NEAR_A_HALF: Final = 0.499999 * 10.0**-WEIGHT_PLACES
"""What rounding may take off before it matters how a half is rounded."""
_WORTH_A_PROCESS_SECONDS: Final = 3.0
"""A process needs about a second to begin: less work than this is done here."""

Stretch = tuple[int, int]
"""A range of days, the end not included."""
Progress = Callable[[int, int], None]
"""Is told how many of how many are done."""


class StrategyBroke(Exception):
    """The strategy raised an error, or its targets do not fit the bars; the message names both."""


class TooManyTrials(ValueError):
    """A grid with more sets of parameters than anybody should try."""


@dataclass(frozen=True)
class Trial:
    """One set of parameters, and its moments of daily returns in each stretch asked for."""

    parameters: Mapping[str, Any]
    moments: tuple[Moments, ...]


def grid(model: type[Parameters], base: Mapping[str, Any], values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values on top of `base`, in order; those that the model refuses are left out.

    Raises TooManyTrials, or pydantic.ValidationError where the model refuses all of them.
    """
    count = int(np.prod([len(one) for one in values.values()], dtype=float)) if values else 1
    if count > MOST_TRIALS:
        raise TooManyTrials(f"{count} sets of parameters: at most {MOST_TRIALS} are tried")
    found, refused = [], None
    for chosen in itertools.product(*values.values()):
        parameters = {**base, **dict(zip(values, chosen, strict=True))}
        try:
            model.model_validate(parameters)
        except ValidationError as error:
            refused = error
        else:
            found.append(parameters)
    if not found and refused is not None:
        raise refused
    return found


def neighbours(strategy: Strategy[Any], count: int, *, seed: int) -> list[dict[str, Any]]:
    """Sets of parameters near the strategy's own, drawn with a seed: what else somebody could have chosen.

    Numbers are drawn between half and double, within the model's bounds, switches either way; what is neither stays,
    and so does what only says how targets are carried out.
    Fewer than `count` where there are not so many.
    """
    model = type(strategy).parameters_model
    own = strategy.parameters.model_dump()
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, Any]] = {}
    known = str(strategy.parameters.model_dump(mode="json"))
    for _ in range(count * 20):
        if len(found) == count:
            break
        drawn = {
            name: value if name in model.of_handling else _near(value, _bounds(model, name), rng)
            for name, value in own.items()
        }
        try:
            checked = model.model_validate(drawn)
        except ValidationError:
            continue
        key = str(checked.model_dump(mode="json"))
        if key != known:
            found[key] = checked.model_dump(mode="json")
    return list(found.values())


def _bounds(model: type[Parameters], name: str) -> tuple[float, float]:
    low, high = -np.inf, np.inf
    for one in model.model_fields[name].metadata:
        low = max(low, *(float(getattr(one, key)) for key in ("ge", "gt") if getattr(one, key, None) is not None), low)
        high = min(
            high, *(float(getattr(one, key)) for key in ("le", "lt") if getattr(one, key, None) is not None), high
        )
    return float(low), float(high)


def _near(value: Any, bounds: tuple[float, float], rng: np.random.Generator) -> Any:
    if isinstance(value, bool):
        return bool(rng.integers(0, 2))
    if isinstance(value, Mapping):
        return {name: _near(one, (-np.inf, np.inf), rng) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_near(one, (-np.inf, np.inf), rng) for one in value]
    if not isinstance(value, int | float):
        return value
    ends = sorted((value / 2, value * 2)) if value else [-1.0, 1.0]
    low, high = max(ends[0], bounds[0]), min(ends[1], bounds[1])
    if isinstance(value, float):
        return float(rng.uniform(low, high))
    return int(rng.integers(int(np.ceil(low)), int(np.floor(high)) + 1))


def targets_of(strategy: Strategy[Any], bars: Bars) -> Floats:
    """The strategy's targets for all bars: bars x symbols. Raises StrategyBroke."""
    import pandas as pd

    try:
        found = strategy.targets(bars.frames())
        if not isinstance(found, pd.DataFrame):
            raise TypeError(
                f"targets returned {type(found).__name__}: return a DataFrame, a row a bar, a column a symbol"
            )
        unknown = sorted(set(map(str, found.columns)) - set(bars.symbols))
        if unknown:
            raise ValueError(f"targets for {', '.join(unknown)}, which no bars were given of")
        index = pd.DatetimeIndex(bars.time, tz="UTC")
        if not found.index.equals(index):
            found = found.reindex(index)
        weights = found.reindex(columns=list(bars.symbols)).to_numpy(dtype=np.float64)
        return rounded(weights)
    except Exception as error:
        # Somebody else's code: whatever it raises is an answer.
        raise StrategyBroke(f"{strategy.name} {strategy.parameters}: {type(error).__name__}: {error}") from error


def rounded(weights: Floats) -> Floats:
    """Weights as a bot rounds them, to the last bit.

    A bot rounds what the number is; numpy rounds the number times a million, which is another one near a half.
    """
    found = np.round(weights, WEIGHT_PLACES)
    with np.errstate(invalid="ignore"):
        away = np.abs(weights - found)
    near = away > _NEAR_A_HALF
    if bool(near.any()):
        found[near] = [round(weight, WEIGHT_PLACES) for weight in weights[near].tolist()]
    return found


def try_one(strategy: Strategy[Any], bars: Bars, days: Days, rules: Rules, stretches: Sequence[Stretch]) -> Trial:
    """One backtest, summed up. Raises StrategyBroke."""
    targets = targets_of(strategy, bars)
    try:
        result = backtest(bars, targets, rules_of(strategy, rules))
    except ValueError as error:
        raise StrategyBroke(f"{strategy.name} {strategy.parameters}: {error}") from error
    returns = days.returns(result)
    parameters = strategy.parameters.model_dump(mode="json")
    return Trial(parameters, tuple(Moments.of(returns[start:stop]) for start, stop in stretches))


def sweep(
    strategies: Sequence[Strategy[Any]],
    bars: Bars,
    rules: Rules,
    stretches: Sequence[Stretch],
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> list[Trial]:
    """Tries every strategy, in the order given, whatever core it ran on. `processes`: None is one for each core.

    Raises StrategyBroke for the first that cannot be tried, TooManyTrials.
    """
    if len(strategies) > MOST_TRIALS:
        raise TooManyTrials(f"{len(strategies)} sets of parameters: at most {MOST_TRIALS} are tried")
    found: list[Trial] = []
    total = len(strategies)
    for trial in _trials(strategies, bars, rules, tuple(stretches), processes or len(os.sched_getaffinity(0))):
        found.append(trial)
        if progress is not None:
            progress(len(found), total)
    return found


def _trials(
    strategies: Sequence[Strategy[Any]], bars: Bars, rules: Rules, stretches: tuple[Stretch, ...], processes: int
) -> Iterator[Trial]:
    days = Days.of(bars.time)
    waiting = iter(strategies)
    began = time.monotonic()
    for done, strategy in enumerate(waiting, start=1):
        yield try_one(strategy, bars, days, rules, stretches)
        rest = (time.monotonic() - began) / done * (len(strategies) - done)
        if processes > 1 and rest > _WORTH_A_PROCESS_SECONDS:
            break
    left = list(waiting)
    if not left:
        return
    chunk = max(1, min(64, len(left) // (processes * 8)))
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(bars, rules, stretches)
    ) as pool:
        yield from pool.map(_try_here, left, chunksize=chunk)


_given: dict[str, Any] = {}
"""In a process of the sweep: what all its trials share, sent once."""


def _begin(bars: Bars, rules: Rules, stretches: tuple[Stretch, ...]) -> None:
    _given.update(bars=bars, rules=rules, stretches=stretches, days=Days.of(bars.time))


def _try_here(strategy: Strategy[Any]) -> Trial:
    return try_one(strategy, _given["bars"], _given["days"], _given["rules"], _given["stretches"])
