"""hack/argocd ends what it has started, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from argocd.__main__ import main
from argocd.place import Place, version
from argocd.processes import Process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        yield child
        child.kill()


def test_a_process_is_ended_and_known_to_be_gone(child: subprocess.Popen[bytes]) -> None:
    found = Process.of(child.pid)
    assert found is not None and found.is_alive
    found.end()
    assert not found.is_alive
    assert child.wait(timeout=5) < 0


def test_an_id_that_somebody_else_has_by_now_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    found = Process.of(child.pid)
    assert found is not None
    former = replace(found, started_ticks=found.started_ticks - 1)
    assert not former.is_alive
    former.end()
    assert found.is_alive


def test_the_version_is_the_one_that_is_pinned() -> None:
    assert version().startswith("v3.2.")


def test_an_environment_chooses_the_cluster(tmp_path: Path) -> None:
    place = Place.of({"TRADINGBOT_CACHE": str(tmp_path), "KUBECONFIG": "/k", "KUBECTL": "/bin/kubectl"})
    assert (place.kubeconfig, place.kubectl, place.state) == (Path("/k"), "/bin/kubectl", tmp_path / "argocd")


def test_nothing_that_was_not_started_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRADINGBOT_CACHE", str(tmp_path))
    monkeypatch.setenv("KUBECTL", "/bin/false")
    assert main(["status"]) == 1
    assert capsys.readouterr().out.count("down") == 3
    assert main(["down"]) == 0
