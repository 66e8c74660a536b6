"""The life of an order as one table: which event moves which status where.

A terminal order never moves again; never change a status except through `Order.move`.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where an order is in its life, in Alpaca's words."""

    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    HELD = "held"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    PENDING_REVIEW = "pending_review"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    CALCULATED = "calculated"
    DONE_FOR_DAY = "done_for_day"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"


class Event(StrEnum):
    """What happens to an order, in the words of the trade updates.

    No event of Alpaca's is known for the last two: they are named after the status they lead to.
    """

    NEW = "new"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"
    ACCEPTED = "accepted"
    PENDING_NEW = "pending_new"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    ORDER_CANCEL_REJECTED = "order_cancel_rejected"
    ORDER_REPLACE_REJECTED = "order_replace_rejected"
    DONE_FOR_DAY = "done_for_day"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    CALCULATED = "calculated"
    RESTATED = "restated"
    PENDING_REVIEW = "pending_review"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"


class ImpossibleTransitionError(AssertionError):
    """The exchange tried to move an order in a way the table does not know: a bug of the exchange."""


TERMINAL = frozenset({Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REJECTED, Status.REPLACED})
#: What an order returns from to where it was before; see RESUME.
PAUSES = frozenset(
    {
        Status.PENDING_CANCEL,
        Status.PENDING_REPLACE,
        Status.STOPPED,
        Status.SUSPENDED,
        Status.CALCULATED,
        Status.DONE_FOR_DAY,
    }
)
#: In these an order goes on trading as before: the exchange has not acted on the request yet.
REQUESTED = frozenset({Status.PENDING_CANCEL, Status.PENDING_REPLACE})
#: In these an order can be filled.
WORKING = frozenset({Status.NEW, Status.PARTIALLY_FILLED})
#: A replacement needs an order that an exchange has: these are refused, as every terminal one.
NOT_REPLACEABLE = (
    TERMINAL | PAUSES | {Status.ACCEPTED, Status.PENDING_NEW, Status.PENDING_REVIEW, Status.ACCEPTED_FOR_BIDDING}
)

#: Instead of a status: partially filled if anything was filled; otherwise new when it is told so, and back to where
#: it was when a request was rejected.
RESUME = None
Moves = dict[Event, "Status | None"]

_CANCELED: Moves = {
    Event.CANCELED: Status.CANCELED,
    Event.EXPIRED: Status.EXPIRED,
    Event.REPLACED: Status.REPLACED,
}
_REJECTED: Moves = {Event.REJECTED: Status.REJECTED}
_FILLS: Moves = {Event.PARTIAL_FILL: Status.PARTIALLY_FILLED, Event.FILL: Status.FILLED}
_REQUESTS: Moves = {
    Event.PENDING_CANCEL: Status.PENDING_CANCEL,
    Event.PENDING_REPLACE: Status.PENDING_REPLACE,
}
_PAUSES: Moves = {
    Event.STOPPED: Status.STOPPED,
    Event.SUSPENDED: Status.SUSPENDED,
    Event.CALCULATED: Status.CALCULATED,
    Event.DONE_FOR_DAY: Status.DONE_FOR_DAY,
}
_ARRIVALS: Moves = {
    Event.NEW: Status.NEW,
    Event.ACCEPTED: Status.ACCEPTED,
    Event.PENDING_NEW: Status.PENDING_NEW,
    Event.PENDING_REVIEW: Status.PENDING_REVIEW,
    Event.ACCEPTED_FOR_BIDDING: Status.ACCEPTED_FOR_BIDDING,
}
_ENDED: dict[Status, Moves] = {
    # A request that came too late is answered, and the order stays what it is.
    status: {Event.ORDER_CANCEL_REJECTED: status, Event.ORDER_REPLACE_REJECTED: status}
    for status in TERMINAL
}

#: From status and event to the next status. What is not listed cannot happen.
TRANSITIONS: dict[Status, Moves] = {
    # While an exchange is open an order becomes new at once; while closed it stays accepted until the open.
    Status.PENDING_NEW: {**_ARRIVALS, **_REQUESTS, Event.SUSPENDED: Status.SUSPENDED, **_CANCELED, **_REJECTED},
    Status.ACCEPTED: {**_ARRIVALS, **_REQUESTS, Event.SUSPENDED: Status.SUSPENDED, **_CANCELED, **_REJECTED},
    Status.PENDING_REVIEW: {**_ARRIVALS, **_REQUESTS, **_CANCELED, **_REJECTED},
    Status.ACCEPTED_FOR_BIDDING: {**_ARRIVALS, **_REQUESTS, **_CANCELED, **_REJECTED},
    # An exit waits for its entry, and a stop loss beside its take profit for its stop price.
    Status.HELD: {Event.NEW: Status.NEW, **_REQUESTS, Event.RESTATED: Status.HELD, **_CANCELED, **_REJECTED},
    Status.NEW: {
        **_FILLS,
        **_REQUESTS,
        **_PAUSES,
        Event.RESTATED: Status.NEW,
        Event.ACCEPTED_FOR_BIDDING: Status.ACCEPTED_FOR_BIDDING,
        **_CANCELED,
        **_REJECTED,
    },
    Status.PARTIALLY_FILLED: {
        **_FILLS,
        **_REQUESTS,
        **_PAUSES,
        Event.RESTATED: Status.PARTIALLY_FILLED,
        **_CANCELED,
    },
    # Fills go on until the exchange has carried out the request: a fill may beat it.
    Status.PENDING_CANCEL: {
        Event.PARTIAL_FILL: Status.PENDING_CANCEL,
        Event.FILL: Status.FILLED,
        Event.ORDER_CANCEL_REJECTED: RESUME,
        **_CANCELED,
        **_REJECTED,
    },
    Status.PENDING_REPLACE: {
        Event.PARTIAL_FILL: Status.PENDING_REPLACE,
        Event.FILL: Status.FILLED,
        Event.ORDER_REPLACE_REJECTED: RESUME,
        **_CANCELED,
        **_REJECTED,
    },
    Status.STOPPED: {Event.NEW: RESUME, Event.RESTATED: Status.STOPPED, **_CANCELED, **_REJECTED},
    Status.SUSPENDED: {Event.NEW: RESUME, Event.RESTATED: Status.SUSPENDED, **_CANCELED, **_REJECTED},
    Status.CALCULATED: {Event.NEW: RESUME, Event.RESTATED: Status.CALCULATED, **_CANCELED, **_REJECTED},
    Status.DONE_FOR_DAY: {
        Event.NEW: RESUME,
        Event.CALCULATED: Status.CALCULATED,
        Event.RESTATED: Status.DONE_FOR_DAY,
        **_CANCELED,
        **_REJECTED,
    },
    **_ENDED,
}
