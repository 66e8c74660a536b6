"""Finds a strategy by name among the entry points `tradingbot.strategies` and checks its parameters."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from tradingbot_runtime.strategies.contract import Strategy

GROUP = "tradingbot.strategies"


class UnknownStrategy(ValueError):
    """No strategy of that name is installed; the message lists those that are."""


class InvalidStrategyParameters(ValueError):
    """The strategy's own model refuses the parameters; the message names each field."""


def names() -> tuple[str, ...]:
    """Names of all installed strategies."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load(name: str, parameters: Mapping[str, Any]) -> Strategy[Any]:
    """The strategy with its parameters. Raises UnknownStrategy or InvalidStrategyParameters."""
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        raise UnknownStrategy(
            f"spec.strategy.name: no strategy {name!r} in this image; it has: {', '.join(names()) or 'none'}"
        )
    strategy_class: type[Strategy[Any]] = found.load()
    try:
        return strategy_class.from_parameters(parameters)
    except ValidationError as error:
        raise InvalidStrategyParameters(_described(error)) from error


def _described(error: ValidationError) -> str:
    problems = (
        f"spec.strategy.parameters.{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors()
    )
    return "; ".join(problems)
