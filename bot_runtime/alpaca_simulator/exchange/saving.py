"""The exchange's books as plain values and back: what has to be known to go on after a restart.

Values only, exact through JSON; writing and reading files is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from alpaca_simulator.exchange.accounts import Account, DividendDue, LoggedRequest
from alpaca_simulator.exchange.acknowledging import Acknowledgements
from alpaca_simulator.exchange.activities import Activity
from alpaca_simulator.exchange.agenda import Pending
from alpaca_simulator.exchange.configuration import AccountConfiguration
from alpaca_simulator.exchange.contingent import Family
from alpaca_simulator.exchange.lifecycle import Event, Status
from alpaca_simulator.exchange.orders import Order, OrderClass, OrderType, PositionIntent, Side, TimeInForce
from alpaca_simulator.exchange.positions import Position
from alpaca_simulator.exchange.register import Register
from alpaca_simulator.market.assets import Asset, AssetCatalogue
from alpaca_simulator.market.halts import Halt, HaltBook


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order with its asset as a symbol and its legs as ids; everything else as Order has it."""

    number: int
    order_id: UUID
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    order_class: OrderClass
    position_intent: PositionIntent
    status: Status
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    reserve_price: Decimal
    reserved: Decimal
    offered: Decimal
    filled_quantity: Decimal
    filled_notional: Decimal
    fills: int
    is_triggered: bool
    is_armed: bool
    high_water_mark: Decimal | None
    followed_until: int
    status_before: Status | None
    filled_at: datetime | None
    canceled_at: datetime | None
    expired_at: datetime | None
    failed_at: datetime | None
    replaced_at: datetime | None
    replaced_by: UUID | None
    replaces: UUID | None
    parent_id: UUID | None
    legs: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class PositionState:
    """A position: shares (signed) and the dollars they cost."""

    symbol: str
    quantity: Decimal
    cost_basis: Decimal


@dataclass(frozen=True, slots=True)
class AccountState:
    """One account's books; orders in the order of arrival, the ended ones also in the order of their end."""

    account_id: UUID
    opened_at: datetime
    configuration: AccountConfiguration
    cash: Decimal
    equity_at_last_close: Decimal
    equity_history: tuple[tuple[datetime, Decimal], ...]
    positions: tuple[PositionState, ...]
    dividends_due: tuple[DividendDue, ...]
    orders: tuple[OrderState, ...]
    ended: tuple[UUID, ...]
    client_order_ids_ever: tuple[int, ...]
    event_counts: dict[Event, int]
    requests: tuple[LoggedRequest, ...]
    requests_received: int
    activities: tuple[Activity, ...]
    activities_written: int


@dataclass(frozen=True, slots=True)
class FamilyState:
    """The orders of one bracket, OCO or OTO by their ids; `entry_id` None once it has filled."""

    account_id: UUID
    order_class: OrderClass
    entry_id: UUID | None
    exit_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ExchangeState:
    """Everything the exchange knows that its configuration and its market do not say."""

    now: datetime
    orders_made: int
    executions: int
    updates_dropped: int
    halts: tuple[Halt, ...]
    accounts: tuple[AccountState, ...]
    families: tuple[FamilyState, ...]
    pending: tuple[Pending, ...]


_ORDER_FIELDS = tuple(one.name for one in fields(OrderState) if one.name not in {"symbol", "legs"})


def save(
    now: datetime,
    register: Register,
    acknowledgements: Acknowledgements,
    halts: HaltBook,
    accounts: Iterable[Account],
) -> ExchangeState:
    """The state at `now`."""
    return ExchangeState(
        now=now,
        orders_made=register.orders_made,
        executions=register.executions,
        updates_dropped=register.updates.dropped,
        halts=halts.listed(),
        accounts=tuple(_account_state(account) for account in accounts),
        families=tuple(_family_states(register)),
        pending=tuple(pending for _, pending in acknowledgements.waiting.values()),
    )


def load(
    state: ExchangeState,
    register: Register,
    acknowledgements: Acknowledgements,
    halts: HaltBook,
    accounts: Mapping[UUID, Account],
    catalogue: AssetCatalogue,
) -> None:
    """Put `state` into an exchange that was just built; raises ValueError for unknown accounts or assets."""
    halts.replace_all(state.halts)
    register.orders_made = state.orders_made
    register.executions = state.executions
    register.updates.dropped = state.updates_dropped
    for saved in state.accounts:
        account = accounts.get(saved.account_id)
        if account is None:
            raise ValueError(f"the state tells of an account {saved.account_id} that is not configured")
        _load_account(account, saved, catalogue)
        for order in account.open_orders.values():
            register.open[order.number] = order
            register.owners[order.number] = account
    for family in state.families:
        _load_family(register, accounts[family.account_id], family)
    for pending in state.pending:
        acknowledgements.ask(accounts[pending.account_id], pending)


def _order_state(order: Order) -> OrderState:
    values = {name: getattr(order, name) for name in _ORDER_FIELDS}
    return OrderState(symbol=order.asset.symbol, legs=tuple(leg.order_id for leg in order.legs), **values)


def _account_state(account: Account) -> AccountState:
    return AccountState(
        account_id=account.account_id,
        opened_at=account.opened_at,
        configuration=account.configuration,
        cash=account.cash,
        equity_at_last_close=account.equity_at_last_close,
        equity_history=tuple(account.equity_history),
        positions=tuple(
            PositionState(one.asset.symbol, one.quantity, one.cost_basis) for one in account.positions.values()
        ),
        dividends_due=tuple(account.dividends_due),
        orders=tuple(_order_state(order) for order in account.orders.values()),
        ended=tuple(account.ended),
        client_order_ids_ever=tuple(sorted(account.client_order_ids_ever)),
        event_counts=dict(account.event_counts),
        requests=tuple(account.requests),
        requests_received=account.requests_received,
        activities=tuple(account.activities),
        activities_written=account.activities_written,
    )


def _family_states(register: Register) -> Iterable[FamilyState]:
    families = {id(family): family for family in register.families.values()}
    for family in families.values():
        owner = next((register.owners[one.number] for one in family.members() if one.is_open), None)
        if owner is not None:
            yield FamilyState(
                owner.account_id,
                family.order_class,
                None if family.entry is None else family.entry.order_id,
                tuple(one.order_id for one in family.exits),
            )


def _load_account(account: Account, saved: AccountState, catalogue: AssetCatalogue) -> None:
    account.opened_at = saved.opened_at
    account.configuration = saved.configuration
    account.cash = saved.cash
    account.equity_at_last_close = saved.equity_at_last_close
    account.equity_history.extend(saved.equity_history)
    for one in saved.positions:
        account.positions[one.symbol] = Position(_asset(catalogue, one.symbol), one.quantity, one.cost_basis)
    account.dividends_due = list(saved.dividends_due)
    orders = [_order(one, catalogue) for one in saved.orders]
    account.take_over(orders, saved.ended, saved.client_order_ids_ever)
    for order, state in zip(orders, saved.orders, strict=True):
        order.legs = tuple(account.orders[leg_id] for leg_id in state.legs if leg_id in account.orders)
    account.event_counts.update(saved.event_counts)
    account.requests.extend(saved.requests)
    account.requests_received = saved.requests_received
    account.activities.extend(saved.activities)
    account.activities_written = saved.activities_written


def _load_family(register: Register, account: Account, saved: FamilyState) -> None:
    exits = [account.orders[order_id] for order_id in saved.exit_ids if order_id in account.orders]
    entry = None if saved.entry_id is None else account.order(saved.entry_id)
    family = Family(saved.order_class, entry, exits)
    for order in family.members():
        if order.is_open:
            register.families[order.number] = family


def _order(saved: OrderState, catalogue: AssetCatalogue) -> Order:
    values = {name: getattr(saved, name) for name in _ORDER_FIELDS}
    return Order(asset=_asset(catalogue, saved.symbol), **values)


def _asset(catalogue: AssetCatalogue, symbol: str) -> Asset:
    asset = catalogue.find(symbol)
    if asset is None:
        raise ValueError(f"the state tells of a symbol {symbol} that is not listed")
    return asset
