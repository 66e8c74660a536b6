"""A real Argo CD runs bots from Git: it shows how they are, heals them, never fights the operator, undoes no kill."""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from e2e.gitops import Argo, Repository
from e2e.lab import Cluster, Json, Lab, eventually
from unit.argocd.lua import act, health_of
from unit.operator.candidate import Candidate, a_gate
from unit.operator.kill_world import DONE, RELEASED, a_record
from unit.operator.world import a_bot, an_account

BOT = "momentum"
KILL, PAUSE = "tradingbots.dev/kill", "tradingbots.dev/pause"
QUIET_SECONDS = float(os.environ.get("ARGOCD_QUIET_SECONDS") or (300 if os.environ.get("CI") == "true" else 45))
LIVE_KUSTOMIZATION = "bots/overlays/live/kustomization.yaml"


@dataclass(frozen=True)
class Site:
    """A team's repository, and what Argo CD has made of it."""

    argo: Argo
    lab: Lab
    repository: Repository
    paper: str
    """Namespace of the bot that only trades on paper, and the name of its Application."""
    live: str
    """The same of the bot that is to be promoted."""

    @property
    def applications(self) -> tuple[str, ...]:
        """The one that was applied by hand, and those that it made."""
        return ("trading", "tradingbot-operator", self.paper, self.live)

    @property
    def cluster(self) -> Cluster:
        return self.lab.cluster

    def bot(self, namespace: str) -> Json:
        return self.cluster.get("-n", namespace, "tradingbot", BOT)

    def kubectl(self, namespace: str, *args: str) -> str:
        return self.cluster.run("-n", namespace, *args)

    def health(self, namespace: str) -> str:
        """The bot's health as its Application has it."""
        return str(self.argo.health(namespace, "TradingBot", BOT).get("status", ""))

    def message(self, namespace: str) -> str:
        """What Argo CD's own Lua says of the bot as it is."""
        return _health_said(self.argo, self.bot(namespace))[1]

    def is_synced_to(self, namespace: str, revision: str) -> bool:
        self.argo.refresh(namespace)
        status = self.argo.application(namespace)["status"]
        done = status.get("operationState", {}).get("phase") == "Succeeded"
        return done and (status["sync"]["status"], status["sync"]["revision"]) == ("Synced", revision)


def _health_said(argo: Argo, obj: Json) -> tuple[str, str]:
    said = argo.overrides("health", obj)
    status, message = re.search(r"^STATUS: (.*)$", said, re.M), re.search(r"^MESSAGE: ((?:.|\n)*)", said, re.M)
    assert status and message, said
    return status[1].strip(), message[1].strip()


@pytest.fixture(scope="module")
def argo(cluster: Cluster) -> Iterator[Argo]:
    argo = Argo(cluster)
    argo.command("up")
    yield argo
    argo.command("down")


@pytest.fixture(scope="module")
def site(argo: Argo, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """What a user does once: a copy of the example, the Secrets, and root.yaml."""
    paper, live = f"{lab.namespace}-paper", f"{lab.namespace}-live"
    at_the_simulator = f"provider: simulator\n  baseURL: http://simulator.{lab.namespace}.svc:8080"
    repository = Repository.of_the_example(
        tmp_path_factory.mktemp("git") / "trading",
        [
            ("bots-paper", paper),
            ("bots-live", live),
            ("provider: alpaca", at_the_simulator),
            ("lookback: 20", "lookback: 5"),
            # As the operator of this cluster is installed: reports every 3 seconds, one replica.
            ("release/manifests/base", "release/manifests/overlays/demo"),
        ],
    )
    site = Site(argo, lab, repository, paper, live)
    try:
        argo.kubectl("apply", "-f", str(repository.folder / "root.yaml"))
        for namespace, secrets in ((paper, ("alpaca-paper",)), (live, ("alpaca-paper", "alpaca-live"))):
            eventually(lambda ns=namespace: site.cluster.run("get", "namespace", ns), f"Argo CD made {namespace}", 300)
            for name in secrets:
                account = lab.account()
                literals = (
                    f"--from-literal=APCA_API_KEY_ID=PK{account.upper()}",
                    f"--from-literal=APCA_API_SECRET_KEY=secret-of-{account}",
                )
                site.kubectl(namespace, "create", "secret", "generic", name, *literals)
        yield site
    finally:
        for name in site.applications:
            argo.kubectl("delete", "applications.argoproj.io", name, "--ignore-not-found", "--wait=false")
        for namespace in (paper, live):
            site.cluster.run("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")


def _is_done(site: Site, name: str) -> bool:
    """Synced, and no sync is under way. What was there already, as the operator may be, needed none."""
    status = site.argo.application(name)["status"]
    phase = status.get("operationState", {}).get("phase", "Succeeded")
    return (status["sync"]["status"], phase) == ("Synced", "Succeeded")


def _trades(site: Site, namespace: str) -> bool:
    return site.bot(namespace).get("status", {}).get("filledOrders", 0) > 0


@pytest.fixture(scope="module")
def trading(site: Site) -> Site:
    """Both bots run, and the one on paper has traded."""
    for namespace in (site.paper, site.live):
        eventually(lambda ns=namespace: site.health(ns) == "Healthy", f"{namespace} is healthy", 300)
    for name in site.applications:
        eventually(lambda one=name: _is_done(site, one), f"{name} is synced", 300)
    eventually(lambda: _trades(site, site.paper), "an order is filled", 300)
    return site


def test_the_first_sync_brings_operator_and_bots_each_by_an_application_of_its_own(trading: Site) -> None:
    site = trading
    for name in ("trading", site.paper, site.live):
        assert len(site.argo.application(name)["status"]["history"]) >= 1
    for namespace, resources in {
        site.paper: {("TradingBot", BOT), ("BrokerAccount", "alpaca-paper")},
        site.live: {
            ("TradingBot", BOT),
            ("BrokerAccount", "alpaca-paper"),
            ("BrokerAccount", "alpaca-live"),
            ("PromotionGate", "standard"),
        },
    }.items():
        for kind, name in resources:
            found = lambda n=namespace, k=kind, o=name: site.argo.health(n, k, o)["status"]  # noqa: E731
            eventually(lambda look=found: look() == "Healthy", f"{kind} {name} is healthy")
    assert site.message(site.paper) == "paper"


def test_git_and_the_operator_fight_over_no_field(trading: Site) -> None:
    """While the bots trade, report and are judged, Argo CD looks again and again and finds nothing to do."""
    site = trading
    names = site.applications

    def syncs(name: str) -> tuple[int, str]:
        status = site.argo.application(name)["status"]
        return len(status.get("history", [])), status.get("operationState", {}).get("finishedAt", "")

    before = {name: syncs(name) for name in names}
    figures = site.bot(site.paper)["status"]["reportedAt"]
    looks: dict[str, set[str]] = {name: set() for name in names}
    out_of_sync = 0
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        for name in names:
            status = site.argo.application(name)["status"]
            out_of_sync += status["sync"]["status"] != "Synced"
            looks[name].add(status["reconciledAt"])
        time.sleep(1)
    assert out_of_sync == 0
    assert {name: syncs(name) for name in names} == before
    # It did look, and there was something to see.
    assert all(len(seen) >= QUIET_SECONDS / 30 for seen in looks.values()), looks
    assert site.bot(site.paper)["status"]["reportedAt"] != figures


def test_a_spec_that_drifts_is_healed(trading: Site) -> None:
    site = trading
    drift = json.dumps({"spec": {"capital": "99999", "paused": True}})
    site.kubectl(site.paper, "patch", "tradingbot", BOT, "--type=merge", "-p", drift)
    # What Git does not name is nobody's drift: `paused` is not in the example, and stays as a person has set it.
    eventually(lambda: site.bot(site.paper)["spec"]["capital"] == "10000", "the capital is Git's again", 300)
    eventually(lambda: site.health(site.paper) == "Suspended", "it is paused", 300)
    site.kubectl(site.paper, "patch", "tradingbot", BOT, "--type=merge", "-p", json.dumps({"spec": {"paused": False}}))
    eventually(lambda: site.health(site.paper) == "Healthy", "it goes on", 300)


def test_pause_and_resume_from_argo_cd(trading: Site) -> None:
    site = trading

    def do(action: str) -> None:
        bot = site.bot(site.paper)
        assert _offered(site.argo, bot)[action], action
        assert PAUSE in site.argo.overrides("run-action", bot, action)
        # Argo CD's API server would send this patch: what the action changed in the live object.
        annotations = act(action, bot)["metadata"]["annotations"] or {}
        patch = {"metadata": {"annotations": {PAUSE: annotations.get(PAUSE)}}}
        site.kubectl(site.paper, "patch", "tradingbot", BOT, "--type=merge", "-p", json.dumps(patch))

    do("pause")
    eventually(lambda: site.health(site.paper) == "Suspended", "it is paused", 300)
    _look_twice(site, site.paper)
    assert PAUSE in site.bot(site.paper)["metadata"]["annotations"]
    assert site.argo.sync_status(site.paper) == "Synced"
    do("resume")
    eventually(lambda: site.health(site.paper) == "Healthy", "it trades", 300)


def _offered(argo: Argo, bot: Json) -> dict[str, bool]:
    """Actions by name, and whether they are offered now."""
    rows = [line.split() for line in argo.overrides("list-actions", bot).splitlines()]
    assert rows[0] == ["NAME", "DISABLED"], rows
    return {name: disabled == "false" for name, disabled in rows[1:]}


def _look_twice(site: Site, name: str) -> None:
    """Argo CD has compared Git with the cluster twice from now on."""
    for _ in range(2):
        seen = site.argo.application(name)["status"]["reconciledAt"]
        time.sleep(1)
        site.argo.refresh(name)
        eventually(lambda at=seen: site.argo.application(name)["status"]["reconciledAt"] > at, "it looks", 120)


def test_a_promotion_is_asked_for_by_a_commit_and_stays_gated(trading: Site) -> None:
    site = trading
    revision = site.repository.change("bots/overlays/live/mode.yaml", ("mode: paper", "mode: live"))
    eventually(lambda: site.is_synced_to(site.live, revision), "the commit is applied", 300)
    eventually(lambda: site.message(site.live).startswith("paper; live gated: "), "it says what is missing", 300)
    assert re.fullmatch(r"paper; live gated: \d+/30 sessions", site.message(site.live))
    eventually(lambda: site.health(site.live) == "Healthy", "gated is healthy")
    bot = site.bot(site.live)
    assert (bot["spec"]["mode"], bot["status"]["effectiveMode"]) == ("live", "paper")
    assert "grant" not in bot["status"]
    assert site.argo.health(site.live, "PromotionGate", "standard")["status"] == "Healthy"


def test_no_approval_comes_from_git(trading: Site) -> None:
    """The project does not let it through, whatever is merged."""
    site = trading
    bot = site.bot(site.live)
    approval = {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": "merged"},
        "spec": {
            "action": "Promote",
            "botRef": {"name": BOT, "uid": bot["metadata"]["uid"]},
            "gate": "standard",
            "subjectDigest": "0" * 64,
            "verdict": "GO",
            "approver": "tess",
            "reason": "merged",
        },
    }
    path = site.repository.folder / "bots/overlays/live/approval.yaml"
    path.write_text(yaml.safe_dump(approval), encoding="utf-8")
    site.repository.change(LIVE_KUSTOMIZATION, ("  - gate.yaml\n", "  - gate.yaml\n  - approval.yaml\n"))

    def refused() -> str:
        site.argo.refresh(site.live)
        state = site.argo.application(site.live)["status"].get("operationState", {})
        results = state.get("syncResult", {}).get("resources", [])
        said = " ".join(one.get("message", "") for one in results if one["kind"] == "Approval")
        return said if "not permitted" in said else ""

    try:
        assert "project" in eventually(refused, "the Approval is refused", 300)
        assert not site.kubectl(site.live, "get", "approvals", "-o", "name").strip()
    finally:
        path.unlink()
        change = ("  - gate.yaml\n  - approval.yaml\n", "  - gate.yaml\n")
        revision = site.repository.change(LIVE_KUSTOMIZATION, change)
    eventually(lambda: site.is_synced_to(site.live, revision), "it syncs again", 300)


def test_a_kill_is_not_undone_by_a_sync(trading: Site) -> None:
    site = trading
    site.kubectl(site.paper, "annotate", "bot", BOT, f"{KILL}=bad feed")
    eventually(lambda: site.health(site.paper) == "Degraded", "a killed bot is degraded", 300)
    cancelled = eventually(lambda: site.bot(site.paper)["status"]["kill"].get("flatAt"), "verified flat", 300)
    # A drift that has to be healed, so that there is a sync that could undo it.
    drift = json.dumps({"spec": {"capital": "99999"}})
    site.kubectl(site.paper, "patch", "tradingbot", BOT, "--type=merge", "-p", drift)
    eventually(lambda: site.bot(site.paper)["spec"]["capital"] == "10000", "it is healed", 300)
    _look_twice(site, site.paper)
    bot = site.bot(site.paper)
    assert bot["metadata"]["annotations"][KILL] == "bad feed"
    assert not _offered(site.argo, bot)["kill"]

    site.kubectl(site.paper, "annotate", "bot", BOT, f"{KILL}-")
    _look_twice(site, site.paper)
    bot = site.bot(site.paper)
    assert bot["status"]["kill"]["flatAt"] == cancelled
    assert site.health(site.paper) == "Degraded"
    record = site.cluster.get("-n", site.paper, "killrecord", f"{BOT}-1")
    assert _health_said(site.argo, record)[0] == "Degraded"


def test_a_bot_on_its_way_to_live_is_not_pruned_without_a_persons_word(trading: Site) -> None:
    site = trading
    site.repository.change(
        LIVE_KUSTOMIZATION, ("  - ../../base\n", ""), ("  - path: momentum.yaml\n  - path: mode.yaml\n", "")
    )

    def waits() -> str:
        site.argo.refresh(site.live)
        state = site.argo.application(site.live)["status"]["operationState"]
        return str(state["message"]) if state["phase"] == "Running" else ""

    found = eventually(lambda: "confirmation" in waits() and waits(), "it asks before it prunes", 300)
    assert "TradingBot/momentum" in found
    _look_twice(site, site.live)
    assert "deletionTimestamp" not in site.bot(site.live)["metadata"]

    said = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    approved = f"argocd.argoproj.io/deletion-approved={said}"
    site.argo.kubectl("annotate", "applications.argoproj.io", site.live, approved, "--overwrite")
    gone = ("get", "tradingbot", BOT, "--ignore-not-found", "-o", "name")
    eventually(lambda: not site.kubectl(site.live, *gone).strip(), "confirmed, it goes", 300)


def _objects() -> dict[str, Json]:
    """One object or two of every kind, some of them as the operator has judged them."""
    candidate = Candidate(gate=a_gate(checks={"paperSessions": {"minimum": 30}})).settle()
    candidate.session(1)
    candidate.settle(1)
    live = Candidate().live()
    live.settle(2)
    found = {
        "new bot": a_bot(),
        "gated bot": candidate.bot,
        "live bot": live.bot,
        "killed bot": a_bot(annotations={KILL: ""}),
        "account": an_account(),
        "gate": a_gate(),
        "evidence": candidate.evidence[0],
        "approval": live.approvals[0],
        "attestation": {"kind": "Attestation", "metadata": {}, "spec": {"attester": "ci"}},
        "kill": a_record(status=DONE),
        "released kill": a_record(status=DONE | RELEASED),
    }
    return {name: {"apiVersion": "tradingbots.dev/v1alpha1", **obj} for name, obj in found.items()}


def test_argo_cds_own_lua_says_what_the_unit_tests_say(argo: Argo) -> None:
    for name, obj in _objects().items():
        ours = health_of(obj)
        assert _health_said(argo, obj) == (ours.status, ours.message), name


def test_a_kill_from_argo_cd_carries_its_reason(argo: Argo) -> None:
    said = argo.overrides("run-action", _objects()["live bot"], "kill", "--param", "reason=bad feed")
    assert re.search(rf"{KILL}: bad feed", said)
