"""A closed session becomes evidence once its audit has come to an end: once, whatever happens in between, and of
nothing but what the bot's own pod gave and an untouched Job judged.
"""

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml

from tradingbot_api import ClosedSessions, PromotionEvidenceSpec, RuntimeConfig
from tradingbot_operator.plan.objects import Raw, name_of, text, uid_of
from tradingbot_operator.plan.producers import is_as_made
from tradingbot_operator.plan.producing import LAST_ATTEMPT, SESSIONS_IN_A_JOB, SESSIONS_KEPT
from tradingbot_operator.plan.snapshot import CollectedSessions
from unit.operator.evidence_world import (
    IMAGE,
    POD_UID,
    SINCE,
    Cluster,
    a_gate,
    a_session,
    audits,
    results,
    sessions,
)
from unit.operator.world import NOW, UID, a_bot, an_account


def a_cluster(count: int = 1, **changes: Any) -> Cluster:
    return Cluster(sessions=sessions(count), **changes)


def the_job(cluster: Cluster) -> Raw:
    (job,) = cluster.of("Job")
    return job


# ------------------------------------------------------------------ the way


def test_a_closed_session_becomes_evidence_and_leaves_nothing_behind() -> None:
    cluster = a_cluster()
    cluster.audit()
    (evidence,) = cluster.of("PromotionEvidence")
    spec = PromotionEvidenceSpec.model_validate(evidence["spec"])
    (session,) = cluster.sessions
    assert spec.session is not None and spec.session.report == session.report
    assert spec.session.journal_hash == session.journal_hash
    assert (spec.bot_ref.uid, spec.pod_uid, spec.subject_digest) == (UID, POD_UID, cluster.subject.digest)
    assert (spec.account, spec.provider, spec.image, spec.observed_generation) == ("sim", "simulator", IMAGE, 3)
    assert name_of(evidence).startswith(f"momentum-session-{session.report.session}-")
    assert evidence["metadata"]["ownerReferences"][0]["uid"] == UID
    cluster.look()
    assert not cluster.of("Job") and not cluster.of("ConfigMap") and not cluster.of("NetworkPolicy")
    calm = cluster.decide()
    assert (calm.record, calm.produce, calm.discard, calm.unaudited) == ((), (), (), 0)


def test_the_audit_reads_the_exact_sessions_and_the_config_of_a_paper_bot() -> None:
    cluster = a_cluster(3)
    cluster.look()
    (config_map,) = cluster.of("ConfigMap")
    assert config_map["immutable"] is True
    found = ClosedSessions.model_validate_json(config_map["data"]["sessions.json"])
    assert tuple(found.sessions) == cluster.sessions
    config = RuntimeConfig.model_validate(yaml.safe_load(config_map["data"]["bot.yaml"]))
    assert (config.mode, config.broker.account) == ("paper", "sim")
    days = [word for one in cluster.sessions for word in ("--session", one.report.session)]
    container = the_job(cluster)["spec"]["template"]["spec"]["containers"][0]
    asked = ["--config", "/etc/tradingbot/bot.yaml", "--report", "/etc/tradingbot/sessions.json"]
    assert container["args"] == ["audit", *asked, *days]
    assert name_of(config_map) == name_of(the_job(cluster))


def test_a_job_is_restricted_holds_no_token_and_runs_our_own_image() -> None:
    bot = a_bot(accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"}, image="authors-own:1")
    cluster = a_cluster(bot=bot)
    cluster.look()
    job = the_job(cluster)
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False and "serviceAccountName" not in pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["image"] == "tradingbot-runtime:test"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {entry["valueFrom"]["secretKeyRef"]["name"] for entry in container["env"]} == {"keys"}
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 600)
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["tradingbots.dev/producer"] == "audit"
    assert "tradingbots.dev/live" not in labels and "tradingbots.dev/live" not in job["metadata"]["labels"]
    # Neither the bot's Service nor its StatefulSet selects it.
    assert labels["app.kubernetes.io/name"] != "tradingbot"


def test_a_job_reaches_its_broker_and_nobody_reaches_it() -> None:
    cluster = a_cluster()
    cluster.look()
    (policy,) = cluster.of("NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"] == {"batch.kubernetes.io/job-name": name_of(the_job(cluster))}
    assert policy["spec"]["ingress"] == [] and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert {"to": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": 8080}]} in policy["spec"]["egress"]


def test_many_sessions_are_audited_in_batches_one_job_at_a_time() -> None:
    cluster = a_cluster(45)
    seen = 0
    for expected in (20, 40, 45):
        cluster.look()
        assert len(cluster.of("Job")) == 1
        cluster.look()
        job = the_job(cluster)
        assert job["spec"]["template"]["spec"]["containers"][0]["args"].count("--session") <= SESSIONS_IN_A_JOB
        cluster.end(job, audits(job))
        cluster.look()
        seen = len(results(cluster))
        assert seen == expected
    assert seen == 45


def test_a_session_of_the_live_account_is_audited_with_the_live_keys_and_labelled() -> None:
    live = a_session(mode="live", account="real")
    cluster = Cluster(sessions=(live,), live=True)
    cluster.look()
    job = the_job(cluster)
    assert job["metadata"]["labels"]["tradingbots.dev/live"] == "true"
    assert job["spec"]["template"]["metadata"]["labels"]["tradingbots.dev/live"] == "true"
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {entry["valueFrom"]["secretKeyRef"]["name"] for entry in env} == {"live-keys"}
    config = cluster.of("ConfigMap")[0]["data"]["bot.yaml"]
    assert "mode: live" in config and "account: real" in config
    cluster.end(job, audits(job))
    cluster.look()
    assert cluster.of("PromotionEvidence")[0]["spec"]["account"] == "real"


def test_a_mismatch_is_written_down_with_both_sides() -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    difference = {"what": "orders", "reported": "2", "broker": "3"}
    said = audits(job)
    said["audits"][0] |= {"result": "Mismatch", "differences": [difference]}
    cluster.end(job, said, exit_code=1)
    cluster.look()
    audit = cluster.of("PromotionEvidence")[0]["spec"]["session"]["audit"]
    assert audit["result"] == "Mismatch" and audit["differences"] == [difference]


def test_a_simulators_session_is_dated_by_our_clock_and_a_brokers_by_the_exchange() -> None:
    far = {"opensAt": "2031-01-02T14:30:00Z", "closesAt": "2031-01-02T21:00:00Z"}
    cluster = Cluster(sessions=(a_session(**far),))
    cluster.audit()
    assert cluster.of("PromotionEvidence")[0]["spec"]["observedAt"] == cluster.sessions[0].report.began_at
    alpaca = an_account(provider="alpaca")
    del alpaca["spec"]["baseURL"]  # type: ignore[attr-defined]
    cluster = Cluster(sessions=(a_session(),), changes={"account": alpaca})
    cluster.audit()
    assert cluster.of("PromotionEvidence")[0]["spec"]["observedAt"] == cluster.sessions[0].report.closes_at


# ------------------------------------------------------------- what counts not


def from_another_pod(cluster: Cluster) -> None:
    cluster.changes["sessions"] = CollectedSessions("another-pod", "paper", cluster.sessions)


def without_a_pod(cluster: Cluster) -> None:
    cluster.changes["pods"] = ()


def of_another_image(cluster: Cluster) -> None:
    cluster.image = "sha256:" + "b" * 64


def of_a_loose_pod(cluster: Cluster) -> None:
    cluster.pod_metadata = {"ownerReferences": []}


def of_a_pod_of_another_set(cluster: Cluster) -> None:
    cluster.pod_metadata = {"ownerReferences": [{"uid": "another", "controller": True}]}


def of_another_config(cluster: Cluster) -> None:
    cluster.pod_metadata = {"annotations": {"tradingbots.dev/config-digest": "sha256:d"}}


def from_before_the_subject(cluster: Cluster) -> None:
    cluster.sessions = (a_session(beganAt=(SINCE - timedelta(seconds=1)).isoformat()),)


def without_a_beginning(cluster: Cluster) -> None:
    cluster.sessions = (a_session(beganAt=""),)


def with_a_garbled_beginning(cluster: Cluster) -> None:
    cluster.sessions = (a_session(beganAt="yesterday"),)


def of_another_account(cluster: Cluster) -> None:
    cluster.sessions = (a_session(account="other"),)


def of_the_other_mode(cluster: Cluster) -> None:
    cluster.sessions = (a_session(mode="live"),)


def asked_for_live_and_given_paper(cluster: Cluster) -> None:
    cluster.changes["sessions"] = CollectedSessions(POD_UID, "paper", cluster.sessions)
    cluster.live = True


def on_an_account_that_is_gone(cluster: Cluster) -> None:
    cluster.changes["account"] = None


FOREIGN: list[Callable[[Cluster], None]] = [
    from_another_pod,
    without_a_pod,
    of_another_image,
    of_a_loose_pod,
    of_a_pod_of_another_set,
    of_another_config,
    from_before_the_subject,
    without_a_beginning,
    with_a_garbled_beginning,
    of_another_account,
    of_the_other_mode,
    asked_for_live_and_given_paper,
    on_an_account_that_is_gone,
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda one: one.__name__)
def test_a_foreign_session_is_not_even_audited(foreign: Callable[[Cluster], None]) -> None:
    cluster = a_cluster()
    foreign(cluster)
    production = cluster.look()
    assert (production.record, production.produce) == ((), ())


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda one: one.__name__)
def test_what_turns_foreign_while_its_audit_runs_is_not_written_down(foreign: Callable[[Cluster], None]) -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    cluster.end(job, audits(job))
    foreign(cluster)
    cluster.look()
    assert not cluster.of("PromotionEvidence")


def test_a_changed_subject_voids_what_was_being_made() -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    cluster.end(job, audits(job))
    cluster.bot = a_bot(accounts={"paper": "sim", "live": "real"}, gateRef={"name": "standard"}, capital="20000")
    production = cluster.look(since=NOW)
    assert not production.record and not cluster.of("Job") and not cluster.of("ConfigMap")


def test_an_unknown_image_makes_no_evidence() -> None:
    cluster = a_cluster()
    subject = cluster.subject
    unknown = type(subject)(**{**vars(subject), "image": "unknown"})
    assert cluster.look(unknown).produce == ()


def test_two_reports_of_one_session_are_both_written_so_that_the_contradiction_shows() -> None:
    cluster = a_cluster()
    cluster.audit()
    cluster.sessions = (a_session(pnl="99"),)
    cluster.audit("Mismatch")
    day = cluster.sessions[0].report.session
    assert results(cluster) == [(day, "Match"), (day, "Mismatch")]


def test_a_field_that_another_release_knows_makes_no_second_report_of_a_session() -> None:
    cluster = a_cluster()
    cluster.audit()
    (evidence,) = cluster.of("PromotionEvidence")
    del evidence["spec"]["session"]["report"]["incidents"]
    evidence["spec"]["sourceDigest"] = "0" * 64
    cluster.look()
    assert cluster.decide().produce == ()


# ------------------------------------------------------------------ attacks


def an_edited_config_map(cluster: Cluster) -> None:
    (config_map,) = cluster.of("ConfigMap")
    data = config_map["data"]
    data["sessions.json"] = data["sessions.json"].replace('"pnl":"1.50"', '"pnl":"1500"')
    assert "1500" in data["sessions.json"]


def a_config_map_about_more(cluster: Cluster) -> None:
    cluster.of("ConfigMap")[0]["data"]["about.json"] = "{}"


def another_file_beside(cluster: Cluster) -> None:
    cluster.of("ConfigMap")[0]["data"]["x"] = "y"


def a_config_map_of_nobody(cluster: Cluster) -> None:
    cluster.of("ConfigMap")[0]["metadata"]["ownerReferences"] = []


def no_config_map(cluster: Cluster) -> None:
    del cluster.objects["ConfigMap", name_of(the_job(cluster))]


def pod_spec(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = the_job(cluster)["spec"]["template"]["spec"]
    return found


def another_image(cluster: Cluster) -> None:
    pod_spec(cluster)["containers"][0]["image"] = "forger:1"


def another_command(cluster: Cluster) -> None:
    pod_spec(cluster)["containers"][0]["args"] = ["audit", "--last", "1"]


def a_host_alias(cluster: Cluster) -> None:
    pod_spec(cluster)["hostAliases"] = [{"ip": "6.6.6.6", "hostnames": ["paper-api.alpaca.markets"]}]


def an_init_container(cluster: Cluster) -> None:
    pod_spec(cluster)["initContainers"] = [{"name": "x", "image": "forger:1"}]


def a_proxy(cluster: Cluster) -> None:
    pod_spec(cluster)["containers"][0]["env"].append({"name": "HTTPS_PROXY", "value": "http://6.6.6.6"})


def another_secret(cluster: Cluster) -> None:
    pod_spec(cluster)["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"] = "mine"


TAMPERED: list[Callable[[Cluster], None]] = [
    an_edited_config_map,
    a_config_map_about_more,
    another_file_beside,
    a_config_map_of_nobody,
    no_config_map,
    another_image,
    another_command,
    a_host_alias,
    an_init_container,
    a_proxy,
    another_secret,
]


@pytest.mark.parametrize("tampered", TAMPERED, ids=lambda one: one.__name__)
def test_a_job_that_is_not_as_it_was_made_is_thrown_away_unread(tampered: Callable[[Cluster], None]) -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    cluster.end(job, audits(job))
    tampered(cluster)
    production = cluster.look()
    assert (production.record, production.produce, production.discard) == ((), (), ())
    assert "does not count" in production.notes[0]
    assert production.again_after_seconds == 60
    cluster.now += timedelta(seconds=60)
    production = cluster.look()
    assert production.record == ()
    assert uid_of(job) in map(uid_of, production.discard)
    # What was made with it goes, too, or comes back with the next one.
    cluster.now += timedelta(minutes=5)
    cluster.look()
    assert results(cluster) == []
    again = the_job(cluster)
    cluster.end(again, audits(again))
    cluster.look()
    assert len(results(cluster)) == 1


def test_a_job_that_something_else_controls_is_neither_read_nor_removed() -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    cluster.end(job, audits(job))
    job["metadata"]["ownerReferences"][0]["uid"] = "another-bot"
    production = cluster.look()
    assert production.record == () and name_of(job) not in [
        name_of(one) for one in production.discard if one["kind"] == "Job"
    ]


def test_a_pod_that_the_job_did_not_make_says_nothing() -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    cluster.end(job, audits(job))
    cluster.of("Pod")[0]["metadata"]["ownerReferences"][0]["uid"] = "another-job"
    assert cluster.look().record == ()


WRONG_WORDS: list[object] = [
    "",
    "not JSON",
    "{}",
    {"reason": "InvalidConfig", "message": "no"},
    {"uid": "another", "mode": "paper", "audits": []},
]


@pytest.mark.parametrize("said", WRONG_WORDS)
def test_last_words_that_are_no_audit_of_this_bot_are_no_result(said: object) -> None:
    cluster = a_cluster()
    cluster.look()
    cluster.end(the_job(cluster), said)
    production = cluster.look()
    assert production.record == () and production.unaudited == 1
    assert "came to no end" in production.notes[0]


@pytest.mark.parametrize(
    "change",
    [{"uid": "another"}, {"mode": "live"}, {"audits": []}],
    ids=["of another bot", "of the other mode", "of no session"],
)
def test_an_audit_of_something_else_is_no_result(change: dict[str, Any]) -> None:
    cluster = a_cluster()
    cluster.audit(**change)
    assert results(cluster) == []


def test_what_a_crashed_audit_left_is_no_result() -> None:
    cluster = a_cluster()
    cluster.look()
    cluster.end(the_job(cluster), audits(the_job(cluster)), exit_code=137)
    assert cluster.look().record == ()


def test_two_results_for_one_session_are_none() -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    said = audits(job)
    said["audits"] = said["audits"] * 2
    cluster.end(job, said)
    assert cluster.look().record == ()


# ------------------------------------------------------------ what goes wrong


def test_an_audit_without_a_result_is_tried_again_later_and_later() -> None:
    cluster = a_cluster()
    waits: list[float] = []
    names: set[str] = set()
    cluster.look()
    for _ in range(9):
        job = the_job(cluster)
        names.add(name_of(job))
        cluster.end(job, audits(job, "Unknown"), exit_code=75)
        production = cluster.look()
        assert production.produce == () and production.record == () and production.unaudited == 1
        assert production.again_after_seconds is not None
        waits.append(production.again_after_seconds)
        cluster.now += timedelta(seconds=production.again_after_seconds)
        assert len(cluster.look().produce) == 3
        cluster.look()
    assert waits == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert len(names) == 9
    cluster.end(the_job(cluster), audits(the_job(cluster)))
    cluster.look()
    assert [result for _, result in results(cluster)] == ["Match"]
    cluster.look()
    assert not cluster.of("Job") and not cluster.of("ConfigMap")


def test_only_what_is_undecided_of_a_batch_is_tried_again() -> None:
    cluster = a_cluster(3)
    cluster.look()
    job = the_job(cluster)
    said = audits(job)
    said["audits"][1]["result"] = "Unknown"
    cluster.end(job, said, exit_code=75)
    cluster.look()
    assert len(results(cluster)) == 2
    cluster.now += timedelta(seconds=30)
    cluster.look()
    cluster.look()
    again = the_job(cluster)
    assert again["spec"]["template"]["spec"]["containers"][0]["args"].count("--session") == 1
    cluster.end(again, audits(again))
    cluster.look()
    assert len(results(cluster)) == 3


def test_a_lost_pod_is_waited_for_a_little_and_then_tried_again() -> None:
    cluster = a_cluster()
    cluster.look()
    cluster.fail(the_job(cluster))
    assert cluster.look().again_after_seconds == 15
    cluster.now += timedelta(seconds=15)
    production = cluster.look()
    assert "deadline" in production.notes[0]
    cluster.now += timedelta(seconds=15)
    assert len(cluster.look().produce) == 3


def test_a_job_that_nobody_runs_is_given_up() -> None:
    cluster = a_cluster()
    cluster.look()
    job = the_job(cluster)
    assert cluster.look().produce == ()
    cluster.now += timedelta(hours=1)
    cluster.look()
    cluster.look()
    assert name_of(the_job(cluster)) != name_of(job)


def test_after_a_week_without_a_result_that_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LAST_ATTEMPT * 30 / 60 / 24 > 7
    monkeypatch.setattr("tradingbot_operator.plan.producing.LAST_ATTEMPT", 3)
    cluster = a_cluster()
    cluster.look()
    for _ in range(3):
        job = the_job(cluster)
        cluster.end(job, audits(job, "Unknown"), exit_code=75)
        cluster.look()
        cluster.now += timedelta(minutes=30)
        cluster.look()
        cluster.look()
    (evidence,) = cluster.of("PromotionEvidence")
    audit = evidence["spec"]["session"]["audit"]
    assert audit["result"] == "Unknown" and "given up" in audit["message"]
    assert not cluster.of("Job")


@pytest.mark.parametrize("dies_after", [0, 1, 2, 3])
def test_whenever_the_operator_dies_the_end_is_the_same(dies_after: int) -> None:
    whole, broken = a_cluster(25), a_cluster(25)
    whole.audit()
    whole.audit()
    for _ in range(40):
        # Each look dies after so many writes, but every third comes through.
        for deaths in (dies_after, dies_after, None):
            broken.look(dies_after=deaths)
        for job in broken.of("Job"):
            if not broken.of("Pod"):
                broken.end(job, audits(job))
    assert results(broken) == results(whole) and len(results(whole)) == 25
    assert {name_of(one) for one in broken.of("PromotionEvidence")} == {
        name_of(one) for one in whole.of("PromotionEvidence")
    }
    broken.look()
    assert not broken.of("Job") and not broken.of("ConfigMap")


def test_what_was_made_is_known_again_with_what_the_api_server_adds() -> None:
    cluster = a_cluster()
    config_map, network_policy, job = cluster.decide().produce
    assert is_as_made(network_policy, network_policy)
    stored = copy.deepcopy(dict(job))
    pod = stored["spec"]["template"]
    pod["spec"] |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    pod["spec"]["volumes"][0]["configMap"]["defaultMode"] = 420
    pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name_of(job)
    stored["spec"] |= {"completionMode": "NonIndexed", "suspend": False}
    assert is_as_made(stored, job)
    assert is_as_made(config_map, config_map)
    assert not is_as_made({**config_map, "data": {}}, config_map)
    assert not is_as_made({**config_map, "metadata": {**config_map["metadata"], "ownerReferences": []}}, config_map)


# ------------------------------------------------------------------- keeping


def test_evidence_is_kept_for_as_long_as_it_is_needed() -> None:
    cluster = a_cluster()
    cluster.audit()
    cluster.look()
    (sample,) = cluster.of("PromotionEvidence")
    cluster.sessions = ()

    def more(count: int, digest: str, begin: int) -> None:
        for number in range(begin, begin + count):
            one = copy.deepcopy(dict(sample))
            one["metadata"] |= {"name": f"e-{number:04d}", "uid": f"e-{number}"}
            one["spec"]["subjectDigest"] = digest
            one["spec"]["session"]["report"]["session"] = f"{2020 + number // 300}-{number % 12 + 1:02d}-01"
            cluster.objects["PromotionEvidence", name_of(one)] = one

    more(70, "f" * 64, 0)
    cluster.look()
    former = [one for one in cluster.of("PromotionEvidence") if one["spec"]["subjectDigest"] == "f" * 64]
    assert len(former) == 60 and len(cluster.of("PromotionEvidence")) == 61
    more(SESSIONS_KEPT + 9, cluster.subject.digest, 1000)
    cluster.look()
    kept = cluster.of("PromotionEvidence")
    assert len(kept) == SESSIONS_KEPT
    assert all(one["spec"]["subjectDigest"] == cluster.subject.digest for one in kept)
    # What was taken away is not made again.
    cluster.sessions = (a_session(5000),)
    assert cluster.look().produce == ()


def test_a_slip_that_is_put_right_within_a_day_costs_no_evidence() -> None:
    cluster = a_cluster()
    cluster.audit()
    cluster.look()
    (sample,) = cluster.of("PromotionEvidence")
    cluster.sessions = ()
    for number in range(70):
        one = copy.deepcopy(dict(sample))
        one["metadata"] |= {"name": f"e-{number:04d}", "uid": f"e-{number}"}
        one["spec"]["subjectDigest"] = "f" * 64
        cluster.objects["PromotionEvidence", name_of(one)] = one
    assert cluster.decide(since=cluster.now - timedelta(hours=23)).discard == ()
    assert len(cluster.decide(since=cluster.now - timedelta(hours=25)).discard) == 10


@pytest.mark.parametrize("began", ["9999-12-31T23:50:00Z", "2100-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_session_of_a_time_that_no_clock_shows_is_not_even_audited(began: str) -> None:
    cluster = a_cluster()
    cluster.sessions = (a_session(1, beganAt=began),)
    assert cluster.look().produce == ()


# ---------------------------------------------------------------- preflights


def preflight(passed: bool = True, **changes: Any) -> dict[str, Any]:
    return {"uid": UID, "account": "real", "checks": [{"name": "Keys", "passed": passed}]} | changes


def test_a_preflight_looks_at_the_live_account_and_is_renewed_at_half_its_age() -> None:
    cluster = Cluster(wants_preflight=True)
    cluster.look()
    job = the_job(cluster)
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments == ["preflight", "--config", "/etc/tradingbot/bot.yaml", "--capital", "10000"]
    assert job["metadata"]["labels"]["tradingbots.dev/live"] == "true"
    assert job["metadata"]["labels"]["tradingbots.dev/producer"] == "preflight"
    config = cluster.of("ConfigMap")[0]["data"]["bot.yaml"]
    assert "account: real" in config and "mode: paper" in config
    cluster.look()
    the_job(cluster)
    cluster.end(job, preflight())
    cluster.look()
    (evidence,) = cluster.of("PromotionEvidence")
    spec = PromotionEvidenceSpec.model_validate(evidence["spec"])
    assert (spec.account, spec.type, spec.subject_digest) == ("real", "Preflight", cluster.subject.digest)
    assert spec.pod_uid == "".join(text(one, "metadata", "uid") for one in cluster.of("Pod"))
    production = cluster.look()
    assert not cluster.of("Job")
    assert production.again_after_seconds == 12 * 3600
    cluster.now += timedelta(hours=12)
    assert len(cluster.look().produce) == 3


def test_a_failed_preflight_is_evidence_and_is_tried_again_after_ten_minutes() -> None:
    cluster = Cluster(wants_preflight=True)
    cluster.look()
    cluster.end(the_job(cluster), preflight(passed=False), exit_code=1)
    cluster.look()
    assert cluster.of("PromotionEvidence")[0]["spec"]["preflight"]["checks"][0]["passed"] is False
    assert cluster.look().again_after_seconds == 600
    cluster.now += timedelta(minutes=10)
    cluster.look()
    cluster.end(the_job(cluster), preflight())
    cluster.look()
    assert len(cluster.of("PromotionEvidence")) == 2


@pytest.mark.parametrize("said", ["", "x", preflight(uid="another"), preflight(account="sim"), preflight(checks=[])])
def test_a_preflight_of_something_else_is_no_result(said: object) -> None:
    cluster = Cluster(wants_preflight=True)
    cluster.look()
    cluster.end(the_job(cluster), said)
    production = cluster.look()
    assert production.record == () and production.again_after_seconds == 30
    assert "preflight" in production.notes[0]
    cluster.now += timedelta(seconds=30)
    cluster.look()
    cluster.look()
    cluster.end(the_job(cluster), preflight())
    cluster.look()
    assert len(cluster.of("PromotionEvidence")) == 1


def test_a_preflight_that_the_broker_did_not_answer_says_nothing() -> None:
    cluster = Cluster(wants_preflight=True)
    cluster.look()
    cluster.end(the_job(cluster), preflight(passed=False), exit_code=75)
    assert cluster.look().record == ()


def test_a_preflight_asks_for_what_the_first_stage_needs() -> None:
    cluster = Cluster(wants_preflight=True)
    stages = [{"maxCapital": "1000", "sessions": 5}, {"maxCapital": "50000"}]
    cluster.changes["gate"] = a_gate(stages=stages)
    cluster.look()
    assert the_job(cluster)["spec"]["template"]["spec"]["containers"][0]["args"][-1] == "1000"


def test_a_preflight_nobody_wants_is_not_made() -> None:
    assert Cluster().look().produce == ()
    assert Cluster(wants_preflight=True, changes={"live_account": None}).look().produce == ()


def test_the_same_words_give_the_same_evidence() -> None:
    one, two = a_cluster(), a_cluster()
    one.audit()
    two.audit()
    assert json.dumps(one.of("PromotionEvidence")[0]["spec"]) == json.dumps(two.of("PromotionEvidence")[0]["spec"])
    assert name_of(one.of("PromotionEvidence")[0]) == name_of(two.of("PromotionEvidence")[0])
