"""What of a bot's config an audit and a preflight need. Neither trades, so neither needs a grant: they come before one
and after it."""

from typing import Annotated

from pydantic import Field

from tradingbot_api import BotIdentity, BrokerEndpoint, Mode, NoticesSpec, Timeframe
from tradingbot_api.model import ObservedModel, PositiveAmount, Symbol


class AuditConfig(ObservedModel):
    """Those fields of a RuntimeConfig that say whose sessions are audited, and where."""

    bot: BotIdentity
    """Who the bot is: its orders are told by its UID."""
    mode: Mode = Mode.PAPER
    """paper or live: it is part of every order's id."""
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=100)]
    """Whose positions and prices are compared."""
    broker: BrokerEndpoint
    """Where the broker is."""


class PreflightConfig(ObservedModel):
    """Those fields of a RuntimeConfig that say what is looked at before real money."""

    bot: BotIdentity
    """Who the bot is."""
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=100)]
    """What it is to trade."""
    timeframe: Timeframe = Timeframe.DAY_1
    """Length of the bars."""
    capital: PositiveAmount
    """The most it may hold, in account currency."""
    notices: NoticesSpec = NoticesSpec()
    """Who is told of incidents."""
    broker: BrokerEndpoint
    """Where the account is that is looked at."""
