"""The grant under which a live bot trades, as its own process sees it, and the withdrawal once that grant is gone.

Values only. A withdrawal is a latch of its grant: the same grant never comes back, only a new one, with another epoch.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tradingbot_api import GrantRef, OnDelete
from tradingbot_runtime.core.kill import KillState

CHECKPOINT: Final = "grant"
SCOPE: Final = "Grant"


@dataclass(frozen=True)
class LiveGrant:
    """What a live bot knows of the grant it was started under."""

    ref: GrantRef
    is_seen: bool = False
    """Whether this process has seen it in the bot's own TradingBot."""
    max_capital: Decimal | None = None
    """The most the bot may hold under it, in account currency; None: its own capital."""
    withdrawal: KillState | None = None
    """How far the bot is in leaving live trading; None while it has not begun."""
    is_new: bool = True
    """Whether the volume knows nothing of it yet: what it remembers of closing down is about an earlier one."""

    @property
    def missing(self) -> str | None:
        """Why the bot may not trade under it, as a sentence; None when it may."""
        if self.withdrawal is not None:
            return f"the bot may no longer trade live: {self.withdrawal.reason}"
        if not self.is_seen:
            return f"the bot has not seen its grant (epoch {self.ref.epoch}) in its own TradingBot since it started"
        return None

    def to_json(self) -> str:
        """The checkpoint's document. What is seen is seen anew by every process, and not in it."""
        document = {
            "subject_digest": self.ref.subject_digest,
            "epoch": self.ref.epoch,
            "withdrawal": None if self.withdrawal is None else _ending_to_json(self.withdrawal),
        }
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls, document: str | None, ref: GrantRef, on_delete: OnDelete) -> "LiveGrant":
        """The grant `ref`, and its withdrawal where the volume says that it began; that of another grant is over."""
        data = json.loads(document) if document else {}
        if (data.get("subject_digest"), data.get("epoch")) != (ref.subject_digest, ref.epoch):
            return cls(ref)
        withdrawal = None if data["withdrawal"] is None else _ending_from_json(data["withdrawal"])
        if withdrawal is not None:
            # A person may have thought again since it began: the config that this process was given counts.
            withdrawal = replace(withdrawal, flatten=on_delete is OnDelete.FLATTEN)
        return cls(ref, withdrawal=withdrawal, is_new=False)


def _ending_to_json(ending: KillState) -> dict[str, Any]:
    return {
        "reason": ending.reason,
        "observed_at": ending.observed_at.isoformat(),
        "orders_cancelled_at": _text(ending.orders_cancelled_at),
        "flat_at": _text(ending.flat_at),
        "open_orders": ending.open_orders,
        "open_positions": ending.open_positions,
    }


def _ending_from_json(data: dict[str, Any]) -> KillState:
    return KillState(
        reason=data["reason"],
        scope=SCOPE,
        flatten=False,
        observed_at=datetime.fromisoformat(data["observed_at"]),
        orders_cancelled_at=_time(data["orders_cancelled_at"]),
        flat_at=_time(data["flat_at"]),
        open_orders=data["open_orders"],
        open_positions=data["open_positions"],
    )


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
