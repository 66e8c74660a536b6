"""What an approval says, whether it may be asked for at all, and what became of it. Pure.

The digest and the verdict are those that were shown: what changes in between makes the approval void, as it should.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from rich.console import Group, RenderableType

from kubectl_tradingbot.bots import Bot
from kubectl_tradingbot.errors import RefusedError, UsageError
from kubectl_tradingbot.gate_view import (
    approvals_view,
    checklist_table,
    is_open,
    open_checks,
    score,
    waits_for_a_person,
)
from kubectl_tradingbot.kubectl import Raw
from kubectl_tradingbot.terminal import heading, nothing, pairs, state, table, words
from tradingbot_api import (
    API_VERSION,
    ApprovalAction,
    CheckKind,
    ChecklistEntry,
    CheckState,
    GateVerdict,
    Grant,
    PromotionStatus,
)

_WHOLE: Final = 10_000
_REVIEW_FROM: Final = 9_500
"""Of the score in basis points, as docs/gates.md has it. The operator decides; this only says what to write."""


@dataclass(frozen=True)
class Proposal:
    """A promotion as it is put to a person."""

    bot: Bot
    said: PromotionStatus
    verdict: GateVerdict
    """With the items that this approval would name."""
    failed: tuple[str, ...]
    """Names of the checks that do not pass even then: the reason has to name each."""
    items: tuple[str, ...] = ()

    def document(self, approver: str, reason: str) -> dict[str, Any]:
        """The Approval to be created."""
        spec = {
            "action": ApprovalAction.PROMOTE.value,
            "botRef": {"name": self.bot.name, "uid": self.bot.uid},
            "gate": self.said.gate,
            "subjectDigest": self.said.subject.digest,
            "verdict": self.verdict.value,
            "approver": approver,
            "reason": reason,
        }
        return _approval(self.bot, spec | ({"items": list(self.items)} if self.items else {}))


def _approval(bot: Bot, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"generateName": f"{bot.name}-", "namespace": bot.namespace}
    return {"apiVersion": API_VERSION, "kind": "Approval", "metadata": metadata, "spec": spec}


def propose(bot: Bot, items: Sequence[str]) -> Proposal:
    """What can be approved now; RefusedError where nothing can, UsageError where an item is none."""
    said = bot.promotion
    if said is None:
        raise RefusedError(f"{bot.name} has no verdict to approve: `kubectl tradingbot gate {bot.name}` says why")
    if bot.status.grant is not None:
        raise RefusedError(
            f"{bot.name} is live already, by grant {bot.status.grant.epoch}; --next-stage approves more capital"
        )
    manual = {one.name for one in said.checklist if waits_for_a_person(one)}
    strange = [item for item in items if item not in manual]
    if strange:
        known = ", ".join(sorted(manual)) or "it has none"
        raise UsageError(f"gate {said.gate} has no item for a person that is called {', '.join(strange)}: {known}")
    checklist = [_passed(one) if one.name in items else one for one in said.checklist]
    failed = [one for one in checklist if is_open(one)]
    blocking = [one.name for one in failed if one.kind is CheckKind.BLOCKING]
    verdict = _verdict(checklist, bool(blocking)) if items else said.verdict
    if not verdict.is_approvable:
        why = ", ".join(blocking or said.blockers) or f"score {score(said.score)}"
        raise RefusedError(
            f"a verdict of {verdict.value} cannot be approved; not passed: {why}."
            f" `kubectl tradingbot gate {bot.name}` says what to do"
        )
    return Proposal(bot, said, verdict, tuple(one.name for one in failed), tuple(items))


def _passed(one: ChecklistEntry) -> ChecklistEntry:
    return one.model_copy(update={"state": CheckState.PASS})


def _verdict(checklist: Sequence[ChecklistEntry], blocked: bool) -> GateVerdict:
    weighted = [one for one in checklist if one.kind is CheckKind.WEIGHTED]
    total = sum(one.weight for one in weighted)
    passed = sum(one.weight for one in weighted if one.state is CheckState.PASS)
    points = _WHOLE * passed // total if total else 0
    if blocked or points < _REVIEW_FROM:
        return GateVerdict.NO_GO
    return GateVerdict.GO if points == _WHOLE else GateVerdict.REVIEW


def check_reason(proposal: Proposal, reason: str) -> None:
    """UsageError where the reason does not name each check that did not pass: such an approval would be void."""
    if not reason.strip():
        raise UsageError("say why with --reason: it is kept with the approval")
    unnamed = [name for name in proposal.failed if name not in reason]
    if unnamed:
        raise UsageError(
            f"the verdict is {proposal.verdict.value}: --reason has to name each check that did not pass, or the"
            f" approval is void. Missing: {', '.join(unnamed)}"
        )


def proposal_view(proposal: Proposal, approver: str, reason: str) -> Group:
    """Everything that the approval would stand for."""
    bot, said = proposal.bot, proposal.said
    asked = "asks for live trading: it goes live once enough people have approved"
    waits = "spec.mode is paper: it goes live only once that is live, too"
    with_items = f" (with {', '.join(proposal.items)})" if proposal.items else ""
    rows: list[tuple[str, RenderableType]] = [
        ("Bot", words(f"{bot.namespace}/{bot.name} (UID {bot.uid})", style="bold")),
        ("Account", words(bot.accounts.get("live", "none is named"))),
        ("Capital", words(bot.spec.get("capital", ""))),
        ("Symbols", words(" ".join(bot.spec.get("symbols", [])))),
        ("Mode", words(asked if bot.requested == "live" else waits)),
        ("Gate", words(said.gate)),
        ("Verdict", state(proposal.verdict.value)),
        ("Score", words(f"{score(said.score)}{with_items}")),
        ("Sessions", words(f"{said.sessions} of {said.required_sessions} count")),
        ("Image", words(said.subject.image)),
        ("Digest", words(said.subject.digest)),
        ("You are", words(approver, style="bold")),
        ("Your reason", words(reason)),
    ]
    inputs = table("WHAT THE DIGEST IS MADE OF", "SHA256", "SINCE", unbroken=("SHA256",))
    for one in said.subject.inputs:
        inputs.add_row(words(one.name), words(f"{one.sha256[:16]}..."), words(one.changed_at))
    missing = open_checks(said)
    checks = [one for one in said.checklist if one.state is CheckState.PASS]
    return Group(
        pairs(rows),
        heading("Subject"),
        inputs,
        heading("Not passed"),
        checklist_table(missing) if missing else nothing("Every check passes."),
        heading("Passed"),
        checklist_table(checks),
        heading("Approvals so far"),
        approvals_view(said),
    )


# ---------------------------------------------------------------- a further stage


def next_stage(bot: Bot, stages: Sequence[Raw], approver: str, reason: str) -> dict[str, Any]:
    """The Approval to go to the next stage of capital; RefusedError where there is none."""
    grant = bot.status.grant
    if grant is None:
        raise RefusedError(f"{bot.name} is not live: there is no stage to go on from")
    if not reason.strip():
        raise UsageError("say why with --reason: it is kept with the approval")
    stage = grant.stage + 1
    if stage >= len(stages):
        raise RefusedError(f"{bot.name} is in the last stage of the gate {grant.gate}")
    spec = {
        "action": ApprovalAction.ADVANCE_STAGE.value,
        "botRef": {"name": bot.name, "uid": bot.uid},
        "gate": grant.gate,
        "subjectDigest": grant.subject_digest,
        "stage": stage,
        "approver": approver,
        "reason": reason,
    }
    return _approval(bot, spec)


def stage_view(bot: Bot, grant: Grant, stages: Sequence[Raw], approver: str, reason: str) -> RenderableType:
    """What the approval of the next stage would stand for."""
    now, after = stages[grant.stage], stages[grant.stage + 1]
    done = f"{grant.stage_sessions} of {now.get('sessions', '?')} clean live sessions in this stage"
    return pairs(
        [
            ("Bot", words(f"{bot.namespace}/{bot.name} (UID {bot.uid})", style="bold")),
            ("Account", grant.account),
            ("Stage", f"{grant.stage} now, to go to {grant.stage + 1}"),
            ("Capital", f"at most {now.get('maxCapital')} now, at most {after.get('maxCapital')} then"),
            ("Sessions", done),
            ("Digest", grant.subject_digest),
            ("You are", words(approver, style="bold")),
            ("Your reason", reason),
        ]
    )


# ---------------------------------------------------------------- what became of it


class Standing(Enum):
    """Whether the operator lets an approval count."""

    WAITING = auto()
    COUNTS = auto()
    USED = auto()
    """A grant was given on it."""
    VOID = auto()


@dataclass(frozen=True)
class Outcome:
    """What the status says of one approval."""

    standing: Standing
    message: str


def outcome(bot: Bot, name: str, uid: str) -> Outcome:
    """How an approval stands by the bot's status as it is now."""
    said, grant = bot.promotion, bot.status.grant
    if said is None:
        return Outcome(Standing.WAITING, "there is no verdict any more")
    used = [*said.used_approvals, *(grant.approvals if grant is not None else [])]
    if any(one.uid == uid for one in used):
        given = f"grant {grant.epoch} was given on it: {bot.name} goes live" if grant is not None else "it was used"
        return Outcome(Standing.USED, given)
    if any(one.uid == uid for one in said.approvals):
        if said.approvals_missing:
            return Outcome(Standing.COUNTS, f"it counts; still needed: {said.approvals_missing}")
        live = bot.condition("LiveAuthorized")
        waits = live.message if live is not None and live.message else "the grant is the operator's next step"
        return Outcome(Standing.COUNTS, f"it counts, and is enough; {waits}")
    void = next((one.reason for one in said.void_approvals if one.name == name), None)
    if void is not None:
        return Outcome(Standing.VOID, f"it does not count: {void}")
    return Outcome(Standing.WAITING, "waiting for the operator to see it")
