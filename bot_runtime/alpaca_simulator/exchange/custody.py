"""Shares and money that move without an order: splits, dividends, new symbols, and hands from outside.

Each movement writes an activity, so that the books can always be explained.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from alpaca_simulator.exchange.accounts import Account, DividendDue
from alpaca_simulator.exchange.activities import ActivityType
from alpaca_simulator.exchange.lifecycle import Event
from alpaca_simulator.exchange.positions import Position
from alpaca_simulator.exchange.register import Register, write
from alpaca_simulator.market.assets import Asset, AssetCatalogue
from alpaca_simulator.market.calendar import LAST_DAY, Session
from alpaca_simulator.market.corporate_actions import CashDividend, Split, SymbolChange
from alpaca_simulator.market.prices import Market
from alpaca_simulator.values.quantities import CENT, RATIO_STEP, ZERO, dollars


class Custody:
    """What happens to the positions of every account beside trading."""

    def __init__(self, market: Market, catalogue: AssetCatalogue, accounts: list[Account], register: Register) -> None:
        self._market = market
        self._catalogue = catalogue
        self._accounts = accounts
        self._register = register

    def take_effect(self, session: Session, at: datetime) -> None:
        """Carry out the corporate actions whose ex-date falls on `session` or on a closed day before it."""
        previous = self._market.calendar.sessions[max(0, session.number - 1)]
        for action in self._market.actions.listed:
            if not previous.day < action.ex_date <= session.day:
                continue
            match action:
                case Split():
                    self._cancel_orders(action.symbol, at)
                    for account in self._accounts:
                        self._split(account, action, session, at)
                case SymbolChange():
                    self._cancel_orders(action.symbol, at)
                    for account in self._accounts:
                        self._rename(account, action, at)
                case CashDividend():
                    for account in self._accounts:
                        self._entitle(account, action, session)

    def pay_dividends(self, at: datetime) -> None:
        """Pay what is due by now: credit what was held, debit what was sold short."""
        for account in self._accounts:
            due = [one for one in account.dividends_due if one.payable_at <= at]
            account.dividends_due = [one for one in account.dividends_due if one.payable_at > at]
            for one in due:
                amount = one.rate * one.quantity
                account.pay(amount)
                write(
                    account,
                    ActivityType.DIVIDEND,
                    at,
                    one.symbol,
                    ZERO,
                    one.rate,
                    amount,
                    "Cash dividend",
                )

    def move_shares(self, account: Account, asset: Asset, quantity: Decimal, price: Decimal, at: datetime) -> None:
        """Put `quantity` shares (signed) into the account at `price` dollars, as somebody else's transfer does."""
        account.transfer(asset, quantity, price)
        write(account, ActivityType.SHARE_JOURNAL, at, asset.symbol, quantity, price, ZERO, "Share journal")

    def move_cash(self, account: Account, amount: Decimal, at: datetime) -> None:
        """Put `amount` dollars (signed) into the account."""
        account.pay(amount)
        write(account, ActivityType.CASH_JOURNAL, at, None, ZERO, None, amount, "Cash journal")

    def value_at_close(self, session: Session, at: datetime) -> None:
        """Note what each account is worth at the session's last prices."""
        for account in self._accounts:
            value = sum(
                (
                    position.quantity * dollars(self._market.day(position.asset, session).close)
                    for position in account.positions.values()
                ),
                ZERO,
            )
            account.equity_at_last_close = account.cash + value
            account.equity_history.append((at, account.equity_at_last_close))

    def _cancel_orders(self, symbol: str, at: datetime) -> None:
        for order in self._register.in_order():
            if order.asset.symbol == symbol and order.is_open:
                self._register.happen(order, Event.CANCELED, at)

    def _split(self, account: Account, split: Split, session: Session, at: datetime) -> None:
        position = account.positions.get(split.symbol)
        if position is None:
            return
        # Not by the ratio: a third is no decimal, and three shares times a third have to be one.
        exact = position.quantity * split.new / split.old
        kept = exact.quantize(RATIO_STEP if position.asset.fractionable else Decimal(1), rounding=ROUND_DOWN)
        # The change is what shows in the activity: the fraction that cannot be held is paid out below.
        fraction = exact - kept
        cost_of_fraction = position.cost_basis * fraction / exact
        change = kept - position.quantity
        position.quantity = kept
        position.cost_basis -= cost_of_fraction
        if kept == 0:
            del account.positions[split.symbol]
        ratio = f"{split.new:f} for {split.old:f} split"
        write(account, ActivityType.SPLIT, at, split.symbol, change, None, ZERO, ratio)
        if fraction != 0 and not position.asset.fractionable:
            price = dollars(self._market.day(position.asset, session).open)
            amount = (fraction * price).quantize(CENT, rounding=ROUND_HALF_UP)
            account.pay(amount)
            write(
                account,
                ActivityType.CASH_IN_LIEU,
                at,
                split.symbol,
                ZERO,
                price,
                amount,
                "Cash in lieu of fractional shares",
            )

    def _rename(self, account: Account, change: SymbolChange, at: datetime) -> None:
        asset = self._catalogue.find(change.new_symbol)
        position = account.positions.pop(change.symbol, None)
        if position is None:
            return
        if asset is None:
            account.positions[change.symbol] = position
            return
        account.positions[asset.symbol] = Position(asset, position.quantity, position.cost_basis)
        description = f"{change.symbol} is now {change.new_symbol}"
        for symbol, quantity in ((change.symbol, -position.quantity), (asset.symbol, position.quantity)):
            write(account, ActivityType.NAME_CHANGE, at, symbol, quantity, None, ZERO, description)

    def _entitle(self, account: Account, dividend: CashDividend, session: Session) -> None:
        quantity = account.held(dividend.symbol)
        if quantity == 0:
            return
        payable = self._market.calendar.between(max(dividend.payable_date, session.day), LAST_DAY)
        if payable:
            account.dividends_due.append(DividendDue(dividend.symbol, payable[0].opens_at, dividend.rate, quantity))
