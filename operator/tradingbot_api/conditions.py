"""Conditions as the Kubernetes API conventions have them. Decides nothing; `plan` sets them."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradingbot_api.model import ObservedModel


class ConditionStatus(StrEnum):
    """True, False or Unknown."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ObservedModel):
    """One aspect of an object's state, with why."""

    type: Annotated[str, Field(max_length=64)]
    """Name of the condition, an adjective or a state: Ready, Killed."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=128)]
    """One CamelCase word for programs."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """What a person needs to know and to do."""
    last_transition_time: Annotated[str, Field(max_length=32)]
    """When the status last changed (RFC 3339, UTC)."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The metadata.generation that this condition was computed from."""
