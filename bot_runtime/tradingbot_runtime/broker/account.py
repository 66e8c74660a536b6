"""What Alpaca says of an account beside its money: its number, whether it is active, what blocks it. Reads only."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tradingbot_runtime.broker.connection import Connection
from tradingbot_runtime.broker.fields import decimal_of, object_of, text_of

PAPER_NUMBERS_BEGIN_WITH: Final = "PA"
"""Alpaca's paper accounts are told by their numbers."""
BLOCKS: Final = ("account_blocked", "trading_blocked", "trade_suspended_by_user")


@dataclass(frozen=True)
class BrokerAccount:
    """An account as it stands; money in its own currency."""

    number: str
    status: str
    """Alpaca's word: ACTIVE, ONBOARDING, ACCOUNT_CLOSED, ..."""
    blocks: tuple[str, ...]
    """What keeps it from trading, by Alpaca's names."""
    currency: str
    buying_power: Decimal

    @property
    def is_paper(self) -> bool:
        """Whether its number is that of a paper account."""
        return self.number.startswith(PAPER_NUMBERS_BEGIN_WITH)


def account_from(raw: object) -> BrokerAccount:
    """The account in an answer. Raises ValueError."""
    body = object_of(raw, "an account")
    return BrokerAccount(
        number=text_of(body, "account_number"),
        status=text_of(body, "status"),
        # Only a plain `false` is one: what cannot be read may be a block.
        blocks=tuple(flag for flag in BLOCKS if body.get(flag) is not False),
        currency=text_of(body, "currency"),
        buying_power=decimal_of(body, "buying_power"),
    )


async def account(on: Connection) -> BrokerAccount:
    """The account of the keys. Raises a BrokerError."""
    return await on.read("account", lambda: account_from(on.trading.get_account()))
