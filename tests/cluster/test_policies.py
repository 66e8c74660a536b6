"""The admission policies: what they refuse, whoever asks, and what they never refuse, whoever is down."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from api_server import APPLY, MERGE, ApiServer, Json, eventually, path_of
from fenced_objects import (
    BOT,
    LIVE,
    MARKS,
    PRODUCER,
    as_the_operator,
    config_map,
    job,
    live_stateful_set,
    marked,
    pod,
    refusal,
    stateful_set,
    template,
)
from operator_process import OperatorProcess
from world import World

BASE = Path(__file__).parents[2] / "manifests/base"
POLICY = "ValidatingAdmissionPolicy"
BINDING = "ValidatingAdmissionPolicyBinding"
OWN_KINDS = ("TradingBot", "BrokerAccount", "PromotionGate")


@pytest.fixture
def fenced(api: ApiServer, namespace: str, operator: OperatorProcess) -> str:
    """A namespace where every policy is in force: that takes a few seconds after its creation."""
    # What it makes by itself, and what it removes, must not come between a write and its answer.
    operator.stop()
    make_objects(api, namespace)

    def probe(document: Json) -> str | None:
        path = path_of(document["kind"], namespace)
        return refusal(lambda: api.request("POST", path, document, dryRun="All"))

    for document in (stateful_set(LIVE), job(PRODUCER), pod(BOT), config_map(BOT)):
        eventually(lambda document=document: probe(document), f"{document['kind']}s are fenced")
    eventually(lambda: refusal(lambda: write_status(api, "TradingBot", namespace, dryRun="All")), "status is fenced")
    with as_the_operator(api) as maker:
        maker.create(stateful_set(BOT, name="probe", replicas=0), namespace)
    eventually(lambda: refusal(lambda: scale(api, "probe", namespace, 1, dryRun="All")), "scaling is fenced")
    api.delete("StatefulSet", "probe", namespace)
    return namespace


@pytest.fixture
def the_operator(api: ApiServer) -> Iterator[ApiServer]:
    with api.as_service_account("tradingbot-system", "tradingbot-operator") as identity:
        yield identity


def make_objects(api: ApiServer, namespace: str) -> None:
    world = World(api, namespace)
    world.account("fenced")
    world.gate("fenced")
    world.bot("fenced", account="nowhere")


def write_status(server: ApiServer, kind: str, namespace: str, **query: str) -> Json:
    return server.patch(kind, "fenced", {"status": {"observedGeneration": 1}}, namespace, "status", **query)


def scale(server: ApiServer, name: str, namespace: str, replicas: int, **query: str) -> Json:
    return server.patch("StatefulSet", name, {"spec": {"replicas": replicas}}, namespace, "scale", **query)


# ------------------------------------------------------------------- status


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_not_even_an_administrator_writes_a_status(api: ApiServer, fenced: str, kind: str) -> None:
    written = {"status": {"observedGeneration": 1}}
    stored = api.get(kind, "fenced", fenced)
    path = path_of(kind, fenced, "fenced", "status")
    ways = {
        "merge": lambda: api.request("PATCH", path, written, MERGE),
        "replace": lambda: api.request("PUT", path, stored | written),
        "apply": lambda: api.request(
            "PATCH",
            path,
            {key: stored[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "fenced"}} | written,
            APPLY,
            fieldManager="tests",
            force="true",
        ),
    }
    for way, act in ways.items():
        said = refusal(act)
        assert said is not None, way
        assert "the status is written by the operator alone: change the spec" in said


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_the_operator_writes_every_status(the_operator: ApiServer, fenced: str, kind: str) -> None:
    assert write_status(the_operator, kind, fenced)["status"]["observedGeneration"] == 1


def test_another_service_account_of_its_namespace_is_not_the_operator(api: ApiServer, fenced: str) -> None:
    with api.as_user("system:serviceaccount:tradingbot-system:default", "system:masters") as other:
        assert refusal(lambda: write_status(other, "TradingBot", fenced))


def test_the_operator_changes_finalizers_and_nothing_else_of_what_is_asked_for(api: ApiServer, fenced: str) -> None:
    with as_the_operator(api) as the_operator:
        changes: dict[str, Json] = {
            "the mode": {"spec": {"mode": "paper", "capital": "99"}},
            "an annotation": {"metadata": {"annotations": {"tradingbots.dev/kill": "by itself"}}},
            "a label": {"metadata": {"labels": {"a": "b"}}},
        }
        for what, change in changes.items():
            said = refusal(lambda change=change: the_operator.patch("TradingBot", "fenced", change, fenced))
            assert said is not None, what
        new = api.get("TradingBot", "fenced", fenced) | {"metadata": {"name": "new"}}
        assert refusal(lambda: the_operator.create(new, fenced))
        for finalizers in (["tradingbots.dev/cleanup"], []):
            metadata = {"metadata": {"finalizers": finalizers}}
            changed = the_operator.patch("TradingBot", "fenced", metadata, fenced)
            assert changed["metadata"].get("finalizers", []) == finalizers


# -------------------------------------------------------------------- live


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("make", [stateful_set, job, pod, config_map])
def test_not_even_an_administrator_makes_what_is_live(
    api: ApiServer, fenced: str, make: Callable[[str], Json], mark: str
) -> None:
    said = refusal(lambda: api.create(make(mark), fenced))
    assert said is not None
    assert "tradingbots.dev/bot, live or producer" in said


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("where", ["itself", "its pods"])
@pytest.mark.parametrize("make", [stateful_set, job])
def test_half_a_label_is_a_label(api: ApiServer, fenced: str, make: Callable[..., Json], where: str, mark: str) -> None:
    document = make()
    part = document if where == "itself" else document["spec"]["template"]
    part["metadata"]["labels"] |= marked(mark)
    assert refusal(lambda: api.create(document, fenced))


@pytest.mark.parametrize(
    "document", [stateful_set(), job(), pod(), config_map()], ids=lambda document: document["kind"]
)
def test_what_is_not_live_is_nobodys_concern_and_cannot_become_live(
    api: ApiServer, fenced: str, document: Json
) -> None:
    kind, name = document["kind"], document["metadata"]["name"]
    api.create(document, fenced)
    api.patch(kind, name, {"metadata": {"labels": {"anything": "else"}}}, fenced)
    for mark in MARKS:
        relabelled = {"metadata": {"labels": {mark: "true"}}}
        assert refusal(lambda change=relabelled: api.patch(kind, name, change, fenced)), mark
        if kind in ("StatefulSet", "Job") or (kind, mark) == ("Pod", BOT):
            by_its_status = refusal(lambda change=relabelled: api.patch(kind, name, change, fenced, "status"))
            assert by_its_status is not None, mark
    api.delete(kind, name, fenced)


@pytest.fixture
def live_set(api: ApiServer, the_operator: ApiServer, fenced: str) -> str:
    the_operator.apply(live_stateful_set(), fenced)
    eventually(lambda: api.get("Pod", "momentum-x-0", fenced), "the StatefulSet controller made the live pod")
    return "momentum-x"


def test_the_operator_makes_and_changes_what_is_live(the_operator: ApiServer, live_set: str, fenced: str) -> None:
    changed = live_stateful_set(template=template(BOT, LIVE, image="bot:2"), replicas=0)
    assert the_operator.apply(changed, fenced).document["spec"]["replicas"] == 0
    on_paper = the_operator.apply(stateful_set(BOT), fenced).document
    assert on_paper["metadata"]["labels"] == {"team": "a", BOT: "momentum"}


CHANGES: dict[str, Json] = {
    "another image": {"spec": {"template": {"spec": {"containers": [{"name": "bot", "image": "mine:1"}]}}}},
    "a second pod": {"spec": {"replicas": 2}},
    "another strategy of updates": {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}},
    "no label": {"metadata": {"labels": {LIVE: None}}},
    "no label on its pods": {"spec": {"template": {"metadata": {"labels": {LIVE: None}}}}},
    "zero, and another image for later": {
        "spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "bot", "image": "mine:1"}]}}}
    },
    "zero, and no volume any more": {
        "spec": {"replicas": 0, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_not_even_an_administrator_changes_what_is_live(
    api: ApiServer, live_set: str, fenced: str, change: Json
) -> None:
    assert refusal(lambda: api.patch("StatefulSet", live_set, change, fenced))


@pytest.mark.parametrize("mark", [BOT, LIVE])
@pytest.mark.parametrize("subresource", ["", "status"])
def test_a_live_pod_cannot_be_hidden(api: ApiServer, live_set: str, fenced: str, mark: str, subresource: str) -> None:
    hidden = {"metadata": {"labels": {mark: None}}}
    assert refusal(lambda: api.patch("Pod", f"{live_set}-0", hidden, fenced, subresource))
    other = {"metadata": {"labels": {mark: "another"}}}
    assert refusal(lambda: api.patch("Pod", f"{live_set}-0", other, fenced, subresource))


def test_a_live_pod_runs_what_it_was_made_with(api: ApiServer, live_set: str, fenced: str) -> None:
    pod = api.get("Pod", f"{live_set}-0", fenced)
    (container,) = pod["spec"]["containers"]
    assert refusal(
        lambda: api.patch("Pod", f"{live_set}-0", {"spec": {"containers": [container | {"image": "mine:1"}]}}, fenced)
    )
    api.patch("Pod", f"{live_set}-0", {"spec": {"activeDeadlineSeconds": 1}}, fenced)


def test_a_bot_is_scaled_up_by_the_operator_alone(
    api: ApiServer, the_operator: ApiServer, live_set: str, fenced: str
) -> None:
    said = refusal(lambda: scale(api, live_set, fenced, 2))
    assert said is not None
    assert "Scaling down is allowed" in said


def test_other_peoples_stateful_sets_scale_as_they_like(api: ApiServer, fenced: str) -> None:
    api.create(stateful_set(name="database", replicas=0), fenced)
    assert scale(api, "database", fenced, 2)["spec"]["replicas"] == 2


# -------------------------------------------------- what is never refused

STOPS: dict[str, Callable[[ApiServer, str, str], object]] = {
    "scale to zero": lambda api, name, ns: scale(api, name, ns, 0),
    "patch to zero": lambda api, name, ns: api.patch("StatefulSet", name, {"spec": {"replicas": 0}}, ns),
    "delete": lambda api, name, ns: api.delete("StatefulSet", name, ns),
    "delete in the foreground": lambda api, name, ns: api.delete(
        "StatefulSet", name, ns, propagationPolicy="Foreground"
    ),
    "delete and orphan": lambda api, name, ns: api.delete("StatefulSet", name, ns, propagationPolicy="Orphan"),
    "delete the pod": lambda api, name, ns: api.delete("Pod", f"{name}-0", ns),
    "delete all": lambda api, name, ns: api.request("DELETE", path_of("StatefulSet", ns)),
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_stopping_what_is_live_is_never_refused(
    api: ApiServer, live_set: str, fenced: str, stop: Callable[[ApiServer, str, str], object]
) -> None:
    uid = api.get("Pod", f"{live_set}-0", fenced)["metadata"]["uid"]
    # There is no kubelet here that would end the pod, so what counts is that it was told to.
    stop(api, live_set, fenced)

    def is_stopping() -> bool:
        if not api.exists("Pod", f"{live_set}-0", fenced):
            return True
        metadata = api.get("Pod", f"{live_set}-0", fenced)["metadata"]
        orphaned = not metadata.get("ownerReferences") and not api.exists("StatefulSet", live_set, fenced)
        return metadata["uid"] != uid or "deletionTimestamp" in metadata or orphaned

    eventually(is_stopping, "the pod stops, or is nobody's")


def test_metadata_that_changes_no_work_is_never_refused(api: ApiServer, live_set: str, fenced: str) -> None:
    for metadata in ({"annotations": {"note": "x"}}, {"finalizers": ["example.com/wait"]}, {"finalizers": None}):
        api.patch("StatefulSet", live_set, {"metadata": metadata}, fenced)


@pytest.mark.parametrize("change", [{"suspend": True}, {"parallelism": 0}], ids=["suspend", "no pods"])
def test_a_live_job_can_always_be_stopped(api: ApiServer, the_operator: ApiServer, fenced: str, change: Json) -> None:
    the_operator.create(job(BOT, LIVE, PRODUCER), fenced)
    assert refusal(lambda: api.patch("Job", "flatten", {"spec": {"parallelism": 3}}, fenced))
    api.patch("Job", "flatten", {"spec": change}, fenced)
    api.delete("Job", "flatten", fenced)


def test_a_live_job_gets_its_pods(api: ApiServer, the_operator: ApiServer, fenced: str) -> None:
    the_operator.create(job(BOT, LIVE, PRODUCER), fenced)
    (made,) = eventually(lambda: api.list("Pod", fenced), "the Job controller made a live pod")
    assert LIVE in made["metadata"]["labels"]


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_the_garbage_collector_takes_what_is_live_with_its_bot(
    api: ApiServer, the_operator: ApiServer, fenced: str, policy: str
) -> None:
    bot = api.get("TradingBot", "fenced", fenced)
    owner = {"apiVersion": bot["apiVersion"], "kind": "TradingBot", "name": "fenced", "uid": bot["metadata"]["uid"]}
    document = live_stateful_set(replicas=0)
    document["metadata"]["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
    the_operator.apply(document, fenced)
    api.delete("TradingBot", "fenced", fenced, propagationPolicy=policy)
    gone = lambda: not api.exists("StatefulSet", "momentum-x", fenced)  # noqa: E731 - said once, in one line
    eventually(gone, "the StatefulSet is gone", 120)
    eventually(lambda: not api.exists("TradingBot", "fenced", fenced), "the bot is gone", 120)


def test_a_namespace_with_live_things_ends(api: ApiServer, live_set: str, fenced: str) -> None:
    api.delete("Namespace", fenced)
    eventually(lambda: not api.exists("StatefulSet", live_set, fenced), "the StatefulSet is gone", 120)

    def is_gone() -> bool:
        # What a kubelet would do; the namespace's end may take them first.
        for item in api.list("Pod", fenced):
            api.delete("Pod", item["metadata"]["name"], fenced, gracePeriodSeconds=0)
        return not api.exists("Namespace", fenced)

    eventually(is_gone, "the namespace is gone", 120)


def test_a_kill_is_never_refused_whatever_the_bot_is(api: ApiServer, fenced: str) -> None:
    world = World(api, fenced)
    world.bot("paper-bot")
    world.bot("paused-bot", paused=True)
    world.bot("live-bot", mode="live", gateRef={"name": "nowhere"}, accounts={"paper": "a", "live": "b"})
    for kind, names in (("TradingBot", ["paper-bot", "paused-bot", "live-bot"]), ("BrokerAccount", ["fenced"])):
        for name in names:
            annotated = api.patch(kind, name, {"metadata": {"annotations": {"tradingbots.dev/kill": ""}}}, fenced)
            assert "tradingbots.dev/kill" in annotated["metadata"]["annotations"]
    live_again = api.patch("TradingBot", "live-bot", {"spec": {"mode": "paper"}}, fenced)
    assert live_again["spec"]["mode"] == "paper"
    for name in ("paper-bot", "paused-bot", "live-bot"):
        api.delete("TradingBot", name, fenced)


# --------------------------------------------------------- PolicyEnforced


def shipped() -> dict[tuple[str, str], Json]:
    documents = [entry for file in (BASE / "policies").glob("*.yaml") for entry in yaml.safe_load_all(file.read_text())]
    return {(entry["kind"], entry["metadata"]["name"]): entry for entry in documents}


def restore(api: ApiServer, kind: str, name: str) -> None:
    document = shipped()[kind, name]
    if api.exists(kind, name):
        # A list that others added to is replaced, which apply would not do.
        api.patch(kind, name, {"spec": document["spec"]})
    else:
        api.create(document)


@pytest.fixture
def repaired(api: ApiServer) -> Iterator[None]:
    yield
    for kind, name in shipped():
        restore(api, kind, name)


@pytest.mark.usefixtures("repaired")
def test_a_bot_says_whether_its_fences_stand(world: World, api: ApiServer) -> None:
    world.account()
    bot = world.bot("momentum")
    world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")

    api.delete(BINDING, "tradingbots-status")
    missing = world.wait_for_condition(bot, "PolicyEnforced", "False", "PolicyMissing")
    assert "ValidatingAdmissionPolicyBinding tradingbots-status" in missing["message"]
    restore(api, BINDING, "tradingbots-status")
    world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")

    api.patch(BINDING, "tradingbots-pods", {"spec": {"validationActions": ["Warn"]}})
    changed = world.wait_for_condition(bot, "PolicyEnforced", "False", "PolicyChanged")
    assert "tradingbots-pods" in changed["message"]
    restore(api, BINDING, "tradingbots-pods")
    world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")

    api.patch(POLICY, "tradingbots-scale", {"spec": {"failurePolicy": "Ignore"}})
    world.wait_for_condition(bot, "PolicyEnforced", "False", "PolicyChanged")


@pytest.mark.usefixtures("repaired")
def test_policies_that_name_another_operator_do_not_count(world: World, api: ApiServer) -> None:
    world.account()
    bot = world.bot("momentum")
    world.wait_for_condition(bot, "PolicyEnforced", "True", "InPlace")
    spec = shipped()[POLICY, "tradingbots-scale"]["spec"]
    spec["variables"][0]["expression"] = "'system:serviceaccount:elsewhere:tradingbot-operator'"
    api.patch(POLICY, "tradingbots-scale", {"spec": spec})
    other = world.wait_for_condition(bot, "PolicyEnforced", "False", "OtherOperatorNamed")
    assert "system:serviceaccount:elsewhere:tradingbot-operator" in other["message"]
