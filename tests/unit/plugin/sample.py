"""A bot as the API server stores it, and words to say what is different this time; and what is printed, as text."""

import io
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType

from kubectl_tradingbot.bots import Bot
from tradingbot_api import ChecklistEntry, CheckState, PromotionStatus, TradingBotStatus

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
UID = "uid-of-momentum"
DIGEST = "5" * 64
STAMP = "2026-11-21T11:00:00Z"


def a_bot(name: str = "momentum", *, annotations: dict[str, str] | None = None, status: Any = None, **spec: Any) -> Bot:
    metadata = {
        "name": name,
        "namespace": "demo",
        "uid": f"uid-of-{name}",
        "creationTimestamp": "2026-11-20T12:00:00Z",
        "annotations": annotations or {},
    }
    body = {
        "strategy": {"name": "momentum", "parameters": {"lookback": 20}},
        "symbols": ["AAPL", "MSFT"],
        "timeframe": "1Day",
        "capital": "10000",
        "accounts": {"paper": "sim", "live": "real"},
        **spec,
    }
    return Bot({"kind": "TradingBot", "metadata": metadata, "spec": body, "status": status or {}})


def a_status(**changes: Any) -> dict[str, Any]:
    """A status as our own models write it: a field that they do not have is an error here."""
    unknown = set(changes) - set(TradingBotStatus.model_fields)
    assert not unknown, unknown
    return TradingBotStatus.model_validate(changes).model_dump(mode="json", by_alias=True, exclude_none=True)


def a_check(name: str, state: str = "Pass", **changes: Any) -> ChecklistEntry:
    fields = {"kind": "Blocking", "state": CheckState(state), "last_evaluated": STAMP, **changes}
    return ChecklistEntry(name=name, **fields)


def a_promotion(verdict: str, *checks: ChecklistEntry, **changes: Any) -> PromotionStatus:
    inputs = [{"name": name, "sha256": "a" * 64, "changed_at": STAMP} for name in ("capital", "image")]
    fields: dict[str, Any] = {
        "gate": "standard",
        "verdict": verdict,
        "score": 10_000,
        "sessions": 30,
        "required_sessions": 30,
        "subject": {"digest": DIGEST, "image": "sha256:b", "since": STAMP, "inputs": inputs},
        "checklist": checks,
        "blockers": [one.name for one in checks if one.state is not CheckState.PASS and one.kind == "Blocking"],
        **changes,
    }
    return PromotionStatus.model_validate(fields)


def judged(verdict: str, *checks: ChecklistEntry, status: dict[str, Any] | None = None, **changes: Any) -> Bot:
    """A bot that asks for live trading and was judged."""
    spec = {"mode": changes.pop("mode", "live"), "gateRef": {"name": "standard"}}
    said = a_promotion(verdict, *checks, **changes)
    return a_bot(status=a_status(promotion=said, **(status or {})), **spec)


def a_condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "last_transition_time": STAMP}


def killed(annotation: str | None = "fat finger", *, on_kill: str = "CancelOrders", said: str = "", **kill: Any) -> Bot:
    """A bot with a kill in force; `said`: what its condition says, `kill`: parts of status.kill."""
    report = {"reason": "fat finger", "epoch": 3, "observed_at": STAMP, **kill}
    annotations = {} if annotation is None else {"tradingbots.dev/kill": annotation}
    said = said or "kill requested on TradingBot momentum"
    conditions = [a_condition("Killed", "True", "KillRequested", said)]
    return a_bot(annotations=annotations, status=a_status(kill=report, conditions=conditions), onKill=on_kill)


def an_approval_of(bot: Bot, name: str = "momentum-1", uid: str = "u1") -> dict[str, str]:
    return {"name": name, "uid": uid, "approver": "alice"}


def a_session(date: str = "2026-11-20", *, result: str = "Match", name: str = "", **changes: Any) -> dict[str, Any]:
    """A PromotionEvidence of type Session as it is stored."""
    report = {
        "session": date,
        "namespace": "demo",
        "name": "momentum",
        "uid": UID,
        "mode": "paper",
        "account": "sim",
        "opensAt": f"{date}T14:30:00Z",
        "closesAt": f"{date}T21:00:00Z",
        "coveragePercent": "100",
        "closedNormally": True,
        **dict.fromkeys(("starts", "fills", "rejectedOrders", "refusedOrders", "operations", "incidents"), 1),
        "operationalErrors": 0,
        "orders": 4,
        "filledOrders": 3,
        "pnl": "-12.50",
        "returnPercent": "-0.125",
        "shadowReturnPercent": "-0.1",
        "turnover": "500",
        "killed": False,
        "reconciliations": {"clean": 9, "mismatch": 1},
    }
    difference = {"what": "profit", "reported": "-12.50", "broker": "-13.00"}
    audit = {"session": date, "result": result, "differences": [difference] if result == "Mismatch" else []}
    spec = {
        "type": "Session",
        "botRef": {"name": "momentum", "uid": UID},
        "podUID": "pod-1",
        "subjectDigest": DIGEST,
        "observedGeneration": 1,
        "account": "sim",
        "provider": "simulator",
        "image": "sha256:b",
        "sourceDigest": "c" * 64,
        "observedAt": f"{date}T21:00:00Z",
        "session": {"report": report, "journalHash": "d" * 64, "audit": audit},
        **changes,
    }
    name = name or f"momentum-session-{date}"
    return {"kind": "PromotionEvidence", "metadata": {"name": name, "creationTimestamp": STAMP}, "spec": spec}


def text_of(view: RenderableType, width: int = 220) -> str:
    """What a terminal without colours shows, without the padding."""
    stream = io.StringIO()
    Console(file=stream, width=width, no_color=True, highlight=False).print(view)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
