"""What somebody else does to the books, once: an order, a position, cash, a halt, an event of an order.

Carried out on the exchange at its present market time; what the exchange refuses stays undone.
"""

from __future__ import annotations

import inspect
import json
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, get_args
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from alpaca_simulator.api.order_reading import read_order_request
from alpaca_simulator.api.rendering import order_json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.lifecycle import Event
from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.faults.catalogue import problems
from alpaca_simulator.faults.rules import AccountName, FaultError, Strict, Symbol
from alpaca_simulator.market.assets import Asset
from alpaca_simulator.market.halts import Halt
from alpaca_simulator.values.instants import epoch_floor
from alpaca_simulator.values.quantities import decimal_text

Json = dict[str, Any]
Amount = Annotated[Decimal, Field(ge=-(10**12), le=10**12, decimal_places=9)]
Money = Annotated[Decimal, Field(ge=-(10**12), le=10**12, decimal_places=2)]
Price = Annotated[Decimal, Field(gt=0, le=10**7, decimal_places=4)]


class Intervention(Strict):
    """One thing that somebody else does."""

    example: ClassVar[Json] = {}

    def carry_out(self, exchange: Exchange) -> Json:
        """Do it, and tell what came of it; raises Refusal."""
        raise NotImplementedError


class ForeignOrder(Intervention):
    """An order placed by somebody else with the account's keys: `order` is the body of POST /v2/orders."""

    example: ClassVar[Json] = {
        "kind": "foreign_order",
        "account": "paper",
        "order": {"symbol": "SPY", "qty": "5", "side": "buy", "type": "market", "time_in_force": "day"},
    }
    kind: Literal["foreign_order"]
    account: AccountName
    order: dict[str, Any] = Field(max_length=30)

    def carry_out(self, exchange: Exchange) -> Json:
        """Submit the order; the answer is Alpaca's."""
        fields = json.loads(json.dumps(self.order), parse_float=Decimal, parse_int=Decimal)
        return order_json(exchange.submit(account_named(exchange, self.account), read_order_request(fields)))


class PositionChange(Intervention):
    """Shares appear or vanish behind everybody's back: `quantity` is signed, `price` the cost of a share.

    Without `price` the last trade's counts. Cash stays as it is.
    """

    example: ClassVar[Json] = {"kind": "position_change", "account": "paper", "symbol": "AAPL", "quantity": "-3"}
    kind: Literal["position_change"]
    account: AccountName
    symbol: Symbol
    quantity: Amount
    price: Price | None = None

    def carry_out(self, exchange: Exchange) -> Json:
        """Change the position; the answer tells what is held then."""
        account, asset = account_named(exchange, self.account), asset_of(exchange, self.symbol)
        price = self.price or Decimal(exchange.market.quote(asset, exchange.now).last).scaleb(-2)
        exchange.adjust_position(account, asset, self.quantity, price, exchange.now)
        return {"account": self.account, "symbol": self.symbol, "qty": decimal_text(account.held(self.symbol))}


class CashChange(Intervention):
    """Cash appears or vanishes: `amount` in dollars, signed."""

    example: ClassVar[Json] = {"kind": "cash_change", "account": "paper", "amount": "-25000"}
    kind: Literal["cash_change"]
    account: AccountName
    amount: Money

    def carry_out(self, exchange: Exchange) -> Json:
        """Change the cash; the answer tells what there is then."""
        account = account_named(exchange, self.account)
        exchange.adjust_cash(account, self.amount)
        return {"account": self.account, "cash": decimal_text(account.cash)}


class HaltSymbol(Intervention):
    """A symbol stops trading, for `seconds` of market time or until it is resumed."""

    example: ClassVar[Json] = {"kind": "halt", "symbol": "AAPL", "code": "T1", "reason": "Halt News Pending"}
    kind: Literal["halt"]
    symbol: Symbol
    seconds: int | None = Field(default=None, ge=1, le=10**7)
    code: str = Field(default="T1", min_length=1, max_length=8)
    reason: str = Field(default="Halt News Pending", max_length=100)

    def carry_out(self, exchange: Exchange) -> Json:
        """Halt it from the next second on."""
        symbol = asset_of(exchange, self.symbol).symbol
        since = epoch_floor(exchange.now) + 1
        if exchange.halts.covering(symbol, since) is not None:
            raise refusals.unprocessable(f"{symbol} is halted already")
        until = None if self.seconds is None else since + self.seconds
        exchange.halts.add(Halt(symbol, since, until, self.code, self.reason))
        return {"symbol": symbol, "halted": True}


class ResumeSymbol(Intervention):
    """A halted symbol trades again."""

    example: ClassVar[Json] = {"kind": "resume", "symbol": "AAPL"}
    kind: Literal["resume"]
    symbol: Symbol

    def carry_out(self, exchange: Exchange) -> Json:
        """Resume it from the next second on."""
        symbol = asset_of(exchange, self.symbol).symbol
        if not exchange.halts.resume(symbol, epoch_floor(exchange.now) + 1):
            raise refusals.unprocessable(f"{symbol} is not halted")
        return {"symbol": symbol, "halted": False}


class ForceEvent(Intervention):
    """An event happens to an order by the exchange's own doing, such as rejected, suspended or canceled.

    Name the order by its id or by the client's.
    """

    example: ClassVar[Json] = {
        "kind": "force_event",
        "account": "paper",
        "client_order_id": "bot-1",
        "event": "suspended",
    }
    kind: Literal["force_event"]
    account: AccountName
    event: Event
    order_id: UUID | None = None
    client_order_id: str | None = Field(default=None, min_length=1, max_length=128)

    @model_validator(mode="after")
    def _names_one(self) -> ForceEvent:
        if (self.order_id is None) == (self.client_order_id is None):
            raise ValueError("needs either order_id or client_order_id")
        return self

    def carry_out(self, exchange: Exchange) -> Json:
        """Make it happen; the answer is the order after it."""
        order = self._order(account_named(exchange, self.account))
        exchange.force(order, self.event)
        return order_json(order)

    def _order(self, account: Account) -> Order:
        found = None
        if self.order_id is not None:
            found = account.order(self.order_id)
        elif self.client_order_id is not None:
            found = account.order_by_client_order_id(self.client_order_id)
        if found is None:
            raise refusals.not_found(f"order not found for {self.order_id or self.client_order_id}")
        return found


InterventionKind = ForeignOrder | PositionChange | CashChange | HaltSymbol | ResumeSymbol | ForceEvent
AnyIntervention = Annotated[InterventionKind, Field(discriminator="kind")]

INTERVENTIONS: dict[str, type[Intervention]] = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(InterventionKind)
}

_INTERVENTION: TypeAdapter[InterventionKind] = TypeAdapter(AnyIntervention)


def read_intervention(raw: bytes | str) -> InterventionKind:
    """The intervention in a JSON text; raises FaultError that names each field."""
    try:
        return _INTERVENTION.validate_json(raw)
    except ValidationError as error:
        raise FaultError(problems(error)) from error


def intervention_json(intervention: Intervention) -> Json:
    """The intervention as it could be read again: kind first, what has its default left out."""
    written = intervention.model_dump(mode="json", exclude_defaults=True)
    return {"kind": written.pop("kind"), **written}


def interventions_explained() -> list[Json]:
    """Each intervention with what it does, an example, and its fields as a JSON schema."""
    return [
        {
            "kind": name,
            "description": inspect.cleandoc(kind.__doc__ or ""),
            "example": kind.example,
            "schema": kind.model_json_schema(),
        }
        for name, kind in INTERVENTIONS.items()
    ]


def account_named(exchange: Exchange, name: str) -> Account:
    """The account of that name or id; raises Refusal."""
    for account in exchange.accounts.values():
        if name in {account.terms.name, str(account.account_id)}:
            return account
    raise refusals.not_found(f"no account {name[:64]}")


def asset_of(exchange: Exchange, symbol: str) -> Asset:
    """The listed asset; raises Refusal."""
    asset = exchange.catalogue.find(symbol)
    if asset is None:
        raise refusals.unprocessable(f'asset "{symbol}" not found')
    return asset
