"""A shell in which a page is followed: each of its blocks is typed, and what was printed is kept.

Must never wait for good: a step has its time, and nobody is there to answer a question.
"""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tutorial_page import Step

STEP_SECONDS = 960
"""More than the longest wait of the page, which ends by itself."""


class Shell:
    """One bash for all of it, with nobody at its keyboard: what a step exports is there for the next."""

    def __init__(self, folder: Path, notes: Path, environment: Mapping[str, str]) -> None:
        """Works in `folder`; `notes` is where it keeps what it typed and what was printed."""
        self._notes = notes
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=folder, env=dict(environment), stdin=subprocess.PIPE, text=True
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
