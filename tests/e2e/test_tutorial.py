"""docs/tutorial.md, word for word: each block is typed into one shell, in a copy of what a clone would hold.

What is shown has to come, in the order in which it is shown.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.lab import Cluster
from newcomers_shell import Shell
from tutorial_page import PAGE, missing, steps

ROOT = Path(__file__).parents[2]
NAMESPACE = "tutorial"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """Every file that git has or would take, as it is now, and nothing else; removed with all that was installed."""
    folder = tmp_path / "tradingbot-operator"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shell(clone: Path, tmp_path: Path, cluster: Cluster) -> Iterator[Shell]:
    """In the clone; on a cluster where nobody has done the tutorial, nor does while this does."""
    gone = ("delete", "namespace", NAMESPACE, "demo", "--ignore-not-found", "--timeout=300s")
    cluster.run(*gone, timeout_seconds=310)
    notes = tmp_path / "notes"
    notes.mkdir()
    own = os.environ.get("CLUSTER") == "existing"
    # Neither what the tests were given, nor the environment or the terminal that they run in.
    left_out = {"VIRTUAL_ENV", "PYTHONPATH", "KUBECTL", "MAKEFLAGS", "MAKELEVEL", "COLUMNS", "FORCE_COLOR"}
    left_out |= set() if own else {"KUBECONFIG"}
    shell = Shell(clone, notes, {name: value for name, value in os.environ.items() if name not in left_out})
    yield shell
    shell.close()
    cluster.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def test_every_block_of_the_tutorial_does_what_it_shows(shell: Shell) -> None:
    for number, step in enumerate(steps(PAGE.read_text(encoding="utf-8")), 1):
        began = time.monotonic()
        said = shell.type(number, step)
        print(f"{time.monotonic() - began:6.1f} s  {step.name}")
        absent = missing(step.shown, said)
        assert absent is None, f"{step.name}: `{absent}` does not come, or not in its place:\n{said[-6000:]}"
