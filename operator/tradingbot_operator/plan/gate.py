"""The status of a PromotionGate: who names it, and what it says of each of them.

Must never say GO or REVIEW: this release evaluates nothing, and what nobody looked at did not pass.
"""

from typing import Final

from tradingbot_api import GatedBot, GateVerdict, PromotionGateStatus
from tradingbot_operator.plan.conditions import Verdict, conditions, false, true
from tradingbot_operator.plan.objects import Raw, generation_of, is_being_deleted, name_of, text
from tradingbot_operator.plan.plan import Plan
from tradingbot_operator.plan.snapshot import GateSnapshot, InvalidSpec, parse_gate_spec

VALID: Final = "Valid"
EVALUATED: Final = "Evaluated"
_LIMIT: Final = 1000
_NOT_EVALUATED: Final = "this release does not evaluate gates yet"


def plan_gate(snapshot: GateSnapshot) -> Plan:
    """The plan for one PromotionGate: nothing but its status."""
    gate = snapshot.gate
    if is_being_deleted(gate):
        return Plan()
    bots = sorted(snapshot.bots, key=name_of)
    status = PromotionGateStatus(
        observed_generation=generation_of(gate),
        bot_count=len(bots),
        bots=[_gated(bot) for bot in bots[:_LIMIT]],
        conditions=conditions(gate, (_valid(gate), _evaluated()), snapshot.now),
    )
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Plan(status={key: value for key, value in dumped.items() if value != []})


def _gated(bot: Raw) -> GatedBot:
    return GatedBot(
        name=name_of(bot),
        requested=text(bot, "spec", "mode") or "paper",
        verdict=GateVerdict.PENDING,
        reason="NotEvaluated",
        message=f"not evaluated yet: {_NOT_EVALUATED}",
    )


def _valid(gate: Raw) -> Verdict:
    spec = parse_gate_spec(gate)
    if isinstance(spec, InvalidSpec):
        return false(VALID, "InvalidSpec", f"this release cannot read the stored spec: {spec.message}")
    return true(VALID, "Valid")


def _evaluated() -> Verdict:
    return false(EVALUATED, "NotEvaluated", f"{_NOT_EVALUATED}: every bot that names the gate stays on paper")
