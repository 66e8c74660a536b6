"""The life of an order as a table: state x event -> state.

JOURNALED is durable before anything is sent. IN_DOUBT means a request may or may not have reached the broker; only
the broker's answer to a question about the same client_order_id leads out of it, never a second order. What the
table does not allow is an incident for the caller to record, never an exception.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from tradingbot_runtime.core.values import BrokerOrder, OrderClass, OrderType, Side, TimeInForce


class OrderState(StrEnum):
    """Where an order is, in the bot's books. Alpaca's statuses, and three of our own."""

    JOURNALED = "journaled"
    """Ours: durable on the volume, perhaps being sent right now."""
    IN_DOUBT = "in_doubt"
    """Ours: sent, no answer; asked about until the broker answers."""
    NOT_SENT = "not_sent"
    """Ours: kept back by a kill or a pause, or the broker has said, again and again, that it never saw the order."""
    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    HELD = "held"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    CALCULATED = "calculated"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    PENDING_REVIEW = "pending_review"
    DONE_FOR_DAY = "done_for_day"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"


S = OrderState

TERMINAL: frozenset[OrderState] = frozenset({S.NOT_SENT, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.REPLACED})

UNANSWERED: frozenset[OrderState] = frozenset({S.JOURNALED, S.IN_DOUBT})
"""States in which the broker has not said anything of this order yet."""

_AT_BROKER = frozenset(S) - {S.JOURNALED, S.IN_DOUBT, S.NOT_SENT}
_WORKING = _AT_BROKER - TERMINAL
# Before the first fill an order wanders between these as exchange and broker talk to each other.
_UNFILLED = _WORKING - {S.PARTIALLY_FILLED}

TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    # An answer may skip states: an order can be filled before its acknowledgement is read.
    S.JOURNALED: _AT_BROKER | {S.IN_DOUBT, S.NOT_SENT},
    S.IN_DOUBT: _AT_BROKER | {S.NOT_SENT},
    # A request that was still on its way when the broker said "unknown" may arrive: it is ours, and adopted.
    S.NOT_SENT: _AT_BROKER,
    **dict.fromkeys(_UNFILLED, _AT_BROKER),
    # Once something is filled an order is never new again, and cannot be rejected as a whole.
    S.PARTIALLY_FILLED: frozenset(
        {
            S.PARTIALLY_FILLED,
            S.PENDING_CANCEL,
            S.PENDING_REPLACE,
            S.DONE_FOR_DAY,
            S.STOPPED,
            S.SUSPENDED,
            S.CALCULATED,
            S.FILLED,
            S.CANCELED,
            S.EXPIRED,
            S.REPLACED,
        }
    ),
    **{state: frozenset[OrderState]() for state in TERMINAL if state is not S.NOT_SENT},
}


EVENT_STATES: dict[str, frozenset[OrderState]] = {
    # Every event of the broker's stream, and the states an order can be in when it is told. A status that does not
    # go with its event is an incident for the caller to record: the status still counts, the event never does.
    "accepted": frozenset({S.ACCEPTED, S.PENDING_NEW, S.NEW}),
    "pending_new": frozenset({S.PENDING_NEW, S.ACCEPTED}),
    "new": frozenset({S.NEW, S.ACCEPTED, S.HELD}),
    "held": frozenset({S.HELD}),
    "partial_fill": frozenset({S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.PENDING_REPLACE}),
    "fill": frozenset({S.FILLED}),
    "canceled": frozenset({S.CANCELED}),
    "expired": frozenset({S.EXPIRED}),
    "rejected": frozenset({S.REJECTED}),
    "replaced": frozenset({S.REPLACED}),
    "done_for_day": frozenset({S.DONE_FOR_DAY}),
    "pending_cancel": frozenset({S.PENDING_CANCEL}),
    "pending_replace": frozenset({S.PENDING_REPLACE}),
    "stopped": frozenset({S.STOPPED}),
    "suspended": frozenset({S.SUSPENDED}),
    "calculated": frozenset({S.CALCULATED}),
    "order_cancel_rejected": frozenset(_AT_BROKER),
    "order_replace_rejected": frozenset(_AT_BROKER),
    "restated": frozenset(_AT_BROKER),
}


def event_defect(event: str, status: str) -> str | None:
    """What is odd about an event and the status told with it, or None."""
    states = EVENT_STATES.get(event)
    if states is None:
        return f"the broker tells an event we do not know: {event!r}"
    if status in states:
        return None
    return f"event {event} came with status {status}"


@dataclass(frozen=True)
class Order:
    """One order in the bot's books. Quantities in shares, prices in account currency, times in market time."""

    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    qty: Decimal
    time_in_force: TimeInForce
    state: OrderState
    created_at: datetime
    limit_price: Decimal | None = None
    arrival_price: Decimal | None = None
    """The last price when the order was decided: what slippage is measured against."""
    broker_id: str | None = None
    filled_qty: Decimal = Decimal(0)
    filled_average_price: Decimal | None = None
    reason: str = ""
    """Why the order was made, or why the broker refused it."""
    reducing: bool = False
    """Whether the order only makes a position smaller."""
    order_class: OrderClass = OrderClass.SIMPLE
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    take_profit_price: Decimal | None = None
    """Limit price of the exit at a profit that the broker holds for this order (bracket, OCO, OTO)."""
    stop_loss_price: Decimal | None = None
    """Stop price of the exit at a loss that the broker holds for this order (bracket, OCO, OTO)."""
    stop_loss_limit_price: Decimal | None = None
    parent_id: str = ""
    """client_order_id of the order whose leg this is: the broker made it and chose its id. Empty for our own."""
    replaces_id: str = ""
    """client_order_id of the order that this one took the place of, or is to take the place of."""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self.state in TERMINAL

    @property
    def remaining_qty(self) -> Decimal:
        """Shares that may still be filled."""
        return Decimal(0) if self.is_terminal else self.qty - self.filled_qty


@dataclass(frozen=True)
class Fill:
    """A change of a holding: what one trade update, or the difference to the broker's books, added.

    `sequence` counts the fills of an order, so (client_order_id, sequence) names a fill for ever. A correction by
    reconciliation has no order: its client_order_id is empty and its reason says what differed. A price of zero
    changes shares without money (a split): what the holding cost stays what it was.
    """

    client_order_id: str
    sequence: int
    symbol: str
    signed_qty: Decimal
    price: Decimal
    at: datetime
    reason: str = ""


@dataclass(frozen=True)
class Advance:
    """What a broker's word did to an order: the order after it, the new fill, or why it was impossible."""

    order: Order
    fill: Fill | None = None
    blocked: str | None = None


def advance(order: Order, seen: BrokerOrder, at: datetime, fills_before: int) -> Advance:
    """Applies what the broker says of an order, in any order and however often it is said.

    Fills are taken from the cumulative filled quantity, so a doubled, reordered or missing trade update adds
    nothing twice and loses nothing. `at` is market time; `fills_before` is how many fills the order has so far.
    """
    other = _other_than(order, seen)
    if other is not None:
        return Advance(order=order, blocked=other)
    # By the broker's time where it tells: an order that waited for the open is filled before our clock has seen it.
    fill = _new_fill(order, seen, seen.filled_at or at, fills_before)
    state, blocked = _next_state(order, seen)
    after = replace(
        order,
        broker_id=seen.broker_id or order.broker_id,
        state=state,
        # Only what became a fill counts as filled: a word without a price is completed by the next one.
        filled_qty=seen.filled_qty if fill else order.filled_qty,
        filled_average_price=seen.filled_average_price if fill else order.filled_average_price,
    )
    return Advance(order=after, fill=fill, blocked=blocked)


def reopened(order: Order, seen: BrokerOrder) -> Order:
    """An order that ended in our books and works at the broker: the broker wins, against the table."""
    try:
        state = OrderState(seen.status)
    except ValueError:
        state = OrderState.ACCEPTED
    return replace(order, state=state, broker_id=seen.broker_id or order.broker_id)


def _other_than(order: Order, seen: BrokerOrder) -> str | None:
    """Why the broker's word cannot be of this order, or None. A replaced order's quantity changes; nothing else may."""
    if seen.symbol == order.symbol and seen.side is order.side:
        return None
    return f"the broker tells of {seen.side} {seen.symbol} under the id of {order.side} {order.symbol}"


def _next_state(order: Order, seen: BrokerOrder) -> tuple[OrderState, str | None]:
    try:
        target = OrderState(seen.status)
    except ValueError:
        # Whatever it means, the broker has the order: it may fill, so it counts as working.
        state = OrderState.ACCEPTED if order.state in UNANSWERED | {S.NOT_SENT} else order.state
        return state, f"the broker reports a status we do not know: {seen.status!r}"
    if target is order.state or target in TRANSITIONS[order.state]:
        return target, None
    if target not in TERMINAL and seen.filled_qty <= order.filled_qty:
        # An older word that arrives late (new after filled): true once, and nothing to act on now.
        return order.state, None
    return order.state, f"{order.state} cannot become {target}"


def _new_fill(order: Order, seen: BrokerOrder, at: datetime, fills_before: int) -> Fill | None:
    added = seen.filled_qty - order.filled_qty
    if added <= 0 or seen.filled_average_price is None:
        return None
    paid_before = order.filled_qty * (order.filled_average_price or Decimal(0))
    price = (seen.filled_qty * seen.filled_average_price - paid_before) / added
    sign = 1 if order.side is Side.BUY else -1
    return Fill(
        client_order_id=order.client_order_id,
        sequence=fills_before + 1,
        symbol=order.symbol,
        signed_qty=sign * added,
        price=price,
        at=at,
    )


def client_order_id(bot_uid: str, mode: str, epoch: int, sequence: int) -> str:
    """The id of the bot's n-th order: the same order has the same id after any restart, and no other order has it."""
    return f"{client_order_id_prefix(bot_uid, mode)}{epoch}-{sequence:08d}"


def client_order_id_prefix(bot_uid: str, mode: str) -> str:
    """What every id of this bot in this mode begins with; at most 48 characters."""
    return f"tb-{bot_uid}-{mode[0]}-"


def epoch_of(order_id: str, bot_uid: str, mode: str) -> int | None:
    """The epoch in one of our ids, or None when the id is not this bot's."""
    prefix = client_order_id_prefix(bot_uid, mode)
    if not order_id.startswith(prefix):
        return None
    epoch, _, _ = order_id[len(prefix) :].rpartition("-")
    return int(epoch) if epoch.isdigit() else None


def sequence_of(order_id: str, bot_uid: str, mode: str) -> int | None:
    """The sequence number in one of our ids, or None when the id is not this bot's."""
    prefix = client_order_id_prefix(bot_uid, mode)
    if not order_id.startswith(prefix):
        return None
    _, _, sequence = order_id[len(prefix) :].rpartition("-")
    return int(sequence) if sequence.isdigit() else None
