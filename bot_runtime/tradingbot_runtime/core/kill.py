"""The kill latch: what was seen, and how far the broker has confirmed it. Never goes back.

A kill is journaled before anything else is done about it; it survives restarts and the removal of the annotation.
"""

from dataclasses import dataclass, replace
from datetime import datetime


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

    @property
    def is_done(self) -> bool:
        """Whether the broker has confirmed all that was asked."""
        return self.orders_cancelled_at is not None and (not self.flatten or self.flat_at is not None)


def confirm(kill: KillState, open_orders: int, open_positions: int, at: datetime) -> KillState:
    """The kill after the broker's books were read at machine time `at`; both counts are of this bot's alone."""
    cancelled = kill.orders_cancelled_at or (at if open_orders == 0 else None)
    flat = kill.flat_at or (at if kill.flatten and open_orders == 0 and open_positions == 0 else None)
    return replace(
        kill,
        open_orders=open_orders,
        open_positions=open_positions,
        orders_cancelled_at=cancelled,
        flat_at=flat,
    )


_CLOSED = frozenset({"filled", "canceled", "expired", "rejected", "replaced", "not_sent"})


def is_open(status: str) -> bool:
    """Whether an order in this status may still be filled. A status nobody knows counts as open."""
    return status not in _CLOSED
