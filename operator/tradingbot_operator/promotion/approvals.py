"""Which approvals stand, and of every other why it does not.

Who wrote an approval is admission's business: here `approver` is taken as true. Pure. Must never count one twice.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradingbot_api import ApprovalAction, ApprovalRules, ApprovalSpec, GateVerdict, span
from tradingbot_api.promotion_status import UsedApproval
from tradingbot_operator.promotion.subject import Subject, is_from_the_future

NEEDED = {GateVerdict.GO: 1, GateVerdict.REVIEW: 2}
"""Approvals by different people that a verdict needs; what is not here cannot be approved."""


@dataclass(frozen=True)
class Approval:
    """One Approval object. `created_at` is the API server's time."""

    name: str
    uid: str
    spec: ApprovalSpec
    created_at: datetime

    @property
    def used(self) -> UsedApproval:
        """The same, as it is named by what rests on it."""
        return UsedApproval(name=self.name, uid=self.uid, approver=self.spec.approver)


@dataclass(frozen=True)
class Standing:
    """The approvals of one subject under one verdict."""

    approvals: tuple[Approval, ...] = ()
    """Those that stand: one for each approver, oldest first."""
    missing: str = ""
    """What is still needed, as a sentence; empty where nothing is."""
    void: Mapping[str, str] = field(default_factory=dict)
    """Approvals of this bot that do not stand, and why, by name."""

    @property
    def is_enough(self) -> bool:
        """Whether the promotion is approved."""
        return bool(self.approvals) and not self.missing


def promotions_of(
    approvals: Iterable[Approval],
    subject: Subject,
    gate: str,
    rules: ApprovalRules,
    *,
    used: Collection[str],
    now: datetime,
    demoted_at: datetime | None = None,
) -> tuple[tuple[Approval, ...], Mapping[str, str]]:
    """Approvals to promote this very subject, whatever the verdict, oldest first; and why the others do not stand.

    `used`: UIDs of approvals that an earlier grant has used up. `demoted_at`: when the bot last went back to paper;
    what was approved before that was approved without knowing it.
    """
    good: list[Approval] = []
    void: dict[str, str] = {}
    for one in sorted(approvals, key=lambda one: (one.created_at, one.name)):
        if one.spec.action is not ApprovalAction.PROMOTE:
            continue
        why = _void(one, subject, gate, rules, used, now)
        if why is None and demoted_at is not None and one.created_at <= demoted_at:
            why = "older than the last demotion: look at why it was, and approve again"
        if why is None:
            good.append(one)
        else:
            void[one.name] = why
    return tuple(good), void


def _void(
    one: Approval, subject: Subject, gate: str, rules: ApprovalRules, used: Collection[str], now: datetime
) -> str | None:
    spec = one.spec
    foreign = subject.why_foreign(spec.bot_ref.uid, spec.subject_digest)
    if foreign is not None:
        return foreign
    if spec.gate not in (None, gate):
        return f"of another gate: {spec.gate}"
    if one.uid in used:
        return "used: a grant was given on it, and each approval is good for one"
    if is_from_the_future(one.created_at, now):
        return "from the future: a clock was wrong"
    if now - one.created_at > span(rules.expire_after):
        return f"expired: older than {rules.expire_after}"
    return None


def standing(
    good: Sequence[Approval],
    void: Mapping[str, str],
    verdict: GateVerdict,
    failed: Sequence[str],
    *,
    separation_of_duties: bool,
) -> Standing:
    """Whether a verdict is approved. `failed`: names of the checks that did not pass.

    Kubernetes does not record who last changed a spec. With `separation_of_duties` two people approve, whatever the
    verdict: one of them at least is not the author.
    """
    needed = NEEDED.get(verdict)
    if needed is not None and separation_of_duties:
        needed = max(needed, 2)
    if needed is None:
        return Standing(missing=f"a verdict of {verdict.value} cannot be approved", void=void)
    refused = dict(void)
    mine: dict[str, Approval] = {}
    for one in good:
        why = _unfit(one, verdict, failed)
        if why is not None:
            refused[one.name] = why
        elif one.spec.approver in mine:
            refused[one.name] = f"a second one by {one.spec.approver}: each person counts once"
        else:
            mine[one.spec.approver] = one
    missing = f"{len(mine)} of {needed} approvals by different people" if len(mine) < needed else ""
    return Standing(tuple(mine.values()), missing, refused)


def stage_approval(
    approvals: Iterable[Approval], subject: Subject, gate: str, *, stage: int, since: datetime
) -> Approval | None:
    """The approval to go to a stage, given since the grant was; None while nobody has approved it."""
    for one in sorted(approvals, key=lambda one: (one.created_at, one.name)):
        spec = one.spec
        if (
            spec.action is ApprovalAction.ADVANCE_STAGE
            and spec.stage == stage
            and spec.gate in (None, gate)
            and subject.why_foreign(spec.bot_ref.uid, spec.subject_digest) is None
            and one.created_at >= since
        ):
            return one
    return None


def _unfit(one: Approval, verdict: GateVerdict, failed: Sequence[str]) -> str | None:
    if one.spec.verdict is None or one.spec.verdict.value != verdict.value:
        return f"of another verdict: {one.spec.verdict.value if one.spec.verdict else 'none'}"
    unnamed = [name for name in failed if name not in one.spec.reason]
    if unnamed:
        return f"its reason does not name what failed: {', '.join(unnamed)}"
    return None
