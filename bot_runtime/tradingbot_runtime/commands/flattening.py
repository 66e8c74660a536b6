"""Brings a bot's exposure down without the bot: cancels, closes, and asks until the broker says that nothing is left.

Touches nothing but this bot's orders, told by their ids, and its symbols' positions. Never sells more than is held and
not being sold already: whoever else closes at the same time, the sum of both is what was held.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from tradingbot_api import FlattenReport, FlattenStep
from tradingbot_runtime.broker.legs import flattened
from tradingbot_runtime.broker.port import Broker, BrokerError
from tradingbot_runtime.core.kill import is_open
from tradingbot_runtime.core.report import instant, text
from tradingbot_runtime.core.values import BrokerOrder, BrokerPosition, MarketClock, OrderClass

LOOK_EVERY_SECONDS: Final = 1.0
CANCEL_AGAIN_SECONDS: Final = 2.0
CLOSE_AGAIN_SECONDS: Final = 5.0
LOOKS_THAT_CONFIRM: Final = 2
"""An order that was on its way when its sender died may arrive after one look."""
LONGEST_LIFE_OF_AN_ORDER: Final = timedelta(days=95)
"""Good-till-cancelled orders end by themselves after 90 days."""
RATE_MEASURED_OVER_SECONDS: Final = 2.0
MAX_STEPS: Final = 10
MAX_LEFT: Final = 8

_ZERO: Final = Decimal(0)


@dataclass(frozen=True)
class Target:
    """Whose exposure it is. `prefix` is what its client_order_ids begin with."""

    bot_uid: str
    mode: str
    prefix: str
    symbols: frozenset[str]
    closes_positions: bool


@dataclass
class _Seen:
    """What the broker last said of what is left."""

    orders: tuple[BrokerOrder, ...] | None = None
    positions: tuple[BrokerPosition, ...] | None = None
    orders_before: int | None = None
    positions_before: int | None = None
    orders_cancelled_at: datetime | None = None
    flat_at: datetime | None = None
    clean_looks: int = 0


@dataclass
class _Done:
    """What was asked for, and when each thing last was (monotonic seconds)."""

    cancels: int = 0
    closes: int = 0
    asked_at: dict[str, float] = field(default_factory=dict)
    steps: list[FlattenStep] = field(default_factory=list)


class Flattening:
    """One bot's end. Used once."""

    def __init__(
        self,
        broker: Broker,
        target: Target,
        *,
        machine_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._target = target
        self._machine_clock = machine_clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._seen = _Seen()
        self._done = _Done()
        self._legs: set[str] = set()  # broker ids of our orders' legs
        self._strangers: set[str] = set()  # broker ids that are certainly not ours
        self._closed_readings: list[tuple[float, MarketClock]] = []  # while closed; the first and the last
        self._last_error = ""

    async def run(self, timeout_seconds: float) -> FlattenReport:
        """Goes on until the broker has confirmed, or the time is over. Never raises for what the broker does."""
        started_at, deadline = self._machine_clock(), self._monotonic() + timeout_seconds
        reason = "TimedOut"
        try:
            while (left_seconds := deadline - self._monotonic()) > 0:
                try:
                    async with asyncio.timeout(left_seconds):
                        ended = await self._look(left_seconds)
                except BrokerError as error:
                    self._failed(error)
                    ended = None
                except TimeoutError:
                    self._last_error = self._last_error or "the broker does not answer"
                    break
                if ended is not None:
                    reason = ended
                    break
                await self._sleep(min(LOOK_EVERY_SECONDS, max(deadline - self._monotonic(), 0.0)))
        except asyncio.CancelledError:
            reason = "Interrupted"
        return self._report(reason, started_at)

    # ------------------------------------------------------------------ one look

    async def _look(self, left_seconds: float) -> str | None:
        """Looks at what is left and does what is due about it; the reason to end, once there is one."""
        seen = self._seen
        listed = await self._broker.open_orders(urgent=True)
        seen.orders = await self._ours(listed)
        seen.orders_before = len(seen.orders) if seen.orders_before is None else seen.orders_before
        if seen.orders:
            seen.orders_cancelled_at, seen.clean_looks = None, 0
            await self._cancel(seen.orders)
            return None
        if seen.orders_cancelled_at is None:
            seen.orders_cancelled_at = self._machine_clock()
            self._step("no order of this bot is open")
        if self._target.closes_positions and not await self._is_flat():
            seen.clean_looks = 0
            return await self._close(listed, left_seconds)
        seen.clean_looks += 1
        return "Confirmed" if seen.clean_looks >= LOOKS_THAT_CONFIRM else None

    async def _ours(self, listed: Sequence[BrokerOrder]) -> tuple[BrokerOrder, ...]:
        """Open orders of this bot: by their ids, their legs, and exits that stayed when their parent was filled."""
        ours: list[BrokerOrder] = []
        for order in listed:
            if order.client_order_id.startswith(self._target.prefix):
                ours += [one for one in flattened((order,)) if is_open(one.status)]
        orphans = [order for order in listed if self._may_be_a_leg(order)]
        unknown = [order for order in orphans if order.broker_id not in self._legs | self._strangers]
        if unknown:
            await self._learn_legs(unknown)
        return (*ours, *(order for order in orphans if order.broker_id in self._legs))

    def _may_be_a_leg(self, order: BrokerOrder) -> bool:
        return (
            not order.client_order_id.startswith(self._target.prefix)
            and order.order_class != OrderClass.SIMPLE
            and order.symbol in self._target.symbols
        )

    async def _learn_legs(self, unknown: Sequence[BrokerOrder]) -> None:
        # The broker's list of open orders does not say whose legs they are; their parents do, which were ours.
        moments = [order.created_at for order in unknown if order.created_at is not None]
        after = min(moments) - LONGEST_LIFE_OF_AN_ORDER if moments else None
        parents = await self._broker.orders_since(after, self._target.prefix, urgent=True)
        self._legs |= {leg.broker_id for parent in parents for leg in flattened(parent.legs)}
        self._strangers |= {order.broker_id for order in unknown} - self._legs

    async def _cancel(self, orders: Sequence[BrokerOrder]) -> None:
        due = [order for order in orders if self._is_due(order.broker_id, CANCEL_AGAIN_SECONDS)]
        if due:
            self._step(f"asks to cancel {len(due)} of {len(orders)} open orders")
        for order in due:
            self._done.asked_at[order.broker_id] = self._monotonic()
            self._done.cancels += 1
            try:
                await self._broker.cancel(order.broker_id)
            except BrokerError as error:
                self._failed(error)  # the others must not wait for it; the next look shows it again

    async def _is_flat(self) -> bool:
        seen = self._seen
        positions = await self._broker.positions(urgent=True)
        seen.positions = tuple(one for one in positions if one.symbol in self._target.symbols and one.qty != 0)
        seen.positions_before = len(seen.positions) if seen.positions_before is None else seen.positions_before
        if seen.positions:
            seen.flat_at = None
        elif seen.flat_at is None:
            seen.flat_at = self._machine_clock()
            self._step("no position of this bot is left")
        return not seen.positions

    async def _close(self, listed: Sequence[BrokerOrder], left_seconds: float) -> str | None:
        for position in self._seen.positions or ():
            if not self._is_due(position.symbol, CLOSE_AGAIN_SECONDS):
                continue
            self._done.asked_at[position.symbol] = self._monotonic()
            if _being_closed(position, listed) >= abs(position.qty):
                continue  # all of it is for sale already, by us or by somebody else
            self._done.closes += 1
            self._step(f"asks to close {position.symbol}, {position.qty:f} held")
            try:
                # At most what is held and not for sale already, which is read again at that moment.
                await self._broker.close_position(position.symbol, format(abs(position.qty), "f"))
            except BrokerError as error:
                self._failed(error)
        return await self._waits_for_the_open(listed, left_seconds)

    async def _waits_for_the_open(self, listed: Sequence[BrokerOrder], left_seconds: float) -> str | None:
        """The reason to end where the market is closed, all is queued, and it does not open while we may wait."""
        clock = await self._broker.clock()
        if clock.is_open:
            self._closed_readings.clear()
            return None
        self._closed_readings[1:] = [(self._monotonic(), clock)]
        if not all(_being_closed(one, listed) >= abs(one.qty) for one in self._seen.positions or ()):
            return None
        (first_at, first), (last_at, last) = self._closed_readings[0], self._closed_readings[-1]
        passed = last_at - first_at
        if passed < RATE_MEASURED_OVER_SECONDS:
            return None
        # The broker's clock may run fast: only its own pace tells when the market opens.
        rate = (last.timestamp - first.timestamp).total_seconds() / passed
        opens_in = (last.next_open - last.timestamp).total_seconds()
        if rate > 0 and opens_in / rate <= left_seconds:
            return None
        self._step(f"queued for the open of {instant(last.next_open)}")
        return "QueuedForTheOpen"

    def _is_due(self, what: str, again_seconds: float) -> bool:
        asked = self._done.asked_at.get(what)
        return asked is None or self._monotonic() - asked >= again_seconds

    # ------------------------------------------------------------------ what is said of it

    def _failed(self, error: BrokerError) -> None:
        said = str(error)
        if said != self._last_error:
            self._step(f"failed: {said}")
        self._last_error = said

    def _step(self, what: str) -> None:
        steps = self._done.steps
        if len(steps) == MAX_STEPS:
            del steps[MAX_STEPS // 2]  # the beginning and the end say most
        steps.append(FlattenStep(at=instant(self._machine_clock()), what=text(what)[:100]))

    def _report(self, reason: str, started_at: datetime) -> FlattenReport:
        seen, done, target = self._seen, self._done, self._target
        left = self._left()
        return FlattenReport(
            uid=target.bot_uid,
            mode=target.mode,
            flatten=target.closes_positions,
            confirmed=reason == "Confirmed",
            reason=reason,
            message=text(self._message(reason, len(left)))[:400],
            started_at=instant(started_at),
            ended_at=instant(self._machine_clock()),
            orders_cancelled_at=instant(seen.orders_cancelled_at) if seen.orders_cancelled_at else None,
            flat_at=instant(seen.flat_at) if seen.flat_at else None,
            orders_before=seen.orders_before,
            positions_before=seen.positions_before,
            open_orders=None if seen.orders is None else len(seen.orders),
            open_positions=None if seen.positions is None else len(seen.positions),
            cancels_asked=done.cancels,
            closes_asked=done.closes,
            left=left[:MAX_LEFT],
            steps=done.steps,
        )

    def _left(self) -> list[str]:
        orders = [
            f"order {one.side} {one.qty - one.filled_qty:f} {one.symbol} {one.status} {one.broker_id}"[:80]
            for one in self._seen.orders or ()
        ]
        return orders + [f"position {one.symbol} {one.qty:f}"[:80] for one in self._seen.positions or ()]

    def _message(self, reason: str, left: int) -> str:
        if reason == "Confirmed":
            return (
                "the broker says that nothing of this bot is left"
                if self._target.closes_positions
                else ("the broker says that no order of this bot is open")
            )
        if reason == "QueuedForTheOpen":
            opens = self._closed_readings[-1][1].next_open
            return (
                "the market is closed: no order of this bot is open, and closings are queued for the open of"
                f" {instant(opens)}; run it again then to have it confirmed"
            )
        known = (
            f"{left} orders and positions are left" if self._seen.orders is not None else "what is left is not known"
        )
        error = f"; the broker said: {self._last_error}" if self._last_error else ""
        return f"not confirmed: {known}{error}; run it again"


def _being_closed(position: BrokerPosition, listed: Sequence[BrokerOrder]) -> Decimal:
    """Shares of a position that open orders are closing already."""
    side = "sell" if position.qty > 0 else "buy"
    return sum(
        (one.qty - one.filled_qty for one in listed if one.symbol == position.symbol and one.side.value == side), _ZERO
    )
