"""What every fault rule has: a name, how often it happens, and in which hours of market time.

Values only: who counts and draws is the book.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("needs an offset, such as 2026-03-02T15:00:00Z")
    return at.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_aware)]
RuleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9./]{0,14}$")]
ClientOrderIdPrefix = Annotated[str, Field(min_length=1, max_length=128)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class FaultError(ValueError):
    """A rule, an intervention or a scenario cannot be read or carried out; the message names the field."""


class Strict(BaseModel):
    """Unknown fields are errors, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Match(Strict):
    """Which account a fault is for; a field left out matches everything."""

    account: AccountName | None = Field(default=None, description="an account's name")


class Rule(Strict):
    """What goes wrong, how often, and when.

    Each time the rule could strike is an opportunity. Of these the first `skip` pass unharmed, then every
    `every`-th one is struck with `probability` until `count` have been; all of it only from `since` to `until`.
    """

    example: ClassVar[dict[str, Any]] = {}

    name: RuleName | None = Field(default=None, description="what to call it; without one it is numbered")
    count: int | None = Field(default=None, ge=1, le=1_000_000, description="how often at most; no limit without it")
    skip: int = Field(default=0, ge=0, le=1_000_000, description="opportunities that pass unharmed first")
    every: int = Field(default=1, ge=1, le=1_000_000, description="of the rest only every so many-th")
    probability: float = Field(default=1.0, gt=0, le=1, description="chance at each, drawn from the seed")
    since: Instant | None = Field(default=None, description="market time from which on")
    until: Instant | None = Field(default=None, description="market time at which it ends")

    @model_validator(mode="after")
    def _ordered(self) -> Rule:
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("until must be after since")
        return self

    def is_due(self, at: datetime) -> bool:
        """Whether the rule holds at market time `at`."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)
