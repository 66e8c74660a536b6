"""The status of a PromotionGate: who names it, and what it says of each of them.

Reads what was written into the bots' own status. Must never say GO or REVIEW of a bot that was judged by another gate,
or by this one as it was before.
"""

from typing import Final

from tradingbot_api import GatedBot, GateVerdict, PromotionGateSpec, PromotionGateStatus
from tradingbot_operator.plan.checklist import NEXT
from tradingbot_operator.plan.conditions import Verdict, conditions, false, true
from tradingbot_operator.plan.objects import Raw, entries, generation_of, is_being_deleted, mapping, name_of, text
from tradingbot_operator.plan.plan import Plan
from tradingbot_operator.plan.snapshot import GateSnapshot, InvalidSpec, parse_gate_spec
from tradingbot_operator.promotion.subject import gate_digest

VALID: Final = "Valid"
EVALUATED: Final = "Evaluated"
_LIMIT: Final = 1000
_NAMED: Final = 5
_SUMMED_UP: Final = 3
_BLOCKERS: Final = 3
_REASONS: Final = {"GO": "Passed", "REVIEW": "Review", "NO-GO": "Blocked"}


def plan_gate(snapshot: GateSnapshot) -> Plan:
    """The plan for one PromotionGate: nothing but its status."""
    gate = snapshot.gate
    if is_being_deleted(gate):
        return Plan()
    bots, spec = sorted(snapshot.bots, key=name_of), parse_gate_spec(gate)
    by_this = [_is_judged_by(bot, gate, spec) for bot in bots]
    status = PromotionGateStatus(
        observed_generation=generation_of(gate),
        bot_count=len(bots),
        summary=_summary(bots, by_this),
        bots=[_gated(bot, judged) for bot, judged in list(zip(bots, by_this, strict=True))[:_LIMIT]],
        conditions=conditions(gate, (_valid(spec), _evaluated(bots, by_this, spec)), snapshot.now),
    )
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Plan(status={key: value for key, value in dumped.items() if value != []})


def _is_judged_by(bot: Raw, gate: Raw, spec: PromotionGateSpec | InvalidSpec) -> bool:
    """Whether the verdict in a bot's status is of this gate as it is now."""
    if isinstance(spec, InvalidSpec) or text(bot, "status", "promotion", "gate") != name_of(gate):
        return False
    inputs = entries(bot, "status", "promotion", "subject", "inputs")
    judged_by = next((text(one, "sha256") for one in inputs if text(one, "name") == "gate"), "")
    return judged_by == gate_digest(spec) and text(bot, "status", "promotion", "verdict") in _REASONS


def _gated(bot: Raw, judged: bool) -> GatedBot:
    requested = text(bot, "spec", "mode") or "paper"
    if not judged:
        message = "not judged by this gate as it is now yet"
        return GatedBot(name=name_of(bot), requested=requested, reason="NotEvaluated", message=message)
    verdict = text(bot, "status", "promotion", "verdict")
    is_granted = bool(mapping(bot, "status", "grant"))
    return GatedBot(
        name=name_of(bot),
        requested=requested,
        verdict=GateVerdict(verdict),
        reason="Live" if is_granted else _REASONS[verdict],
        message=text(bot, "status", "promotion", "message").partition(NEXT)[0][:512],
    )


def _summary(bots: list[Raw], judged: list[bool]) -> str:
    """What `kubectl get gate` shows: those that wait for live first, because somebody asks about them."""
    known = sorted(zip(bots, judged, strict=True), key=lambda one: (_rank(one[0]), name_of(one[0])))
    said = [_in_short(bot) if done else f"{name_of(bot)}: not judged yet" for bot, done in known[:_SUMMED_UP]]
    more = [f"and {len(known) - _SUMMED_UP} more"] if len(known) > _SUMMED_UP else []
    return "; ".join([*said, *more])[:512]


def _rank(bot: Raw) -> int:
    if mapping(bot, "status", "grant"):
        return 2
    return 0 if text(bot, "spec", "mode") == "live" else 1


def _in_short(bot: Raw) -> str:
    promotion = mapping(bot, "status", "promotion")
    head = f"{name_of(bot)}: {promotion.get('verdict')}"
    if mapping(bot, "status", "grant"):
        return f"{head}, live"
    sessions = f"{promotion.get('sessions')}/{promotion.get('requiredSessions')} sessions"
    earliest = text(promotion, "earliestAt")
    when = f", by {earliest} at the earliest" if earliest else ""
    blockers = [str(name) for name in promotion.get("blockers") or ()]
    rest = f" and {len(blockers) - _BLOCKERS} more" if len(blockers) > _BLOCKERS else ""
    blocked = f", not passed: {', '.join(blockers[:_BLOCKERS])}{rest}" if blockers else ""
    missing = "" if blockers else f", {text(promotion, 'approvalsMissing') or 'approved'}"
    return f"{head}, {sessions}{when}{blocked}{missing}"


def _valid(spec: PromotionGateSpec | InvalidSpec) -> Verdict:
    if isinstance(spec, InvalidSpec):
        return false(VALID, "InvalidSpec", f"this release cannot read the stored spec: {spec.message}")
    return true(VALID, "Valid")


def _evaluated(bots: list[Raw], judged: list[bool], spec: PromotionGateSpec | InvalidSpec) -> Verdict:
    if isinstance(spec, InvalidSpec):
        return false(EVALUATED, "InvalidSpec", "nobody is judged by a gate that cannot be read: nobody is promoted")
    waiting = [name_of(bot) for bot, done in zip(bots, judged, strict=True) if not done]
    if not waiting:
        return true(EVALUATED, "Evaluated", "every bot that names the gate was judged by it as it is now")
    named = ", ".join(waiting[:_NAMED]) + (f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else "")
    return false(EVALUATED, "Evaluating", f"not judged by the gate as it is now yet: {named}")
