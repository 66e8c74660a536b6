"""Parents with their legs inside, from lists that may hold an order twice. Pure; loses no order.

Alpaca rolls legs up only under a parent that the list itself holds: once a bracket's entry is filled, its open exits
are in the flat list of open orders alone, and without a word of whose they are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tradingbot_runtime.core.values import BrokerOrder


def rolled_up(orders: Iterable[BrokerOrder]) -> tuple[BrokerOrder, ...]:
    """Each order once: legs inside their parent where a parent is known, by themselves where not.

    Give later readings after earlier ones: of an order read twice, the later word stands.
    """
    newest: dict[str, BrokerOrder] = {}
    legs_of: dict[str, tuple[str, ...]] = {}
    for order in orders:
        for one in flattened((order,)):
            newest[one.broker_id] = one
            if one.legs:
                legs_of[one.broker_id] = tuple(leg.broker_id for leg in one.legs)
    inside = {leg for legs in legs_of.values() for leg in legs}
    return tuple(_with_legs(one, newest, legs_of) for one in newest.values() if one.broker_id not in inside)


def flattened(orders: Iterable[BrokerOrder]) -> Iterator[BrokerOrder]:
    """The orders and all their legs."""
    for order in orders:
        yield order
        yield from flattened(order.legs)


def _with_legs(order: BrokerOrder, newest: dict[str, BrokerOrder], legs_of: dict[str, tuple[str, ...]]) -> BrokerOrder:
    legs = tuple(_with_legs(newest[leg], newest, legs_of) for leg in legs_of.get(order.broker_id, ()))
    # Most orders have none, and a copy of each costs more than all the rest.
    return order if not legs and not order.legs else replace(order, legs=legs)
