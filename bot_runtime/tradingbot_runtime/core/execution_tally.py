"""How well orders were carried out: sums of value and of cost, added up fill by fill. Judges nothing."""

from dataclasses import dataclass, field, fields
from decimal import Decimal

from tradingbot_runtime.core.orders import Fill, Order

_ZERO = Decimal(0)
_BASIS_POINTS = Decimal(10_000)


@dataclass
class ExecutionTally:
    """Sums in account currency since the tally began."""

    turnover: Decimal = field(default=_ZERO)
    """Value of all fills."""
    arrival_value: Decimal = field(default=_ZERO)
    """Value of the fills at the prices at which their orders were decided, where those are known."""
    cost: Decimal = field(default=_ZERO)
    """What these fills cost more than at those prices."""
    ordered_value: Decimal = field(default=_ZERO)
    """Value, as decided, of the orders that ended."""
    filled_value: Decimal = field(default=_ZERO)
    """How much of it was filled."""

    def add_fill(self, order: Order, fill: Fill) -> None:
        """One more fill of an order."""
        self.turnover += abs(fill.signed_qty) * fill.price
        if order.arrival_price is not None:
            self.arrival_value += abs(fill.signed_qty) * order.arrival_price
            self.cost += fill.signed_qty * (fill.price - order.arrival_price)

    def add_end(self, order: Order) -> None:
        """An order that came to its end at the broker."""
        if order.arrival_price is not None:
            self.ordered_value += order.qty * order.arrival_price
            self.filled_value += order.filled_qty * order.arrival_price

    def since(self, earlier: "ExecutionTally") -> "ExecutionTally":
        """What was added after an earlier state of the tally."""
        return ExecutionTally(*(getattr(self, one.name) - getattr(earlier, one.name) for one in fields(self)))

    def plus(self, other: "ExecutionTally") -> "ExecutionTally":
        """Both together."""
        return ExecutionTally(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def slippage_bps(self) -> Decimal | None:
        """Cost in basis points of the value as decided; None without a fill."""
        return self.cost / self.arrival_value * _BASIS_POINTS if self.arrival_value else None

    @property
    def fill_rate_percent(self) -> Decimal | None:
        """Value filled of what was ordered; None where no order ended."""
        return self.filled_value / self.ordered_value * 100 if self.ordered_value else None

    def to_texts(self) -> dict[str, str]:
        """The sums as text, without losing a digit."""
        return {one.name: str(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_texts(cls, texts: dict[str, str]) -> "ExecutionTally":
        """The sums of `to_texts`."""
        return cls(**{name: Decimal(text) for name, text in texts.items()})
