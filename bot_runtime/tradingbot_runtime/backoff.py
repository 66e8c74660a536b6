"""Waiting times that grow, with jitter, for whoever tries something again. Waits for nothing itself."""

import random
from typing import Final

FIRST_WAIT_SECONDS: Final = 0.25
MAX_WAIT_SECONDS: Final = 30.0


class Backoff:
    """Waiting times that double from `first_seconds` to `max_seconds`, each between half and the whole of it."""

    def __init__(
        self,
        rng: random.Random,
        first_seconds: float = FIRST_WAIT_SECONDS,
        max_seconds: float = MAX_WAIT_SECONDS,
    ) -> None:
        self._rng = rng
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self._failures = 0

    def next_seconds(self) -> float:
        """How long to wait after one more failure."""
        whole = min(self._max_seconds, self._first_seconds * float(2 ** min(self._failures, 30)))
        self._failures += 1
        return whole * (0.5 + 0.5 * self._rng.random())

    def reset(self) -> None:
        """Starts over, after a success."""
        self._failures = 0
