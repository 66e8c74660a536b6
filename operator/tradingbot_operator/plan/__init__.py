"""What one object needs, decided from one snapshot: pure functions, no awaits, no clock of their own.

Must never do I/O: everything a decision depends on is in the snapshot, and everything it wants is in the plan.
"""

from tradingbot_operator.plan.account import plan_account
from tradingbot_operator.plan.events import EventNote
from tradingbot_operator.plan.gate import plan_gate
from tradingbot_operator.plan.plan import Plan, plan_bot
from tradingbot_operator.plan.snapshot import (
    AccountSnapshot,
    BotSnapshot,
    GateSnapshot,
    PlanSettings,
    Refusal,
    ReportAnswer,
    Reported,
    ReportFailure,
    ReportPending,
)
from tradingbot_operator.plan.status import StatusWrite, status_write

__all__ = [
    "AccountSnapshot",
    "BotSnapshot",
    "EventNote",
    "GateSnapshot",
    "Plan",
    "PlanSettings",
    "Refusal",
    "ReportAnswer",
    "ReportFailure",
    "ReportPending",
    "Reported",
    "StatusWrite",
    "plan_account",
    "plan_bot",
    "plan_gate",
    "status_write",
]
