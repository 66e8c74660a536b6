"""A short life of a few bots that makes the operator do everything it does, run through a proxy that injects faults.

Every step ends with what must then be true; how often the operator died on the way there makes no difference.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from api_server import ApiServer, NotYet, eventually
from end_state import State, difference, state_of
from fault_proxy import FaultProxy, Faults, Record
from nursery import Nursery
from operator_process import OperatorProcess
from world import CHILDREN, World

_STEP_SECONDS = 150.0
_SETTLE_SECONDS = 180.0
_CALM_SECONDS = 2.5
"""Two sweeps, and as many questions to every bot."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    name: str
    state: State
    record: Record
    uids: dict[str, set[str]]
    """Every uid that a child ever had."""
    seconds: float
    log: str


class Cast:
    """The bots of one run, and what happens to them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.uids: dict[str, set[str]] = {}

    def play(self) -> None:
        """From nothing to the end."""
        for step in (
            self.births,
            self.readiness,
            self.conflict,
            self.vandalism,
            self.change,
            self.kill,
            self.pause,
            self.deletion,
        ):
            step()
            self.look()

    def births(self) -> None:
        self.world.account("sim")
        self.world.account("spare")
        self.world.bot("alpha", symbols=["AAPL", "MSFT"])
        self.world.bot("beta", symbols=["NVDA"], accounts={"paper": "spare"}, storage={"reclaim": "Delete"})
        self.world.wait_for_children("alpha")
        self.world.wait_for_children("beta")
        self._wait("beta", "Ready", "False", "VolumePending")

    def readiness(self) -> None:
        self.runtime = self.world.run("alpha")
        self._wait("alpha", "Ready", "True", "Trading")
        self._wait("sim", "Connected", "True", of="BrokerAccount")

    def conflict(self) -> None:
        self.world.younger_bot("gamma", than="alpha", symbols=["MSFT", "TSLA"])
        self._wait("gamma", "SymbolConflict", "True", "SymbolOwnedByOther")
        self.world.wait_for_children("gamma")
        self._wait("gamma", "Ready", "False", "SymbolConflict")

    def vandalism(self) -> None:
        api, namespace = self.world.api, self.world.namespace
        config = self.world.child("beta", "ConfigMap")["data"]
        self.world.tamper("ConfigMap", "beta-bot", {"data": {"bot.yaml": "mine"}})
        api.delete("Service", "beta-bot", namespace)
        self._eventually(lambda: self.world.child("beta", "ConfigMap")["data"] == config, "the config is repaired")
        self._eventually(lambda: self.world.child("beta", "Service"), "there is a Service again")

    def change(self) -> None:
        pod = self.world.wait_for_pod("alpha")["metadata"]["uid"]
        self.world.bot("alpha", symbols=["AAPL"], capital="12345", image="mine:2")
        self._eventually(lambda: self.world.get("Pod", "alpha-bot-0")["metadata"]["uid"] != pod, "alpha has a new pod")
        self._wait("gamma", "SymbolConflict", "False", "NoConflict")
        self._eventually(lambda: self.world.child("gamma")["spec"]["replicas"] == 1, "gamma may run")
        self._wait("gamma", "Ready", "False", "VolumePending")
        self.world.run_again("alpha", self.runtime)
        self._wait("alpha", "Ready", "True", "Trading")

    def kill(self) -> None:
        self._annotate("alpha", "tradingbots.dev/kill", "fat finger")
        # The pod sees it by itself: one that had to be told, because the operator was away, would be restarted.
        seen = {"epoch": 1, "reason": "fat finger", "observedAt": "2026-01-01T00:00:02Z"}
        assert self.runtime.report is not None
        self.runtime.report |= {"tradingState": "Halted", "kill": seen}
        self._wait("alpha", "Killed", "True", "KillRequested")
        self.runtime.report |= {"kill": seen | {"ordersCancelledAt": "2026-01-01T00:00:03Z"}}
        self._wait("alpha", "Killed", "True", "OrdersCancelled")

    def pause(self) -> None:
        self._annotate("gamma", "tradingbots.dev/pause", "")
        self._wait("gamma", "Paused", "True", "PauseAnnotation")

    def deletion(self) -> None:
        self.world.api.delete("TradingBot", "beta", self.world.namespace)
        for kind in CHILDREN:
            self._eventually(lambda kind=kind: not self._exists(kind, "beta-bot"), f"beta's {kind} is gone")
        self._eventually(lambda: not self._exists("TradingBot", "beta"), "beta is gone")
        self._eventually(lambda: not self._exists("PersistentVolumeClaim", "state-beta-bot-0"), "beta's claim is gone")
        self._eventually(lambda: not self.world.get("BrokerAccount", "spare")["status"].get("bots"), "nobody on spare")

    def look(self) -> None:
        """Notes who is there."""
        for kind in CHILDREN:
            for item in self.world.api.list(kind, self.world.namespace, labelSelector="tradingbots.dev/bot"):
                self.uids.setdefault(f"{kind} {item['metadata']['name']}", set()).add(item["metadata"]["uid"])

    def _exists(self, kind: str, name: str) -> bool:
        return self.world.api.exists(kind, name, self.world.namespace)

    def _annotate(self, bot: str, key: str, value: str) -> None:
        self.world.api.patch("TradingBot", bot, {"metadata": {"annotations": {key: value}}}, self.world.namespace)

    def _wait(self, name: str, kind: str, status: str, reason: str = "", *, of: str = "TradingBot") -> None:
        self.world.wait_for_condition(name, kind, status, reason, of=of, seconds=_STEP_SECONDS)

    def _eventually(self, look: Callable[[], Any], what: str) -> None:
        eventually(look, what, _STEP_SECONDS)


class Theatre:
    """Gives each run a namespace, an operator and a proxy of its own."""

    def __init__(
        self,
        api: ApiServer,
        kubeconfig: Path,
        folder: Path,
        nursery: Nursery,
        cast: Callable[[World], Cast] = Cast,
    ) -> None:
        self._cast = cast
        self._api = api
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._nursery = nursery

    def run(self, name: str, faults: Faults, expected: State | None = None) -> Outcome:
        """Plays it to the end, and to `expected` where that is given; raises AssertionError with the operator's log."""
        began = time.monotonic()
        namespace = f"faults-{uuid.uuid4().hex[:8]}"
        stage = _Stage(self._api, self._kubeconfig, self._folder / namespace, namespace, faults, self._nursery)
        try:
            stage.open()
            cast = self._cast(stage.world)
            cast.play()
            state = stage.settle(expected)
        except Exception as error:
            raise AssertionError(f"{name}: {error}\noperator's log:\n{stage.log_tail()}") from error
        finally:
            stage.close()
        return Outcome(name, state, stage.proxy.record, cast.uids, time.monotonic() - began, stage.log())


class _Stage:
    def __init__(
        self, api: ApiServer, kubeconfig: Path, folder: Path, namespace: str, faults: Faults, nursery: Nursery
    ) -> None:
        folder.mkdir()
        self._api = api
        self._namespace = namespace
        self._log = folder / "operator.log"
        self._lock = threading.Lock()
        self._is_over = False
        self._life = 0
        self.proxy = FaultProxy(api.url, str(api.ca_file), faults, self)
        file = folder / "kubeconfig"
        document = yaml.safe_load(kubeconfig.read_text())
        document["clusters"][0]["cluster"] = {"server": self.proxy.start()}
        file.write_text(yaml.safe_dump(document))
        self._operator = OperatorProcess(file, self._log, namespace=namespace, nursery=nursery)
        self.world = World(api, namespace)

    def open(self) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self._api.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace, "labels": labels}}
        )
        eventually(lambda: self._api.exists("ServiceAccount", "default", self._namespace), "the namespace is set up")
        self.revive()

    def close(self) -> None:
        with self._lock:
            self._is_over = True
            if self._operator.is_running:
                self._operator.kill()
        self.proxy.close()
        self.world.close()
        self._api.delete("Namespace", self._namespace)
        # No operator is left to let them go.
        for bot in self._api.list("TradingBot", self._namespace):
            name = bot["metadata"]["name"]
            self._api.patch("TradingBot", name, {"metadata": {"finalizers": None}}, self._namespace)

    def settle(self, expected: State | None) -> State:
        """Waits until the operator writes no more, and the state is the expected one."""
        found: list[str] = []

        def look() -> State | None:
            commits = self.proxy.record.commits
            if time.monotonic() - commits[-1].at < _CALM_SECONDS:
                return None
            state = state_of(self._api, self._namespace)
            found[:] = [difference(expected, state)] if expected is not None else []
            return None if any(found) else state

        try:
            state = eventually(look, "the end is reached", _SETTLE_SECONDS)
        except NotYet as error:
            raise NotYet(f"{error}; another end than the reference's:\n{''.join(found)}") from None
        assert self._operator.is_running, "the operator has ended by itself"
        assert state is not None
        return state

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_tail(self) -> str:
        return self.log()[-6000:]

    def life(self) -> int:
        return self._life if self._operator.is_running else 0

    def kill(self, life: int) -> bool:
        with self._lock:
            if life != self._life or not self._operator.is_running:
                return False
            self._operator.kill()
            return True

    def revive(self) -> None:
        with self._lock:
            if not self._is_over and not self._operator.is_running:
                self._life += 1
                self._operator.launch()
