"""ValidationRun: one validation of a bot's strategy, asked for by whoever writes the bot, carried out by the operator.

`spec` is what was asked and never changes; `status` is how far it is and where its result is. The result itself is a
PromotionEvidence, which outlives the run. Must never carry a figure that a gate reads: those are evidence.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tradingbot_api.conditions import Condition
from tradingbot_api.model import ApiModel, ObjectName, ObservedModel, Span, cel
from tradingbot_api.promotion_evidence import BotRef, Sha256
from tradingbot_api.runtime_report import Time


class ArtifactStore(ApiModel):
    """Where the folder of a validation is kept."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.claimName.startsWith('validation')",
                    "claimName: the bot's image writes to it, so only a PersistentVolumeClaim that was made for that"
                    " will do: one whose name begins with validation",
                )
            ]
        }
    )

    claim_name: ObjectName
    """A PersistentVolumeClaim of the same namespace, which you make and keep. The group 65532 writes to it."""


class ValidationRunSpec(ApiModel):
    """Which bot, on how many bars, from which seed."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [cel("self == oldSelf", "a validation is never changed: make another")]
        }
    )

    bot_ref: BotRef
    """The bot, by name and UID."""
    days: Annotated[int, Field(ge=120, le=5000)] = 1250
    """Exchange sessions whose bars are read from the broker's market data, the last ones. 1250 are five years."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """Seed of everything that is drawn: the same bars and the same seed give the same result."""
    artifacts: ArtifactStore | None = None
    """Where the folder with manifest, report and tables is kept. Without it the folder goes with the Job's pod, and the
    evidence does not say that its artifacts are verified: ValidationArtifacts fails."""
    ttl: Annotated[
        Span,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    cel("!self.endsWith('m') || int(self.replace('m', '')) >= 60", "ttl: at least an hour, such as 1h")
                ]
            }
        ),
    ] = "7d"
    """How long the Job that is over, with its log, is kept. The evidence and the run stay."""


class ValidationRunStatus(ObservedModel):
    """How far it is."""

    conditions: Annotated[
        list[Condition],
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = Field(default_factory=list)
    """Complete: there is evidence, whether of success or not. Failed: there will be none, with reason and message."""
    subject_digest: Sha256 | None = None
    """What is validated, as the bot's status.subjectDigest was when the Job was made. Any later change voids it."""
    job: Annotated[str, Field(max_length=253)] = ""
    """The Job that computes it, the last one where there were several."""
    attempts: Annotated[int, Field(ge=0)] = 0
    """Jobs that were made for it: another one where the broker did not answer, or the pod was lost."""
    evidence: Annotated[str, Field(max_length=253)] = ""
    """The PromotionEvidence that came of it."""
    started_at: Time | None = None
    """When the first Job was made."""
    completed_at: Time | None = None
    """When it came to its end, either way."""


class ValidationRun(ApiModel):
    """One validation of a bot's strategy."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: ValidationRunSpec
    status: ValidationRunStatus | None = None
