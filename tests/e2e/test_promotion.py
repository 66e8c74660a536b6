"""From paper to live and back, on real pods: thirty sessions, a verdict, a person's word, and what ends a grant.

One story, because thirty sessions take minutes. The live account's orders are not filled at first, so that what the bot
earns there is nothing like what it decided: the drift that ends its first grant.
"""

import json
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from e2e.lab import Json, Lab, eventually

ROOT = Path(__file__).parents[2]
BOT = "runner"
SPEC = {
    "strategy": {"name": "momentum", "parameters": {"lookback": 20}},
    "symbols": ["AAPL", "MSFT", "NVDA"],
    "timeframe": "1Hour",
    "accounts": {"paper": "paper", "live": "live"},
    "gateRef": {"name": "race"},
    "risk": {"maxPositionPercent": "33", "maxOrdersPerMinute": 200},
    "execution": {"orderType": "market"},
    "onDelete": "Flatten",
}


def _gate() -> Json:
    gate: Json = yaml.safe_load((ROOT / "manifests/gates/demo.yaml").read_text())["spec"]
    # A live session that fills nothing is as far from what was decided as a session usually earns or loses.
    stages = [{"maxCapital": "5000", "sessions": 2}, {"maxCapital": "10000"}]
    return gate | {"demotion": {"maximumDriftPercent": "20", "driftSessions": 3}, "stages": stages}


def _binding(role: str, user: str) -> Json:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    return {"roleRef": reference, "subjects": [{"kind": "User", "apiGroup": reference["apiGroup"], "name": user}]}


def _approve(lab: Lab, user: str, **changes: str) -> None:
    bot = lab.get("tradingbot", BOT)
    said = bot["status"]["promotion"]
    spec = {
        "action": "Promote",
        "botRef": {"name": BOT, "uid": bot["metadata"]["uid"]},
        "gate": "race",
        "subjectDigest": said["subject"]["digest"],
        "verdict": said["verdict"],
        "approver": user,
        "reason": "seen on paper",
    } | changes
    document = {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": f"{BOT}-{uuid.uuid4().hex[:6]}", "namespace": lab.namespace},
        "spec": spec,
    }
    lab.cluster.run("create", "-f", "-", f"--as={user}", document=json.dumps(document))


def _ask(lab: Lab, spec: Json) -> None:
    lab.kubectl("patch", "bot", BOT, "--type=merge", "-p", json.dumps({"spec": spec}))


def _until(lab: Lab, holds: Callable[[Json], object], what: str, timeout_seconds: float) -> Json:
    """The bot's status once it holds; fails with what the gate and the bot say."""

    def look() -> Json | None:
        status = lab.status(BOT)
        if holds(status):
            return status
        promotion = status.get("promotion", {})
        raise LookupError(
            {
                "effectiveMode": status.get("effectiveMode"),
                "verdict": promotion.get("verdict"),
                "message": promotion.get("message"),
                "demotion": status.get("demotion"),
                "conditions": {
                    one["type"]: f"{one['reason']}: {one['message']}" for one in status.get("conditions", [])
                },
            }
        )

    return eventually(look, what, timeout_seconds)


def _go_live(lab: Lab) -> Json:
    _until(lab, lambda status: status["promotion"]["verdict"] == "GO", "a verdict that one person may approve", 300)
    # A session closes every six seconds: another verdict may come and go before the approval is there.
    _approve(lab, "alice", verdict="GO")
    return _until(lab, lambda status: status.get("grant") and status["effectiveMode"] == "live", "a live pod", 300)


def test_paper_to_live_and_back(race: Lab) -> None:
    race.apply("PromotionGate", "race", spec=_gate())
    race.apply("RoleBinding", "alice-approves", **_binding("tradingbots-approver", "alice"))
    race.apply("RoleBinding", "carol-edits", **_binding("edit", "carol"))
    stall = race.add_fault(kind="partial_fill_stall", fraction=0, seconds=10_000_000, match={"account": "live"})
    race.bot(BOT, "paper", **SPEC)

    # Thirty sessions on paper, each confirmed by the broker's record.
    status = _until(race, lambda status: status.get("promotion", {}).get("verdict") == "GO", "GO", 900)
    assert status["promotion"]["sessions"] >= 30
    assert status["effectiveMode"] == "paper"

    # Asked for, and not approved: it stays on paper and says so.
    _ask(race, {"mode": "live"})
    waiting = race.wait_for_condition(BOT, "LiveAuthorized", "False", "NotApproved")
    assert "approv" in waiting["message"]
    for user, changes in (("carol", {}), ("alice", {"approver": "bob"})):
        with pytest.raises(subprocess.CalledProcessError):
            _approve(race, user, **changes)
    assert not race.requests("live")

    # One person's word, and it trades on the live account.
    grant = _go_live(race)["grant"]
    assert [one["approver"] for one in grant["approvals"]] == ["alice"]
    eventually(lambda: race.requests("live"), "orders on the live account", 300)

    # What it earns is not what it decided: back to paper, with nothing left open there.
    status = _until(race, lambda status: status["effectiveMode"] == "paper", "back on paper", 300)
    assert status["demotion"]["reason"] == "DriftExceeded"
    assert "grant" not in status
    assert not race.at_broker("live")["open_orders"]

    # Back again, by another word: the first is used up.
    race.remove_fault(stall)
    race.wait_for_condition(BOT, "LiveAuthorized", "False", "Demoted")
    again = _go_live(race)["grant"]
    assert again["epoch"] == grant["epoch"] + 1
    assert (again["stage"], again["maxCapital"]) == (0, "5000")
    eventually(lambda: race.filled("live"), "a fill on the live account", 300)

    # Two clean live sessions later it may hold more, without a restart.
    pod = race.get("pod", race.pod(BOT))["metadata"]["uid"]
    grown = _until(race, lambda status: status.get("grant", {}).get("stage") == 1, "the next stage", 300)["grant"]
    assert (grown["epoch"], grown["maxCapital"]) == (again["epoch"], "10000")
    assert race.get("pod", race.pod(BOT))["metadata"]["uid"] == pod

    # Another parameter is another bot: on paper, flat, and nothing counts any more.
    _ask(race, {"strategy": {"parameters": {"lookback": 21}}})
    status = _until(race, lambda status: status["effectiveMode"] == "paper", "back on paper", 300)
    assert status["demotion"]["reason"] == "SubjectChanged"
    assert "strategy" in status["demotion"]["message"]
    assert status["promotion"]["sessions"] <= 2
    at_broker = race.at_broker("live")
    assert not at_broker["open_orders"]
    assert not at_broker["positions"]
