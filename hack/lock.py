"""Resolves what pyproject.toml asks for into requirements/*.lock: every version and every hash, for every platform.

Keeps the versions that are locked already unless told to upgrade. Must never write where packages come from: whoever
installs decides that.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS: dict[str, tuple[str, ...]] = {
    "operator": ("operator",),
    "runtime": ("runtime", "simulator"),
    "dev": ("dev",),
}
"""Lock file to the extras that it holds. Beside these: `build`, what makes the wheel, and `parquet`, what only research
imports, which the runtime's image keeps out of the bots' way.
"""
ALONE = ("build", "parquet")


def main() -> int:
    """Writes the lock files named, or all."""
    parser = argparse.ArgumentParser(description="Resolve pyproject.toml into requirements/*.lock.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    parser.add_argument("locks", nargs="*", choices=[*LOCKS, *ALONE, []], help="which locks (default: all)")
    arguments = parser.parse_args()
    for name in arguments.locks or [*LOCKS, *ALONE]:
        print(f"requirements/{name}.lock", flush=True)
        code = _compile(name, upgrade=arguments.upgrade)
        if code != 0:
            return code
    return 0


def _compile(name: str, *, upgrade: bool) -> int:
    command = [
        sys.executable,
        *("-m", "uv", "pip", "compile", "--quiet", "--no-config"),
        *("--universal", "--generate-hashes", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *("--python-version", "3.11", "--custom-compile-command", "make lock"),
        *("--output-file", f"requirements/{name}.lock"),
        *(("--upgrade",) if upgrade else ()),
    ]
    if name in ALONE:
        pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        research = pyproject["project"]["optional-dependencies"]["research"]
        pyarrow = [one for one in research if one.startswith("pyarrow")]
        wanted = "\n".join(pyproject["build-system"]["requires"] if name == "build" else pyarrow)
        return subprocess.run([*command, "-"], cwd=ROOT, input=wanted, text=True, check=False).returncode
    extras = [flag for extra in LOCKS[name] for flag in ("--extra", extra)]
    return subprocess.run([*command, *extras, "pyproject.toml"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
