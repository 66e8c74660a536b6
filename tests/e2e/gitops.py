"""A real Argo CD and a Git repository on this machine, made from examples/gitops as a user would make theirs.

Touches only Applications and namespaces that the repository names, all with a prefix of the tests' own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cache_folder import cache_folder
from e2e.lab import Cluster, Json

ROOT = Path(__file__).parents[2]
NAMESPACE = "argocd"
ADDRESS = "https://git.example.com/team/trading.git"
REFRESH = "argocd.argoproj.io/refresh"
GROUP = "tradingbots.dev"


@dataclass(frozen=True)
class Argo:
    """Argo CD as it runs beside a cluster."""

    cluster: Cluster

    def command(self, name: str, timeout_seconds: float = 900) -> None:
        """`python -m argocd`: up, or down."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "KUBECTL": self.cluster.kubectl,
            "PYTHONPATH": str(ROOT / "hack"),
        }
        command = [sys.executable, "-m", "argocd", name]
        subprocess.run(command, check=True, env=environment, timeout=timeout_seconds)

    def kubectl(self, *args: str) -> str:
        """kubectl in Argo CD's namespace."""
        return self.cluster.run("-n", NAMESPACE, *args)

    def application(self, name: str) -> Json:
        """An Application as it is."""
        return self.cluster.get("-n", NAMESPACE, "applications.argoproj.io", name)

    def refresh(self, name: str) -> None:
        """Argo CD looks at Git and at the cluster now."""
        self.kubectl("annotate", "applications.argoproj.io", name, f"{REFRESH}=normal", "--overwrite")

    def sync_status(self, name: str) -> str:
        """Synced, OutOfSync or Unknown."""
        return str(self.application(name).get("status", {}).get("sync", {}).get("status", ""))

    def health(self, name: str, kind: str, of: str) -> Json:
        """What an Application says of one of its resources; empty where it says nothing."""
        for entry in self.application(name).get("status", {}).get("resources", []):
            if (entry["kind"], entry["name"]) == (kind, of):
                found: Json = entry.get("health", {})
                return found
        return {}

    def overrides(self, command: str, obj: Json, *args: str) -> str:
        """`argocd admin settings resource-overrides`, in Argo CD's own Lua, with our argocd-cm."""
        customizations = self.cluster.run("kustomize", str(ROOT / "manifests/argocd"))
        with tempfile.TemporaryDirectory() as folder:
            settings, document = Path(folder) / "argocd-cm.yaml", Path(folder) / "object.json"
            settings.write_text(customizations, encoding="utf-8")
            document.write_text(json.dumps(obj), encoding="utf-8")
            done = subprocess.run(
                [
                    *(_binary("argocd"), "admin", "settings", "resource-overrides", command),
                    *(str(document), *args, "--argocd-cm-path", str(settings)),
                ],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _binary(name: str) -> str:
    return str(cache_folder() / "bin" / name)


@dataclass(frozen=True)
class Repository:
    """A Git repository with a branch main, which Argo CD reads as a file."""

    folder: Path

    @classmethod
    def of_the_example(cls, folder: Path, replaced: Iterable[tuple[str, str]]) -> "Repository":
        """examples/gitops with the release beside it and other words in place of some, committed."""
        shutil.copytree(ROOT / "examples/gitops", folder)
        release = folder / "operator/release"
        shutil.copytree(ROOT / "manifests", release / "manifests")
        shutil.copytree(ROOT / "crds", release / "crds")
        ours = [path for path in sorted(folder.rglob("*.yaml")) if release not in path.parents]
        for path in ours:
            text = path.read_text(encoding="utf-8")
            for old, new in ((ADDRESS, f"file://{folder}"), *replaced):
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        made = cls(folder)
        made._git("init", "--quiet", "--initial-branch=main")
        made.commit("the example")
        return made

    def change(self, path: str, *replaced: tuple[str, str]) -> str:
        """Merges a change of one file; returns the commit."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        for old, new in replaced:
            assert old in text, f"{path} does not say {old!r}"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        return self.commit(f"change {path}")

    def commit(self, message: str) -> str:
        """Commits all there is."""
        self._git("add", "--all")
        who = ("-c", "user.name=Tess", "-c", "user.email=tess@example.com", "-c", "commit.gpgsign=false")
        self._git(*who, "commit", "--quiet", "-m", message)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *args: str) -> str:
        command = ["git", "-C", str(self.folder), *args]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
