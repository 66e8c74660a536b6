"""A kill that is written in the middle of a promotion, just before one of the operator's writes on the way to live: the
bot is on paper in the end, and what it was approved by grants nothing more, also once the kill is over.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import ApiServer, eventually
from fault_proxy import Faults, Write
from fault_scenario import Cast, Theatre
from fenced_objects import LIVE
from nursery import Nursery
from operator_process import OperatorProcess
from promotion_documents import bind
from test_attacks_live import LIVE_ASKED, assert_on_paper, earn, go, make_bot, set_gate, void
from test_kills import CANCELLED, annotate, approve, tell
from world import World

BEFORE = {
    "the grant is written": ("tradingbots/momentum/status", '"grant"', False),
    "the config says live": ("configmaps/momentum-bot", "mode: live", False),
    "the workload is live": ("statefulsets/momentum-bot", LIVE, False),
    "the live bot is told of": ("tradingbots/momentum/status", '"grant"', True),
}
"""The first write of what, with which word in it, and whether the workload is live by then."""


class KilledOnItsWay(Cast):
    """A bot that was approved, is asked to go live, and is killed before a write of the operator's."""

    def __init__(self, world: World, target: str, word: str, workload_is_live: bool) -> None:
        super().__init__(world)
        self._target, self._word, self._workload_is_live = target, word.encode(), workload_is_live
        self._asked, self.killed = threading.Event(), threading.Event()

    def meanwhile(self, write: Write, body: bytes) -> None:
        """Kills when it is time; called with every write of the operator's before the API server has it."""
        if not self._asked.is_set() or self.killed.is_set() or write.target != self._target or self._word not in body:
            return
        labels = self.world.child("momentum")["spec"]["template"]["metadata"]["labels"]
        if (LIVE in labels) == self._workload_is_live:
            annotate(self.world)
            self.killed.set()

    def play(self) -> None:
        """From its first day on paper to the release."""
        world, api = self.world, self.world.api
        world.account()
        world.account("real", environment="live", credentialsSecretRef={"name": "live-keys"})
        set_gate(world)
        bot = make_bot(world)
        runtime = earn(world, bot)
        for role, person in (("tradingbots-approver", "alice"), ("tradingbots-releaser", "rita")):
            bind(api, world.namespace, role, person)
        with api.as_user("alice") as alice:
            eventually(lambda: alice.create(go(world, bot), world.namespace), "alice approves")
        self._asked.set()
        api.patch("TradingBot", bot, LIVE_ASKED, world.namespace)
        assert self.killed.wait(60), f"after 60 s not written: {self._target} with {self._word!r}"
        self._wait(bot, "LiveAuthorized", "False", "Killed")
        eventually(lambda: assert_on_paper(world, bot) is None, "it is on paper")
        world.run_again(bot, runtime)
        tell(runtime, **CANCELLED)
        self._wait(bot, "Killed", "True", "OrdersCancelled")
        annotate(world, None)
        with api.as_user("rita") as rita:
            eventually(lambda: approve(rita, world, bot), "rita approves")
        self._wait(bot, "Killed", "False", "Released")
        eventually(lambda: "go" in void(world, bot), "alice's approval is void")


@pytest.fixture(scope="module")
def nursery(operator: OperatorProcess) -> Iterator[Nursery]:
    # It looks after all namespaces, so it would be a second writer.
    operator.stop()
    made = Nursery()
    yield made
    made.close()
    operator.start()


@pytest.mark.parametrize("point", BEFORE)
def test_a_kill_before_any_step_of_a_promotion_leaves_a_paper_bot(
    point: str, api: ApiServer, operator_kubeconfig: Path, tmp_path: Path, nursery: Nursery
) -> None:
    casts: list[KilledOnItsWay] = []

    def cast(world: World) -> KilledOnItsWay:
        casts.append(KilledOnItsWay(world, *BEFORE[point]))
        return casts[0]

    def meanwhile(write: Write, body: bytes) -> None:
        for one in casts:
            one.meanwhile(write, body)

    theatre = Theatre(api, operator_kubeconfig, tmp_path, nursery, cast)
    outcome = theatre.run(point, Faults(meanwhile=meanwhile))
    assert "grant" not in outcome.state["TradingBot momentum"]["status"]
    assert LIVE not in outcome.state["StatefulSet momentum-bot"]["spec"]["template"]["metadata"]["labels"]
    assert [name for name in outcome.state if name.startswith("KillRecord ")] == ["KillRecord momentum-1"]
    assert "Traceback" not in outcome.log
