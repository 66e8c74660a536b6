"""Reads from a snapshot what a gate judges, and has it judged: the subject, its evidence, people's words, the verdict.

Tolerant of whatever is stored: what cannot be read is set aside with the reason, and counts for nothing.
Must never raise on a stored object, and never call an image known that no kubelet has reported.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from pydantic import ValidationError

from tradingbot_api import (
    ApprovalSpec,
    AttestationSpec,
    BrokerAccountSpec,
    CheckState,
    ItemSource,
    PromotionEvidenceSpec,
    PromotionGateSpec,
    TradingBotSpec,
)
from tradingbot_api.model import ApiModel
from tradingbot_api.promotion_status import PromotionStatus, SubjectInput, SubjectStatus
from tradingbot_operator.plan.conditions import parse_timestamp, previous_condition, timestamp
from tradingbot_operator.plan.kills import KILLED, kill_request
from tradingbot_operator.plan.names import CONTAINER
from tradingbot_operator.plan.objects import (
    Raw,
    created_at,
    entries,
    is_being_deleted,
    mapping,
    name_of,
    resource_version,
    text,
    uid_of,
)
from tradingbot_operator.plan.pods import newest
from tradingbot_operator.plan.snapshot import (
    BotSnapshot,
    InvalidSpec,
    gate_of,
    parse_account_spec,
    parse_gate_spec,
)
from tradingbot_operator.plan.symbols import live_account_of
from tradingbot_operator.plan.verdicts import View, is_killed
from tradingbot_operator.promotion.approvals import Approval
from tradingbot_operator.promotion.evaluate import (
    REVIEW_FROM,
    Assessment,
    Attestation,
    Facts,
    changes_at,
    evaluate,
    score_of,
)
from tradingbot_operator.promotion.findings import Check, Finding
from tradingbot_operator.promotion.ledger import Evidence
from tradingbot_operator.promotion.subject import UNKNOWN, Subject, changed_inputs, subject_of

PREFLIGHT: Final = "Preflight"
NO_OPEN_INCIDENT: Final = "NoOpenIncident"

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_Model = TypeVar("_Model", bound=ApiModel)


@dataclass(frozen=True)
class Unjudged:
    """Why no gate says anything of a bot."""

    reason: str
    message: str
    holds: bool
    """Whether the reason is this release's and nobody's doing, so that what is live stays live."""


@dataclass(frozen=True)
class Judged:
    """A bot as its gate sees it now."""

    spec: TradingBotSpec
    gate_name: str
    gate: PromotionGateSpec
    live_account: BrokerAccountSpec | None
    subject: Subject
    status: SubjectStatus
    """The subject as the status has it, with when each input changed."""
    changed: tuple[str, ...]
    """Inputs that are not what the stored status says."""
    killed: bool | None
    """Whether a kill is in force on the bot or on either of its accounts; None while nobody knows."""
    assessment: Assessment
    """Without the single paper sessions, validations, drills and preflights: what they say is in the checklist."""
    approvals: tuple[Approval, ...]
    paper_returns_percent: tuple[Decimal, ...] = ()
    """Returns of the paper sessions that count."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Objects that were set aside unread, and why, by name."""

    @property
    def since(self) -> datetime:
        """When the subject became what it is."""
        found = parse_timestamp(self.status.since)
        assert found is not None  # noqa: S101 - written by _subject_status from a time
        return found

    @property
    def wants_preflight(self) -> bool:
        """Whether nothing else is missing but what people have to say: only then the live keys are used to look."""
        by_people = {item.name for item in self.gate.items if item.source is ItemSource.MANUAL}
        waived = by_people | {PREFLIGHT}
        if not self.subject.is_known or self.live_account is None or set(self.assessment.blockers) - waived:
            return False
        hopeful = [_passed(check) if check.name in waived else check for check in self.assessment.checklist]
        return score_of(hopeful) >= REVIEW_FROM


def _passed(check: Check) -> Check:
    return Check(check.name, check.kind, check.weight, Finding(CheckState.PASS, "", ""))


def judge(snapshot: BotSnapshot, spec: TradingBotSpec | InvalidSpec, view: View) -> Judged | Unjudged:
    """What the gate says of a bot. `view` is of the account it trades on, with nothing in its way."""
    name, raw = gate_of(snapshot.bot), snapshot.gate
    if not name:
        return Unjudged("GateNotNamed", "name a PromotionGate in spec.gateRef", holds=False)
    if raw is None or is_being_deleted(raw) or name_of(raw) != name:
        return Unjudged("GateNotFound", f"there is no PromotionGate {name} in the bot's namespace", holds=False)
    gate = parse_gate_spec(raw)
    if isinstance(gate, InvalidSpec):
        return Unjudged("GateInvalid", f"this release cannot read PromotionGate {name}: {gate.message}", holds=True)
    if isinstance(spec, InvalidSpec):
        return Unjudged("InvalidSpec", f"this release cannot read the stored spec: {spec.message}", holds=True)
    live_account = _live_account(snapshot)
    image = seen_image(snapshot, spec)
    subject = subject_of(
        uid_of(snapshot.bot),
        spec,
        gate,
        live_account,
        image=digest_of(image),
        kill_epoch=view.latch.highest,
    )
    stored = stored_promotion(snapshot.bot)
    status = _subject_status(subject, image, stored.subject if stored is not None else None, snapshot.now)
    approvals, unread_approvals = _approvals(snapshot.approvals)
    facts = Facts(
        spec=spec,
        gate_name=name,
        gate=gate,
        subject=subject,
        approvals=approvals,
        used_approvals=frozenset(one.uid for one in stored.used_approvals) if stored is not None else frozenset(),
        demoted_at=parse_timestamp(text(snapshot.bot, "status", "demotion", "at")),
        incidents=_incidents(view, snapshot),
        killed=_killed(view, snapshot),
    )
    found = _evaluated(facts, snapshot)
    return Judged(
        spec=spec,
        gate_name=name,
        gate=gate,
        live_account=live_account,
        subject=subject,
        status=status,
        changed=changed_inputs(_inputs(stored.subject), subject.inputs) if stored is not None else (),
        killed=facts.killed,
        assessment=found.assessment,
        approvals=approvals,
        paper_returns_percent=found.paper_returns_percent,
        unreadable={**found.unreadable, **unread_approvals},
    )


# ---------------------------------------------------------------- judged once


@dataclass(frozen=True)
class _Evaluated:
    """What came of an evaluation, small enough to be kept for every bot."""

    of: bytes
    """Digest of everything it was made from but the time."""
    at: datetime
    until: datetime | None
    """When time alone may change it."""
    assessment: Assessment
    paper_returns_percent: tuple[Decimal, ...]
    unreadable: Mapping[str, str]

    def holds(self, of: bytes, now: datetime) -> bool:
        """Whether judging anew would say the same."""
        return self.of == of and self.at <= now and (self.until is None or now <= self.until)


_KEPT: Final = 4096
_KNOWN: Final[OrderedDict[str, _Evaluated]] = OrderedDict()
"""By the bot's UID. A bot is looked at with each of its reports, and its evidence changes once a session. It makes no
difference but to the time it takes: what is kept is used only for the very same inputs."""


def _evaluated(facts: Facts, snapshot: BotSnapshot) -> _Evaluated:
    uid, of = facts.subject.uid, _made_from(facts, snapshot)
    known = _KNOWN.get(uid)
    if known is not None and known.holds(of, snapshot.now):
        _KNOWN.move_to_end(uid)
        return known
    found = _evaluate(facts, snapshot, of)
    _KNOWN[uid] = found
    _KNOWN.move_to_end(uid)
    if len(_KNOWN) > _KEPT:
        _KNOWN.popitem(last=False)
    return found


def _evaluate(facts: Facts, snapshot: BotSnapshot, of: bytes) -> _Evaluated:
    evidence, unreadable = _evidence(snapshot.evidence)
    attestations, unread_attestations = _attestations(snapshot.attestations)
    whole = replace(facts, evidence=evidence, attestations=attestations)
    found = evaluate(whole, snapshot.now)
    ledger = replace(found.ledger, sessions=(), unclean=(), validations=(), drills=(), preflights=())
    return _Evaluated(
        of=of,
        at=snapshot.now,
        until=changes_at(whole, snapshot.now),
        assessment=replace(found, ledger=ledger),
        paper_returns_percent=tuple(one.report.return_percent for one in found.ledger.sessions),
        unreadable={**unreadable, **unread_attestations},
    )


def _made_from(facts: Facts, snapshot: BotSnapshot) -> bytes:
    """Digest of all that an evaluation depends on but the time."""
    around = (*snapshot.evidence, *snapshot.approvals, *snapshot.attestations)
    parts = (
        facts.subject.digest,
        facts.gate_name,
        facts.subject.paper_account,
        facts.subject.live_provider,
        sorted(facts.used_approvals),
        facts.demoted_at,
        facts.incidents,
        facts.killed,
        # By uid and version no two objects of a cluster are the same, and none is ever changed in place.
        [(name_of(raw), uid_of(raw), resource_version(raw), created_at(raw)) for raw in around],
    )
    return hashlib.sha256(repr(parts).encode()).digest()


# ---------------------------------------------------------------- the subject


def stored_promotion(bot: Raw) -> PromotionStatus | None:
    """What the stored status says of the promotion; None where it says nothing, or nothing that can be read."""
    stored = mapping(bot, "status", "promotion")
    try:
        return PromotionStatus.model_validate(stored) if stored else None
    except ValidationError:
        return None


def wanted_image(snapshot: BotSnapshot, spec: TradingBotSpec) -> str:
    """The image that the spec asks for, by the name it has there."""
    return spec.image or snapshot.settings.runtime_image


def seen_image(snapshot: BotSnapshot, spec: TradingBotSpec) -> str | None:
    """The image that the spec means, as a kubelet reported it; None while none has.

    Between two pods what is stored holds, as long as the spec asks for the same image.
    """
    known = text(snapshot.bot, "status", "promotion", "subject", "image")
    pinned = known if _DIGEST.search(known) else None
    is_same = _is_the_same_image(snapshot, spec, pinned)
    pod = newest(snapshot.pods)
    if pod is None:
        return pinned if is_same else None
    asked = next((text(one, "image") for one in entries(pod, "spec", "containers") if _is_bot(one)), "")
    if asked == wanted_image(snapshot, spec) or (is_same and pinned is not None and asked == pinned):
        return _reported_image(pod) or (pinned if is_same else None)
    return pinned if is_same else None


def digest_of(image: str | None) -> str | None:
    """The digest in an image's reference."""
    found = _DIGEST.search(image or "")
    return found[0] if found else None


def _is_the_same_image(snapshot: BotSnapshot, spec: TradingBotSpec, pinned: str | None) -> bool:
    """Whether the spec asks for the same image as when the stored one was seen."""
    asked_before = text(snapshot.bot, "status", "image")
    if asked_before == wanted_image(snapshot, spec):
        return True
    # A live bot on the operator's default image keeps what was approved when the operator itself is renewed.
    return spec.image is None and pinned is not None and asked_before == pinned


def _is_bot(container: Raw) -> bool:
    return text(container, "name") == CONTAINER


def _reported_image(pod: Raw) -> str | None:
    for status in entries(pod, "status", "containerStatuses"):
        if _is_bot(status):
            reference = text(status, "imageID").rpartition("//")[2]
            return reference if _DIGEST.search(reference) else None
    return None


def _live_account(snapshot: BotSnapshot) -> BrokerAccountSpec | None:
    raw = snapshot.live_account
    if raw is None or is_being_deleted(raw) or name_of(raw) != live_account_of(snapshot.bot):
        return None
    spec = parse_account_spec(raw)
    return None if isinstance(spec, InvalidSpec) else spec


def _subject_status(subject: Subject, image: str | None, stored: SubjectStatus | None, now: datetime) -> SubjectStatus:
    moment = timestamp(now)
    before = {one.name: one for one in stored.inputs} if stored is not None else {}
    inputs = [
        known
        if (known := before.get(name)) is not None and known.sha256 == sha256
        else SubjectInput(name=name, sha256=sha256, changed_at=moment)
        for name, sha256 in sorted(subject.inputs.items())
    ]
    is_same = stored is not None and stored.digest == subject.digest and parse_timestamp(stored.since) is not None
    if stored is not None and digest_of(stored.image) == digest_of(image) is not None:
        # One image may have many names: a live pod is not restarted because a kubelet reports another one.
        image = stored.image
    return SubjectStatus(
        digest=subject.digest,
        image=image or UNKNOWN,
        # Rounded up: a session that opened in the same second, but before, is not of this subject.
        since=stored.since if stored is not None and is_same else timestamp(now + timedelta(microseconds=999_999)),
        inputs=inputs,
    )


def _inputs(stored: SubjectStatus) -> dict[str, str]:
    return {one.name: one.sha256 for one in stored.inputs}


# ---------------------------------------------------------------- what others wrote


def _evidence(raws: Iterable[Raw]) -> tuple[tuple[Evidence, ...], dict[str, str]]:
    found: list[Evidence] = []
    unreadable: dict[str, str] = {}
    for raw in raws:
        spec = _read(raw, PromotionEvidenceSpec)
        at = parse_timestamp(spec.observed_at) if isinstance(spec, PromotionEvidenceSpec) else None
        if isinstance(spec, str):
            unreadable[name_of(raw)] = spec
        elif at is None:
            unreadable[name_of(raw)] = f"observedAt is no time: {spec.observed_at}"
        elif spec.type.value == "Session" and spec.session is None:
            unreadable[name_of(raw)] = "of type Session and holds none"
        else:
            found.append(Evidence(name_of(raw), spec, at))
    return tuple(found), unreadable


def _approvals(raws: Iterable[Raw]) -> tuple[tuple[Approval, ...], dict[str, str]]:
    found: list[Approval] = []
    unreadable: dict[str, str] = {}
    for raw in raws:
        spec, at = _read(raw, ApprovalSpec), parse_timestamp(created_at(raw))
        if isinstance(spec, str) or at is None:
            unreadable[name_of(raw)] = spec if isinstance(spec, str) else "it has no creationTimestamp"
        else:
            found.append(Approval(name_of(raw), uid_of(raw), spec, at))
    return tuple(found), unreadable


def _attestations(raws: Iterable[Raw]) -> tuple[tuple[Attestation, ...], dict[str, str]]:
    found: list[Attestation] = []
    unreadable: dict[str, str] = {}
    for raw in raws:
        spec, at = _read(raw, AttestationSpec), parse_timestamp(created_at(raw))
        if isinstance(spec, str) or at is None:
            unreadable[name_of(raw)] = spec if isinstance(spec, str) else "it has no creationTimestamp"
        else:
            found.append(Attestation(name_of(raw), spec, at))
    return tuple(found), unreadable


def _read(raw: Raw, model: type[_Model]) -> _Model | str:
    """The spec as a model, or why it is none."""
    try:
        return model.model_validate(mapping(raw, "spec"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"it cannot be read: spec.{'.'.join(map(str, first['loc']))}: {first['msg']}"[:256]


# ---------------------------------------------------------------- what the bot says


def _incidents(view: View, snapshot: BotSnapshot) -> tuple[str, ...] | None:
    """Ids of open incidents; None while the bot does not say."""
    if view.fresh is not None:
        return tuple(one.id for one in view.fresh.incidents if one.state == "open")
    if snapshot.is_being_asked and _stored_check(view.bot, NO_OPEN_INCIDENT) == CheckState.PASS.value:
        return ()
    return None


def _killed(view: View, snapshot: BotSnapshot) -> bool | None:
    """Whether a kill is in force, on the bot or on either of its accounts; None while nobody knows."""
    if is_killed(view) or kill_request(view.bot, snapshot.account, snapshot.live_account) is not None:
        return True
    if view.fresh is not None:
        return False
    before = previous_condition(view.bot, KILLED)
    was_not = before is not None and before.status.value == "False"
    # A restart of the operator takes no verdict back. Nothing is granted on it.
    return False if was_not and snapshot.is_being_asked else None


def _stored_check(bot: Raw, name: str) -> str:
    lines = entries(bot, "status", "promotion", "checklist")
    return next((text(line, "state") for line in lines if text(line, "name") == name), "")
