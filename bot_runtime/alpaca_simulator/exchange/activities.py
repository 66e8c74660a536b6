"""What changed an account's money or shares, one entry each: fills, dividends, splits, transfers.

Written by the exchange as it happens; never changed afterwards. The sum of the entries kept and of
the opening balances is the account.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID


class ActivityType(StrEnum):
    """Alpaca's codes of the kinds that happen here."""

    FILL = "FILL"
    DIVIDEND = "DIV"
    SPLIT = "SPLIT"
    CASH_IN_LIEU = "CIL"
    NAME_CHANGE = "NC"
    CASH_JOURNAL = "JNLC"
    SHARE_JOURNAL = "JNLS"


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry: `net_amount` in dollars (what cash changed by), `quantity` in shares (signed).

    `number` counts the account's entries from 1. The last five fields are set for fills alone.
    """

    number: int
    activity_id: str
    activity_type: ActivityType
    at: datetime
    symbol: str | None
    quantity: Decimal
    price: Decimal | None
    net_amount: Decimal
    description: str = ""
    order_id: UUID | None = None
    side: str | None = None
    #: Shares of the order filled with this one included, and those that remain.
    cumulative_quantity: Decimal | None = None
    leaves_quantity: Decimal | None = None
    order_status: str | None = None
