"""A virtual environment for each engine that stands beside ours, made once, from requirements/bench-*.txt.

Must never install anything into this project's own environment, nor a package without its hash.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from cache_folder import cache_folder

ROOT: Final = Path(__file__).resolve().parents[2]
INSTALL_SECONDS: Final = 900.0


class NotInstallable(Exception):
    """A peer cannot be had on this machine; the message is the installer's own."""


def python_of(name: str, folder: Path | None = None) -> Path:
    """The interpreter of `requirements/bench-<name>.txt`; the environment is made anew when that file has changed.

    `folder`: of the environments; usually in the cache that the embedded cluster uses as well.

    Raises NotInstallable.
    """
    locked = ROOT / "requirements" / f"bench-{name}.txt"
    stamp = hashlib.sha256(locked.read_bytes() + sys.version.encode()).hexdigest()
    place = (folder or cache_folder() / "peers") / name
    program, stamped = place / "bin/python", place / "stamp"
    if stamped.is_file() and stamped.read_text(encoding="utf-8") == stamp:
        return program
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    uv = (sys.executable, "-m", "uv")
    _run(*uv, "venv", "--quiet", "--no-config", "--python", sys.executable, str(place))
    # Modules are compiled here, as pip does it, or the first process would pay for it.
    install = ("pip", "install", "--quiet", "--no-config", "--compile-bytecode", "--require-hashes")
    _run(*uv, *install, "--python", str(program), "--requirement", str(locked))
    stamped.write_text(stamp, encoding="utf-8")
    return program


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotInstallable(f"not installed within {INSTALL_SECONDS:g} s") from error
    if done.returncode:
        raise NotInstallable(" ".join(done.stderr.split())[-500:] or f"exit code {done.returncode}")
