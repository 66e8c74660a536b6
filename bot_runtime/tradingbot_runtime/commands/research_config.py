"""What of a bot's config a backtest and a validation need. Neither trades, so neither needs a grant."""

from typing import Annotated

from pydantic import Field

from tradingbot_api import BotIdentity, BrokerEndpoint, ExecutionSpec, StrategySpec, Timeframe
from tradingbot_api.model import ObservedModel, PositiveAmount, Symbol


class ResearchConfig(ObservedModel):
    """Those fields of a RuntimeConfig that say what would be traded, and how."""

    strategy: StrategySpec
    """What decides the targets."""
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=100)]
    """What it trades."""
    timeframe: Timeframe = Timeframe.DAY_1
    """Length of the bars."""
    capital: PositiveAmount
    """What weights are shares of."""
    execution: ExecutionSpec = ExecutionSpec()
    """The smallest trade comes from it."""


class BrokerResearchConfig(ResearchConfig):
    """With what a validation needs that reads its bars from the broker."""

    bot: BotIdentity
    """Who the bot is."""
    broker: BrokerEndpoint
    """Where the market data is."""
