"""The seam at authentication: keys that are right and not accepted all the same.

Stands before the true keys wherever a client shows its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.faults.book import FaultBook
from alpaca_simulator.faults.stream_kinds import ExpiredKeys

Place = Literal["rest", "trade_updates", "market_data"]


class Keys(Protocol):
    """Which account a key id and its secret open."""

    def account(self, key_id: str | None, secret_key: str | None) -> Account | None:
        """The account, None for an unknown key or a wrong secret."""


class FaultyKeys:
    """The keys as one place accepts them; `now` is the market's time."""

    def __init__(self, keys: Keys, book: FaultBook, place: Place, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._book = book
        self._place = place
        self._now = now

    def account(self, key_id: str | None, secret_key: str | None) -> Account | None:
        """The account, None for an unknown key, a wrong secret, or keys that have expired."""
        account = self._keys.account(key_id, secret_key)
        if account is None:
            return None
        name, now = account.terms.name, self._now()
        for entry in self._book.of(ExpiredKeys):
            match = entry.rule.match
            if match.account not in {None, name} or match.place not in {None, self._place}:
                continue
            if self._book.strikes(entry, now):
                self._book.note(entry, now, f"refused at {self._place}", name)
                return None
        return account
