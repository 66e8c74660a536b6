"""The kill latch: what was seen, and how far the broker has confirmed it. Goes back only by a release of its epoch.

A kill is journaled before anything else is done about it; it survives restarts and the removal of the annotation.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from tradingbot_runtime.core.values import BrokerOrder, MarketClock, Side

FIRST_CANCEL: Final = "first_cancel"
ORDERS_CANCELLED: Final = "orders_cancelled"
FLAT: Final = "flat"


@dataclass(frozen=True)
class KillState:
    """One kill. Times are machine time; a step's time is set once the broker itself confirmed it."""

    reason: str
    scope: str
    flatten: bool
    observed_at: datetime
    orders_cancelled_at: datetime | None = None
    flat_at: datetime | None = None
    open_orders: int | None = None
    open_positions: int | None = None
    epoch: int = 1
    """Number of the kill. One that was recorded before kills were counted is the first: the first release ends it."""
    first_cancel_at: datetime | None = None
    """When the first cancel left that the broker accepted."""
    queued_for: datetime | None = None
    """The open (market time) that all closings wait for at the broker; None while they do not."""
    released_at: datetime | None = None
    """When the bot learned that the kill was released; None while it is in force."""

    @property
    def is_done(self) -> bool:
        """Whether the broker has confirmed all that was asked."""
        return self.orders_cancelled_at is not None and (not self.flatten or self.flat_at is not None)

    @property
    def is_in_force(self) -> bool:
        """Whether it was not released."""
        return self.released_at is None

    @property
    def waits_for(self) -> str:
        """What it waits for, or how it ended, for a person."""
        if self.orders_cancelled_at is None:
            left = "the broker's books are being read" if not self.open_orders else f"{self.open_orders} orders open"
            return f"orders are being cancelled: {left}"
        if not self.flatten:
            return "the broker says that no order of this bot is open"
        if self.flat_at is not None:
            return "the broker says that nothing of this bot is left"
        if self.queued_for is not None:
            opens = self.queued_for.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return (
                "the market is closed: no order of this bot is open, and closings are queued for the open of"
                f" {opens}: {self.open_positions} positions"
            )
        return f"positions are being closed: {self.open_positions} left"


def is_released_by(kill: KillState, epoch: int) -> bool:
    """Whether a config whose last released kill is number `epoch` ends this one."""
    return kill.epoch <= epoch


def later_of(one: KillState | None, other: KillState | None) -> KillState | None:
    """Which of two records of a bot's kill counts, `one` where they say the same of it.

    A higher epoch is the later kill, and a release of an epoch is final. Epochs that began anew, because the records
    they are counted by were lost, are told by time: a kill that was seen after a release is not what was released.
    """
    if one is None or other is None:
        return one or other
    for mine, theirs in ((one, other), (other, one)):
        if mine.is_in_force and theirs.released_at is not None and mine.observed_at > theirs.released_at:
            return mine
    if (other.epoch, not other.is_in_force) > (one.epoch, not one.is_in_force):
        return other
    return one


def confirm(
    kill: KillState, open_orders: int, open_positions: int, at: datetime, queued_for: datetime | None = None
) -> KillState:
    """The kill after the broker's books were read at machine time `at`; both counts are of this bot's alone.

    `queued_for` is the open (market time) that closings of all positions wait for, None where they do not.
    """
    cancelled = kill.orders_cancelled_at or (at if open_orders == 0 else None)
    flat = kill.flat_at or (at if kill.flatten and open_orders == 0 and open_positions == 0 else None)
    return replace(
        kill,
        open_orders=open_orders,
        open_positions=open_positions,
        orders_cancelled_at=cancelled,
        flat_at=flat,
        queued_for=queued_for if kill.flatten and flat is None else None,
    )


def open_waited_for(
    orders: Iterable[BrokerOrder], left: Mapping[str, Decimal], clock: MarketClock | None
) -> datetime | None:
    """The open (market time) that orders for all that is left wait for at the broker; None where they do not.

    `left` are shares to be closed by symbol, shorts negative; `orders` are those of the whole account, as whoever
    closes a position at the broker gets an order that is not the bot's own.
    """
    if clock is None or clock.is_open or not left:
        return None
    queued: defaultdict[str, Decimal] = defaultdict(Decimal)
    for one in orders:
        closing = Side.SELL if left.get(one.symbol, Decimal(0)) > 0 else Side.BUY
        if one.side is closing and is_open(one.status):
            queued[one.symbol] += one.qty - one.filled_qty
    return clock.next_open if all(queued[symbol] >= abs(qty) for symbol, qty in left.items()) else None


def steps_of(kill: KillState) -> Mapping[str, datetime]:
    """When each step was reached, by its name."""
    found = {FIRST_CANCEL: kill.first_cancel_at, ORDERS_CANCELLED: kill.orders_cancelled_at, FLAT: kill.flat_at}
    return {step: at for step, at in found.items() if at is not None}


_CLOSED = frozenset({"filled", "canceled", "expired", "rejected", "replaced", "not_sent"})


def is_open(status: str) -> bool:
    """Whether an order in this status may still be filled. A status nobody knows counts as open."""
    return status not in _CLOSED
