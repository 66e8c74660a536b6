"""PromotionEvidence: one thing that was observed of a bot, written once by the operator and never changed.

It counts only for the bot, the account and the subject it names; what counts is decided by the operator's `promotion`.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tradingbot_api.gate_checks import Drill
from tradingbot_api.model import Amount, ApiModel, ObjectName, cel
from tradingbot_api.preflight_report import PreflightCheck
from tradingbot_api.runtime_report import Time
from tradingbot_api.session_report import AuditReport, SessionReport

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
Uid = Annotated[str, Field(min_length=1, max_length=64)]
Image = Annotated[str, Field(min_length=1, max_length=512)]


class BotRef(ApiModel):
    """A TradingBot of the same namespace, by name and UID: never a namesake made later."""

    name: ObjectName
    """Name of the TradingBot."""
    uid: Uid
    """Its metadata.uid."""


class EvidenceType(StrEnum):
    """What was observed."""

    SESSION = "Session"
    VALIDATION = "Validation"
    DRILL = "Drill"
    PREFLIGHT = "Preflight"


class SessionEvidence(ApiModel):
    """One closed exchange session, as the bot reported it and as the broker's own record has it."""

    report: SessionReport
    """What the bot said."""
    journal_hash: Annotated[str, Field(max_length=64)]
    """Hash of the journal line before the session's end."""
    audit: AuditReport
    """What a separate process found in the broker's record."""


class Artifact(ApiModel):
    """One stored file of a validation."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Its path in the artifact folder."""
    sha256: Sha256
    """Its hash."""


class ValidationEvidence(ApiModel):
    """What a validation found. Ratios are decimal strings without a unit unless they say percent."""

    sharpe: Amount
    """Annual Sharpe ratio of the backtest, after costs."""
    max_drawdown_percent: Amount
    """Largest drawdown of the backtest, in percent."""
    walk_forward_efficiency_percent: Amount
    """Out-of-sample result of the walk-forward in percent of the in-sample result."""
    overfit_ratio: Amount
    """In-sample result over out-of-sample result."""
    t_statistic: Amount
    """t of the mean return."""
    permutation_p: Amount
    """p of the permutation test."""
    deflated_sharpe: Amount
    """Probability that the Sharpe ratio is more than the best of all trials by luck."""
    causal: bool
    """Whether no target changed when later bars were taken away, nor when it was asked for again. Where one did, the
    strategy knows the future, and every other figure here is worth nothing."""
    artifacts: Annotated[list[Artifact], Field(min_length=1, max_length=50)]
    """The stored files with their hashes."""
    artifacts_verified: bool
    """Whether the files were read again after they were stored, and their hashes matched, and they are kept."""
    parameters_digest: Sha256
    """sha256 over strategy, parameters, symbols and timeframe as validated."""
    code_digest: Annotated[str, Field(max_length=128)]
    """Digest of the image that computed it."""
    data_fingerprint: Sha256
    """sha256 over the bars it was computed from."""


class DrillEvidence(ApiModel):
    """A fault that was put into the running bot on paper, and how it came through."""

    drill: Drill
    """Which fault."""
    injected_at: Time
    """When it was put in."""
    detected_at: Time | None = None
    """When the bot said that something was wrong; absent if it never did."""
    recovered_at: Time | None = None
    """When the bot was ready again; absent if it never was."""
    invariants_held: bool
    """Whether every invariant held throughout."""
    message: Annotated[str, Field(max_length=512)] = ""
    """What did not."""


class PreflightEvidence(ApiModel):
    """The last look at the live account before real money; it sends no order."""

    checks: Annotated[list[PreflightCheck], Field(min_length=1, max_length=32)]
    """What was looked at."""


class PromotionEvidenceSpec(ApiModel):
    """What was observed, of whom, by whom, and where it came from."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("self == oldSelf", "evidence is never changed: it is what was seen at that time"),
                cel(
                    "(self.type == 'Session') == has(self.session)"
                    " && (self.type == 'Validation') == has(self.validation)"
                    " && (self.type == 'Drill') == has(self.drill)"
                    " && (self.type == 'Preflight') == has(self.preflight)",
                    "write exactly the part that type names: session, validation, drill or preflight",
                ),
            ]
        }
    )

    type: EvidenceType
    """Session, Validation, Drill or Preflight."""
    bot_ref: BotRef
    """The bot it is about."""
    pod_uid: Annotated[Uid, Field(alias="podUID")]
    """UID of the pod that was observed, or of the Job's pod that observed."""
    subject_digest: Sha256
    """Digest of everything that matters for a promotion at that time. It counts only while the bot's is the same."""
    observed_generation: Annotated[int, Field(ge=1)]
    """metadata.generation of the TradingBot at that time."""
    account: ObjectName
    """The BrokerAccount that was traded on or looked at."""
    provider: Annotated[str, Field(max_length=16)]
    """Provider of that account: what a simulator says counts only for a bot whose live account is one, too."""
    image: Image
    """Digest of the image that was observed, as the kubelet reports it."""
    source_digest: Sha256
    """sha256 over what this was made from."""
    observed_at: Time
    """When it came to be: a session's close, a Job's end."""
    session: SessionEvidence | None = None
    """Where type is Session."""
    validation: ValidationEvidence | None = None
    """Where type is Validation."""
    drill: DrillEvidence | None = None
    """Where type is Drill."""
    preflight: PreflightEvidence | None = None
    """Where type is Preflight."""


class PromotionEvidence(ApiModel):
    """One thing that was observed of a bot."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: PromotionEvidenceSpec
