"""A ValidationRun gets one Job at a time, and what the Job says becomes evidence once: of this subject, of this image,
and of a validation that was not passed as well.
"""

import copy
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradingbot_api import PromotionEvidenceSpec, RuntimeConfig, ValidationRunStatus
from tradingbot_operator.plan.objects import Raw, name_of, text, uid_of
from tradingbot_operator.plan.producing import Production, producing
from tradingbot_operator.plan.validating import ATTEMPTS, RUNS_KEPT, without_bot
from tradingbot_operator.promotion.subject import Subject
from unit.operator.evidence_world import IMAGE, SINCE, Cluster, a_session
from unit.operator.world import NOW, UID, a_bot, an_account, stamp

REFERENCE = f"docker.io/library/runtime@{IMAGE}"
FOUND: dict[str, Any] = {
    "sharpe": "1.4",
    "maxDrawdownPercent": "12",
    "walkForwardEfficiencyPercent": "70",
    "overfitRatio": "1.3",
    "tStatistic": "2.8",
    "permutationP": "0.01",
    "deflatedSharpe": "0.97",
    "causal": True,
    "artifacts": [{"name": "report.html", "sha256": "d" * 64}],
    "artifactsVerified": True,
    "parametersDigest": "e" * 64,
    "codeDigest": IMAGE,
    "dataFingerprint": "f" * 64,
}


def a_run(name: str = "first", *, minute: int = 0, uid: str = UID, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "demo", "uid": f"uid-of-{name}", "resourceVersion": "1", "generation": 1}
    metadata["creationTimestamp"] = stamp(NOW - timedelta(hours=1) + timedelta(minutes=minute))
    return {
        "kind": "ValidationRun",
        "metadata": metadata,
        "spec": {"botRef": {"name": "momentum", "uid": uid}, "days": 1250, "seed": 1, "ttl": "7d", **spec},
    }


@dataclass
class Asked(Cluster):
    """A cluster in which somebody asks for validations; statuses are written as the reconciler writes them."""

    runs: list[dict[str, Any]] = field(default_factory=lambda: [a_run()])
    reference: str | None = REFERENCE
    held_back: str = ""

    def decide(self, subject: Subject | None = None, since: Any = SINCE) -> Production:
        self.changes = self.changes | {"validation_runs": tuple(self.runs)}
        return producing(
            self.snapshot(),
            subject or self.subject,
            since,
            live=self.live,
            wants_preflight=self.wants_preflight,
            image=self.reference,
            held_back=self.held_back,
        )

    def look(self, subject: Subject | None = None, since: Any = SINCE, *, dies_after: int | None = None) -> Production:
        production = super().look(subject, since, dies_after=dies_after)
        if dies_after is None:
            for write in production.runs:
                ValidationRunStatus.model_validate(write.status)
                (run,) = [one for one in self.runs if uid_of(one) == uid_of(write.run)]
                run["status"] = dict(write.status)
        return production

    def settle(self, looks: int = 6) -> None:
        """Looks until nothing is left to do."""
        for _ in range(looks):
            done = self.look()
            if not (done.record or done.produce or done.discard or done.runs):
                return
        raise AssertionError("it never comes to rest")

    def end_with(self, job: Raw, message: object = FOUND, exit_code: int = 0, image: str = REFERENCE) -> None:
        """The Job's pod ends, and the kubelet says which image it ran."""
        self.end(job, message, exit_code)
        pod = next(one for one in self.of("Pod") if one["metadata"]["ownerReferences"][0]["uid"] == uid_of(job))
        pod["status"]["containerStatuses"][0]["imageID"] = image

    @property
    def job(self) -> Raw:
        (job,) = self.of("Job")
        return job


def condition(run: Raw, kind: str) -> tuple[str, str]:
    one = next(one for one in run["status"]["conditions"] if one["type"] == kind)
    return one["status"], one["reason"]


def test_a_run_becomes_evidence_once_and_keeps_its_job_for_its_log() -> None:
    cluster = Asked()
    cluster.settle()
    (run,) = cluster.runs
    assert condition(run, "Complete") == ("False", "Running")
    assert run["status"]["job"] == name_of(cluster.job)
    assert run["status"]["subjectDigest"] == cluster.subject.digest
    cluster.end_with(cluster.job)
    cluster.settle()
    (evidence,) = cluster.of("PromotionEvidence")
    spec = PromotionEvidenceSpec.model_validate(evidence["spec"])
    assert spec.validation is not None and str(spec.validation.t_statistic) == "2.8"
    assert (spec.subject_digest, spec.image, spec.account) == (cluster.subject.digest, IMAGE, "sim")
    assert run["status"]["evidence"] == name_of(evidence)
    assert condition(run, "Complete") == ("True", "Passed")
    assert condition(run, "Failed") == ("False", "Recorded")
    assert run["status"]["completedAt"] and cluster.of("Job")


def test_the_job_runs_the_bots_own_image_by_digest_with_paper_keys_alone() -> None:
    bot = a_bot(accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"}, image="authors-own:1")
    reference = f"registry.example/authors-own@{IMAGE}"
    cluster = Asked(bot=bot, reference=reference)
    cluster.look()
    pod = cluster.job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (reference, "IfNotPresent")
    secrets = {one["valueFrom"]["secretKeyRef"]["name"] for one in container["env"]}
    assert secrets == {an_account()["spec"]["credentialsSecretRef"]["name"]} != {"live-keys"}
    assert pod["automountServiceAccountToken"] is False
    assert "tradingbots.dev/live" not in cluster.job["spec"]["template"]["metadata"]["labels"]
    assert cluster.job["metadata"]["labels"]["tradingbots.dev/producer"] == "validation"
    (config_map,) = cluster.of("ConfigMap")
    config = RuntimeConfig.model_validate(yaml.safe_load(config_map["data"]["bot.yaml"]))
    assert (config.mode, config.broker.account) == ("paper", "sim")
    asked = ["--from-broker", "--days", "1250", "--seed", "1"]
    assert container["args"][:8] == ["validate", "--config", "/etc/tradingbot/bot.yaml", *asked]


@pytest.mark.parametrize("name", ["b", "b" * 40])
def test_names_fit_into_labels_and_are_those_that_nobody_may_exec_into(name: str) -> None:
    bot = copy.deepcopy(dict(a_bot(name, accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"})))
    bot["metadata"]["uid"] = UID
    cluster = Asked(bot=bot)
    cluster.look()
    assert len(name_of(cluster.job)) <= 63
    assert name_of(cluster.job).startswith(f"{name}-validate-")


@pytest.mark.parametrize(("spec", "kept"), [({}, False), ({"artifacts": {"claimName": "validation-results"}}, True)])
def test_files_that_go_with_the_pod_are_not_called_verified(spec: dict[str, Any], kept: bool) -> None:
    cluster = Asked(runs=[a_run(**spec)])
    cluster.settle()
    volume = cluster.job["spec"]["template"]["spec"]["volumes"][-1]
    assert volume.get("persistentVolumeClaim") == ({"claimName": "validation-results"} if kept else None)
    cluster.end_with(cluster.job)
    cluster.settle()
    (evidence,) = cluster.of("PromotionEvidence")
    assert evidence["spec"]["validation"]["artifactsVerified"] is kept


def test_what_was_not_passed_is_evidence_too() -> None:
    cluster = Asked()
    cluster.settle()
    cluster.end_with(cluster.job, FOUND | {"causal": False, "tStatistic": "0.3"}, exit_code=1)
    cluster.settle()
    (evidence,) = cluster.of("PromotionEvidence")
    assert evidence["spec"]["validation"]["causal"] is False
    assert condition(cluster.runs[0], "Complete") == ("True", "NotPassed")


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({"reason": "BarsUnusable", "message": "sim: no bars of NONE"}, 65, "BarsUnusable"),
        ({"reason": "UnknownStrategy", "message": "there is no momentun"}, 78, "UnknownStrategy"),
    ],
)
def test_a_refusal_is_final_and_said_in_its_own_words(message: dict[str, str], code: int, reason: str) -> None:
    cluster = Asked()
    cluster.settle()
    cluster.end_with(cluster.job, message, code)
    cluster.settle()
    (run,) = cluster.runs
    assert condition(run, "Failed") == ("True", reason)
    assert message["message"] in json.dumps(run["status"]["conditions"])
    assert not cluster.of("PromotionEvidence")


def test_an_image_that_is_too_old_for_it_is_not_asked_three_times() -> None:
    cluster = Asked()
    cluster.settle()
    cluster.end_with(cluster.job, "", 2)
    cluster.settle()
    assert condition(cluster.runs[0], "Failed") == ("True", "OldImage")


@pytest.mark.parametrize(
    ("message", "code"),
    [({"reason": "BrokerUnavailable", "message": "no answer"}, 75), ("", 137), ("words", 0), (FOUND, 143)],
    ids=["the broker is silent", "out of memory", "other words", "stopped"],
)
def test_what_came_to_nothing_is_tried_again_and_then_given_up(message: object, code: int) -> None:
    cluster = Asked()
    for attempt in range(1, ATTEMPTS + 1):
        cluster.settle()
        assert cluster.runs[0]["status"]["attempts"] == attempt
        cluster.end_with(cluster.job, message, code)
        cluster.settle()
        cluster.now += timedelta(minutes=2)
    cluster.settle()
    assert condition(cluster.runs[0], "Failed")[0] == "True"
    assert not cluster.of("PromotionEvidence")


def test_a_job_that_somebody_deletes_is_made_again() -> None:
    cluster = Asked()
    cluster.settle()
    first = cluster.job
    cluster.remove(first)
    cluster.settle()
    assert name_of(cluster.job) != name_of(first)
    assert cluster.runs[0]["status"]["attempts"] == 2


def test_another_image_than_the_judged_one_gives_no_evidence() -> None:
    cluster = Asked()
    cluster.settle()
    cluster.end_with(cluster.job, image="docker.io/library/runtime@sha256:" + "b" * 64)
    cluster.settle()
    assert condition(cluster.runs[0], "Failed") == ("True", "OtherImage")
    assert not cluster.of("PromotionEvidence")


def test_a_node_that_names_no_image_proves_nothing() -> None:
    cluster = Asked()
    cluster.settle()
    cluster.end_with(cluster.job, image="")
    cluster.settle()
    assert condition(cluster.runs[0], "Complete") == ("False", "Again")
    assert not cluster.of("PromotionEvidence")


def test_a_changed_subject_ends_the_run_and_its_job() -> None:
    cluster = Asked()
    cluster.settle()
    cluster.end_with(cluster.job)
    cluster.bot = copy.deepcopy(dict(cluster.bot))
    cluster.bot["spec"]["strategy"]["parameters"] = {"lookback": 21}
    cluster.settle()
    assert condition(cluster.runs[0], "Failed") == ("True", "SubjectChanged")
    assert not cluster.of("Job") and not cluster.of("ConfigMap") and not cluster.of("PromotionEvidence")


def test_a_deleted_run_takes_its_job_and_leaves_its_evidence() -> None:
    cluster = Asked()
    cluster.settle()
    cluster.end_with(cluster.job)
    cluster.settle()
    cluster.runs.clear()
    cluster.settle()
    assert not cluster.of("Job") and not cluster.of("ConfigMap") and not cluster.of("NetworkPolicy")
    assert len(cluster.of("PromotionEvidence")) == 1


def test_runs_of_a_bot_wait_for_each_other() -> None:
    cluster = Asked(runs=[a_run("second", minute=2), a_run("first", minute=1)])
    cluster.settle()
    second, first = cluster.runs
    assert condition(first, "Complete") == ("False", "Running")
    assert condition(second, "Complete") == ("False", "Waiting")
    assert "first comes first" in second["status"]["conditions"][0]["message"]
    cluster.end_with(cluster.job)
    cluster.settle()
    assert condition(first, "Complete") == ("True", "Passed")
    assert condition(second, "Complete") == ("False", "Running")


def test_each_validation_of_a_bot_raises_the_bar_for_the_next_one() -> None:
    cluster = Asked(runs=[a_run("first"), a_run("second", minute=1, seed=2)])
    declared = []
    for _ in range(2):
        cluster.settle()
        job = next(job for job in cluster.of("Job") if not _has_ended(cluster, job))
        arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
        declared.append(int(arguments[arguments.index("--declared-trials") + 1]))
        cluster.end_with(job, FOUND | {"dataFingerprint": f"{len(declared):064d}"})
        cluster.settle()
    assert declared == [51, 102]


def test_only_the_newest_runs_keep_their_jobs() -> None:
    runs = [a_run(f"run-{number:02}", minute=number) for number in range(RUNS_KEPT + 2)]
    cluster = Asked(runs=runs)
    for _ in runs:
        cluster.settle(looks=8)
        running = next(job for job in cluster.of("Job") if not _has_ended(cluster, job))
        cluster.end_with(running)
        cluster.settle(looks=8)
    assert all(condition(run, "Complete")[0] == "True" for run in cluster.runs)
    assert len(cluster.of("Job")) == RUNS_KEPT


def _has_ended(cluster: Cluster, job: Raw) -> bool:
    return any(pod["metadata"]["ownerReferences"][0]["uid"] == uid_of(job) for pod in cluster.of("Pod"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runs": [a_run(uid="uid-of-a-former-one")]}, "OtherBot"),
        ({"reference": None}, "Waiting"),
        ({"changes": {"account": an_account(environment="live")}}, "Waiting"),
        ({"changes": {"account": None}}, "Waiting"),
    ],
    ids=["another bot of the name", "no image seen", "live keys", "no account"],
)
def test_without_what_it_needs_a_run_waits_and_says_so(changes: dict[str, Any], said: str) -> None:
    cluster = Asked(**copy.deepcopy(changes))
    cluster.settle()
    assert condition(cluster.runs[0], "Complete") == ("False", said)
    assert cluster.runs[0]["status"]["conditions"][0]["message"]
    assert not cluster.of("Job")


def test_a_run_without_its_bot_says_so_once() -> None:
    run = a_run()
    (write,) = without_bot([run], NOW)
    assert "there is no TradingBot momentum" in json.dumps(write.status)
    run["status"] = dict(write.status)
    assert without_bot([run], NOW) == ()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": 'claim "results" not found'}]},
            'claim "results" not found',
        ),
        (
            {"containerStatuses": [{"name": "producer", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "ImagePullBackOff",
        ),
    ],
    ids=["not scheduled", "no image"],
)
def test_a_pod_that_does_not_start_is_in_the_status(status: dict[str, Any], said: str) -> None:
    cluster = Asked()
    cluster.settle()
    cluster.run(cluster.job)["status"] = status
    cluster.settle()
    (run,) = cluster.runs
    assert condition(run, "Complete") == ("False", "PodPending")
    assert said in run["status"]["conditions"][0]["message"]


def test_a_killed_bots_image_gets_no_keys_for_a_validation_either() -> None:
    asked = Asked(held_back="a kill is in force")
    asked.settle()
    assert asked.of("Job") == []
    assert condition(asked.runs[0], "Complete")[0] != "True"
    assert "a kill is in force" in str(asked.runs[0]["status"])
    running = Asked()
    running.look()
    assert name_of(running.job)
    running.held_back = "a kill is in force"
    running.settle()
    assert running.of("Job") == []


def test_an_audit_goes_on_beside_a_validation() -> None:
    cluster = Asked(sessions=(a_session(),))
    cluster.look()
    kinds = {text(one, "metadata", "labels", "tradingbots.dev/producer") for one in cluster.of("Job")}
    assert kinds == {"audit", "validation"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.sampled_from([0, 1]))
def test_wherever_the_operator_dies_there_is_one_evidence(deaths: list[int], code: int) -> None:
    cluster = Asked()
    for writes in deaths:
        cluster.look(dies_after=writes)
    cluster.settle()
    if not cluster.of("PromotionEvidence"):
        cluster.end_with(cluster.job, FOUND, code)
    for writes in deaths:
        cluster.look(dies_after=writes)
    cluster.settle()
    assert len(cluster.of("PromotionEvidence")) == 1
    assert condition(cluster.runs[0], "Complete")[0] == "True"
