"""The demo's decisions: which cluster, what it shows, and when it gives up."""

from typing import Any

import pytest
from rich.table import Table

import demo
import demo_cluster
from demo_cluster import Embedded, Machine, NoClusterError, choose
from tradingbot_api import TradingBotStatus

EVERYTHING = Machine(docker_answers=True, has_kind=True, is_root=True, is_debian=True, kubeconfig="/etc/kubeconfig")
NOTHING = Machine(docker_answers=False, has_kind=False, is_root=False, is_debian=False, kubeconfig="")
DEBIAN = Machine(docker_answers=False, has_kind=False, is_root=True, is_debian=True, kubeconfig="")


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-03-02T14:30:00Z",
    }


def sight(**status: Any) -> demo.Sight:
    return demo.Sight.of({"status": status})


class TestChoiceOfACluster:
    def test_kind_comes_first(self) -> None:
        assert choose("auto", EVERYTHING) == "kind"

    def test_a_debian_with_root_builds_its_own(self) -> None:
        assert choose("auto", DEBIAN) == "embedded"

    @pytest.mark.parametrize("asked", ["kind", "embedded", "existing"])
    def test_what_is_asked_for_is_taken(self, asked: str) -> None:
        assert choose(asked, EVERYTHING) == asked

    def test_a_kubeconfig_alone_is_no_permission(self) -> None:
        machine = Machine(False, False, False, False, kubeconfig="/etc/kubeconfig")
        with pytest.raises(NoClusterError, match="CLUSTER=existing"):
            choose("auto", machine)

    def test_without_a_way_every_way_is_told(self) -> None:
        with pytest.raises(NoClusterError) as told:
            choose("auto", NOTHING)
        for word in ("Docker", "Debian", "KUBECONFIG"):
            assert word in str(told.value)

    @pytest.mark.parametrize(
        ("asked", "lacking"),
        [("kind", "Docker"), ("embedded", "Debian"), ("existing", "KUBECONFIG"), ("minikube", "not one of")],
    )
    def test_what_cannot_be_had_is_refused_with_a_reason(self, asked: str, lacking: str) -> None:
        with pytest.raises(NoClusterError, match=lacking):
            choose(asked, NOTHING)

    def test_without_root_sudo_is_proposed(self) -> None:
        with pytest.raises(NoClusterError, match="sudo"):
            choose("embedded", Machine(False, False, is_root=False, is_debian=True, kubeconfig=""))


class TestSight:
    def test_before_the_operator_looked(self) -> None:
        assert "first look" in sight().state

    def test_what_is_in_the_way_is_shown_with_its_reason(self) -> None:
        seen = sight(conditions=[condition("Ready", "False", "SecretNotFound", "secret alpaca-paper not found")])
        assert seen.state == "SecretNotFound: secret alpaca-paper not found"
        assert not seen.has_traded

    def test_ready_without_a_fill_waits_for_a_signal(self) -> None:
        assert "signal" in sight(conditions=[condition("Ready", "True", "Trading")]).state

    def test_ready_is_what_the_condition_says(self) -> None:
        assert sight(conditions=[condition("Ready", "True", "Trading")]).is_ready
        assert not sight(conditions=[condition("Ready", "False", "Starting")]).is_ready
        assert not sight().is_ready

    def test_killed(self) -> None:
        assert sight(conditions=[condition("Killed", "True", "OrdersCancelled")]).is_killed
        assert not sight(conditions=[condition("Killed", "False", "NoKill")]).is_killed

    def test_a_fill(self) -> None:
        assert sight(filledOrders=1).has_traded
        assert not sight(filledOrders=0).has_traded


class TestTables:
    def test_empty_ones_say_so(self) -> None:
        assert demo.positions_table(TradingBotStatus()) == "Holds nothing at the moment."
        assert demo.orders_table(TradingBotStatus()) == "No orders yet."

    def test_a_holding_and_an_order(self) -> None:
        status = TradingBotStatus.model_validate(
            {
                "positions": [{"symbol": "AAPL", "qty": "10", "averageEntryPrice": "194.02", "marketValue": "1947.2"}],
                "recentOrders": [
                    {
                        "clientOrderId": "tb-1",
                        "symbol": "AAPL",
                        "side": "buy",
                        "type": "limit",
                        "qty": "10",
                        "filledQty": "10",
                        "filledAveragePrice": "194.02",
                        "status": "filled",
                        "createdAt": "2026-03-02T15:22:00.123Z",
                    }
                ],
            }
        )
        positions, orders = demo.positions_table(status), demo.orders_table(status)
        assert isinstance(positions, Table) and isinstance(orders, Table)
        assert [next(iter(column.cells)) for column in positions.columns] == ["AAPL", "10", "194.02", "1,947.20"]
        assert list(orders.columns[0].cells) == ["2026-03-02 15:22"]


class TestNextCommands:
    def test_what_is_set_already_is_left_out(self) -> None:
        cluster = Embedded({"TRADINGBOT_CACHE": "/cache", "TRADINGBOT_CLUSTER_STATE": "/state"})
        first = [line for line, _ in demo.next_commands(cluster, {"PATH": "/bin"})]
        assert first[:2] == ["export KUBECONFIG=/state/admin.kubeconfig", 'export PATH="$PATH:/cache/bin"']
        environment = {"PATH": "/bin:/cache/bin", "KUBECONFIG": "/state/admin.kubeconfig"}
        assert demo.next_commands(cluster, environment)[0][0].startswith("kubectl get bots")

    def test_the_kill_is_among_them(self) -> None:
        cluster = Embedded({"TRADINGBOT_CACHE": "/cache"})
        assert any("tradingbots.dev/kill=" in line for line, _ in demo.next_commands(cluster, {}))


def deployment(image: str) -> dict[str, Any]:
    template = {
        "spec": {"containers": [{"image": image, "env": [{"name": "RUNTIME", "value": "tradingbot-runtime:dev"}]}]}
    }
    return {"kind": "Deployment", "spec": {"template": template}}


class TestManifests:
    def test_other_images_replace_ours_wherever_they_stand(self) -> None:
        names = {"tradingbot-runtime:dev": "mine:1", "tradingbot-operator:dev": "mine:2"}
        [changed] = demo.with_images([deployment("tradingbot-operator:dev")], names)
        [container] = changed["spec"]["template"]["spec"]["containers"]
        assert (container["image"], container["env"][0]["value"]) == ("mine:2", "mine:1")

    def test_a_new_build_under_the_old_name_changes_the_pods(self) -> None:
        documents = [deployment("tradingbot-operator:dev"), {"kind": "Service", "spec": {}}]
        marked, service = demo.with_image_annotation(documents, {"tradingbot-operator:dev": "abc"})
        assert marked["spec"]["template"]["metadata"]["annotations"] == {demo.IMAGE_ANNOTATION: "abc"}
        assert service == documents[1]

    def test_somebody_elses_image_is_left_alone(self) -> None:
        document = deployment("other:1")
        assert demo.with_image_annotation([document], {"tradingbot-operator:dev": "abc"}) == [document]


def pod(**container: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "uid": "u"}, "status": {"containerStatuses": [container]}}


class TestPods:
    def test_a_restarted_simulator_is_another_market(self) -> None:
        before, after = pod(ready=True, restartCount=0), pod(ready=True, restartCount=1)
        assert demo.market_of([before]) == "u/0"
        assert demo.market_of([after]) != demo.market_of([before])
        assert demo.market_of([pod(ready=False)]) == ""

    def test_a_pod_that_is_well_is_no_trouble(self) -> None:
        assert demo.pod_trouble([pod(ready=True, state={"running": {}})]) == ""
        assert demo.pod_trouble([pod(state={"waiting": {"reason": "ContainerCreating"}})]) == ""

    def test_trouble_has_a_name(self) -> None:
        waiting = {"reason": "ErrImageNeverPull", "message": "not present"}
        assert demo.pod_trouble([pod(state={"waiting": waiting})]) == "pod p: ErrImageNeverPull not present"
        assert "ended" in demo.pod_trouble([pod(state={"terminated": {"reason": "Error"}})])
        unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}
        assert "0/1 nodes" in demo.pod_trouble([{"metadata": {"name": "p"}, "status": {"conditions": [unscheduled]}}])

    def test_only_a_pod_that_ends_again_and_again_is_hopeless(self) -> None:
        crashing = {"waiting": {"reason": "CrashLoopBackOff"}}
        assert demo.is_hopeless([pod(state=crashing, restartCount=demo.HOPELESS_RESTARTS)])
        assert not demo.is_hopeless([pod(state=crashing, restartCount=1)])
        assert not demo.is_hopeless([pod(state={"running": {}}, restartCount=9)])


class TestWaiting:
    def test_it_gives_up_with_the_last_thing_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demo, "POLL_SECONDS", 0.0)
        with pytest.raises(demo.DemoFailedError, match=r"a filled order.*VolumePending"):
            demo.wait(lambda: "VolumePending", 0, "a filled order")

    def test_it_ends_as_soon_as_there_is_nothing_to_wait_for(self) -> None:
        demo.wait(lambda: None, 0, "nothing")


def test_the_images_digest_changes_with_their_sources_only() -> None:
    assert demo_cluster.digest_of_sources() == demo_cluster.digest_of_sources()
    assert len(demo_cluster.digest_of_sources()) == 16
