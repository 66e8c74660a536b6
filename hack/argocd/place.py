"""Where Argo CD's programs, logs and settings are, and the cluster that it runs beside.

Must never use the kubeconfig in anyone's home.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_folder import cache_folder

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = Path(__file__).resolve().parent / "program"
MODULE: Final = "github.com/argoproj/argo-cd/v3"
NAMESPACE: Final = "argocd"


class ArgoError(Exception):
    """Argo CD cannot be had here; the message says what to do."""


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    cache: Path
    kubeconfig: Path
    kubectl: str
    """Empty where there is none: enough to build."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """KUBECONFIG and KUBECTL, or those of the embedded cluster."""
        cache = cache_folder(environment)
        state = environment.get("TRADINGBOT_CLUSTER_STATE") or "/var/lib/tradingbot-cluster"
        kubeconfig = Path(environment.get("KUBECONFIG") or f"{state}/admin.kubeconfig").absolute()
        embedded = cache / "bin/kubectl"
        kubectl = environment.get("KUBECTL") or (str(embedded) if embedded.exists() else shutil.which("kubectl"))
        return cls(cache, kubeconfig, kubectl or "")

    @property
    def state(self) -> Path:
        """Pid files, logs, and what the programs write."""
        return self.cache / "argocd"

    @property
    def manifests(self) -> Path:
        """What of upstream's install.yaml goes into the cluster."""
        return self.state / f"install-{version()}.yaml"

    def binary(self, name: str) -> str:
        """A program of ours in the cache."""
        return str(self.cache / "bin" / name)

    def run(self, *arguments: str, document: str | None = None, seconds: float = 60) -> str:
        """`kubectl ARGUMENTS` as the administrator."""
        if not self.kubectl:
            raise ArgoError("no kubectl: run `hack/cluster/cluster.sh build`, or set KUBECTL")
        command = [self.kubectl, f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=document, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode != 0:
            raise ArgoError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout


def version() -> str:
    """Of Argo CD, as go.mod pins it."""
    found = re.search(rf"{re.escape(MODULE)} (v[0-9.]+)", (PROGRAM / "go.mod").read_text(encoding="utf-8"))
    if found is None:
        raise ArgoError(f"{PROGRAM / 'go.mod'} does not name {MODULE}")
    return found[1]


def say(text: str) -> None:
    """A line of progress."""
    print(f"[argocd] {text}", file=sys.stderr, flush=True)
