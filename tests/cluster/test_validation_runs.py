"""A ValidationRun on a real API server with its own Job controller. What the Job's pod leaves is what the real command
left when it ran with the Job's own arguments and config against a served simulator; only the kubelet is played.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from api_server import ApiServer, Json, Refused, eventually
from promotion_documents import bind
from typer.testing import CliRunner
from world import World

from contract.conftest import PAPER, noon_simulator, served
from tradingbot_api import ValidationEvidence
from tradingbot_runtime.cli import app

IMAGE = "docker.io/library/runtime@sha256:" + "a" * 64
OTHER_IMAGE = "docker.io/library/runtime@sha256:" + "b" * 64
PRODUCER = "tradingbots.dev/producer=validation"
JUDGED = (
    "ValidationArtifacts",
    "BacktestSharpe",
    "BacktestMaxDrawdown",
    "WalkForwardEfficiency",
    "OverfitRatio",
    "StatisticalSignificance",
)


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """A simulator; its address is that of the accounts."""
    with served(noon_simulator()) as url:
        yield url


@pytest.fixture(scope="module", autouse=True)
def _a_strategy_that_knows_the_future(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    directory = tmp_path_factory.mktemp("strategies")
    package = directory / "seers-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: seers\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[tradingbot.strategies]\nforesight = unit.research.candidates:Foresight\n"
    )
    sys.path.insert(0, str(directory))
    yield
    sys.path.remove(str(directory))


@pytest.fixture
def bot(world: World, broker: str) -> str:
    return a_bot(world, broker)


def a_bot(world: World, broker: str, **spec: Any) -> str:
    """A paper bot at the standard gate, whose pod runs an image that the kubelet names."""
    world.account(baseURL=broker)
    world.account("real", environment="live", credentialsSecretRef={"name": "live-keys"}, baseURL=broker)
    world.gate()
    accounts = {"paper": "sim", "live": "real"}
    bot = world.bot("momentum", accounts=accounts, gateRef={"name": "standard"}, **spec)
    world.wait_for_children(bot)
    world.run(bot)
    running = {"ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    world.set_container(bot, phase="Running", imageID=IMAGE, **running)
    eventually(lambda: subject(world)["image"].endswith(IMAGE[-64:]), "the subject names the image", 90)
    return bot


def subject(world: World) -> Json:
    found: Json = world.get("TradingBot", "momentum")["status"]["promotion"]["subject"]
    return found


def a_run(world: World, name: str = "first", **spec: Any) -> Json:
    ref = {"name": "momentum", "uid": world.get("TradingBot", "momentum")["metadata"]["uid"]}
    return {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "ValidationRun",
        "metadata": {"name": name},
        "spec": {"botRef": ref, "days": 400, **spec},
    }


def jobs(world: World) -> list[Json]:
    return world.api.list("Job", world.namespace, labelSelector=PRODUCER)


def the_job(world: World) -> Json:
    (job,) = eventually(lambda: jobs(world), "there is a Job", 90)
    return job


def carried_out(world: World, job: Json, directory: Path) -> tuple[str, int]:
    """What the Job's container would do: the real command with its arguments, its config and the paper keys."""
    config_map = world.get("ConfigMap", job["metadata"]["name"])
    config, log = directory / "bot.yaml", directory / "termination-log"
    config.write_text(config_map["data"]["bot.yaml"])
    (container,) = job["spec"]["template"]["spec"]["containers"]
    places = {"/etc/tradingbot/bot.yaml": str(config), "/var/lib/results": str(directory / "results")}
    words = [places.get(word, word) for word in container["args"]]
    environment = {
        **os.environ,
        "APCA_API_KEY_ID": PAPER[0],
        "APCA_API_SECRET_KEY": PAPER[1],
        "TERMINATION_MESSAGE_PATH": str(log),
    }
    result = CliRunner().invoke(app, words, env=environment)
    structlog.reset_defaults()  # the simulator of this process logs, too
    assert log.exists(), result.output
    return log.read_text(), result.exit_code


def run_to_its_end(world: World, directory: Path, name: str = "first", image: str = IMAGE, **spec: Any) -> Json:
    """Makes a run, carries its Job out, and gives the run once it is over."""
    world.api.create(a_run(world, name, **spec), world.namespace)
    job = the_job(world)
    message, code = carried_out(world, job, directory)
    world.end_job(job["metadata"]["name"], message, exit_code=code, image=image)
    return over(world, name)


def over(world: World, name: str = "first") -> Json:
    def look() -> Json | None:
        run = world.get("ValidationRun", name)
        return run if run.get("status", {}).get("completedAt") else None

    found = eventually(look, "the run is over", 120)
    assert found is not None
    return found


def evidence(world: World) -> list[Json]:
    return world.api.list("PromotionEvidence", world.namespace)


def checks(world: World) -> dict[str, Json]:
    promotion = world.get("TradingBot", "momentum")["status"]["promotion"]
    return {one["name"]: one for one in promotion["checklist"] if one["name"] in JUDGED}


def test_a_real_validation_becomes_evidence_and_the_gate_reads_it(world: World, bot: str, tmp_path: Path) -> None:
    run = run_to_its_end(world, tmp_path, artifacts={"claimName": "validation-results"})
    assert run["spec"]["seed"] == 1 and run["spec"]["ttl"] == "7d"
    (one,) = evidence(world)
    said = ValidationEvidence.model_validate_json((tmp_path / "termination-log").read_text())
    assert ValidationEvidence.model_validate(one["spec"]["validation"]) == said
    assert said.code_digest == "sha256:" + "a" * 64
    status = world.get("TradingBot", bot)["status"]
    assert one["spec"]["subjectDigest"] == run["status"]["subjectDigest"] == status["subjectDigest"]
    assert run["status"]["evidence"] == one["metadata"]["name"]
    assert one["metadata"]["ownerReferences"][0]["kind"] == "TradingBot"
    found = eventually(lambda: (it := checks(world))["ValidationArtifacts"]["state"] == "Pass" and it, "it counts", 60)
    assert {check["state"] for check in found.values()} <= {"Pass", "Fail"}
    assert (found["BacktestSharpe"]["state"] == "Pass") == (said.sharpe >= 1)
    assert all(check["evidenceRefs"] == [one["metadata"]["name"]] for check in found.values())
    assert len(world.api.list("Job", world.namespace, labelSelector=PRODUCER)) == 1


def test_the_pod_may_be_admitted_and_nobody_gets_into_it(world: World, bot: str) -> None:
    world.api.create(a_run(world), world.namespace)
    job = the_job(world)
    selector = f"batch.kubernetes.io/job-name={job['metadata']['name']}"
    # The namespace enforces Pod Security's level restricted: that there is a pod means that it is.
    (pod,) = eventually(lambda: world.api.list("Pod", world.namespace, labelSelector=selector), "it has a pod")
    assert pod["spec"]["containers"][0]["image"] == IMAGE
    assert "live-keys" not in str(pod["spec"])
    path = f"api/v1/namespaces/{world.namespace}/pods/{pod['metadata']['name']}/exec"
    with pytest.raises(Refused, match="nobody gets into a pod that makes evidence"):
        world.api.request("POST", path, {}, command="sh")


def test_a_strategy_that_knows_the_future_fails_every_check(world: World, broker: str, tmp_path: Path) -> None:
    a_bot(world, broker, strategy={"name": "foresight"})
    run = run_to_its_end(world, tmp_path, artifacts={"claimName": "validation-results"})
    (one,) = evidence(world)
    assert one["spec"]["validation"]["causal"] is False
    assert float(one["spec"]["validation"]["sharpe"]) > 1
    complete = next(entry for entry in run["status"]["conditions"] if entry["type"] == "Complete")
    assert (complete["status"], complete["reason"]) == ("True", "NotPassed")
    found = eventually(lambda: (it := checks(world))["BacktestSharpe"]["state"] == "Fail" and it, "it fails", 60)
    assert {(check["state"], check["observed"]) for check in found.values()} == {("Fail", "look-ahead")}
    assert world.get("TradingBot", "momentum")["status"]["promotion"]["verdict"] == "NO-GO"


def test_without_a_claim_the_files_are_not_called_kept(world: World, bot: str, tmp_path: Path) -> None:
    run_to_its_end(world, tmp_path)
    eventually(lambda: checks(world)["ValidationArtifacts"]["state"] == "Fail", "the artifacts are not kept", 60)
    assert "claimName" in checks(world)["ValidationArtifacts"]["message"]


def test_another_image_than_the_bots_gives_no_evidence(world: World, bot: str, tmp_path: Path) -> None:
    run = run_to_its_end(world, tmp_path, image=OTHER_IMAGE)
    failed = next(entry for entry in run["status"]["conditions"] if entry["type"] == "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "OtherImage")
    assert evidence(world) == []


def test_what_the_command_refuses_is_in_the_status(world: World, broker: str, tmp_path: Path) -> None:
    a_bot(world, broker, symbols=["NONE"])
    run = run_to_its_end(world, tmp_path)
    failed = next(entry for entry in run["status"]["conditions"] if entry["type"] == "Failed")
    assert failed["reason"] == "BarsUnusable" and "NONE" in failed["message"]
    assert evidence(world) == []


def test_a_change_of_the_subject_voids_what_runs_and_what_was_found(world: World, bot: str, tmp_path: Path) -> None:
    run_to_its_end(world, tmp_path)
    eventually(lambda: checks(world)["BacktestSharpe"]["state"] != "Unknown", "it counts", 60)
    world.api.create(a_run(world, "second"), world.namespace)
    running = eventually(lambda: next((j for j in jobs(world) if "second" in config_of(world, j)), None), "a Job", 90)
    eventually(lambda: world.get("ValidationRun", "second")["status"]["subjectDigest"], "it is bound to the subject")
    strategy = {"strategy": {"name": "momentum", "parameters": {"lookback": 21}}}
    world.api.patch("TradingBot", bot, {"spec": strategy}, world.namespace)
    second = over(world, "second")
    failed = next(entry for entry in second["status"]["conditions"] if entry["type"] == "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "SubjectChanged")
    uid = running["metadata"]["uid"]
    eventually(lambda: uid not in {job["metadata"]["uid"] for job in jobs(world)}, "its Job goes", 90)
    found = eventually(lambda: (it := checks(world))["BacktestSharpe"]["state"] == "Unknown" and it, "it is void", 60)
    assert {check["state"] for check in found.values()} == {"Unknown"}
    assert len(evidence(world)) == 1


def config_of(world: World, job: Json) -> str:
    about: str = world.get("ConfigMap", job["metadata"]["name"])["data"]["about.json"]
    return about


def test_a_deleted_run_takes_its_job_and_leaves_its_evidence(world: World, bot: str, tmp_path: Path) -> None:
    run_to_its_end(world, tmp_path)
    assert jobs(world)
    world.api.delete("ValidationRun", "first", world.namespace)
    eventually(lambda: not jobs(world), "its Job goes", 90)
    assert len(evidence(world)) == 1


def test_a_run_for_a_bot_that_is_not_there_says_so(world: World) -> None:
    run = {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "ValidationRun",
        "metadata": {"name": "lost"},
        "spec": {"botRef": {"name": "nobody", "uid": "u"}},
    }
    world.api.create(run, world.namespace)
    world.wait_for_condition("lost", "Complete", "False", "NoBot", of="ValidationRun")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"days": 119}, "spec.days"),
        ({"days": 5001}, "spec.days"),
        ({"seed": -1}, "spec.seed"),
        ({"ttl": "59m"}, "at least an hour"),
        ({"ttl": "soon"}, "spec.ttl"),
        ({"artifacts": {"claimName": "state-momentum-bot-0"}}, "begins with validation"),
        ({"artifacts": {"claimName": "database"}}, "begins with validation"),
        ({"artifacts": {"claimName": "Results"}}, "claimName"),
        ({"botRef": {"name": "momentum"}}, "botRef.uid"),
        ({"image": "mine"}, "unknown field"),
    ],
)
def test_what_cannot_be_meant_is_refused(api: ApiServer, namespace: str, spec: Json, said: str) -> None:
    run = {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "ValidationRun",
        "metadata": {"name": "bad"},
        "spec": {"botRef": {"name": "momentum", "uid": "u"}, **spec},
    }
    with pytest.raises(Refused) as refused:
        api.create(run, namespace)
    assert said in refused.value.message


def test_authors_make_runs_and_nobody_changes_them_or_says_how_they_went(world: World, bot: str) -> None:
    namespace = world.namespace
    bind(world.api, namespace, "edit", "ann")
    bind(world.api, namespace, "view", "vic")
    with world.api.as_user("ann") as author, world.api.as_user("vic") as viewer:
        eventually(lambda: author.create(a_run(world), namespace), "an author may make one", 60)
        eventually(lambda: viewer.get("ValidationRun", "first", namespace), "a viewer may look", 60)
        with pytest.raises(Refused, match="cannot create"):
            viewer.create(a_run(world, "second"), namespace)
        passed = {"status": {"completedAt": "2026-01-01T00:00:00Z", "evidence": "mine"}}
        with pytest.raises(Refused, match="cannot patch"):
            author.patch("ValidationRun", "first", passed, namespace, "status")
        author.delete("ValidationRun", "first", namespace)
    world.api.create(a_run(world, "third"), namespace)
    with pytest.raises(Refused, match="written by the operator alone"):
        world.api.patch("ValidationRun", "third", passed, namespace, "status")
    with pytest.raises(Refused, match="never changed"):
        world.api.patch("ValidationRun", "third", {"spec": {"seed": 2}}, namespace)
