"""What the volume gives back at start-up. Read by the engine once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.orders import Fill, Order
from tradingbot_runtime.core.records import IncidentRecord, NoticeRecord


@dataclass(frozen=True)
class Recovered:
    """State as the last committed transaction left it; empty for a bot's first start."""

    orders: tuple[Order, ...] = ()
    """Every order of this mode, oldest first."""
    fills: tuple[Fill, ...] = ()
    """Every fill of this mode, oldest first."""
    kill: KillState | None = None
    """The last kill, as it stands on the volume, while it was not released there."""
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """The engine's own small documents, by name."""
    incidents: tuple[IncidentRecord, ...] = ()
    """Incidents that are not resolved, oldest first."""
    notices: tuple[NoticeRecord, ...] = ()
    """Notices that wait for an attempt, oldest first."""
    dead_letters: int = 0
    """Notices that could not be delivered and were not taken up since."""
