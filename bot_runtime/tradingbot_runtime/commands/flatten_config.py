"""What of a bot's config a flattening needs. The rest may be wrong: stopping is never refused for it."""

from typing import Annotated

from pydantic import Field

from tradingbot_api import BotIdentity, BrokerEndpoint, Mode, OnKill
from tradingbot_api.model import ObservedModel


class FlattenConfig(ObservedModel):
    """Those fields of a RuntimeConfig that say whose exposure it is and where."""

    bot: BotIdentity
    """Who the bot is: its orders are told by its UID."""
    mode: Mode = Mode.PAPER
    """paper or live."""
    symbols: Annotated[list[str], Field(min_length=1)]
    """Whose positions are the bot's."""
    on_kill: OnKill = OnKill.CANCEL_ORDERS
    """Whether positions are closed."""
    broker: BrokerEndpoint
    """Where the broker is."""
