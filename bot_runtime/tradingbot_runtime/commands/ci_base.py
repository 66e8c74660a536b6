"""Files of a repository as they were: asked of Git with an argument list and a time limit. Never changes anything."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tradingbot_runtime.commands.endings import WrongConfig
from tradingbot_runtime.commands.inputs import MAX_CONFIG_BYTES

LIMIT_SECONDS: Final = 60.0
"""For one question; a clone that fetches what it has not takes longer than one that has all."""
_SHOWN: Final = 500


def commit_of(ref: str, folder: Path) -> str:
    """The commit that a ref means in the repository of a folder. Raises WrongConfig."""
    _git(folder, "rev-parse", "--git-dir")  # outside of a repository: says so, and not that the ref is unknown
    done = _asked(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if done.returncode:
        raise WrongConfig(
            "UnknownRef",
            f"{ref}: this clone has no such commit, branch or tag: fetch it first, such as `git fetch origin main`"
            " (a shallow clone holds one commit alone)",
        )
    return done.stdout.decode(errors="replace").strip()


def files_at(commit: str, paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Those of the files that were there, as they were. Raises WrongConfig."""
    found = []
    for path in paths:
        listed = _git(path.parent, "ls-tree", "-l", "-z", commit, "--", path.name).rstrip(b"\0")
        if not listed:
            continue  # it came with the change
        about = listed.partition(b"\t")[0].decode().split()
        if about[1] != "blob":
            raise WrongConfig("BaseUnreadable", f"{path} at {commit[:12]} is no file")
        if int(about[3]) > MAX_CONFIG_BYTES:
            raise WrongConfig("BaseUnreadable", f"{path} at {commit[:12]} is larger than {MAX_CONFIG_BYTES} bytes")
        found.append((str(path), _git(path.parent, "cat-file", "blob", about[2])))
    return found


def changed_since(commit: str, sources: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Which files of some paths differ from the commit, as the working tree has them, sorted. Raises WrongConfig."""
    if not sources:
        return ()
    tracked = _git(folder, "diff", "--name-only", "-z", "--no-ext-diff", "--relative", commit, "--", *sources)
    new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", *sources)
    names = (tracked + new).split(b"\0")
    return tuple(sorted({name.decode(errors="replace") for name in names if name}))


def _git(folder: Path, *arguments: str) -> bytes:
    done = _asked(folder, *arguments)
    if done.returncode:
        words = " ".join(done.stderr.decode(errors="replace").split())[:_SHOWN]
        raise WrongConfig("GitRefused", f"git {arguments[0]} in {folder}: {words or f'code {done.returncode}'}")
    return done.stdout


def _asked(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C"}
    try:
        return subprocess.run(  # noqa: S603 - without a shell; what somebody wrote stands behind -- or is checked
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the person's own git
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_SECONDS,
            env={**os.environ, **quiet},
            check=False,
        )
    except FileNotFoundError as error:
        raise WrongConfig("GitMissing", "git is not installed here: install it, or give --base FILE") from error
    except subprocess.TimeoutExpired as error:
        raise WrongConfig("GitRefused", f"git {arguments[0]}: no answer within {LIMIT_SECONDS:g} s") from error
