"""A thousand TradingBots from empty to written, beside kube-controller-manager with a thousand Deployments.

Both on the same API server, one after the other, the other one not running; the order changes with every pair. Both
are spread over the same number of namespaces.
Afterwards: the calm, a restart, and memory. Must never count the making of the objects as anybody's work.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.harness import Bench, Measurement, Scale
from bench.operator_cluster import ApiServer, ControlPlane, Json, Running, control_plane

MANY = 1_000
MORE = 5_000
DEPLOYMENT_CONTROLLERS = ("deployment-controller", "replicaset-controller")
NAMESPACES = 20
"""Of each side: nobody has a thousand bots in one."""
BOTS_OF_AN_ACCOUNT = 50
QUICK_PAIRS = 2
_CLIENTS = 8
_DEADLINE_SECONDS = 900.0
_CALM_SECONDS = 3.0
_BOTS = "apis/tradingbots.dev/v1alpha1"
_BOTS_SIDE = "bots"
_DEPLOYMENTS_SIDE = "deployments"
_SHIPPED_SIDE = "shipped"
"""Of kube-controller-manager with the limits that it has where nobody sets any."""
_CHILDREN = (
    "api/v1/serviceaccounts",
    "apis/rbac.authorization.k8s.io/v1/roles",
    "apis/rbac.authorization.k8s.io/v1/rolebindings",
    "api/v1/configmaps",
    "api/v1/services",
    "apis/networking.k8s.io/v1/networkpolicies",
    "apis/apps/v1/statefulsets",
)


@dataclass(frozen=True)
class Convergence:
    """What it took one controller from empty to written."""

    children_seconds: float
    """From the first object's creation to the last child's."""
    status_seconds: float
    """To the last status that says so."""
    writes: Counter[str]
    cpu_seconds: float
    api_server_seconds: float
    resident_mib: float


@dataclass
class _Watch:
    """Counts the objects of a collection that are as they should be, in a thread of its own."""

    api: ApiServer
    collection: str
    side: str
    is_there: Callable[[Json], bool]
    wanted: int
    at: float = 0.0
    found: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        page = json.loads(self.api.request("GET", f"{self.collection}?limit=1"))
        # What was there before is not counted.
        self._version = page["metadata"]["resourceVersion"]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        connection = self.api.connect()
        connection.request(
            "GET",
            f"/{self.collection}?watch=1&timeoutSeconds=3600&resourceVersion={self._version}",
            headers={"Accept": "application/json"},
        )
        response = connection.getresponse()
        while len(self.found) < self.wanted:
            line = response.readline()
            if not line:
                return
            raw = json.loads(line)["object"]
            if raw["metadata"]["namespace"].startswith(self.side) and self.is_there(raw):
                self.found.add(raw["metadata"]["name"])
        self.at = time.perf_counter()
        connection.close()

    def wait(self) -> float:
        """When the last one was seen."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not self.at:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"after {_DEADLINE_SECONDS:.0f} s {len(self.found)} of {self.wanted} {self.collection}"
                )
            time.sleep(0.02)
        return self.at


def _namespace_of(side: str, number: int) -> str:
    return f"{side}-{number % NAMESPACES:02}"


def _account_of(number: int) -> str:
    return f"account-{number // NAMESPACES // BOTS_OF_AN_ACCOUNT:03}"


def _deployment(side: str, number: int) -> Json:
    labels = {"app": f"web-{number:05}"}
    container = {"name": "web", "image": "web:bench", "ports": [{"containerPort": 8080}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"web-{number:05}", "namespace": _namespace_of(side, number)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _bot(number: int) -> Json:
    return {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "TradingBot",
        "metadata": {"name": f"bot-{number:05}", "namespace": _namespace_of(_BOTS_SIDE, number)},
        "spec": {
            "strategy": {"name": "momentum", "parameters": {"lookback": 20}},
            "symbols": [f"S{number:05}"[:6], f"T{number:05}"[:6]],
            "capital": "10000",
            "accounts": {"paper": _account_of(number)},
        },
    }


def _account(namespace: str, name: str) -> Json:
    return {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "BrokerAccount",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "provider": "simulator",
            "environment": "paper",
            "credentialsSecretRef": {"name": "keys"},
            "baseURL": "http://alpaca-simulator:8080",
        },
    }


def _create(api: ApiServer, collection: str, documents: Sequence[Json]) -> None:
    def share(number: int) -> None:
        connection = api.connect()
        for document in documents[number::_CLIENTS]:
            path = f"/{_within(collection, document['metadata']['namespace'])}"
            connection.request("POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status != 201:
                raise RuntimeError(f"{document['metadata']['name']} was not created: {answer[:500]!r}")
        connection.close()

    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(share, range(_CLIENTS)))


def _within(collection: str, namespace: str) -> str:
    version, _, plural = collection.rpartition("/")
    return f"{version}/namespaces/{namespace}/{plural}"


def _make_namespaces(api: ApiServer, side: str) -> None:
    for number in range(NAMESPACES):
        api.request("POST", "api/v1/namespaces", {"metadata": {"name": _namespace_of(side, number)}})


def _count(api: ApiServer, collection: str, side: str) -> int:
    return sum(api.count(_within(collection, _namespace_of(side, number))) for number in range(NAMESPACES))


def _has_replica(raw: Json) -> bool:
    status = raw.get("status", {})
    return bool(
        status.get("observedGeneration") == raw["metadata"]["generation"] and status.get("updatedReplicas") == 1
    )


def _has_status(raw: Json) -> bool:
    status = raw.get("status", {})
    is_told = any(condition["type"] == "Ready" for condition in status.get("conditions", ()))
    return bool(is_told and status.get("observedGeneration") == raw["metadata"]["generation"])


def converge(
    api: ApiServer,
    controller: Running,
    side: str,
    made: tuple[str, Sequence[Json], Callable[[Json], bool]],
    child: str,
) -> Convergence:
    """Makes objects and waits for the last of their children and for a status of each."""
    collection, documents, has_status = made
    count = len(documents)
    children = _Watch(api, child, side, lambda _: True, count)
    statuses = _Watch(api, collection, side, has_status, count)
    before, cpu, api_server = _calm_writes(api), controller.cpu_seconds, api.cpu_seconds
    began = time.perf_counter()
    _create(api, collection, documents)
    children_at, status_at = children.wait(), statuses.wait()
    after = _calm_writes(api)
    after.subtract(before)
    after[collection.rpartition("/")[2]] -= count
    return Convergence(
        children_at - began,
        status_at - began,
        +after,
        controller.cpu_seconds - cpu,
        api.cpu_seconds - api_server,
        controller.resident_mib,
    )


def _calm_writes(api: ApiServer) -> Counter[str]:
    """The writes so far, once there are no more."""
    before = api.writes()
    while True:
        time.sleep(_CALM_SECONDS)
        now = api.writes()
        if now == before:
            return now
        before = now


def kubernetes_side(plane: ControlPlane, side: str = _DEPLOYMENTS_SIDE) -> Convergence:
    """kube-controller-manager's two controllers, from empty to every ReplicaSet and Pod."""
    _make_namespaces(plane.api, side)
    made = ("apis/apps/v1/deployments", [_deployment(side, number) for number in range(MANY)], _has_replica)
    with plane.controller_manager(DEPLOYMENT_CONTROLLERS, throttled=side == _SHIPPED_SIDE) as running:
        found = converge(plane.api, running, side, made, "api/v1/pods")
    _expect(plane.api, "apis/apps/v1/replicasets", side, MANY)
    return found


def operators_side(plane: ControlPlane, then: Callable[[Running], None] | None = None) -> Convergence:
    """The operator, from empty to every child; `then` goes on with the operator that runs."""
    _make_namespaces(plane.api, _BOTS_SIDE)
    with plane.operator() as running:
        found = _add_bots(plane.api, running, range(MANY))
        if then is not None:
            then(running)
    return found


def _add_bots(api: ApiServer, running: Running, numbers: range) -> Convergence:
    # The accounts are there before, as a user has them before; each is of fifty bots.
    accounts = sorted({(_namespace_of(_BOTS_SIDE, number), _account_of(number)) for number in numbers})
    _create(api, f"{_BOTS}/brokeraccounts", [_account(*account) for account in accounts])
    made = (f"{_BOTS}/tradingbots", [_bot(number) for number in numbers], _has_status)
    found = converge(api, running, _BOTS_SIDE, made, "apis/apps/v1/statefulsets")
    for child in _CHILDREN:
        _expect(api, child, _BOTS_SIDE, numbers.stop)
    return found


def _expect(api: ApiServer, collection: str, side: str, count: int) -> None:
    if (found := _count(api, collection, side)) < count:
        raise RuntimeError(f"{found} of {count} {collection}")


@dataclass
class _Afterwards:
    """What is measured of an operator whose bots are written: calm, restart, memory."""

    plane: ControlPlane
    scale: Scale
    found: list[Measurement] = field(default_factory=list)

    def __call__(self, running: Running) -> None:
        api = self.plane.api
        # Pods and claims, as there would be: nobody schedules them, so they stay Pending.
        with self.plane.controller_manager(["statefulset-controller"]):
            _wait_for_pods(api, MANY)
            self._calm(running)
            self._memory(f"{MANY:,} bots", running)
            running.stop()
            before = api.writes()
            with self.plane.operator() as restarted:
                self._add("writes of a restart", "writes", _difference(_calm_writes(api), before))
                self._memory(f"{MANY:,} bots, after a restart", restarted)
                if self.scale.full:
                    _add_bots(api, restarted, range(MANY, MORE))
                    _wait_for_pods(api, MORE)
                    self._memory(f"{MORE:,} bots", restarted)
            if self.scale.full:
                with self.plane.operator() as again:
                    _calm_writes(api)
                    self._memory(f"{MORE:,} bots, after a restart", again)

    def _calm(self, running: Running) -> None:
        before, cpu = _calm_writes(self.plane.api), running.cpu_seconds
        time.sleep(self.scale.steady_seconds)
        during = f"in {self.scale.steady_seconds:g} s of calm"
        self._add(f"writes {during}", "writes", _difference(self.plane.api.writes(), before))
        share = (running.cpu_seconds - cpu) / self.scale.steady_seconds
        self._add(f"processor {during}", "% of a core", 100 * share)

    def _memory(self, what: str, running: Running) -> None:
        self._add(what, "MiB resident", running.resident_mib)

    def _add(self, what: str, unit: str, value: float) -> None:
        self.found.append(Measurement(what, unit, (value,)))


def _wait_for_pods(api: ApiServer, count: int) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while _count(api, "api/v1/pods", _BOTS_SIDE) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the StatefulSets have no {count} pods after {_DEADLINE_SECONDS:.0f} s")
        time.sleep(1)
    _calm_writes(api)


def _difference(after: Counter[str], before: Counter[str]) -> float:
    return float(after.total() - before.total())


def run(scale: Scale) -> Iterator[Measurement]:
    """Each pair on a control plane of its own; who begins changes."""
    kubernetes: list[Convergence] = []
    shipped: list[Convergence] = []
    operators: list[Convergence] = []
    afterwards: list[Measurement] = []
    pairs = scale.repeats if scale.full else min(scale.repeats, QUICK_PAIRS)
    for pair in range(pairs):
        with control_plane() as plane:
            then = _Afterwards(plane, scale) if pair == pairs - 1 else None
            if pair % 2 == 0:
                kubernetes.append(kubernetes_side(plane))
            operators.append(operators_side(plane, then))
            if pair % 2 == 1:
                kubernetes.append(kubernetes_side(plane))
            if pair == 0:
                shipped.append(kubernetes_side(plane, _SHIPPED_SIDE))
            afterwards += then.found if then is not None else []

    def figure(what: str, unit: str, value: Callable[[Convergence], float]) -> Measurement:
        beside = f"kube-controller-manager without limits, {MANY:,} Deployments"
        return Measurement(what, unit, tuple(map(value, operators)), beside, tuple(map(value, kubernetes)))

    def as_shipped(what: str, value: Callable[[Convergence], float]) -> Measurement:
        beside = f"kube-controller-manager as it is shipped, {MANY:,} Deployments"
        return Measurement(what, "s", tuple(map(value, operators)), beside, tuple(map(value, shipped)))

    yield as_shipped(f"{MANY:,} bots, to the last child, both as shipped", lambda one: one.children_seconds)
    yield as_shipped(f"{MANY:,} bots, to the last status, both as shipped", lambda one: one.status_seconds)

    yield figure(f"{MANY:,} bots, to the last child", "s", lambda one: one.children_seconds)
    yield figure(f"{MANY:,} bots, to the last status", "s", lambda one: one.status_seconds)
    yield figure("writes", "writes", lambda one: one.writes.total())
    yield figure("processor's time", "s", lambda one: one.cpu_seconds)
    yield figure("the API server's", "s", lambda one: one.api_server_seconds)
    yield figure("memory", "MiB resident", lambda one: one.resident_mib)
    yield from afterwards


BENCH = Bench(
    "operator-scale",
    f"{MANY:,} bots from empty to written, beside kube-controller-manager; then calm, restart and memory",
    1200,
    run,
    full_adds=f"{MORE:,} bots, and as many pairs as repeats",
)
