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
from tutorial_page import PAGE, Step, missing, steps

ROOT = Path(__file__).parents[2]
STEP_SECONDS = 960
"""More than the longest wait of the page, which ends by itself."""
NAMESPACE = "tutorial"


class Shell:
    """One bash, as a newcomer has it: without a kubeconfig, and with nobody at its keyboard."""

    def __init__(self, folder: Path, notes: Path) -> None:
        self._notes = notes
        own = os.environ.get("CLUSTER") == "existing"
        # Neither what the tests were given, nor the environment that they run in.
        left_out = {"VIRTUAL_ENV", "PYTHONPATH", "KUBECTL"} | (set() if own else {"KUBECONFIG"})
        shell = {name: value for name, value in os.environ.items() if name not in left_out}
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=folder, env=shell, stdin=subprocess.PIPE, text=True
        )

    def type(self, number: int, step: Step) -> str:
        """Output of a step, whose last command has to succeed and whose others may not fail either."""
        block, printed, code = (self._notes / f"{number:02d}.{kind}" for kind in ("sh", "out", "code"))
        block.write_text(f"set -e\n{step.commands}set +e\n", encoding="utf-8")
        assert self._bash.stdin is not None
        self._bash.stdin.write(
            f"source {block} </dev/null >{printed} 2>&1; echo $? >{code}.new; mv {code}.new {code}\n"
        )
        self._bash.stdin.flush()
        deadline = time.monotonic() + STEP_SECONDS
        while not code.exists():
            said = printed.read_text(encoding="utf-8", errors="replace") if printed.exists() else ""
            assert self._bash.poll() is None, f"{step.name}: a command failed:\n{said[-4000:]}"
            assert time.monotonic() < deadline, f"{step.name}: not done after {STEP_SECONDS} s:\n{said[-4000:]}"
            time.sleep(0.2)
        said = printed.read_text(encoding="utf-8", errors="replace")
        assert code.read_text().strip() == "0", f"{step.name}:\n{said[-4000:]}"
        return said

    def close(self) -> None:
        """Ends it, and what it may still wait for."""
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        try:
            self._bash.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._bash.kill()
            self._bash.wait()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Every file that git has or would take, as it is now, and nothing else."""
    folder = tmp_path / "tradingbot-operator"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture
def shell(clone: Path, tmp_path: Path, cluster: Cluster) -> Iterator[Shell]:
    """In the clone; on a cluster where nobody has done the tutorial, nor does while this does."""
    gone = ("delete", "namespace", NAMESPACE, "demo", "--ignore-not-found", "--timeout=150s")
    cluster.run(*gone, timeout_seconds=160)
    notes = tmp_path / "notes"
    notes.mkdir()
    shell = Shell(clone, notes)
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
