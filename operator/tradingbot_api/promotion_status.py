"""How far a bot is on its way from paper to live, and what it may do with real money: parts of a TradingBot's status.

Written only by the operator, after it has judged the bot by its gate.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradingbot_api.gate_checks import CheckKind
from tradingbot_api.model import ObjectName, ObservedModel, PositiveAmount
from tradingbot_api.promotion_evidence import Sha256
from tradingbot_api.promotion_gate import GateVerdict
from tradingbot_api.runtime_report import Time

Word = Annotated[str, Field(max_length=128)]
Sentence = Annotated[str, Field(max_length=1024)]


class CheckState(StrEnum):
    """How a check stands. Only Pass passes."""

    PASS = "Pass"  # noqa: S105 - a state, no word to remember
    FAIL = "Fail"
    UNKNOWN = "Unknown"
    """There is no evidence yet."""
    STALE = "Stale"
    """There was evidence, and it is too old."""
    NOT_APPLICABLE = "NotApplicable"
    """The gate leaves it out."""


class SubjectInput(ObservedModel):
    """One of the things that evidence is about."""

    name: Word
    """The field it comes from: strategy, risk, image, gate, killEpoch."""
    sha256: Sha256
    """Its digest."""
    changed_at: Time
    """When it was first seen as it is now."""


class SubjectStatus(ObservedModel):
    """Everything that, if it changes, makes the evidence be about something else."""

    digest: Sha256
    """sha256 over all inputs; the same as status.subjectDigest."""
    image: Annotated[str, Field(max_length=512)]
    """Digest of the image as the kubelet reports it; `unknown` until a pod has run."""
    since: Time
    """When the digest became what it is: sessions that opened before do not count."""
    inputs: Annotated[list[SubjectInput], Field(max_length=32)]
    """What it is made of, by name."""


class ChecklistEntry(ObservedModel):
    """One check of the gate, as it stands."""

    name: Word
    """The check, or the item of the gate's own list."""
    kind: CheckKind
    """Blocking, Weighted or NotApplicable."""
    weight: Annotated[int, Field(ge=0)] = 0
    """Its share of the score where kind is Weighted."""
    state: CheckState
    """Pass, Fail, Unknown, Stale or NotApplicable."""
    observed: Word = ""
    """What was found."""
    threshold: Word = ""
    """What it has to be."""
    message: Annotated[str, Field(max_length=512)] = ""
    """What is missing or wrong, and what to do; empty where it passes."""
    evidence_refs: Annotated[list[Annotated[str, Field(max_length=253)]], Field(max_length=5)] = Field(
        default_factory=list
    )
    """Names of the last few objects it was read from."""
    last_evaluated: Time
    """When it was first found to be as it is now."""


class Named(ObservedModel):
    """An object and a word about it."""

    name: Annotated[str, Field(max_length=253)]
    """Name of the object."""
    reason: Annotated[str, Field(max_length=256)]
    """Why."""


class UsedApproval(ObservedModel):
    """An approval that a grant was given on."""

    name: Annotated[str, Field(max_length=253)]
    """Name of the Approval."""
    uid: Annotated[str, Field(max_length=64)]
    """Its metadata.uid."""
    approver: Annotated[str, Field(max_length=253)]
    """Who wrote it."""


class PromotionStatus(ObservedModel):
    """What the gate says of the bot, and why."""

    gate: ObjectName
    """The PromotionGate."""
    verdict: GateVerdict
    """GO, REVIEW or NO-GO."""
    score: Annotated[int, Field(ge=0, le=10_000)]
    """Passed weight over all weight, in basis points."""
    sessions: Annotated[int, Field(ge=0)]
    """Paper sessions that count."""
    required_sessions: Annotated[int, Field(ge=0)]
    """Paper sessions that the gate asks for."""
    message: Sentence = ""
    """Why the bot is not live yet, in one look: what is missing, and by when it could be there at the earliest."""
    earliest_at: Annotated[str, Field(max_length=10)] | None = None
    """The first date (New York) on which the sessions asked for can be there, by the exchange's calendar."""
    subject: SubjectStatus
    """What is judged."""
    blockers: Annotated[list[Word], Field(max_length=140)] = Field(default_factory=list)
    """Blocking checks that do not pass."""
    checklist: Annotated[list[ChecklistEntry], Field(max_length=140)] = Field(default_factory=list)
    """Every check."""
    approvals: Annotated[list[UsedApproval], Field(max_length=10)] = Field(default_factory=list)
    """Approvals that stand for the present verdict and subject."""
    approvals_missing: Annotated[str, Field(max_length=256)] = ""
    """What is still needed of people; empty where nothing is."""
    void_approvals: Annotated[list[Named], Field(max_length=10)] = Field(default_factory=list)
    """The last few approvals of this bot that do not stand, and why."""
    set_aside: Annotated[list[Named], Field(max_length=10)] = Field(default_factory=list)
    """The last few pieces of evidence that do not count, and why."""
    used_approvals: Annotated[list[UsedApproval], Field(max_length=50)] = Field(default_factory=list)
    """Approvals that are used up: each is good for one grant."""
    grants: Annotated[int, Field(ge=0)] = 0
    """How many grants the bot was given."""


class Grant(ObservedModel):
    """The permission to trade real money. The runtime trades only while it names what it was started with."""

    subject_digest: Sha256
    """What may trade."""
    epoch: Annotated[int, Field(ge=1)]
    """Number of the grant: one more with each."""
    granted_at: Time
    """When it was given."""
    gate: ObjectName
    """The gate that was passed."""
    account: ObjectName
    """The live BrokerAccount."""
    verdict: GateVerdict
    """The verdict that was approved."""
    approvals: Annotated[list[UsedApproval], Field(max_length=10)]
    """Who approved it."""
    stage: Annotated[int, Field(ge=0, le=10)] = 0
    """Stage of the gate the bot is in; the first is 0."""
    max_capital: PositiveAmount | None = None
    """The most the bot may hold in this stage; its own capital when absent."""
    stage_since: Time
    """When the stage began: live sessions that opened before do not count for the next."""
    stage_sessions: Annotated[int, Field(ge=0)] = 0
    """Clean live sessions in this stage."""


class DemotionReport(ObservedModel):
    """Why a live bot went back to paper."""

    at: Time
    """When."""
    reason: Word
    """One CamelCase word: Requested, Killed, SubjectChanged, DriftExceeded, BreakerTripped, AuditMismatch,
    IncidentNotAcknowledged, PolicyNotEnforced, SymbolConflict."""
    message: Sentence
    """The same for a person."""
    epoch: Annotated[int, Field(ge=1)]
    """The grant that ended."""
