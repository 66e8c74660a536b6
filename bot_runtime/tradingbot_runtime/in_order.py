"""Decisions and errands one by one, without tasks, threads or waiting: the driver of runs that must be repeatable."""

from collections import deque
from typing import Final

from tradingbot_runtime.app import Decisions, Errands
from tradingbot_runtime.core import events as seen


class InOrder:
    """Decisions and errands one by one, without tasks, threads or waiting: the driver of deterministic runs.

    What the app does concurrently happens here in the order it was asked for, so the same events give the same run.
    """

    MAX_STEPS: Final = 100_000

    def __init__(self, decisions: Decisions, errands: Errands) -> None:
        self._decisions = decisions
        self._errands = errands

    async def tell(self, event: seen.Event) -> None:
        """Handles an event, and all that comes of it."""
        events: deque[seen.Event] = deque([event])
        for _ in range(self.MAX_STEPS):
            if not events:
                return
            for command in self._decisions.on(events.popleft()):
                outcome = await self._errands.run(command)
                if outcome is not None:
                    events.append(outcome)
        raise RuntimeError(f"one event led to more than {self.MAX_STEPS} others")

    async def read_clock(self) -> None:
        """Reads the broker's clock and handles it."""
        event = await self._errands.clock()
        if event is not None:
            await self.tell(event)
