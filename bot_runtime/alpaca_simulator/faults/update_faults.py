"""The seam between the exchange and whoever listens to trade updates: doubled, swapped, late, lost.

Without rules an update passes unchanged. Holds back what is late; bounded, the oldest goes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from alpaca_simulator.exchange.exchange import TradeUpdate
from alpaca_simulator.faults import stream_kinds
from alpaca_simulator.faults.book import FaultBook

HELD_AT_MOST = 100_000


@dataclass(slots=True, eq=False)
class _Waiting:
    """An update that lets others go first."""

    update: TradeUpdate
    others_left: int
    latest: float


class UpdateFaults:
    """Hands trade updates on as the rules have it.

    `seconds` is the time that delays are measured in. With `in_market_time` it is the market's as Unix
    seconds, and a delay counts from the update's own time however far the clock was stepped.
    """

    def __init__(
        self,
        book: FaultBook,
        seconds: Callable[[], float],
        account_name: Callable[[UUID], str],
        *,
        in_market_time: bool,
    ) -> None:
        self._book = book
        self._seconds = seconds
        self._account_name = account_name
        self._in_market_time = in_market_time
        self._waiting: list[_Waiting] = []
        self._late: list[tuple[float, int, TradeUpdate]] = []
        self._numbers = count()
        self._latest_due = float("-inf")

    @property
    def held_back(self) -> int:
        """How many updates are late and not handed on yet."""
        return len(self._waiting) + len(self._late)

    def passed(self, updates: Sequence[TradeUpdate]) -> list[TradeUpdate]:
        """What is to be told now, of `updates` and of those held back, in the order to tell it."""
        if not self.held_back and not self._book.of(stream_kinds.UpdateRule):
            return list(updates)
        now = self._seconds()
        for update in updates:
            self._release_overdue(self._happened(update, now))
            self._take(update, now)
        self._release_overdue(now)
        return list(self._due(now))

    def _take(self, update: TradeUpdate, now: float) -> None:
        happened = self._happened(update, now)
        match self._struck(update):
            case stream_kinds.LoseUpdate():
                return
            case stream_kinds.DuplicateUpdate(copies=copies):
                told, due = [update] * (1 + copies), self._in_order(happened)
            case stream_kinds.DelayUpdate(seconds=seconds):
                told, due = [update], happened + seconds
            case stream_kinds.ReorderUpdate(window=window, seconds=seconds):
                self._waiting.append(_Waiting(update, window, happened + seconds))
                return
            case _:
                told, due = [update], self._in_order(happened)
        self._queue(told, due)
        self._let_pass(update, due)

    def _struck(self, update: TradeUpdate) -> stream_kinds.UpdateRule | None:
        account, order = self._account_name(update.account_id), update.order
        for entry in self._book.of(stream_kinds.UpdateRule):
            match = entry.rule.match
            fits = (
                match.account in {None, account}
                and match.symbol in {None, order.asset.symbol}
                and (not match.events or update.event in match.events)
                and order.client_order_id.startswith(match.client_order_id_prefix or "")
            )
            if fits and self._book.strikes(entry, update.at):
                self._book.note(entry, update.at, f"{update.event.value} of {order.client_order_id}", account)
                return entry.rule
        return None

    def _let_pass(self, update: TradeUpdate, due: float) -> None:
        """One more update went before those of its account that wait for it."""
        for one in list(self._waiting):
            if one.update.account_id == update.account_id and one.update is not update:
                one.others_left -= 1
                if one.others_left <= 0:
                    self._waiting.remove(one)
                    self._queue([one.update], due)

    def _release_overdue(self, now: float) -> None:
        for one in [one for one in self._waiting if one.latest <= now or self.held_back > HELD_AT_MOST]:
            self._waiting.remove(one)
            self._queue([one.update], one.latest)

    def _queue(self, updates: Iterable[TradeUpdate], due: float) -> None:
        for update in updates:
            heapq.heappush(self._late, (due, next(self._numbers), update))

    def _due(self, now: float) -> Iterator[TradeUpdate]:
        while self._late and (self._late[0][0] <= now or self.held_back > HELD_AT_MOST):
            yield heapq.heappop(self._late)[2]

    def _happened(self, update: TradeUpdate, now: float) -> float:
        return update.at.timestamp() if self._in_market_time else now

    def _in_order(self, happened: float) -> float:
        """When an update that is not late is due: never before the one that came before it."""
        self._latest_due = max(self._latest_due, happened)
        return self._latest_due
