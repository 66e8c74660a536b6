"""`python -m argocd up`: a real Argo CD beside a cluster, as processes of this machine.

Application controller, repository server and redis, with upstream's own service account and roles. Must never end a
process that it did not start, nor delete anything that an Application has synced.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from argocd.installing import build, install, redis, uninstall, write_kubeconfig
from argocd.place import NAMESPACE, ArgoError, Place, say, version
from argocd.processes import Component, bring, forget, log_of, recorded

_REDIS, _REPOSITORY, _REPOSITORY_METRICS, _CONTROLLER_METRICS = 16379, 18083, 18084, 18082
_LOCK_SECONDS: Final = 600.0
NAMES: Final = ("controller", "repo-server", "redis")


def up(place: Place) -> None:
    """Starts what does not run, and waits until it is ready."""
    build(place)
    for folder in ("run", "log", "home", "tmp", "redis", "tls", "ssh", "gpg"):
        (place.state / folder).mkdir(parents=True, exist_ok=True)
    install(place)
    write_kubeconfig(place)
    link = place.state / "run/redis-server"
    link.unlink(missing_ok=True)
    link.symlink_to(str(redis()))
    for component in _components(place, str(link)):
        bring(place, component)
    say(f"up: Argo CD {version()}, its settings are in namespace {NAMESPACE}")


def _components(place: Place, redis: str) -> tuple[Component, ...]:
    environment = _environment(place)
    shared = ("--loglevel=info", "--logformat=text", f"--redis=127.0.0.1:{_REDIS}")
    return (
        Component(
            "redis",
            (redis, f"--port {_REDIS}", "--bind 127.0.0.1", "--save", "", "--dir", str(place.state / "redis")),
            environment,
        ),
        Component(
            "repo-server",
            (
                place.binary("argocd-repo-server"),
                *shared,
                "--disable-tls",
                "--address=127.0.0.1",
                f"--port={_REPOSITORY}",
                "--metrics-address=127.0.0.1",
                f"--metrics-port={_REPOSITORY_METRICS}",
            ),
            environment,
            f"http://127.0.0.1:{_REPOSITORY_METRICS}/healthz",
        ),
        Component(
            "controller",
            (
                place.binary("argocd-application-controller"),
                *shared,
                f"--namespace={NAMESPACE}",
                "--repo-server-plaintext",
                f"--repo-server=127.0.0.1:{_REPOSITORY}",
                f"--metrics-port={_CONTROLLER_METRICS}",
                "--persist-resource-health",
            ),
            environment,
            f"http://127.0.0.1:{_CONTROLLER_METRICS}/healthz",
        ),
    )


def _environment(place: Place) -> dict[str, str]:
    # None of the caller's own, but where git finds the way out: a proxy or a token would change what is tested.
    return {
        "PATH": f"{place.cache / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(place.state / "home"),
        "TMPDIR": str(place.state / "tmp"),
        "LANG": "C.UTF-8",
        "KUBECONFIG": str(place.state / "kubeconfig"),
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(place.state / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(place.state / "ssh"),
        "ARGOCD_GPG_DATA_PATH": str(place.state / "gpg"),
        # How soon a pushed commit is seen; both processes cache by it. Upstream's is 2 minutes.
        "ARGOCD_RECONCILIATION_TIMEOUT": "15s",
        "ARGOCD_RECONCILIATION_JITTER": "0",
        # Upstream waits up to 5 minutes before it heals the same object again.
        "ARGOCD_APPLICATION_CONTROLLER_SELF_HEAL_BACKOFF_CAP_SECONDS": "2",
    }


def down(place: Place) -> None:
    """Stops the processes and takes Argo CD out of the cluster. What Applications have synced stays."""
    for name in NAMES:
        running = recorded(place, name)
        if running is not None:
            running.end()
            say(f"{name} stopped")
        forget(place, name)
    uninstall(place)


def status(place: Place) -> bool:
    """One line a process; whether all of them run."""
    found = {name: recorded(place, name) for name in NAMES}
    for name, running in found.items():
        print(f"{name:<12} {running.pid if running else 'down':>8}  {log_of(place, name)}")
    return all(found.values())


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """One command at a time; another waits for it."""
    place.state.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _LOCK_SECONDS
    with (place.state / "lock").open("w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ArgoError("another command works on Argo CD and does not end") from None
                time.sleep(0.2)
            else:
                break
        yield


def main(arguments: Sequence[str]) -> int:
    """Carries out one command."""
    parser = argparse.ArgumentParser(description="A real Argo CD beside the cluster of KUBECONFIG.")
    parser.add_argument(
        "command",
        choices=("build", "up", "down", "status"),
        help="build the programs (3 minutes the first time); start; stop and take it out of the cluster; what runs",
    )
    command = parser.parse_args(arguments).command
    try:
        place = Place.of(os.environ)
        if command == "status":
            return 0 if status(place) else 1
        with _alone(place):
            {"build": build, "up": up, "down": down}[command](place)
    except ArgoError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
