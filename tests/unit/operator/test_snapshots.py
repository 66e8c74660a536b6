"""A look at a bot sees its own pod and what was made for it, and takes neither for the other."""

import copy
from typing import Any

from tradingbot_operator.cluster.reports import ReportBook
from tradingbot_operator.plan import PlanSettings, ReportPending
from tradingbot_operator.plan.objects import ObjectKey, Raw, name_of
from tradingbot_operator.plan.orphans import orphans
from tradingbot_operator.plan.producers import source_digest
from tradingbot_operator.plan.snapshot import BotSnapshot
from tradingbot_operator.snapshots import ReportTargets, bot_snapshot
from tradingbot_operator.store import ACCOUNT, APPROVAL, ATTESTATION, BOT, EVIDENCE, GATE, JOB, KILL, POD, Store
from unit.operator.evidence_world import Cluster, a_gate, a_session, a_simulated_live_account, sessions
from unit.operator.world import IMAGE, NOW, UID, a_bot, a_pod, an_account, answered

KEY = ObjectKey(BOT, "demo", "momentum")
LIVE = {"accounts": {"paper": "sim", "live": "real"}, "gateRef": {"name": "standard"}}


def put(store: Store, *objects: Raw) -> None:
    for raw in objects:
        stored = copy.deepcopy(dict(raw))
        stored["metadata"].setdefault("resourceVersion", "1")
        assert store.put(stored["kind"], stored)


def a_store() -> Store:
    """A bot that runs, and an audit that runs beside it, younger and with more labels of the bot's than its own pod."""
    cluster = Cluster(sessions=sessions(2))
    cluster.look()
    (job,) = cluster.of("Job")
    cluster.run(job)
    store = Store()
    put(store, a_bot(**LIVE), an_account(), a_simulated_live_account(), a_gate(), a_pod())
    put(store, *cluster.objects.values())
    return store


def look(store: Store, book: ReportBook | None = None) -> BotSnapshot:
    bot = store.get(KEY)
    assert bot is not None
    return bot_snapshot(store, book or ReportBook(), KEY, bot, now=NOW, settings=PlanSettings(IMAGE))


def test_a_producers_pod_is_never_taken_for_the_bots() -> None:
    store, book = a_store(), ReportBook()
    snapshot = look(store, book)
    assert [name_of(pod) for pod in snapshot.pods] == ["momentum-bot-0"]
    assert sorted(one["kind"] for one in snapshot.producers) == ["ConfigMap", JOB, "NetworkPolicy", POD]
    assert [target.pod_uid for target in ReportTargets(store)()] == ["uid-of-pod-of-momentum"]
    store.remove(ObjectKey(POD, "demo", "momentum-bot-0"))
    assert look(store).pods == () and list(ReportTargets(store)()) == []


def test_another_pod_with_the_bots_labels_is_not_asked() -> None:
    store = a_store()
    forged = copy.deepcopy(dict(a_pod()))
    forged["metadata"] |= {"name": "forged", "uid": "forged", "creationTimestamp": "2026-11-21T12:00:00Z"}
    put(store, forged)
    assert [target.pod_uid for target in ReportTargets(store)()] == ["uid-of-pod-of-momentum"]


def test_producers_of_a_bot_that_lives_are_no_orphans() -> None:
    store = a_store()
    producers = look(store).producers
    assert orphans(producers, store.get(KEY)) == ()
    loose = copy.deepcopy([dict(one) for one in producers])
    for one in loose:
        one["metadata"]["ownerReferences"] = []
    assert orphans(loose, store.get(KEY)) == ()
    assert [one["kind"] for one in orphans(loose, None)] == ["ConfigMap", "NetworkPolicy"]


def test_what_a_promotion_rests_on_is_gathered() -> None:
    store, book = a_store(), ReportBook()

    def about(kind: str, name: str, **spec: Any) -> Raw:
        return {"kind": kind, "metadata": {"name": name, "namespace": "demo", "uid": name}, "spec": spec}

    this, other = {"name": "momentum", "uid": UID}, {"name": "other", "uid": "x"}
    put(store, about(EVIDENCE, "e-1", botRef=this), about(EVIDENCE, "e-2", botRef=other))
    put(store, about(APPROVAL, "a-1", botRef=this), about(APPROVAL, "a-2", botRef=other))
    put(store, about(ATTESTATION, "t-1", gate="standard"), about(ATTESTATION, "t-2", gate="else"))
    put(store, a_bot("rival", **LIVE), a_bot("stranger", **LIVE | {"symbols": ["TSLA"]}), a_bot("papery"))
    live_pod = copy.deepcopy(dict(a_pod("rival")))
    live_pod["metadata"]["annotations"]["tradingbots.dev/account"] = "real"
    put(store, live_pod)
    book.record("uid-of-pod-of-momentum", answered())
    book.sessions.record("uid-of-pod-of-momentum", "paper", (a_session(),))
    snapshot = look(store, book)
    assert [name_of(one) for one in snapshot.evidence] == ["e-1"]
    assert [name_of(one) for one in snapshot.approvals] == ["a-1"]
    assert [name_of(one) for one in snapshot.attestations] == ["t-1"]
    assert [name_of(one) for one in snapshot.live_rivals] == ["rival"]
    assert [name_of(one) for one in snapshot.live_pods] == ["rival-bot-0"]
    assert snapshot.live_account is not None and name_of(snapshot.live_account) == "real"
    assert snapshot.sessions is not None and snapshot.sessions.sessions == (a_session(),)
    # What is evidence of the present subject already, or began before it, is not read again.
    digest = "d" * 64
    subject = {"subjectDigest": digest, "promotion": {"subject": {"since": a_session(2).report.began_at}}}
    put(store, {**a_bot(**LIVE, status=subject), "metadata": {**a_bot()["metadata"], "resourceVersion": "101"}})
    book.sessions.record("uid-of-pod-of-momentum", "paper", sessions(4))
    known = {"botRef": this, "subjectDigest": digest, "sourceDigest": source_digest(a_session(1))}
    put(store, about(EVIDENCE, "e-3", **known), about(EVIDENCE, "e-4", botRef=this, sourceDigest=known["sourceDigest"]))
    collected = look(store, book).sessions
    assert collected is not None and collected.sessions == (a_session(2), a_session(0))
    store.put(ACCOUNT, an_account("unused"))
    store.remove(ObjectKey(GATE, "demo", "standard"))
    assert look(store).gate is None and look(store).reported == ReportPending()


def test_a_killed_bot_is_asked_at_once_until_somebody_releases_it_whatever_became_of_the_annotation() -> None:
    store = a_store()
    targets = ReportTargets(store)
    assert [target.kill_requested for target in targets()] == [False]
    record = {
        "kind": KILL,
        "metadata": {"name": "momentum-1", "namespace": "demo", "uid": "k1", "resourceVersion": "1"},
        "spec": {"botRef": {"name": "momentum", "uid": UID}, "epoch": 1},
    }
    put(store, record)
    assert [target.kill_requested for target in targets()] == [True]
    put(store, record | {"metadata": record["metadata"] | {"resourceVersion": "2"}, "status": {"releasedAt": "now"}})
    assert [target.kill_requested for target in targets()] == [False]
