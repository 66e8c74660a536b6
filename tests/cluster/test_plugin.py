"""`kubectl tradingbot` against a real API server, as people with the roles we ship: what they see and what they may."""

import os
import pty
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer, Json, eventually
from promotion_documents import bind
from test_attacks_live import CHECKS, LIVE_ASKED, earn, promotion
from world import FakeRuntime, World

PLUGIN = [sys.executable, "-m", "kubectl_tradingbot"]
KILL = "tradingbots.dev/kill"
SECONDS = 90


@dataclass(frozen=True)
class Ended:
    """How the plugin ended."""

    code: int
    out: str
    err: str


class Plugin:
    """The plugin in the test's namespace, as somebody."""

    def __init__(self, kubeconfig: Path, home: Path, namespace: str) -> None:
        self.namespace = namespace
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home), "PATH": path}

    def start(self, user: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [*PLUGIN, *arguments, f"--as={user}"]
        if "--all-namespaces" not in arguments:
            command.append(f"--namespace={self.namespace}")
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, text=True, env=self.environment, **pipes)

    def __call__(self, user: str, *arguments: str) -> Ended:
        return ended(self.start(user, *arguments))


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=SECONDS)
    return Ended(process.returncode, out, err)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kubectl keeps what it knows of the API server."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def plugin(kubeconfig: Path, home: Path, namespace: str) -> Plugin:
    return Plugin(kubeconfig, home, namespace)


@pytest.fixture
def bot(world: World) -> str:
    """A paper bot that runs and reports."""
    world.account()
    world.bot("momentum")
    world.run("momentum")
    world.wait_for_condition("momentum", "Ready", "True")
    return "momentum"


def person(world: World, role: str) -> str:
    """Somebody who has just that role in the namespace."""
    name = f"someone-{role}"
    bind(world.api, world.namespace, role, name)
    with world.api.as_user(name) as looking:
        eventually(lambda: looking.list("TradingBot", world.namespace) is not None, f"{role} counts")
    return name


# --------------------------------------------------------------- installed


@pytest.fixture
def on_path(plugin: Plugin, tmp_path: Path) -> Plugin:
    """Both programs as pip installs them."""
    module = {"kubectl-tradingbot": "cli", "kubectl_complete-tradingbot": "completion"}
    for name, entry in module.items():
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\nfrom kubectl_tradingbot.{entry} import main\nmain()\n")
        script.chmod(0o755)
    plugin.environment["PATH"] = f"{tmp_path}:{plugin.environment['PATH']}"
    return plugin


def kubectl(plugin: Plugin, *arguments: str) -> Ended:
    command = ["kubectl", *arguments]
    return ended(subprocess.Popen(command, text=True, env=plugin.environment, stdout=-1, stderr=-1, stdin=-3))


def test_kubectl_finds_it_by_its_name_and_completes_names_of_bots(on_path: Plugin, bot: str, world: World) -> None:
    shown = kubectl(on_path, "tradingbot", "status", bot, "-n", world.namespace)
    assert (shown.code, shown.err) == (0, "")
    assert f"{world.namespace}/{bot}" in shown.out
    world.bot("mean-reversion", symbols=["TSLA"])
    offered = kubectl(on_path, "__complete", "tradingbot", "kill", "-n", world.namespace, "m")
    assert offered.out.splitlines() == ["mean-reversion", "momentum", ":4"]
    assert "approve" in kubectl(on_path, "__complete", "tradingbot", "").out.splitlines()


# ------------------------------------------------------------------ looking


def test_a_viewer_sees_all_of_a_bot(plugin: Plugin, world: World, bot: str) -> None:
    viewer = person(world, "view")
    shown = plugin(viewer, "status", bot)
    assert (shown.code, shown.err) == (0, "")
    for said in ("Equity:", "10100.5", "AAPL", "It has sent none.", "No session is closed", "No kill", "Reconciled"):
        assert said in shown.out
    assert "\x1b[" not in shown.out
    assert bot in plugin(viewer, "status").out
    document = yaml.safe_load(plugin(viewer, "status", bot, "-o", "yaml").out)
    assert document["bot"]["metadata"]["uid"] == world.get("TradingBot", bot)["metadata"]["uid"]


def test_what_one_may_not_read_is_named_and_the_rest_is_shown(plugin: Plugin, world: World, bot: str) -> None:
    on_duty = person(world, "tradingbots-duty")
    shown = plugin(on_duty, "status", bot)
    assert shown.code == 0
    assert f"Not shown: {on_duty} may not list events in the namespace {world.namespace}" in shown.out
    refused = plugin(on_duty, "status", "--all-namespaces")
    assert refused.code == 5
    assert f"{on_duty} may not list tradingbots.tradingbots.dev in the whole cluster" in refused.err
    stranger = plugin("stranger", "status", bot)
    assert stranger.code == 5
    assert "the ClusterRole tradingbots-view has it" in stranger.err


def test_a_name_that_is_nearly_right_is_suggested(plugin: Plugin, world: World, bot: str) -> None:
    viewer = person(world, "view")
    for arguments in (
        ("status", "momentun"),
        ("gate", "momentun"),
        ("kill", "momentun", "--yes"),
        ("logs", "momentun"),
    ):
        missing = plugin(viewer if arguments[0] != "kill" else person(world, "tradingbots-duty"), *arguments)
        assert (missing.code, "did you mean momentum?" in missing.err) == (6, True), (arguments, missing)


def test_where_there_is_no_cluster_or_no_kubectl_it_says_so(plugin: Plugin, tmp_path: Path) -> None:
    nowhere = {"server": "https://127.0.0.1:1"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": nowhere}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file = tmp_path / "nowhere"
    file.write_text(yaml.safe_dump(config))
    gone = plugin("alice", "status", f"--kubeconfig={file}")
    assert gone.code == 7
    assert "the API server cannot be reached" in gone.err
    assert len(gone.err.splitlines()) == 1
    wrong = plugin("alice", "status", "--context=elsewhere")
    assert (wrong.code, "the kubeconfig does not fit" in wrong.err) == (2, True)
    plugin.environment["PATH"] = str(tmp_path)
    without = plugin("alice", "status")
    assert (without.code, "there is no kubectl on PATH" in without.err) == (7, True)


# ------------------------------------------------------------------ approving


@pytest.fixture
def candidate(world: World) -> str:
    """A paper bot whose gate says GO."""
    world.account()
    world.account("real", environment="live", credentialsSecretRef={"name": "live-keys"})
    world.gate(checks=CHECKS, approvals={"separationOfDuties": True})
    name = world.bot("momentum", accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"})
    world.wait_for_children(name)
    return name


def test_before_its_time_nothing_can_be_approved_and_the_gate_says_why(
    plugin: Plugin, world: World, candidate: str
) -> None:
    eventually(lambda: promotion(world, candidate).get("verdict") == "NO-GO", "it is judged", 90)
    approver = person(world, "tradingbots-approver")
    refused = plugin(approver, "approve", candidate, "--reason", "now", "--yes")
    assert refused.code == 1
    assert "a verdict of NO-GO cannot be approved; not passed: " in refused.err
    assert "PaperSessions" in refused.err
    shown = plugin(approver, "gate", candidate)
    assert shown.code == 0
    assert "0 of 2 count, 2 to go" in shown.out
    assert "Let it trade on paper: PaperSessions" in shown.out
    assert world.api.list("Approval", world.namespace) == []


def test_who_may_approve_does_and_sees_that_it_counts(plugin: Plugin, world: World, candidate: str) -> None:
    earn(world, candidate)
    first, viewer = person(world, "tradingbots-approver"), person(world, "view")
    bind(world.api, world.namespace, "tradingbots-approver", "second")
    listed = plugin(viewer, "evidence", candidate)
    assert listed.out.count("Match") == 2
    assert listed.out.count("yes") == 3  # two sessions and the preflight
    name = world.api.list("PromotionEvidence", world.namespace)[0]["metadata"]["name"]
    assert "Subject digest" in plugin(viewer, "evidence", candidate, name).out
    assert (
        f"kubectl tradingbot approve {candidate} --namespace {world.namespace}" in plugin(viewer, "gate", candidate).out
    )

    words = ("approve", candidate, "--reason", "two clean sessions")
    nobody_there = plugin(first, *words)
    assert (nobody_there.code, "give --yes" in nobody_there.err) == (2, True)
    refused = plugin(viewer, *words, "--yes")
    assert refused.code == 5
    assert f"{viewer} may not create approvals.tradingbots.dev" in refused.err
    assert world.api.list("Approval", world.namespace) == []

    approved = plugin(first, *words, "--yes")
    assert (approved.code, approved.err) == (0, ""), approved
    digest = promotion(world, candidate)["subject"]["digest"]
    for said in (digest, f"You are:      {first}", "standard", "PaperSessions", "it counts; still needed: 1 of 2"):
        assert said in approved.out, approved.out
    (written,) = world.api.list("Approval", world.namespace)
    assert written["spec"]["subjectDigest"] == digest
    assert written["spec"]["approver"] == first
    # The same person again: the operator's own word on it is passed on.
    again = plugin(first, *words, "--yes")
    assert (again.code, f"a second one by {first}" in again.err) == (1, True), again

    world.api.patch("TradingBot", candidate, LIVE_ASKED, world.namespace)
    live = plugin("second", "approve", candidate, "--reason", "looked at each", "--yes")
    assert live.code == 0, live
    eventually(lambda: world.get("TradingBot", candidate)["status"].get("grant"), "it is granted", 90)
    assert "It is live." in plugin(viewer, "gate", candidate).out
    assert "is live already" in plugin("second", "approve", candidate, "--reason", "more", "--yes").err


# ------------------------------------------------------------------ killing


def confirms(world: World, bot: str, runtime: FakeRuntime, *, positions: int) -> threading.Thread:
    """The bot does what a kill asks, as soon as its annotation is there."""

    def act() -> None:
        eventually(lambda: KILL in world.get("TradingBot", bot)["metadata"].get("annotations", {}), "the kill", 90)
        assert runtime.report is not None
        kill: Json = {"reason": "fat finger", "observedAt": "2026-01-01T00:00:02Z", "openOrders": 1}
        runtime.report |= {"tradingState": "Halted", "kill": kill}
        world.wait_for_condition(bot, "Killed", "True")
        done = {"ordersCancelledAt": "2026-01-01T00:00:03Z", "openOrders": 0, "openPositions": positions}
        runtime.report |= {"kill": kill | done}

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@pytest.mark.parametrize(("positions", "code", "said"), [(0, 0, "flat"), (2, 3, "no order open, positions held")])
def test_a_person_on_duty_kills_and_sees_each_step(
    plugin: Plugin, world: World, bot: str, positions: int, code: int, said: str
) -> None:
    on_duty = person(world, "tradingbots-duty")
    acting = confirms(world, bot, world.runtimes[0], positions=positions)
    killed = plugin(on_duty, "kill", bot, "--reason", "fat finger", "--yes")
    acting.join()
    assert (killed.code, killed.err) == (code, ""), killed
    assert world.get("TradingBot", bot)["metadata"]["annotations"][KILL] == "fat finger"
    steps = ("the kill annotation is written", "seen, and recorded as kill 1", "no order is open, says the broker")
    places = [killed.out.index(step) for step in steps]
    assert places == sorted(places)
    assert said in killed.out
    assert ("nothing is held, says the broker: flat" in killed.out) == (positions == 0)


def test_a_kill_that_nobody_confirms_is_not_called_done(plugin: Plugin, world: World, bot: str) -> None:
    on_duty = person(world, "tradingbots-duty")
    killed = plugin(on_duty, "kill", "--account", "sim", "--yes", "--timeout", "3")
    assert killed.code == 4
    assert "not confirmed within 3 s. The kill is asked for and goes on" in killed.err
    assert KILL in world.get("BrokerAccount", "sim")["metadata"]["annotations"]
    assert f"{world.namespace}/{bot}" in killed.out
    quick = plugin(on_duty, "kill", "--all", "--yes", "--no-wait")
    assert quick.code == 0
    assert KILL in world.get("TradingBot", bot)["metadata"]["annotations"]


def test_everything_there_is_is_killed_only_by_who_may_everywhere(plugin: Plugin, world: World, bot: str) -> None:
    on_duty = person(world, "tradingbots-duty")
    refused = plugin(on_duty, "kill", "--all", "--all-namespaces", "--yes")
    assert refused.code == 5
    assert f"{on_duty} may not list tradingbots.tradingbots.dev in the whole cluster" in refused.err
    assert KILL not in world.get("TradingBot", bot)["metadata"].get("annotations", {})


def test_who_may_not_kill_is_told_so_and_nothing_is_written(plugin: Plugin, world: World, bot: str) -> None:
    refused = plugin(person(world, "view"), "kill", bot, "--yes")
    assert refused.code == 5
    assert "the ClusterRole tradingbots-duty (kill, pause) or tradingbots-edit has it" in refused.err
    unasked = plugin(person(world, "tradingbots-duty"), "kill", bot)
    assert (unasked.code, "give --yes" in unasked.err) == (2, True)
    assert KILL not in world.get("TradingBot", bot)["metadata"].get("annotations", {})


@pytest.mark.parametrize(("typed", "is_killed"), [("momentum", True), ("y", False)])
def test_at_a_terminal_the_name_is_typed(plugin: Plugin, world: World, bot: str, typed: str, is_killed: bool) -> None:
    on_duty = person(world, "tradingbots-duty")
    controller, terminal = pty.openpty()
    try:
        process = plugin.start(on_duty, "kill", bot, "--no-wait", stdin=terminal)
        os.write(controller, f"{typed}\n".encode())
        asked = ended(process)
    finally:
        os.close(controller)
        os.close(terminal)
    assert "cancels its orders" in asked.out
    assert asked.code == (0 if is_killed else 2)
    assert (KILL in world.get("TradingBot", bot)["metadata"].get("annotations", {})) is is_killed


def test_a_pause_is_asked_for_and_taken_back(plugin: Plugin, world: World, bot: str) -> None:
    on_duty = person(world, "tradingbots-duty")
    assert plugin(on_duty, "pause", bot, "--reason", "lunch").code == 0
    world.wait_for_condition(bot, "Paused", "True", "PauseAnnotation")
    assert plugin(on_duty, "resume", bot).code == 0
    world.wait_for_condition(bot, "Paused", "False")
    world.api.patch("TradingBot", bot, {"spec": {"paused": True}}, world.namespace)
    still = plugin(on_duty, "resume", bot)
    assert (still.code, "stays paused by spec.paused" in still.err) == (1, True)


# ------------------------------------------------------------------ releasing


def killed(world: World, bot: str) -> None:
    """The bot is killed, the broker has confirmed it, and the operator has counted the kill."""
    acting = confirms(world, bot, world.runtimes[0], positions=0)
    world.api.patch("TradingBot", bot, {"metadata": {"annotations": {KILL: "fat finger"}}}, world.namespace)
    acting.join()
    status = eventually(
        lambda: (kill := world.get("TradingBot", bot)["status"].get("kill", {})).get("ordersCancelledAt") and kill,
        "the broker's word is in the status",
        40,
    )
    assert status.get("epoch") == 1, status


def test_who_may_release_a_kill_does_and_who_may_not_changes_nothing_for_good(
    plugin: Plugin, world: World, bot: str
) -> None:
    killed(world, bot)
    releaser, on_duty = person(world, "tradingbots-releaser"), person(world, "tradingbots-duty")
    words = ("release", bot, "--reason", "it was a drill", "--yes")
    # A releaser alone may not touch the bot, where the annotation still is.
    refused = plugin(releaser, *words)
    assert (refused.code, f"{releaser} may not patch tradingbots.tradingbots.dev" in refused.err) == (5, True), refused
    # On duty alone takes the annotation off, and the latch holds.
    refused = plugin(on_duty, *words)
    assert (refused.code, f"{on_duty} may not create approvals.tradingbots.dev" in refused.err) == (5, True), refused
    assert world.condition(bot, "Killed")["status"] == "True"
    runtime = world.runtimes[0]

    def returns() -> None:
        eventually(lambda: world.api.list("Approval", world.namespace), "the approval", 90)
        assert runtime.report is not None
        runtime.report = {key: value for key, value in runtime.report.items() if key != "kill"}
        runtime.report |= {"tradingState": "Active"}

    coming_back = threading.Thread(target=returns)
    coming_back.start()
    released = plugin(releaser, *words)
    coming_back.join()
    assert released.code == 0, released
    assert "the kill is released" in released.out
    (approval,) = world.api.list("Approval", world.namespace)
    assert (approval["spec"]["action"], approval["spec"]["killEpoch"]) == ("ReleaseKill", 1)
    nothing = plugin(releaser, *words)
    assert (nothing.code, "there is nothing to release" in nothing.err) == (1, True)


# ------------------------------------------------------------------ reporting


def test_a_report_holds_objects_and_events_and_no_secret(
    plugin: Plugin, world: World, bot: str, tmp_path: Path
) -> None:
    keys = {"APCA_API_KEY_ID": "PKABCDEFGHIJKLMNOP12", "APCA_API_SECRET_KEY": "aVerySecretKey0123456789"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys}
    world.api.create(secret, world.namespace)
    hook = {"minSeverity": "error", "webhook": {"url": "https://hooks.example/services/T0/s3cr3tpath"}}
    world.api.patch("TradingBot", bot, {"spec": {"notices": hook}}, world.namespace)
    eventually(lambda: "s3cr3tpath" in str(world.child(bot, "ConfigMap")["data"]), "the bot is told", 90)
    file = tmp_path / "report.tar.gz"
    made = plugin(person(world, "admin"), "report", bot, "--file", str(file))
    assert made.code == 0, made
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        texts = {
            member.name.partition("/")[2]: (stream.read().decode() if (stream := archive.extractfile(member)) else "")
            for member in archive.getmembers()
        }
    assert {f"objects/tradingbots/{bot}.yaml", "objects/brokeraccounts/sim.yaml", "events.yaml", "versions.json"} <= {
        *texts
    }
    assert f"bots/statefulsets.apps/{bot}-bot.yaml" in texts
    assert any(name.startswith("bots/configmaps/") for name in texts)
    for name, text in texts.items():
        for hidden in (*keys.values(), "s3cr3tpath"):
            assert hidden not in text, name
    assert "operator's pods: " in texts["CONTENTS.txt"]
    assert "may not list" in texts["CONTENTS.txt"]
    assert texts["CONTENTS.txt"].strip() in made.out.replace(" \n", "\n").strip() or "Files:" in made.out
    again = plugin("alice", "report", bot, "--file", str(file))
    assert (again.code, "is there already" in again.err) == (2, True)


def test_a_bot_without_a_pod_has_no_log_and_says_why(plugin: Plugin, world: World, api: ApiServer) -> None:
    world.account()
    world.bot("idle", account="missing")
    world.wait_for_condition("idle", "Ready", "False")
    missing = plugin(person(world, "view"), "logs", "idle")
    assert missing.code == 6
    assert "idle has no pod: AccountNotFound" in missing.err
