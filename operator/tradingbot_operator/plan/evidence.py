"""PromotionEvidence as manifests, made from what a Job's pod left, and what of it is known already.

The same Job and the same words give the same bytes and the same name, whoever looks and however often.
Must never believe a message that it cannot read whole.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from tradingbot_api import (
    API_VERSION,
    AuditReport,
    AuditReports,
    BotRef,
    ClosedSession,
    EvidenceType,
    PreflightEvidence,
    PreflightReport,
    PromotionEvidenceSpec,
    SessionEvidence,
    TerminationMessage,
    ValidationEvidence,
)
from tradingbot_operator.plan.children import Bot
from tradingbot_operator.plan.conditions import parse_timestamp, timestamp
from tradingbot_operator.plan.jobs import CONTAINER
from tradingbot_operator.plan.objects import Raw, created_at, entries, mapping, number, text, uid_of
from tradingbot_operator.plan.producers import About, owned, source_digest

KIND: Final = "PromotionEvidence"
_COMPONENT: Final = "evidence"
_TRY_AGAIN: Final = 75
"""An audit's exit code where some sessions could not be judged. What it says of the others holds."""


@dataclass(frozen=True)
class Ended:
    """How a Job's pod ended."""

    at: datetime
    pod_uid: str
    """Empty where there is no pod any more."""
    message: str
    """What it left, as the kubelet wrote it down."""
    problem: str = ""
    """Why there is no message."""
    exit_code: int = -1
    """How the command ended; -1 where nobody saw it."""

    @property
    def is_lost(self) -> bool:
        """Whether nobody saw the pod end."""
        return not self.pod_uid

    @property
    def source_digest(self) -> str:
        """sha256 of the message."""
        return hashlib.sha256(self.message.encode()).hexdigest()


def ended(job: Raw, pod: Raw | None) -> Ended | None:
    """How a Job ended, from its pod where that says it, else from the Job; None while it runs."""
    for container in entries(pod or {}, "status", "containerStatuses"):
        last = mapping(container, "state", "terminated")
        if text(container, "name") == CONTAINER and last:
            at = parse_timestamp(text(last, "finishedAt")) or parse_timestamp(created_at(job))
            message = text(last, "message")
            code = number(last, "exitCode")
            said = f"{text(last, 'reason') or 'it ended'} with exit code {code} and no message"
            return Ended(at, uid_of(pod or {}), message, "" if message else said, code) if at is not None else None
    for condition in entries(job, "status", "conditions"):
        if text(condition, "type") in ("Complete", "Failed") and text(condition, "status") == "True":
            at = parse_timestamp(text(condition, "lastTransitionTime"))
            why = text(condition, "message") or "its pod is gone"
            return Ended(at, "", "", why[:200]) if at is not None else None
    return None


def audits_in(end: Ended) -> AuditReports | None:
    """An audit's last words; None where they are something else."""
    try:
        return AuditReports.model_validate_json(end.message) if end.exit_code in (0, 1, _TRY_AGAIN) else None
    except ValidationError:
        return None


def preflight_in(end: Ended) -> PreflightReport | None:
    """A preflight's last words; None where they are something else, or where the broker gave it no answer: that says
    nothing about the account.
    """
    try:
        return PreflightReport.model_validate_json(end.message) if end.exit_code in (0, 1) else None
    except ValidationError:
        return None


def validation_in(end: Ended) -> ValidationEvidence | None:
    """A validation's last words; None where they are something else. Exit code 1: it was not passed, which counts."""
    try:
        return ValidationEvidence.model_validate_json(end.message) if end.exit_code in (0, 1) else None
    except ValidationError:
        return None


def refusal_in(end: Ended) -> TerminationMessage | None:
    """Why a command ended without a result, in its own words; None where it left none."""
    try:
        return TerminationMessage.model_validate_json(end.message) if end.exit_code not in (0, 1) else None
    except ValidationError:
        return None


def session_evidence(bot: Bot, about: About, session: ClosedSession, audit: AuditReport) -> Raw:
    """The evidence of one session."""
    report = session.report
    spec = PromotionEvidenceSpec(
        **_common(bot, about),
        type=EvidenceType.SESSION,
        pod_uid=about.pod_uid,
        source_digest=source_digest(session),
        observed_at=_closed_at(report.began_at, report.closes_at, about),
        session=SessionEvidence(report=report, journal_hash=session.journal_hash, audit=audit),
    )
    return _manifest(bot, f"session-{report.session}", spec)


def preflight_evidence(bot: Bot, about: About, report: PreflightReport, end: Ended) -> Raw:
    """The evidence of a preflight."""
    spec = PromotionEvidenceSpec(
        **_common(bot, about),
        type=EvidenceType.PREFLIGHT,
        pod_uid=end.pod_uid,
        source_digest=end.source_digest,
        observed_at=timestamp(end.at),
        preflight=PreflightEvidence(checks=report.checks),
    )
    return _manifest(bot, f"preflight-{end.at.date().isoformat()}", spec)


def validation_evidence(bot: Bot, about: About, found: ValidationEvidence, end: Ended) -> Raw:
    """The evidence of a validation. Files that go with the Job's pod are not called verified, whatever it says."""
    is_kept = about.run is not None and bool(about.run.claim)
    spec = PromotionEvidenceSpec(
        **_common(bot, about),
        type=EvidenceType.VALIDATION,
        pod_uid=end.pod_uid,
        source_digest=end.source_digest,
        observed_at=timestamp(end.at),
        validation=found.model_copy(update={"artifacts_verified": found.artifacts_verified and is_kept}),
    )
    return _manifest(bot, f"validation-{end.at.date().isoformat()}", spec)


def is_about(evidence: Raw, uid: str, digest: str) -> bool:
    """Whether evidence names this bot and this subject."""
    said = text(evidence, "spec", "botRef", "uid"), text(evidence, "spec", "subjectDigest")
    return said == (uid, digest)


def says_the_same(known: Raw, session: ClosedSession) -> bool:
    """Whether `spec.session` of stored evidence is of this very session.

    Compared field by field, and only those that were stored: another release may know more of them.
    """
    if text(known, "journalHash") != session.journal_hash:
        return False
    said = session.report.model_dump(mode="json", by_alias=True, exclude_none=True)
    stored = mapping(known, "report")
    return bool(stored) and all(said.get(name) == value for name, value in stored.items())


def image_digest(pod: Raw, container: str) -> str:
    """The digest of the image that the kubelet says the container runs, or an empty string."""
    for status in entries(pod, "status", "containerStatuses"):
        if text(status, "name") == container:
            return text(status, "imageID").rpartition("@")[2].rpartition("//")[2]
    return ""


def _closed_at(began_at: str, closes_at: str, about: About) -> str:
    # A simulator's market time may be far from ours in either direction. When it began is told in ours.
    return began_at if about.provider == "simulator" else closes_at


def _common(bot: Bot, about: About) -> dict[str, Any]:
    return {
        "bot_ref": BotRef(name=bot.name, uid=about.uid),
        "subject_digest": about.subject_digest,
        "observed_generation": about.generation,
        "account": about.account,
        "provider": about.provider,
        "image": about.image,
    }


def _manifest(bot: Bot, what: str, spec: PromotionEvidenceSpec) -> Raw:
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    content = hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    metadata = owned(bot.raw, _COMPONENT, f"{bot.name}-{what}-{content[:10]}")
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": document}
