"""Why a bot is not live, and what a person can do about it: the exact next command. Pure.

Judges nothing: the verdict is the operator's, as it stands in the bot's status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from kubectl_tradingbot.bots import Bot
from kubectl_tradingbot.kubectl import command_line
from kubectl_tradingbot.terminal import heading, nothing, pairs, state, table, words
from tradingbot_api import CheckKind, ChecklistEntry, CheckState, PromotionStatus

_WAITS_FOR_A_PERSON: Final = "an approval has to name it in items"
_SILENT: Final = "not reported"
_NO_SESSION: Final = "no session"
"""As the operator words what was observed."""
_BY_ITSELF: Final = frozenset({"PaperSessions", "PaperTrades", "CleanReconciliationSessions", "Preflight"})


@dataclass(frozen=True)
class Advice:
    """One thing that a person can do next."""

    text: str
    command: str = ""
    """What to type; empty where there is nothing to type."""


def is_open(entry: ChecklistEntry) -> bool:
    """Whether it applies and does not pass: the operator's own rule, by which a reason is judged, too."""
    return entry.kind is not CheckKind.NOT_APPLICABLE and entry.state is not CheckState.PASS


def open_checks(said: PromotionStatus) -> list[ChecklistEntry]:
    """What does not pass, what blocks first."""
    found = [one for one in said.checklist if is_open(one)]
    return sorted(found, key=lambda one: one.name not in said.blockers)


def waits_for_a_person(entry: ChecklistEntry) -> bool:
    """Whether it is an item that an approval satisfies by naming it."""
    return entry.threshold == "a person" or entry.message.startswith(_WAITS_FOR_A_PERSON)


def score(basis_points: int) -> str:
    """A score as people read it."""
    return f"{basis_points / 100:g} %"


def checklist_table(entries: Sequence[ChecklistEntry], *, wide: bool = False) -> RenderableType:
    """Each check with what was found, what it has to be, and what to do."""
    more = ("SINCE", "EVIDENCE") if wide else ()
    lines = table("CHECK", "KIND", "STATE", "OBSERVED", "NEEDS", "WHAT TO DO", *more, unbroken=("CHECK", "STATE"))
    for one in entries:
        kind = f"{one.kind.value} {one.weight}" if one.weight else one.kind.value
        row = [words(one.name), Text(kind), state(one.state.value), words(one.observed), words(one.threshold)]
        row.append(words(one.message))
        if wide:
            row += [words(one.last_evaluated), words(", ".join(one.evidence_refs))]
        lines.add_row(*row)
    return lines


def approvals_view(said: PromotionStatus) -> RenderableType:
    """Who has approved what is judged now, whose word does not stand, and what is missing."""
    if not said.approvals and not said.void_approvals:
        return nothing(said.approvals_missing or "Nobody has approved it.")
    lines = table("APPROVAL", "BY", "STANDS", "WHY NOT", unbroken=("APPROVAL",))
    for one in said.approvals:
        lines.add_row(words(one.name), words(one.approver), state("yes"), "")
    for void in said.void_approvals:
        lines.add_row(words(void.name), "", state("no"), words(void.reason))
    return Group(lines, nothing(f"still needed: {said.approvals_missing}")) if said.approvals_missing else lines


def gate_view(bot: Bot, *, scope: Sequence[str] = ()) -> Group:
    """The whole answer to: why is this bot not live? `scope`: kubectl's options, for the commands."""
    said, status = bot.promotion, bot.status
    live = bot.condition("LiveAuthorized")
    rows: list[tuple[str, RenderableType]] = [
        ("Bot", words(f"{bot.namespace}/{bot.name}")),
        ("Asks for", words(bot.requested)),
        ("Is", state(status.effective_mode.value if status.effective_mode else "not known yet")),
        ("Gate", words(bot.gate or "none")),
    ]
    if said is not None:
        rows += [
            ("Verdict", state(said.verdict.value)),
            ("Score", words(score(said.score))),
            ("Sessions", words(_sessions(said))),
        ]
    if live is not None:
        rows.append(("LiveAuthorized", words(f"{live.status} {live.reason}: {live.message}")))
    if status.grant is not None:
        cap = f", at most {status.grant.max_capital:f}" if status.grant.max_capital is not None else ""
        rows.append(
            ("Grant", words(f"{status.grant.epoch} of {status.grant.granted_at}, stage {status.grant.stage}{cap}"))
        )
    if status.demotion is not None:
        rows.append(("Demoted", words(f"{status.demotion.at} {status.demotion.reason}: {status.demotion.message}")))
    parts: list[RenderableType] = [pairs(rows)]
    if said is not None:
        missing = open_checks(said)
        parts += [heading("Not passed yet")]
        parts += [checklist_table(missing) if missing else nothing("Every check passes.")]
        parts += [heading("Approvals"), approvals_view(said)]
        parts += [heading("Evidence that does not count (the last few)")]
        aside = table("EVIDENCE", "WHY", unbroken=("EVIDENCE",))
        for one in said.set_aside:
            aside.add_row(words(one.name), words(one.reason))
        parts += [aside if said.set_aside else nothing("None.")]
    parts += [heading("What to do next")]
    for advice in next_steps(bot, scope=scope):
        parts.append(Text.assemble("  - ", words(advice.text)))
        if advice.command:
            parts.append(Text.assemble("      ", words(advice.command, style="bold")))
    return Group(*parts)


def _sessions(said: PromotionStatus) -> str:
    to_go = max(0, said.required_sessions - said.sessions)
    if not to_go:
        return f"{said.sessions} of {said.required_sessions} count"
    earliest = f", {said.earliest_at} at the earliest" if said.earliest_at else ""
    return f"{said.sessions} of {said.required_sessions} count, {to_go} to go{earliest}"


def next_steps(bot: Bot, *, scope: Sequence[str] = ()) -> list[Advice]:
    """What a person can do, the first that is in the way first."""
    target = [bot.name, "--namespace", bot.namespace, *scope]
    said, live = bot.promotion, bot.condition("LiveAuthorized")
    steps: list[Advice] = []
    if bot.is_killed:
        release = command_line("kubectl", "tradingbot", "release", *target, "--reason", "why it is over")
        steps.append(Advice("It is killed. Find out why first; then somebody who may releases it:", release))
    if bot.status.grant is not None:
        return steps or [Advice("It is live.")]
    if not bot.gate:
        patch = '{"spec":{"gateRef":{"name":"GATE"}}}'
        listed = command_line("kubectl", "get", "promotiongates", "--namespace", bot.namespace, *scope)
        command = command_line("kubectl", "patch", "tradingbot", *target, "--type=merge", f"--patch={patch}")
        steps.append(Advice("It names no gate. See which there are:", listed))
        return [*steps, Advice("and name one (in Git, where the bot is kept there):", command)]
    if said is None:
        why = f": {live.message}" if live is not None and live.message else ""
        return [*steps, Advice(f"The operator has not judged it by the gate {bot.gate} yet{why}")]
    if not said.verdict.is_approvable:
        return [*steps, *_before_the_verdict(bot, said, target)]
    if said.approvals_missing:
        steps.append(_approve(said, target))
    if bot.requested != "live":
        patch = command_line(
            "kubectl", "patch", "tradingbot", *target, "--type=merge", '--patch={"spec":{"mode":"live"}}'
        )
        steps.append(
            Advice("It does not ask for live trading. Ask for it (in Git, where the bot is kept there):", patch)
        )
    elif not steps:
        why = f"{live.reason}: {live.message}" if live is not None else "the operator has not said yet"
        steps.append(Advice(f"It is approved. What is in the way: {why}"))
    elif live is not None and live.reason not in ("NotApproved", "Demoted", "NotRequested", "Killed"):
        steps.append(Advice(f"Also in the way: {live.reason}: {live.message}"))
    return steps


def _approve(said: PromotionStatus, target: Sequence[str]) -> Advice:
    failed = [one.name for one in open_checks(said)]
    reason = f"what you looked at{'; accepted although not passed: ' if failed else ''}{', '.join(failed)}"
    command = command_line("kubectl", "tradingbot", "approve", *target, "--reason", reason)
    text = f"The verdict is {said.verdict.value}, and it has {said.approvals_missing}. Somebody who may approves:"
    return Advice(text, command)


def _before_the_verdict(bot: Bot, said: PromotionStatus, target: Sequence[str]) -> list[Advice]:
    missing = open_checks(said)
    by_itself = [one.name for one in missing if _comes_by_itself(one)]
    silent = [one.name for one in missing if one.observed == _SILENT]
    items = [one.name for one in missing if waits_for_a_person(one)]
    named = {*by_itself, *silent, *items, "NotKilled"}
    rest = [one for one in missing if one.name not in named]
    steps = []
    if silent:
        shown = command_line("kubectl", "tradingbot", "status", *target)
        steps.append(Advice(f"Its pod does not answer, so that nobody knows of {', '.join(silent)}. See why:", shown))
    if by_itself:
        when = f" The sessions are there on {said.earliest_at} at the earliest." if said.earliest_at else ""
        steps.append(Advice(f"Let it trade on paper: {', '.join(by_itself)} come with time.{when}"))
    for one in rest:
        steps.append(Advice(f"{one.name} ({one.state.value}): {one.message or f'needs {one.threshold}'}"))
        steps += _for_check(bot, one, target)
    if items:
        options = [word for item in items for word in ("--item", item)]
        command = command_line("kubectl", "tradingbot", "approve", *target, *options, "--reason", "what you looked at")
        text = f"Somebody has to look at {', '.join(items)} and say so in an approval, once the rest passes:"
        steps.append(Advice(text, command))
    return steps


def _comes_by_itself(entry: ChecklistEntry) -> bool:
    return entry.name in _BY_ITSELF or (entry.state is CheckState.UNKNOWN and entry.observed == _NO_SESSION)


def _for_check(bot: Bot, entry: ChecklistEntry, target: Sequence[str]) -> list[Advice]:
    if entry.name == "NoOpenIncident" and entry.state is CheckState.FAIL:
        return [Advice("see the incident in its log:", command_line("kubectl", "tradingbot", "logs", *target))]
    if entry.name == "BrokerAudit" and entry.evidence_refs:
        bot_name, *options = target
        shown = command_line("kubectl", "tradingbot", "evidence", bot_name, entry.evidence_refs[-1], *options)
        return [Advice("see both sides:", shown)]
    return []
