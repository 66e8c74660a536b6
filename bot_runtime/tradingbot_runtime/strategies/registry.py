"""Finds a strategy by name among the entry points `tradingbot.strategies` and checks its parameters."""

from collections.abc import Collection, Mapping
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


def load(name: str, parameters: Mapping[str, Any], symbols: Collection[str] | None = None) -> Strategy[Any]:
    """The strategy with its parameters. Raises UnknownStrategy or InvalidStrategyParameters.

    `symbols` are the bot's, all of those that the parameters name have to be among them; None: they are not known.
    """
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        raise UnknownStrategy(
            f"spec.strategy.name: no strategy {name!r} in this image; it has: {', '.join(names()) or 'none'}"
        )
    return made(found.load(), parameters, symbols)


def made(
    strategy_class: type[Strategy[Any]], parameters: Mapping[str, Any], symbols: Collection[str] | None = None
) -> Strategy[Any]:
    """A strategy of that class, as `load` gives it. Raises InvalidStrategyParameters."""
    try:
        strategy = strategy_class.from_parameters(parameters)
    except ValidationError as error:
        raise InvalidStrategyParameters(_described(error)) from error
    missing = sorted(strategy.needed_symbols.difference(strategy.needed_symbols if symbols is None else symbols))
    if missing:
        raise InvalidStrategyParameters(
            f"spec.strategy.parameters: {', '.join(missing)} named there, and not among spec.symbols"
        )
    return strategy


def _described(error: ValidationError) -> str:
    problems = (
        f"spec.strategy.parameters.{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors()
    )
    return "; ".join(problems)
