"""What `tradingbot preflight` prints: the last look at an account before real money. It only asks questions."""

from typing import Annotated

from pydantic import Field

from tradingbot_api.model import ObjectName, ObservedModel


class PreflightCheck(ObservedModel):
    """One thing that was looked at before real money."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What was looked at: Keys, Account, BuyingPower, ClockSkew, Symbols, MarketData, Notices."""
    passed: bool
    """Whether it is as it should be."""
    message: Annotated[str, Field(max_length=256)] = ""
    """What was seen."""


class PreflightReport(ObservedModel):
    """The termination message of a preflight, in at most 4096 bytes."""

    uid: Annotated[str, Field(max_length=64)]
    """UID of the TradingBot."""
    account: ObjectName
    """The BrokerAccount that was looked at."""
    checks: Annotated[list[PreflightCheck], Field(min_length=1, max_length=32)]
    """What was looked at."""
