"""What the runtime needs of a control plane: to see a kill, a pause, a deletion and its grant, and to know that it can
see."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from tradingbot_runtime.core.events import (
    BotDeleted,
    BreakerResetAsked,
    ControlPlaneSeen,
    EvaluationAsked,
    GrantSeen,
    IncidentAcknowledged,
    KillSeen,
    PauseSeen,
    PositionsAccepted,
)


@dataclass(frozen=True)
class ControlPlaneLost:
    """The control plane could not be read just now. The core needs no word of it: it misses ControlPlaneSeen."""

    reason: str


class ControlPlaneFailed(Exception):
    """The source of control events cannot go on by itself: whoever listens begins again."""


ControlEvent = (
    KillSeen
    | PauseSeen
    | BreakerResetAsked
    | EvaluationAsked
    | IncidentAcknowledged
    | PositionsAccepted
    | GrantSeen
    | BotDeleted
    | ControlPlaneSeen
    | ControlPlaneLost
)


class ControlPlane(Protocol):
    """A source of control events. It reconnects by itself and ends only with an error: then listen anew."""

    watched: bool
    """Whether there is anything to see, so that not seeing it for long is a reason to stop opening exposure."""

    def events(self) -> AsyncGenerator[ControlEvent, None]:
        """What is asked for from now on; first all that holds already, then ControlPlaneSeen, and so on.

        ControlPlaneSeen comes only after everything that was seen with it, and at least every 30 s while all goes
        well.
        """
        ...
