"""The cluster that the demo and the end-to-end tests use: one that is here, kind, or the embedded one.

Chooses, starts, fills with images and stops it. Must never touch a cluster that it was not told to use, nor the
kubeconfig in anyone's home.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cache_folder import cache_folder

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "hack" / "cluster" / "cluster.sh"
STATE = ROOT / ".demo"
KIND_NAME = "tradingbot"
CHOICES = ("auto", "kind", "embedded", "existing")


@dataclass(frozen=True)
class Image:
    """An image of ours: where it is made from, and what it is called where nothing else is asked for."""

    tag: str
    dockerfile: str
    variable: str
    """Environment variable that names another image, for a cluster that is not ours."""


OPERATOR_IMAGE = Image("tradingbot-operator:dev", "docker/operator.Dockerfile", "OPERATOR_IMAGE")
RUNTIME_IMAGE = Image("tradingbot-runtime:dev", "docker/runtime.Dockerfile", "RUNTIME_IMAGE")
IMAGES = (OPERATOR_IMAGE, RUNTIME_IMAGE)


class NoClusterError(Exception):
    """No cluster can be had the way that was asked for; the message says what to do."""


class CommandFailedError(Exception):
    """A program that had to work did not."""

    def __init__(self, command: Sequence[str], code: int, output: str = "") -> None:
        """Keeps the program's own words, if they were not shown already."""
        super().__init__(f"`{' '.join(command)}` ended with {code}{f': {output.strip()}' if output.strip() else ''}")


@dataclass(frozen=True)
class Machine:
    """What decides which cluster there can be."""

    docker_answers: bool
    has_kind: bool
    is_root: bool
    is_debian: bool
    kubeconfig: str


def look_around(environment: Mapping[str, str]) -> Machine:
    """What this machine has."""
    return Machine(
        docker_answers=shutil.which("docker") is not None and _succeeds(["docker", "info"]),
        has_kind=shutil.which("kind") is not None,
        is_root=os.geteuid() == 0,
        is_debian=shutil.which("apt-get") is not None,
        kubeconfig=environment.get("KUBECONFIG", ""),
    )


def choose(asked: str, machine: Machine) -> str:
    """Which cluster to use; raises NoClusterError that says what is missing."""
    if asked not in CHOICES:
        raise NoClusterError(f"CLUSTER={asked} is not one of {', '.join(CHOICES)}")
    if asked == "existing":
        if not machine.kubeconfig:
            raise NoClusterError("CLUSTER=existing needs KUBECONFIG: export KUBECONFIG=/path/to/kubeconfig")
        return asked
    kind_lacks = _kind_lacks(machine)
    embedded_lacks = _embedded_lacks(machine)
    if asked == "kind" and kind_lacks:
        raise NoClusterError(f"CLUSTER=kind: {kind_lacks}")
    if asked == "embedded" and embedded_lacks:
        raise NoClusterError(f"CLUSTER=embedded: {embedded_lacks}")
    if asked != "auto":
        return asked
    if not kind_lacks:
        return "kind"
    if not embedded_lacks:
        return "embedded"
    raise NoClusterError(
        "there is no way to a cluster on this machine. One of these will do:\n"
        f"  kind      {kind_lacks}\n"
        f"  embedded  {embedded_lacks}\n"
        "  existing  export KUBECONFIG=/path/to/kubeconfig and add CLUSTER=existing"
    )


def _kind_lacks(machine: Machine) -> str:
    if not machine.docker_answers:
        return "Docker does not answer (`docker info`): start it, or install it together with kind"
    return "" if machine.has_kind else "kind is not installed"


def _embedded_lacks(machine: Machine) -> str:
    if not machine.is_debian:
        return "it needs Debian 12 or a system made from it, as root"
    return "" if machine.is_root else "it needs root: try `sudo make demo`"


class Cluster(Protocol):
    """A cluster that can be started, given images, asked and stopped."""

    name: str
    usual_start: str
    kubeconfig: str
    kubectl: str

    def is_up(self) -> bool:
        """Whether it answers."""

    def up(self) -> None:
        """Starts it where it is not up; sets `kubeconfig` and `kubectl`."""

    def deliver(self, image: Image) -> None:
        """Builds an image and gives it to the cluster; quick where nothing changed."""

    def down(self) -> str:
        """Stops it and says what became of it."""


class Embedded:
    """The Kubernetes of hack/cluster: no Docker, no registry; root on Debian."""

    name = "embedded"
    usual_start = "10 s; the first time it builds Kubernetes, 8 minutes"

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Names the paths; starts nothing."""
        state = environment.get("TRADINGBOT_CLUSTER_STATE") or "/var/lib/tradingbot-cluster"
        self.kubeconfig = str(Path(state).absolute() / "admin.kubeconfig")
        self.kubectl = str(cache_folder(environment) / "bin" / "kubectl")

    def is_up(self) -> bool:
        """Whether every component of it runs."""
        return _succeeds([str(SCRIPT), "status"])

    def up(self) -> None:
        """Starts it; builds it first where that was never done."""
        run([str(SCRIPT), "up"], capture=True)

    def deliver(self, image: Image) -> None:
        """Builds with buildah on Debian's own Python and imports into containerd."""
        with _delivery(self, image) as is_due:
            if is_due:
                command = [str(SCRIPT), "build-image", image.tag, str(ROOT), str(ROOT / image.dockerfile)]
                run_logged(command, f"build-{image.tag}")

    def down(self) -> str:
        """Stops every process of it; its objects and volumes stay."""
        run([str(SCRIPT), "down"])
        return "the embedded cluster is down (`make cluster-purge` also removes its data)"


class Kind:
    """A cluster in Docker, with a kubeconfig of its own in .demo/."""

    name = "kind"
    usual_start = "1 minute, and longer where its image must be pulled"

    def __init__(self) -> None:
        """Names the paths; starts nothing."""
        self.kubeconfig = str(STATE / "kind.kubeconfig")
        self.kubectl = shutil.which("kubectl") or ""

    def is_up(self) -> bool:
        """Whether kind knows it and its kubeconfig is here."""
        clusters = output(["kind", "get", "clusters"]).split()
        return KIND_NAME in clusters and Path(self.kubeconfig).exists()

    def up(self) -> None:
        """Creates it, or takes the one that is there."""
        if not self.kubectl:
            raise NoClusterError("kubectl is not installed; kind needs it beside it")
        STATE.mkdir(exist_ok=True)
        if KIND_NAME in output(["kind", "get", "clusters"]).split():
            run(["kind", "export", "kubeconfig", "--name", KIND_NAME, "--kubeconfig", self.kubeconfig])
            return
        run(["kind", "create", "cluster", "--name", KIND_NAME, "--kubeconfig", self.kubeconfig, "--wait", "180s"])

    def deliver(self, image: Image) -> None:
        """Builds with Docker and loads into kind's node."""
        with _delivery(self, image) as is_due:
            if is_due:
                build = ["docker", "build", "--tag", image.tag, "--file", str(ROOT / image.dockerfile), str(ROOT)]
                run_logged(build, f"build-{image.tag}")
                run_logged(["kind", "load", "docker-image", image.tag, "--name", KIND_NAME], f"load-{image.tag}")

    def down(self) -> str:
        """Deletes it with everything in it."""
        run(["kind", "delete", "cluster", "--name", KIND_NAME, "--kubeconfig", self.kubeconfig])
        Path(self.kubeconfig).unlink(missing_ok=True)
        return "the kind cluster is deleted"


class Existing:
    """Somebody's cluster: used, never started, never stopped; images come from where its nodes find them."""

    name = "existing"
    usual_start = "at once"

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Takes the kubeconfig and the images from the environment."""
        self.kubeconfig = environment.get("KUBECONFIG", "")
        embedded = Embedded(environment).kubectl
        self.kubectl = shutil.which("kubectl") or (embedded if Path(embedded).exists() else "")

    def is_up(self) -> bool:
        """Whether its API server answers."""
        return bool(self.kubectl) and _succeeds([self.kubectl, "--request-timeout=10s", "get", "--raw", "/readyz"])

    def up(self) -> None:
        """Checks that it answers."""
        if not self.kubectl:
            raise NoClusterError("kubectl is not on the PATH: install it")
        if not self.is_up():
            raise NoClusterError(f"the cluster of KUBECONFIG={self.kubeconfig} does not answer")

    def deliver(self, image: Image) -> None:
        """Nothing is pushed anywhere: says where the image is expected."""
        given = os.environ.get(image.variable)
        print(f"      {given} is pulled by the nodes" if given else _not_delivered(image), flush=True)

    def down(self) -> str:
        """Leaves it alone."""
        return "the cluster is yours and stays as it is"


def _not_delivered(image: Image) -> str:
    return (
        f"      {image.tag} must be on the nodes already;"
        f" {image.variable}=... names one that they can pull (docker build -f {image.dockerfile} .)"
    )


def cluster_named(name: str, environment: Mapping[str, str]) -> Cluster:
    """The cluster of that name, as `choose` gave it."""
    if name == "kind":
        return Kind()
    return Existing(environment) if name == "existing" else Embedded(environment)


@contextmanager
def _delivery(cluster: Cluster, image: Image) -> Iterator[bool]:
    """Whether an image must be built for this cluster; remembered in the cluster itself once it was."""
    kubectl = [cluster.kubectl, f"--kubeconfig={cluster.kubeconfig}", "--namespace=kube-system"]
    record = "tradingbot-images"
    digest, key = digest_of_sources(), image.tag.replace(":", "-")
    known = output([*kubectl, "get", "configmap", record, "--ignore-not-found", f"--output=jsonpath={{.data.{key}}}"])
    is_due = known.strip() != digest
    if is_due:
        # Before the build: one that is broken off must not be taken for one that was done.
        _remember(kubectl, record, {key: None})
    yield is_due
    if is_due:
        _remember(kubectl, record, {key: digest})


def _remember(kubectl: Sequence[str], record: str, data: Mapping[str, str | None]) -> None:
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": record}})
    command = [*kubectl, "apply", "--server-side", "--force-conflicts", "--filename=-"]
    done = subprocess.run(command, input=manifest, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise CommandFailedError(command, done.returncode, done.stderr)
    output([*kubectl, "patch", "configmap", record, "--type=merge", f"--patch={json.dumps({'data': data})}"])


def digest_of_sources() -> str:
    """Digest of everything that goes into the images: the same sources are the same images."""
    parts = hashlib.sha256()
    for top in ("docker", "requirements", "operator", "bot_runtime", "pyproject.toml"):
        files = [ROOT / top] if (ROOT / top).is_file() else sorted((ROOT / top).rglob("*"))
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                parts.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
                parts.update(path.read_bytes())
    return parts.hexdigest()[:16]


def run(command: Sequence[str], *, capture: bool = False) -> str:
    """Runs a program whose progress the user sees; its standard output is returned if captured."""
    done = subprocess.run(command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode != 0:
        raise CommandFailedError(command, done.returncode)
    return done.stdout or ""


def run_logged(command: Sequence[str], name: str) -> None:
    """Runs a program that says more than anyone wants to read; its last lines are shown only if it fails."""
    STATE.mkdir(exist_ok=True)
    log = STATE / f"{name.replace(':', '-')}.log"
    with log.open("wb") as sink:
        code = subprocess.run(command, cwd=ROOT, check=False, stdout=sink, stderr=subprocess.STDOUT).returncode
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        raise CommandFailedError(command, code, f"\n{tail}\nThe whole log is {log}")


def output(command: Sequence[str]) -> str:
    """What a program prints; raises CommandFailedError with its error output."""
    done = subprocess.run(command, cwd=ROOT, check=False, text=True, capture_output=True)
    if done.returncode != 0:
        raise CommandFailedError(command, done.returncode, done.stderr)
    return done.stdout


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
