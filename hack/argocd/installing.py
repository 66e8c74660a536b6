"""Builds Argo CD from its Go module, and puts upstream's own manifests into the cluster and takes them out again.

Must never delete anything that an Application has synced.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from argocd.place import MODULE, NAMESPACE, PROGRAM, ROOT, ArgoError, Place, say, version

SCRIPT: Final = ROOT / "hack/cluster/cluster.sh"
SERVICE_ACCOUNT: Final = "argocd-application-controller"
_SERVED_SECONDS: Final = 30.0
# Of upstream's install.yaml: all but what would run in pods.
_INSTALLED: Final = frozenset(
    {
        "CustomResourceDefinition",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "Secret",
    }
)


def build(place: Place) -> None:
    """Builds the programs, and takes the manifests from the module's source; quick where nothing changed."""
    if subprocess.run([str(SCRIPT), "build", "argocd"], cwd=ROOT, check=False).returncode != 0:
        raise ArgoError("Argo CD does not build; Go's message above says why")
    _needredis()
    if place.manifests.exists():
        return
    text = (_source(place) / "manifests/install.yaml").read_text(encoding="utf-8")
    kept = [document for document in re.split(r"^---\n", text, flags=re.M) if _kind(document) in _INSTALLED]
    place.state.mkdir(parents=True, exist_ok=True)
    temporary = place.manifests.with_suffix(f".{os.getpid()}")
    temporary.write_text("---\n".join(kept), encoding="utf-8")
    temporary.rename(place.manifests)


def _source(place: Place) -> Path:
    installed = sorted(place.cache.glob("go/lib/python3*/site-packages/go/bin/go"))
    go = os.environ.get("TRADINGBOT_GO") or shutil.which("go") or next(map(str, installed), "/usr/local/go/bin/go")
    environment = {**os.environ, "GOWORK": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    command = [go, "list", "-m", "-f", "{{.Dir}}", MODULE]
    try:
        done = subprocess.run(
            command, cwd=PROGRAM, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    except OSError as error:
        raise ArgoError(f"no Go to find Argo CD's source with: {error}") from error
    if done.returncode != 0 or not done.stdout.strip():
        raise ArgoError(f"Argo CD's source is not in the module cache: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def _kind(document: str) -> str:
    found = re.search(r"^kind: (\w+)$", document, flags=re.M)
    return found[1] if found else ""


def redis() -> str | None:
    """redis-server; Debian's redis-check-rdb is the same program under another name, and starts no daemon."""
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


def _needredis() -> None:
    if redis() and shutil.which("git"):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ArgoError("redis or git is missing: install redis-tools and git (on Debian, as root, this does it)")
    say("installing redis-tools and git (usually 5 s)")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "redis-tools", "git"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (install, ["apt-get", "update", "-qq"], install):
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=300, check=False)
        if redis() and shutil.which("git"):
            return
    raise ArgoError("apt-get could not install redis-tools and git")


def install(place: Place) -> None:
    """Upstream's roles and kinds, what its API server would make, and our keys of argocd-cm."""
    say(f"installing Argo CD {version()} into the cluster (usually 3 s)")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    _apply(place, "-f", "-", document=json.dumps(namespace))
    # Server-side: the CRD of Application is too large for an annotation.
    _apply(place, "-n", NAMESPACE, "-f", str(place.manifests))
    _await_kinds(place)
    # What the API server of Argo CD makes when it first starts; it does not run here.
    everything = {"group": "*", "kind": "*"}
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [everything],
        },
    }
    _apply(place, "-f", "-", document=json.dumps(project))
    key = ("get", "secret", "argocd-secret", "-n", NAMESPACE, "-o", r"jsonpath={.data.server\.secretkey}")
    if not place.run(*key):
        # Nobody logs in: no API server of Argo CD runs. The controller asks for a key all the same.
        patch = json.dumps({"stringData": {"server.secretkey": os.urandom(24).hex()}})
        place.run("patch", "secret", "argocd-secret", "-n", NAMESPACE, "--type=merge", "-p", patch)
    _apply(place, "-k", str(ROOT / "manifests/argocd"))


def _await_kinds(place: Place) -> None:
    """Waits until the API server serves Argo CD's kinds. Not by `kubectl wait`: it fails on a CRD without a status."""
    deadline = time.monotonic() + _SERVED_SECONDS
    while True:
        try:
            place.run("get", "applications.argoproj.io,appprojects.argoproj.io", "-n", NAMESPACE, "-o", "name")
            return
        except ArgoError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _apply(place: Place, *arguments: str, document: str | None = None) -> None:
    command = ("apply", "--server-side", "--force-conflicts", "--field-manager=hack-argocd", *arguments)
    place.run(*command, document=document)


def write_kubeconfig(place: Place) -> None:
    """The controller's own: upstream's service account, so that audit and admission see who it is."""
    arguments = ("create", "token", SERVICE_ACCOUNT, "-n", NAMESPACE, "--duration=24h")
    token = place.run(*arguments).strip()
    document = json.loads(place.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    for user in document["users"]:
        user["user"] = {"token": token}
    path = place.state / "kubeconfig"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(document), encoding="utf-8")


def uninstall(place: Place) -> None:
    """Takes Argo CD out of the cluster. What Applications have synced stays."""
    (place.state / "kubeconfig").unlink(missing_ok=True)
    if not place.manifests.exists():
        return
    try:
        there = place.run("get", "crd", "applications.argoproj.io", "--ignore-not-found", "-o", "name", seconds=10)
    except (ArgoError, subprocess.TimeoutExpired):
        say("the cluster does not answer: what Argo CD has there stays")
        return
    if there.strip():
        # A finalizer would wait for a controller that is gone; with one, it would delete what was synced.
        for name in place.run("get", "applications.argoproj.io", "-n", NAMESPACE, "-o", "name").split():
            no_finalizers = json.dumps({"metadata": {"finalizers": None}})
            place.run("patch", name, "-n", NAMESPACE, "--type=merge", "-p", no_finalizers)
        say("taking Argo CD out of the cluster (usually 10 s)")
        place.run("delete", "-n", NAMESPACE, "-f", str(place.manifests), "--ignore-not-found", seconds=120)
    place.run("delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=120)
