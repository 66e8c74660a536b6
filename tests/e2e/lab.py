"""A running cluster as the tests see it: kubectl, waiting with a deadline, and the simulator's own records.

Talks to the cluster that KUBECONFIG names and makes objects only in namespaces of its own.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]

POLL_SECONDS = 0.2
OPERATOR_NAMESPACE = "tradingbot-system"
RUNTIME_IMAGE = "tradingbot-runtime:dev"


class NotYet(AssertionError):
    """What was waited for did not come before the deadline."""


def eventually(look: Callable[[], T | None], what: str, timeout_seconds: float = 180) -> T:
    """The first truthy answer of `look`; fails with the last answer when the deadline passes."""
    deadline = time.monotonic() + timeout_seconds
    last: object = None
    while True:
        try:
            last = look()
        except (subprocess.SubprocessError, LookupError, TypeError) as error:  # TypeError: of what is null as yet
            last = getattr(error, "stderr", None) or error
        else:
            if last:
                return last  # type: ignore[return-value]  # truthy, so not None
        if time.monotonic() > deadline:
            raise NotYet(f"after {timeout_seconds:g} s still not: {what}; last seen: {last}")
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Cluster:
    """kubectl as the administrator."""

    kubectl: str
    kubeconfig: Path

    def run(self, *args: str, document: str | None = None, timeout_seconds: float = 240) -> str:
        """Output of `kubectl ARGS`, with `document` as its standard input."""
        done = subprocess.run(
            [self.kubectl, "--kubeconfig", str(self.kubeconfig), *args],
            input=document,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, ["kubectl", *args], done.stdout, done.stderr.strip())
        return done.stdout

    def get(self, *args: str) -> Json:
        """`kubectl get ... -o json`."""
        document: Json = json.loads(self.run("get", *args, "-o", "json"))
        return document

    def raw(self, path: str) -> Any:
        """A GET through the API server."""
        return json.loads(self.run("get", "--raw", path))

    def apply(self, document: Json | list[Json]) -> None:
        """Applies objects with strict validation."""
        items = document if isinstance(document, list) else [document]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.run("apply", "--server-side", "--validate=strict", "-f", "-", document=text)


@dataclass(frozen=True)
class Lab:
    """A namespace of the tests' own, with a simulator whose market runs fast."""

    cluster: Cluster
    namespace: str
    accounts: tuple[str, ...]
    taken: list[str] = field(default_factory=list)
    bots: list[str] = field(default_factory=list)

    # -------------------------------------------------------------- making things

    def account(self) -> str:
        """An account that no other test uses, so that no test waits for another's symbols."""
        name = next(name for name in self.accounts if name not in self.taken)
        self.taken.append(name)
        return name

    def bot(self, name: str, account: str, **spec: Any) -> str:
        """Applies a bot; `spec` by its names in YAML."""
        defaults = {
            "strategy": {"name": "momentum", "parameters": {"lookback": 5}},
            "symbols": ["AAPL", "MSFT", "NVDA", "AMZN", "META"],
            "timeframe": "5Min",
            "capital": "10000",
            "accounts": {"paper": account},
        }
        self.cluster.apply(
            {
                "apiVersion": "tradingbots.dev/v1alpha1",
                "kind": "TradingBot",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": defaults | spec,
            }
        )
        self.bots.append(name)
        return name

    def apply(self, kind: str, name: str, **fields: Any) -> None:
        """Applies one object of the namespace."""
        core = {"Secret": "v1", "RoleBinding": "rbac.authorization.k8s.io/v1"}
        group = core.get(kind, "tradingbots.dev/v1alpha1")
        metadata = {"name": name, "namespace": self.namespace}
        self.cluster.apply({"apiVersion": group, "kind": kind, "metadata": metadata, **fields})

    def kubectl(self, *args: str) -> str:
        """kubectl in the namespace."""
        return self.cluster.run("-n", self.namespace, *args)

    # -------------------------------------------------------------- looking

    def get(self, *args: str) -> Json:
        return self.cluster.get("-n", self.namespace, *args)

    def exists(self, *args: str) -> bool:
        return bool(self.kubectl("get", *args, "--ignore-not-found", "-o", "name").strip())

    def status(self, bot: str) -> Json:
        status: Json = self.get("tradingbot", bot).get("status", {})
        return status

    def condition(self, bot: str, kind: str) -> Json:
        found = [condition for condition in self.status(bot).get("conditions", []) if condition["type"] == kind]
        return found[0] if found else {}

    def wait_for_condition(
        self, bot: str, kind: str, status: str, reason: str = "", timeout_seconds: float = 240
    ) -> Json:
        def look() -> Json | None:
            condition = self.condition(bot, kind)
            matches = condition.get("status") == status and (not reason or condition.get("reason") == reason)
            if not matches:
                raise LookupError(condition)
            return condition

        return eventually(look, f"{bot} {kind}={status} {reason}", timeout_seconds)

    def age_seconds(self, bot: str) -> float:
        """Whole seconds since the bot was created, by the clock of this machine."""
        created_at = datetime.fromisoformat(self.get("tradingbot", bot)["metadata"]["creationTimestamp"])
        return (datetime.now(UTC) - created_at).total_seconds()

    def pod(self, bot: str) -> str:
        return f"{bot}-bot-0"

    def report(self, bot: str) -> Json:
        """What the bot's pod itself says, without the operator."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.pod(bot)}:8080/proxy/status"
        report: Json = self.cluster.raw(path)
        return report

    # -------------------------------------------------------------- the broker's own records

    def _simulator(self, path: str) -> Any:
        return self.cluster.raw(self._simulator_path(path))

    def _simulator_path(self, path: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/services/http:simulator:8080/proxy{path}"

    def add_fault(self, **rule: Any) -> str:
        """A fault at the broker from now on; returns its id."""
        said = self.cluster.run(
            "create", f"--raw={self._simulator_path('/admin/faults')}", "-f-", document=json.dumps(rule)
        )
        return str(json.loads(said)["id"])

    def remove_fault(self, fault: str) -> None:
        """The broker is well again."""
        self.cluster.run("delete", f"--raw={self._simulator_path(f'/admin/faults/{fault}')}")

    def at_broker(self, account: str) -> Json:
        """Balances, open orders and positions of an account."""
        state = self._simulator("/admin/state")
        return next(entry for entry in state["accounts"] if entry["name"] == account)

    def orders(self, account: str) -> list[Json]:
        orders: list[Json] = self._simulator(f"/admin/accounts/{account}/orders")
        return orders

    def requests(self, account: str) -> list[Json]:
        """Every order the broker was ever sent, whatever it answered."""
        requests: list[Json] = self._simulator(f"/admin/accounts/{account}/requests")["requests"]
        return requests

    def filled(self, account: str) -> list[Json]:
        return [order for order in self.orders(account) if order["status"] == "filled"]


def processes_of_pod(uid: str) -> Iterator[tuple[int, str]]:
    """Pid and command line of every process whose cgroup is the pod's: ours, seen from the node."""
    marks = (uid, uid.replace("-", "_"))
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            cgroup = (directory / "cgroup").read_text()
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if any(mark in cgroup for mark in marks):
            yield int(directory.name), command


def signal_runtime(lab: Lab, bot: str, number: signal.Signals) -> None:
    """Signals the bot's process, from the node."""
    uid = lab.get("pod", lab.pod(bot))["metadata"]["uid"]
    pid = next((pid for pid, command in processes_of_pod(uid) if "tradingbot run" in command), None)
    if pid is None:
        raise LookupError(f"no runtime process in pod {lab.pod(bot)}")
    signal_process(pid, number)


def signal_process(pid: int, number: signal.Signals) -> None:
    """Signals a process of a pod, from the node."""
    if os.geteuid() == 0:
        os.kill(pid, number)
    else:  # a kind cluster is used by an ordinary user, and its pods' processes are root's
        subprocess.run(["sudo", "-n", "kill", f"-{number.value}", str(pid)], check=True, timeout=10)
