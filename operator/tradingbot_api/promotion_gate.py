"""PromotionGate: what a bot has to show before it may trade real money. Thresholds only, reusable by many bots.

Every field has a safe default, so that an empty spec is the whole list. Decides nothing: verdicts are the operator's.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from tradingbot_api.conditions import Condition
from tradingbot_api.gate_checks import BlockingCheck, Checks, Weight, WeightedCheck
from tradingbot_api.model import ApiModel, ObjectName, ObservedModel, Percent, PositiveAmount, Span, cel


class ItemKind(StrEnum):
    """What an item that is not satisfied means for the verdict."""

    BLOCKING = "Blocking"
    WEIGHTED = "Weighted"


class ItemSource(StrEnum):
    """Who says that an item is satisfied."""

    MANUAL = "Manual"
    ATTESTED = "Attested"


class ChecklistItem(ApiModel):
    """One item of the team's own checklist."""

    name: ObjectName
    """What approvals, attestations and the status call it."""
    text: Annotated[str, Field(min_length=1, max_length=512)]
    """What has to be true, as a person reads it."""
    source: ItemSource = ItemSource.MANUAL
    """Manual: an approval that names the item. Attested: an attestation of another system, such as a CI."""
    kind: ItemKind = ItemKind.BLOCKING
    """Blocking: not satisfied is NO-GO. Weighted: it counts with its weight."""
    weight: Weight = 1
    """Its share of the score where kind is Weighted."""
    max_age: Span | None = None
    """What satisfies it is stale when older than this; never when absent."""


class ApprovalRules(ApiModel):
    """What a person's approval is worth. GO needs one, REVIEW two by different people; NO-GO cannot be approved."""

    separation_of_duties: bool = True
    """Whoever last changed the bot's spec may not be its only approver. Kubernetes does not record who that was, so two
    different people approve: one of them at least did not change it."""
    expire_after: Span = "72h"
    """An approval that was not used for this long is void."""


class Stage(ApiModel):
    """A cap on the capital for the first sessions with real money."""

    max_capital: PositiveAmount
    """The most the bot may hold in this stage, in account currency; the bot's own capital where that is less."""
    sessions: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Clean live sessions before the next stage. The last stage has none."""
    approval: bool = False
    """Whether the next stage also needs an approval (action AdvanceStage)."""


class Demotion(ApiModel):
    """When a live bot goes back to paper, beside a kill, a breaker, an audit mismatch or a change of its subject."""

    maximum_drift_percent: Percent = Decimal("15")
    """Drift of the live result from the shadow's, in percent, that counts against the bot."""
    drift_sessions: Annotated[int, Field(ge=1, le=100)] = 3
    """Sessions in a row with more drift than that."""
    acknowledge_within: Span = "60m"
    """How long an incident may wait for a person."""


_WEIGHABLE: Final = tuple(
    str(field.alias)
    for field in Checks.model_fields.values()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BlockingCheck | WeightedCheck)
)
_ANY_CHECK_IS_WEIGHTED: Final = " || ".join(f"self.checks.{name}.kind == 'Weighted'" for name in _WEIGHABLE)


_MAX_AGE: Final = "self.checks.paperSessions.maxAge"
_MAX_AGE_IN_MINUTES: Final = (
    f"int({_MAX_AGE}.substring(0, {_MAX_AGE}.size() - 1))"
    f" * ({_MAX_AGE}.endsWith('d') ? 1440 : {_MAX_AGE}.endsWith('h') ? 60 : 1)"
)
# From the first session's close to the last one's, without a holiday: what no calendar can beat.
_SPAN_OF_SESSIONS_IN_DAYS: Final = (
    "((self.checks.paperSessions.minimum - 1) / 5 * 7 + (self.checks.paperSessions.minimum - 1) % 5)"
)


class PromotionGateSpec(ApiModel):
    """What a bot has to show. An empty spec is every check with its default threshold."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    f"{_ANY_CHECK_IS_WEIGHTED}"
                    " || (has(self.items) && self.items.exists(item, item.kind == 'Weighted'))",
                    "checks: make at least one check or item Weighted: the score is a share of their weights",
                ),
                cel(
                    "self.checks.paperSessions.kind == 'NotApplicable'"
                    " || self.checks.cleanReconciliationSessions.minimum <= self.checks.paperSessions.minimum",
                    "checks.cleanReconciliationSessions.minimum: at most paperSessions.minimum,"
                    " or the gate asks for more sessions than it says",
                ),
                cel(
                    "self.checks.paperSessions.kind == 'NotApplicable'"
                    f" || {_MAX_AGE_IN_MINUTES} >= {_SPAN_OF_SESSIONS_IN_DAYS} * 1440",
                    "checks.paperSessions.maxAge: too short for minimum sessions, of which there are 5 in 7 days:"
                    " raise it and leave room for holidays, or ask for fewer sessions",
                ),
                cel(
                    "!has(self.stages) || self.stages.size() == 0"
                    " || (!has(self.stages[self.stages.size() - 1].sessions)"
                    " && self.stages.filter(stage, !has(stage.sessions)).size() == 1)",
                    "stages: every stage but the last needs sessions, and the last has none: it is where the bot stays",
                ),
                cel(
                    "!has(self.stages) || (self.stages.map(stage, double(stage.maxCapital)).isSorted()"
                    " && self.stages.all(stage,"
                    " self.stages.filter(other, double(other.maxCapital) == double(stage.maxCapital)).size() == 1))",
                    "stages: write them with rising maxCapital, each above the one before",
                ),
                cel(
                    "!has(self.stages) || self.stages.size() == 0 || !self.stages[self.stages.size() - 1].approval",
                    "stages: the last stage has no next one to approve; leave its approval out",
                ),
            ]
        }
    )

    checks: Checks = Checks()
    """Thresholds, kinds and weights of the checks."""
    items: Annotated[
        list[ChecklistItem],
        Field(
            max_length=100,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default_factory=list)
    """Checklist items of the team's own, beside the checks."""
    approvals: ApprovalRules = ApprovalRules()
    """What a person's approval is worth."""
    stages: Annotated[list[Stage], Field(max_length=10)] = Field(default_factory=list)
    """Caps on the capital for the first live sessions, rising. The whole capital at once when empty."""
    demotion: Demotion = Demotion()
    """When a live bot goes back to paper."""


class GateVerdict(StrEnum):
    """What a gate says of a bot. Only GO and REVIEW can be approved."""

    GO = "GO"
    REVIEW = "REVIEW"
    NO_GO = "NO-GO"
    PENDING = "Pending"

    @property
    def is_approvable(self) -> bool:
        """Whether a person may approve it."""
        return self in (GateVerdict.GO, GateVerdict.REVIEW)


class GatedBot(ObservedModel):
    """What the gate says of one bot that names it."""

    name: ObjectName
    """Name of the TradingBot."""
    requested: Annotated[str, Field(max_length=16)] = "paper"
    """The mode its spec asks for."""
    verdict: GateVerdict = GateVerdict.PENDING
    """GO, REVIEW or NO-GO; Pending where it was not evaluated."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """One CamelCase word for programs."""
    message: Annotated[str, Field(max_length=512)] = ""
    """What blocks it."""


class PromotionGateStatus(ObservedModel):
    """What was observed of a gate; written only by the operator."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation this status was computed from."""
    bot_count: Annotated[int, Field(ge=0)] = 0
    """How many bots name the gate."""
    summary: Annotated[str, Field(max_length=512)] = ""
    """The first few bots with their verdict, sessions and what blocks them: those that ask for live first."""
    bots: Annotated[list[GatedBot], Field(max_length=1000)] = Field(default_factory=list)
    """The bots that name the gate, by name; the first 1000."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = Field(default_factory=list)
    """Valid: this release can read the spec. Evaluated: the verdicts are of the present evidence."""


class PromotionGate(ApiModel):
    """What a bot has to show before it may trade real money."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: PromotionGateSpec
    status: PromotionGateStatus = PromotionGateStatus()
