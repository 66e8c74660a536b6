"""Approval: the one way a person decides something about a bot. Create-only; its author is enforced by admission."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tradingbot_api.model import ApiModel, ObjectName, cel
from tradingbot_api.promotion_evidence import BotRef, Sha256


class ApprovalAction(StrEnum):
    """What is decided."""

    PROMOTE = "Promote"
    """The bot may trade real money."""
    ADVANCE_STAGE = "AdvanceStage"
    """The bot may hold the next stage's capital."""
    RELEASE_KILL = "ReleaseKill"
    """A kill is over: the bot returns on paper."""
    ACKNOWLEDGE_INCIDENT = "AcknowledgeIncident"
    """A person has seen an incident."""


class ApprovedVerdict(StrEnum):
    """A verdict that can be approved: NO-GO cannot."""

    GO = "GO"
    REVIEW = "REVIEW"


class ApprovalSpec(ApiModel):
    """Who decides what, of which bot, exactly as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("self == oldSelf", "an approval is never changed: delete it and write another"),
                cel(
                    "self.action != 'Promote' || (has(self.subjectDigest) && has(self.verdict))",
                    "Promote needs subjectDigest and verdict: copy both from the bot's status.promotion",
                ),
                cel(
                    "!(self.action in ['Promote', 'AdvanceStage']) || has(self.gate)",
                    "Promote and AdvanceStage need gate: copy it from the bot's status.promotion",
                ),
                cel(
                    "self.action != 'AdvanceStage' || (has(self.subjectDigest) && has(self.stage))",
                    "AdvanceStage needs subjectDigest and stage: copy both from the bot's status.grant",
                ),
                cel(
                    "self.action != 'ReleaseKill' || has(self.killEpoch)",
                    "ReleaseKill needs killEpoch: copy it from the bot's status.kill",
                ),
                cel(
                    "self.action != 'AcknowledgeIncident' || has(self.incident)",
                    "AcknowledgeIncident needs incident: copy its id from the bot's status.incidents",
                ),
            ]
        }
    )

    action: ApprovalAction
    """Promote, AdvanceStage, ReleaseKill or AcknowledgeIncident."""
    bot_ref: BotRef
    """The bot, by name and UID."""
    gate: ObjectName | None = None
    """Promote and AdvanceStage: the gate; whoever approves needs the verb `approve` on it."""
    subject_digest: Sha256 | None = None
    """Promote and AdvanceStage: what is approved, as the bot's status names it. Any later change voids it."""
    verdict: ApprovedVerdict | None = None
    """Promote: the verdict that is approved."""
    stage: Annotated[int, Field(ge=1, le=10)] | None = None
    """AdvanceStage: number of the stage to go to; the first is 0."""
    kill_epoch: Annotated[int, Field(ge=1)] | None = None
    """ReleaseKill: the epoch of the kill."""
    incident: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """AcknowledgeIncident: the incident's id."""
    approver: Annotated[str, Field(min_length=1, max_length=253)]
    """The user who creates this object; admission refuses any other name, and every ServiceAccount."""
    reason: Annotated[str, Field(min_length=1, max_length=2048)]
    """Why. For REVIEW it names every check that did not pass."""
    items: Annotated[list[ObjectName], Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "set"})] = (
        Field(default_factory=list)
    )
    """Manual items of the gate's checklist that the approver has looked at and holds to be satisfied."""


class Approval(ApiModel):
    """A person's decision about a bot."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: ApprovalSpec
