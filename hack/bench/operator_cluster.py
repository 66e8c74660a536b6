"""A real etcd and API server for the operator's bench, and the two controllers that are measured on it.

Every process ends with this one, whatever ends it. Writes are counted by the API server, processor time and memory by
the kernel: nobody is asked about itself.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, Final

import yaml

from bench.programs import HACK, resident_mib
from cache_folder import cache_folder
from free_ports import free_ports

Json = dict[str, Any]

OPERATOR_NAMESPACE: Final = "tradingbot-system"
OPERATOR: Final = "tradingbot-operator"
_CLUSTER: Final = HACK / "cluster" / "cluster.sh"
_MANIFESTS: Final = HACK.parent / "manifests" / "base"
_PLURALS: Final = {
    "Namespace": "api/v1/namespaces",
    "ServiceAccount": "api/v1/serviceaccounts",
    "Service": "api/v1/services",
    "Role": "apis/rbac.authorization.k8s.io/v1/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/rolebindings",
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CustomResourceDefinition": "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "NetworkPolicy": "apis/networking.k8s.io/v1/networkpolicies",
    "ValidatingAdmissionPolicy": "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}
_CLUSTER_WIDE: Final = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
_WRITES: Final = {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
# What every API server writes for itself, or answers to whoever asks who they are.
_NO_CONTROLLERS_WORK: Final = {
    "leases",
    "tokenreviews",
    "subjectaccessreviews",
    "serviceaccounts/token",
    "selfsubjectaccessreviews",
}
_DEADLINE_SECONDS: Final = 120.0
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class Running:
    """A controller that runs."""

    process: subprocess.Popen[bytes]

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all its threads."""
        return _cpu_seconds(self.process.pid)

    def stop(self) -> None:
        """SIGTERM, and waits for its end."""
        self.process.terminate()
        self.process.wait(_DEADLINE_SECONDS)

    def kill(self) -> None:
        """SIGKILL, and waits for its end."""
        self.process.kill()
        self.process.wait(_DEADLINE_SECONDS)

    @property
    def resident_mib(self) -> float:
        """Resident memory now, MiB."""
        return resident_mib(self.process.pid)


class ApiServer:
    """The administrator's requests, each on a connection of its own: between two of them may lie minutes."""

    def __init__(self, kubeconfig: Path, pid: int) -> None:
        self._pid = pid
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.url: str = cluster["server"]
        self.authority = _content(cluster, "certificate-authority")
        self._context = ssl.create_default_context(cadata=self.authority.decode())
        self._context.load_cert_chain(_file(user, "client-certificate"), _file(user, "client-key"))

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the API server so far."""
        return _cpu_seconds(self._pid)

    def connect(self) -> HTTPSConnection:
        """A connection of its own."""
        host, _, port = self.url.removeprefix("https://").partition(":")
        return HTTPSConnection(host, int(port), context=self._context, timeout=_DEADLINE_SECONDS)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        groups: Sequence[str] = (),
    ) -> bytes:
        """The answer's body; RuntimeError on an error. With `groups`, as somebody who is in them."""
        encoded = json.dumps(body).encode() if body is not None else b""
        headers = [("Content-Type", content_type), ("Accept", "application/json"), ("Content-Length", len(encoded))]
        headers += [("Impersonate-User", "bench")] if groups else []
        headers += [("Impersonate-Group", group) for group in groups]
        with closing(self.connect()) as connection:
            connection.putrequest(method, f"/{path}")
            for name, value in headers:
                connection.putheader(name, str(value))
            connection.endheaders(encoded)
            response = connection.getresponse()
            answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} was answered with {response.status}: {answer[:500]!r}")
        return answer

    def token(self, namespace: str, account: str) -> str:
        """A token of a ServiceAccount, as its pod would have it."""
        path = f"{_collection('ServiceAccount', namespace)}/{account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(json.loads(self.request("POST", path, request))["status"]["token"])

    def apply(self, document: Json) -> None:
        """Server-side apply."""
        metadata, kind = document["metadata"], document["kind"]
        path = f"{_collection(kind, metadata.get('namespace'))}/{metadata['name']}?fieldManager=bench&force=true"
        self.request("PATCH", path, document, "application/apply-patch+yaml")

    def count(self, collection: str) -> int:
        """How many objects a collection has; the API server only reads one of them."""
        page = json.loads(self.request("GET", f"{collection}?limit=1"))
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)

    def writes(self) -> Counter[str]:
        """The writes that the API server has carried out, by resource and subresource."""
        found: Counter[str] = Counter()
        for line in self.request("GET", "metrics").decode().splitlines():
            if not line.startswith("apiserver_request_total{"):
                continue
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            is_written = labels["verb"] in _WRITES and labels["code"].startswith("2")
            if is_written and resource not in _NO_CONTROLLERS_WORK:
                found[resource] += int(float(line.rpartition(" ")[2]))
        return found


@dataclass(frozen=True)
class ControlPlane:
    """etcd and an API server, with the operator's CRDs and rights in it, and no controller of Kubernetes."""

    folder: Path
    api: ApiServer

    @contextmanager
    def controller_manager(self, controllers: Sequence[str], *, throttled: bool = False) -> Iterator[Running]:
        """kube-controller-manager with these controllers only; `throttled` as it is shipped, at 20 requests a second
        for each of them, or else not at all.
        """
        port = free_ports(1)[0]
        config = self.folder / "kubeconfig" / "kube-controller-manager.kubeconfig"
        command = [
            str(_binary("kube-controller-manager")),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            f"--cert-dir={self.folder / 'kube-controller-manager'}",
            f"--service-account-private-key-file={self.folder / 'pki' / 'sa.key'}",
            f"--controllers={','.join(controllers)}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            *(() if throttled else ("--kube-api-qps=10000", "--kube-api-burst=10000")),
        ]
        context = ssl._create_unverified_context()  # noqa: S323  (its certificate is its own, of this minute)

        def ready() -> bool:
            return _answers(HTTPSConnection("127.0.0.1", port, context=context, timeout=5), "/healthz")

        with self._started(command, "kube-controller-manager", ready, {}) as running:
            # It serves before its controllers have their tokens.
            time.sleep(3)
            yield running

    @contextmanager
    def operator(self, url: str = "") -> Iterator[Running]:
        """The operator, with the token of its ServiceAccount and with its default settings.

        `url`: where it finds the API server, if not at its own address.
        """
        probes, metrics = free_ports(2)
        command = [sys.executable, "-m", "tradingbot_operator.cli"]
        command += ["run", "--all-namespaces", "--standalone", "--runtime-image", "tradingbot-runtime:bench"]
        command += ["--listen", "127.0.0.1", "--liveness-port", str(probes), "--metrics-port", str(metrics)]
        environment = {"KUBECONFIG": str(self._operator_kubeconfig(url or self.api.url)), "MALLOC_ARENA_MAX": "2"}

        def ready() -> bool:
            return _answers(HTTPConnection("127.0.0.1", probes, timeout=5), "/readyz")

        with self._started(command, "operator", ready, environment) as running:
            yield running

    def _operator_kubeconfig(self, url: str) -> Path:
        token = self.api.token(OPERATOR_NAMESPACE, OPERATOR)
        authority = base64.b64encode(self.api.authority).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "operator",
            "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority-data": authority}}],
            "users": [{"name": "operator", "user": {"token": token}}],
            "contexts": [{"name": "operator", "context": {"cluster": "c", "user": "operator"}}],
        }
        file = self.folder / "operator.kubeconfig"
        file.write_text(json.dumps(document), encoding="utf-8")
        return file

    @contextmanager
    def _started(self, command: Sequence[str], name: str, ready: Any, more: dict[str, str]) -> Iterator[Running]:
        log = self.folder / f"{name}.log"
        environment = {**os.environ, **more}
        environment.pop("KUBERNETES_SERVICE_HOST", None)
        with (
            log.open("ab") as output,
            subprocess.Popen(command, stdout=output, stderr=output, env=environment, preexec_fn=end_with_us) as child,
        ):
            try:
                _wait_until_ready(child, ready, log)
                yield Running(child)
            finally:
                Running(child).stop()


@contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """A control plane of its own in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bench-operator-") as name:
        folder = Path(name) / "control-plane"
        up = [str(_CLUSTER), "control-plane-up", str(folder), "--parent-pid", str(os.getpid())]
        # The controllers are started one by one, so that only what is measured runs.
        started = subprocess.run(
            [*up, "--no-controller-manager"], capture_output=True, text=True, check=False, timeout=1800
        )
        if started.returncode:
            raise RuntimeError(f"no control plane: {started.stderr[-2000:]}")
        try:
            api = ApiServer(Path(started.stdout.strip().splitlines()[-1]), _api_server_pid(folder))
            _install(api)
            yield ControlPlane(folder, api)
        finally:
            down = [str(_CLUSTER), "control-plane-down", str(folder)]
            subprocess.run(down, capture_output=True, check=True, timeout=_DEADLINE_SECONDS)


def _api_server_pid(folder: Path) -> int:
    """Whose command line names the folder: nobody else's does."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program, *arguments = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if program.endswith("kube-apiserver") and any(str(folder) in argument for argument in arguments):
            return int(entry.parent.name)
    raise RuntimeError("no kube-apiserver runs")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _install(api: ApiServer) -> None:
    for document in _documents(_MANIFESTS):
        if document["kind"] in _PLURALS:
            api.apply(document)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    for kind in ("tradingbots", "brokeraccounts"):
        while True:
            try:
                api.count(f"apis/tradingbots.dev/v1alpha1/{kind}")
                break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def _documents(folder: Path) -> Iterator[Json]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    for entry in kustomization["resources"]:
        path = (folder / entry).resolve()
        documents = _documents(path) if path.is_dir() else yaml.safe_load_all(path.read_text(encoding="utf-8"))
        for document in documents:
            if document["kind"] not in _CLUSTER_WIDE:
                document["metadata"].setdefault("namespace", kustomization.get("namespace"))
            yield document


def _collection(kind: str, namespace: str | None) -> str:
    prefix, _, plural = _PLURALS[kind].rpartition("/")
    return f"{prefix}/namespaces/{namespace}/{plural}" if namespace else f"{prefix}/{plural}"


def _content(entry: Json, key: str) -> bytes:
    data = entry.get(f"{key}-data")
    return base64.b64decode(data) if data else Path(entry[key]).read_bytes()


def _file(entry: Json, key: str) -> str:
    if key in entry:
        return str(entry[key])
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(base64.b64decode(entry[f"{key}-data"]))
    return file.name


def _binary(name: str) -> Path:
    """Where cluster.sh puts what it builds, or whoever set KUBEBUILDER_ASSETS."""
    for folder in (os.environ.get("KUBEBUILDER_ASSETS"), cache_folder() / "bin"):
        path = Path(folder or "/nowhere").expanduser() / name
        if path.exists():
            return path
    raise RuntimeError(f"there is no {name}: `hack/cluster/cluster.sh build control-plane` builds it")


def _wait_until_ready(child: subprocess.Popen[bytes], ready: Any, log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{log.stem} does not get ready: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _answers(connection: HTTPConnection, path: str) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def end_with_us() -> None:
    """In a child before it runs: whatever ends this process ends it, too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
