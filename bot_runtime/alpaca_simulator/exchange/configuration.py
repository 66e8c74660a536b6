"""What an account's owner may set about it, in Alpaca's words.

Only values: what a setting forbids is decided where orders are accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class AccountConfiguration:
    """The settings of `/v2/account/configurations` that change what happens here, and those only kept.

    `max_margin_multiplier` is 1, 2 or 4 and lowers what the account's own multiplier allows.
    """

    suspend_trade: bool = False
    no_shorting: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: Decimal = Decimal(4)
    trade_confirm_email: str = "all"
    dtbp_check: str = "entry"
    pdt_check: str = "entry"
    ptp_no_exception_entry: bool = False
    disable_overnight_trading: bool = False
