"""Grows a bot's volume with its spec: what to ask of the claim, and what came of it.

Must never shrink, rename or replace a claim: the bot's state is on it.
"""

from dataclasses import dataclass

from tradingbot_api import TradingBotSpec
from tradingbot_operator.plan.conditions import Verdict, false
from tradingbot_operator.plan.objects import Raw, is_being_deleted, name_of, text
from tradingbot_operator.plan.quantities import quantity
from tradingbot_operator.plan.snapshot import Refusal
from tradingbot_operator.plan.verdicts import STORAGE_GROWN

_REFUSED = "PersistentVolumeClaim "


@dataclass(frozen=True)
class ClaimGrowth:
    """A larger request to write into a volume claim, and nothing else about it."""

    claim: Raw
    size: str

    @property
    def target(self) -> str:
        """What the API server refuses, where it does."""
        return f"{_REFUSED}{name_of(self.claim)}"


def claim_growth(spec: TradingBotSpec, claim: Raw | None) -> ClaimGrowth | None:
    """What to ask of the claim now; an unbound claim cannot be changed, and a volume never shrinks."""
    if claim is None or is_being_deleted(claim) or text(claim, "status", "phase") != "Bound":
        return None
    asks_more = _is_more(spec.storage.size, text(claim, "spec", "resources", "requests", "storage"))
    return ClaimGrowth(claim, spec.storage.size) if asks_more else None


def storage_grown(spec: TradingBotSpec, claim: Raw | None, refusals: tuple[Refusal, ...]) -> Verdict | None:
    """StorageGrown: False while the volume is smaller than spec.storage.size; absent where it is not."""
    if claim is None:
        return None
    name, size = name_of(claim), spec.storage.size
    if text(claim, "status", "phase") != "Bound":
        if not _is_more(size, text(claim, "spec", "resources", "requests", "storage")):
            return None
        return false(STORAGE_GROWN, "VolumeNotBound", f"volume claim {name} grows to {size} once it is bound")
    refused = next((refusal for refusal in refusals if is_about_the_claim(refusal)), None)
    if refused is not None:
        return false(
            STORAGE_GROWN,
            "ResizeRefused",
            f"the bot runs on with the volume it has; the API server refused to grow {name} to {size}:"
            f" {refused.message}. A StorageClass with allowVolumeExpansion: true is needed",
        )
    if _is_more(size, text(claim, "status", "capacity", "storage")):
        return false(STORAGE_GROWN, "Resizing", f"volume claim {name} is growing to {size}")
    return None


def is_about_the_claim(refusal: Refusal) -> bool:
    """Whether the volume claim was refused: no reason for a bot not to run."""
    return refusal.child.startswith(_REFUSED)


def _is_more(wanted: str, stored: str) -> bool:
    left, right = quantity(wanted), quantity(stored)
    return left is not None and right is not None and left > right
