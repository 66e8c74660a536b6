"""Entries of the broker's lists that cannot be read and are certainly not the bot's: skipped, counted, named once.

Other programs, and people, use the same account: what they hold or order must never hide what is the bot's. Nothing
that may be the bot's own is skipped: an order is another's by its client_order_id, and a position or an activity,
which has no such mark, only when it is of no stock, for the bot trades nothing else.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from tradingbot_runtime.broker.failures import short
from tradingbot_runtime.ops import logs

T = TypeVar("T")

MAX_NAMED: Final = 100
"""Entries named in the log of one process; those after them are only counted."""
_STOCKS: Final = "us_equity"
_OPTION_OR_PAIR: Final = re.compile(r".*(\d{6}[CP]\d{8}|/.+)")
"""AAPL260619C00150000, BTC/USD."""


class Strangers:
    """What could not be read of others. May be told by any thread."""

    def __init__(self, prefix: str) -> None:
        """`prefix`: what every client_order_id of the bot begins with."""
        self._prefix = prefix
        self._lock = threading.Lock()
        self._named: set[str] = set()
        self.skipped = 0
        """Entries skipped so far; one that is read again counts again."""

    def readable_orders(self, raw: Iterable[object], read: Callable[[object], T]) -> tuple[T, ...]:
        """The orders of a list, without others' that cannot be read. Raises what `read` raises of one of ours."""
        return tuple(self._readable(raw, read, "order", self._is_anothers_order))

    def readable_holdings(self, raw: Iterable[object], read: Callable[[object], T], what: str) -> tuple[T, ...]:
        """The same for positions and activities."""
        return tuple(self._readable(raw, read, what, _is_of_no_stock))

    def skips(self, raw_order: object, error: Exception) -> bool:
        """Whether an order that cannot be read is another's: then it is skipped, and counted."""
        if not self._is_anothers_order(raw_order):
            return False
        self._skip(raw_order, "order", error)
        return True

    def _readable(
        self, raw: Iterable[object], read: Callable[[object], T], what: str, is_anothers: Callable[[object], bool]
    ) -> list[T]:
        found: list[T] = []
        for entry in raw:
            try:
                found.append(read(entry))
            except Exception as error:
                if not is_anothers(entry):
                    raise
                self._skip(entry, what, error)
        return found

    def _is_anothers_order(self, raw: object) -> bool:
        entry = _mapping(raw)
        client_order_id = entry.get("client_order_id")
        if isinstance(client_order_id, str) and client_order_id:
            return not client_order_id.startswith(self._prefix)
        return entry.get("order_class") == "mleg" or _is_of_no_stock(raw)

    def _skip(self, raw: object, what: str, error: Exception) -> None:
        entry = _mapping(raw)
        known_by = next((entry[key] for key in ("id", "symbol", "asset_id") if entry.get(key)), "without a name")
        name = short(f"{what} {known_by}")
        with self._lock:
            self.skipped += 1
            if name in self._named or len(self._named) >= MAX_NAMED:
                return
            self._named.add(name)
        logs.notice("warning", "unreadable_skipped", f"{name} is another's and cannot be read: {short(str(error))}")


def _is_of_no_stock(raw: object) -> bool:
    entry = _mapping(raw)
    kind, symbol, activity = (entry.get(field) for field in ("asset_class", "symbol", "activity_type"))
    if isinstance(kind, str) and kind:
        return kind != _STOCKS
    is_of_options = isinstance(activity, str) and activity.startswith("OP")
    return is_of_options or (isinstance(symbol, str) and _OPTION_OR_PAIR.fullmatch(symbol) is not None)


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}
