"""Helm and promtool, built from their Go modules like the control plane, and the chart as they see it."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cache_folder import cache_folder

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/tradingbot-operator"
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
RELEASE = "tradingbot-operator"
_SCRIPT = ROOT / "hack/cluster/cluster.sh"
_TIMEOUT_SECONDS = 120


class Failed(AssertionError):
    """A program did not do what it was asked for; its own words."""


@cache
def _bin() -> Path:
    # Nothing to do but a look where the tier has built them before.
    subprocess.run([str(_SCRIPT), "build", "chart-tools"], check=True, timeout=1800)
    return cache_folder() / "bin"


def helm(*arguments: str, kubeconfig: Path | None = None) -> str:
    """Output of `helm ARGUMENTS`; Failed with what it says where it does not work."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig) if kubeconfig else os.devnull}
    return _run([str(_bin() / "helm"), *arguments], environment)


def promtool(*arguments: str) -> str:
    """Output of `promtool ARGUMENTS`; Failed with what it says where it does not work."""
    return _run([str(_bin() / "promtool"), *arguments], dict(os.environ))


def kustomized(folder: Path) -> list[Json]:
    """What `kubectl apply -k` would apply."""
    places = (os.environ.get("KUBEBUILDER_ASSETS", ""), str(_bin()), os.environ.get("PATH", ""))
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl", path=os.pathsep.join(filter(None, places)))
    assert kubectl, "no kubectl: run `hack/cluster/cluster.sh build control-plane`, or set KUBECTL"
    return documents(_run([kubectl, "kustomize", str(folder)], dict(os.environ)))


def rendered(*arguments: str, namespace: str = "tradingbot-system", chart: Path = CHART) -> list[Json]:
    """The objects that the chart makes."""
    return documents(helm("template", RELEASE, str(chart), "--namespace", namespace, *arguments))


def documents(text: str) -> list[Json]:
    """Every object of a stream of YAML."""
    # libyaml's: the schemas are long, and every test reads them.
    return [entry for entry in yaml.load_all(text, Loader=yaml.CSafeLoader) if entry]


def only(kind: str, objects: list[Json], name: str | None = None) -> Json:
    """The one object of that kind, and of that name where one is given."""
    (found,) = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:3])}: {done.stderr}{done.stdout}")
    return done.stdout
