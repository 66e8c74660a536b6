"""What it costs to judge bots by their gate: from stored JSON to checklist, verdict and status document.

No API server and no clock: the same pure functions that the operator calls at every look. Beside it: reading the same
JSON with `json.loads` and pydantic, which is the least that anybody pays who wants to know what it says.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bench.harness import Bench, Measurement, Scale, in_turns
from tradingbot_api import PromotionEvidenceSpec
from tradingbot_operator.plan import BotSnapshot, PlanSettings, ReportPending
from tradingbot_operator.plan.checklist import promotion_status
from tradingbot_operator.plan.judging import Judged, judge
from tradingbot_operator.plan.live import passage
from tradingbot_operator.plan.snapshot import parse_bot_spec
from tradingbot_operator.plan.verdicts import View

BOTS: Final = 1000
SESSIONS: Final = 60
NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
_DIGEST: Final = "sha256:" + "a" * 64
_IMAGE: Final = "runtime:bench"


def _bot(uid: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "momentum", "namespace": "demo", "uid": uid, "generation": 1},
        "spec": {
            "mode": "live",
            "strategy": {"name": "momentum", "parameters": {"lookback": 20}},
            "symbols": ["AAPL", "MSFT"],
            "capital": "10000",
            "accounts": {"paper": "paper", "live": "live"},
            "gateRef": {"name": "standard"},
        },
    }


def _account(name: str) -> dict[str, Any]:
    spec = {"provider": "alpaca", "environment": name, "credentialsSecretRef": {"name": name}}
    return {"metadata": {"name": name, "namespace": "demo"}, "spec": spec}


def _pod() -> dict[str, Any]:
    return {
        "metadata": {"name": "momentum-bot-0", "namespace": "demo", "uid": "pod"},
        "spec": {"containers": [{"name": "bot", "image": _IMAGE}]},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "containerStatuses": [{"name": "bot", "imageID": f"docker.io/library/runtime@{_DIGEST}"}],
        },
    }


def _snapshot(uid: str, evidence: tuple[Any, ...] = ()) -> BotSnapshot:
    return BotSnapshot(
        bot=_bot(uid),
        now=NOW,
        settings=PlanSettings(runtime_image=_IMAGE),
        account=_account("paper"),
        live_account=_account("live"),
        gate={"metadata": {"name": "standard", "namespace": "demo"}, "spec": {}},
        pods=(_pod(),),
        evidence=evidence,
        reported=ReportPending(),
    )


def _judged(snapshot: BotSnapshot) -> Judged:
    view = View(snapshot.bot, snapshot.account, snapshot.now, None, snapshot.reported)
    found = judge(snapshot, parse_bot_spec(snapshot.bot), view)
    if not isinstance(found, Judged):
        raise RuntimeError(f"the bench's own bot was not judged: {found.message}")
    promotion_status(found, passage(snapshot, found, view), view)
    return found


def _session(uid: str, digest: str, number: int) -> str:
    """One PromotionEvidence as the API server would give it."""
    day = (NOW - timedelta(days=SESSIONS - number)).date().isoformat()
    report = {
        "session": day,
        "namespace": "demo",
        "name": "momentum",
        "uid": uid,
        "mode": "paper",
        "account": "paper",
        "opensAt": f"{day}T13:30:00Z",
        "closesAt": f"{day}T20:00:00Z",
        "beganAt": f"{day}T13:30:02Z",
        "coveragePercent": "99.5",
        "closedNormally": True,
        "starts": 1,
        "orders": 4,
        "filledOrders": 4,
        "fills": 5,
        "rejectedOrders": 0,
        "refusedOrders": 0,
        "pnl": "12.50",
        "returnPercent": "0.1250",
        "shadowReturnPercent": "0.1260",
        "slippageBps": "2",
        "fillRatePercent": "99",
        "turnover": "5000",
        "reconciliations": {"clean": 40, "mismatch": 0, "failed": 0},
        "operations": 200,
        "operationalErrors": 0,
        "incidents": 0,
        "killed": False,
    }
    audit = {"session": day, "result": "Match", "message": "", "differences": [], "notCompared": []}
    spec = {
        "type": "Session",
        "botRef": {"name": "momentum", "uid": uid},
        "podUID": "pod",
        "subjectDigest": digest,
        "observedGeneration": 1,
        "account": "paper",
        "provider": "alpaca",
        "image": _DIGEST,
        "sourceDigest": f"{number:064x}",
        "observedAt": f"{day}T20:00:00Z",
        "session": {"report": report, "journalHash": "c" * 64, "audit": audit},
    }
    metadata = {
        "name": f"momentum-session-{day}",
        "namespace": "demo",
        "uid": f"{uid}-{number}",
        "resourceVersion": str(number),
    }
    return json.dumps({"kind": "PromotionEvidence", "metadata": metadata, "spec": spec})


def _for_every_bot(work: Callable[[str, list[str]], int], prefix: str = "bot") -> float:
    """Seconds that `work` takes for all bots; what it is given is not in it. It says how many sessions it saw."""
    digest = _judged(_snapshot("uid")).subject.digest
    seconds = 0.0
    for number in range(BOTS):
        uid = f"{prefix}-{number}"
        stored = [_session(uid, digest, session) for session in range(SESSIONS)]
        began = time.perf_counter()
        seen = work(uid, stored)
        seconds += time.perf_counter() - began
        if seen != SESSIONS:
            raise RuntimeError(f"{seen} of {SESSIONS} sessions count")
    return seconds


def _judge(uid: str, stored: list[str]) -> int:
    return _judged(_snapshot(uid, tuple(map(json.loads, stored)))).assessment.sessions


def _read(uid: str, stored: list[str]) -> int:
    return len([PromotionEvidenceSpec.model_validate(json.loads(one)["spec"]) for one in stored])


def _measure(scale: Scale) -> Iterator[Measurement]:
    beside = "json.loads and pydantic on the same"
    size = f"{BOTS:,} bots of {SESSIONS} sessions"
    rounds = itertools.count()

    def first() -> float:
        # Other bots each time: of these nothing was kept.
        return _for_every_bot(_judge, f"round-{next(rounds)}")

    yield in_turns(scale, f"{size}: the first look", "s", first, beside, lambda: _for_every_bot(_read))
    _for_every_bot(_judge)
    yield in_turns(
        scale,
        f"{size}: a look at which nothing changed",
        "s",
        lambda: _for_every_bot(_judge),
        beside,
        lambda: _for_every_bot(_read),
    )


BENCH = Bench("promotion", "judging bots by their gate: JSON to checklist, verdict and status", 90, _measure)
