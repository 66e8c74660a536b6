"""A strategy's own handling as rules of a backtest: brackets and rebalancing are what its bot would do.

Pure. Must never make a rule milder than the one that was given.
"""

from dataclasses import replace
from typing import Any, Final

from tradingbot_research.rules import Exits, Rules
from tradingbot_runtime.strategies.contract import Strategy

PRICE_PLACES: Final = 2
"""Decimals of the prices of a bot's orders."""


def rules_of(strategy: Strategy[Any], rules: Rules) -> Rules:
    """The rules with what the strategy says of brackets and rebalancing in the place of theirs.

    Raises ValueError where both do not fit, such as a smallest trade that is more than the capital.
    """
    bracket, rebalancing = strategy.handling.bracket, strategy.handling.rebalancing
    if bracket is not None:
        stop, take = bracket.stop_loss, bracket.take_profit
        exits = Exits(None if stop is None else float(stop), None if take is None else float(take), None, PRICE_PLACES)
        return replace(rules, exits=exits, rebalance_band=None, resizes=False, exits_from_decision=True)
    if rebalancing is not None:
        return replace(
            rules,
            rebalance_band=float(rebalancing.band),
            rebalance_together=True,
            rebalance_days=rebalancing.every_days,
            minimum_trade=max(rules.minimum_trade, float(rebalancing.minimum_trade) / rules.capital),
        )
    return rules
