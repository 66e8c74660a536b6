"""What a bot's pod has beside the bot where its state is streamed, and that it has nothing of it where it is not."""

import copy
from typing import Any

import pytest
import yaml

from tradingbot_api import Mode
from tradingbot_operator.plan import PlanSettings
from tradingbot_operator.plan.litestream import destination
from tradingbot_operator.plan.pods import is_answering
from tradingbot_operator.settings import Litestream
from unit.operator.candidate import Candidate
from unit.operator.world import IMAGE, a_bot, a_container, a_pod, an_account, child, plan

LITESTREAM = Litestream(
    image="litestream/litestream:0.5.18",
    url="s3://trading-state/production",
    credentials_secret="litestream",
    endpoint="https://s3.example.com:9000",
)
STREAMING = PlanSettings(runtime_image=IMAGE, litestream=LITESTREAM)


def template(settings: PlanSettings = STREAMING, **changes: Any) -> dict[str, Any]:
    return child(plan(a_bot(**changes), settings=settings), "StatefulSet")["spec"]["template"]


def streaming(found: dict[str, Any]) -> dict[str, Any]:
    (container,) = [one for one in found["spec"]["containers"] if one["name"] == "litestream"]
    return container


def config(found: dict[str, Any]) -> dict[str, Any]:
    (text,) = [one["value"] for one in streaming(found)["env"] if one["name"] == "CONFIG"]
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def test_the_bot_is_first_and_what_streams_is_an_ordinary_container() -> None:
    spec = template()["spec"]
    # A native sidecar would keep the bot waiting for its image, and a container before the bot for its pull.
    assert [one["name"] for one in spec["containers"]] == ["bot", "litestream"]
    assert "initContainers" not in spec
    assert not {"readinessProbe", "startupProbe", "ports", "lifecycle"} & streaming(template()).keys()


def test_without_the_option_the_pod_is_what_it_was_and_with_it_the_bots_own_part_is_too() -> None:
    without, added = template(PlanSettings(runtime_image=IMAGE)), copy.deepcopy(template())
    assert "litestream" not in str(without)
    added["spec"]["containers"].pop()
    added["spec"]["volumes"] = added["spec"]["volumes"][:-2]
    assert added == without
    assert child(plan(settings=STREAMING), "ConfigMap") == child(plan(), "ConfigMap")


def test_it_has_its_own_two_keys_and_none_of_the_brokers() -> None:
    assert {
        one["name"]: one["valueFrom"]["secretKeyRef"] for one in streaming(template())["env"] if "valueFrom" in one
    } == {
        "AWS_ACCESS_KEY_ID": {"name": "litestream", "key": "AWS_ACCESS_KEY_ID"},
        "AWS_SECRET_ACCESS_KEY": {"name": "litestream", "key": "AWS_SECRET_ACCESS_KEY"},
    }
    assert "AWS" not in str(template()["spec"]["containers"][0])


def test_it_runs_with_no_privilege_no_token_and_bounded_resources() -> None:
    container = streaming(template())
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    volumes = {one["name"]: one for one in template()["spec"]["volumes"]}
    places = {one["mountPath"]: volumes.get(one["name"]) for one in container["volumeMounts"]}
    empty = places["/var/run/secrets/kubernetes.io/serviceaccount"]
    assert empty is not None and "emptyDir" in empty
    assert container["resources"] == {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    assert all(one["emptyDir"]["sizeLimit"] for one in volumes.values() if "emptyDir" in one)


def test_paper_and_live_are_streamed_to_places_of_their_own() -> None:
    bot = Candidate(settings=STREAMING).granted()
    found = {}
    for mode in ("paper", "live"):
        assert bot.stateful_set is not None
        (streamed,) = config(bot.stateful_set["spec"]["template"])["dbs"]
        found[mode] = (streamed["path"], streamed["replica"]["url"])
        bot.later(seconds=1).look()
    assert found == {
        mode: (f"/var/lib/tradingbot/{mode}/state.db", f"s3://trading-state/production/demo/momentum/{mode}")
        for mode in ("paper", "live")
    }


def test_no_two_bots_share_a_place() -> None:
    places = {
        destination(LITESTREAM, namespace, bot, mode)
        for namespace in ("a", "a-b", "b")
        for bot in ("a", "b", "b-live", "live")
        for mode in Mode
    }
    assert len(places) == 24


def test_its_config_is_in_the_pod_that_nobody_changes_and_the_same_each_time() -> None:
    assert template() == template()
    assert not {one["name"] for one in streaming(template())["volumeMounts"]} & {"config"}


@pytest.mark.parametrize(
    ("endpoint", "opened"),
    [("https://s3.example.com:9000", 9000), ("http://minio.storage.svc:9000", 9000), ("http://minio:9001", 9001)],
)
def test_the_pod_may_reach_the_bucket(endpoint: str, opened: int) -> None:
    there = PlanSettings(IMAGE, litestream=Litestream("image", "s3://bucket", "litestream", endpoint=endpoint))

    def ports(settings: PlanSettings) -> set[int]:
        rules = child(plan(account=an_account(), settings=settings), "NetworkPolicy")["spec"]["egress"]
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert ports(there) - ports(PlanSettings(IMAGE)) == {opened}
    amazon = PlanSettings(IMAGE, litestream=Litestream("image", "s3://bucket", "litestream"))
    assert ports(amazon) == ports(PlanSettings(IMAGE)), "443 is open anyway"


def test_a_bot_is_asked_while_the_container_beside_it_never_ran() -> None:
    running = a_container(ready=True, running={"startedAt": "2026-11-21T11:10:00Z"})
    assert is_answering(a_pod(container=running, phase="Pending"))
    assert not is_answering(a_pod(container=a_container(waiting={"reason": "PodInitializing"}), phase="Pending"))
    assert not is_answering(a_pod(container=running, phase="Pending", podIP=""))
    assert not is_answering(a_pod(container=running, phase="Failed"))
