"""Resolves what pyproject.toml asks for into requirements/*.lock: every version and every hash, for every platform.
What stands beside our backtests in `make bench` is resolved into requirements/bench-*.txt.

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
BENCHES: dict[str, tuple[str, ...]] = {
    "bench-numba": ("numba>=0.60",),
    "bench-vectorbt": ("vectorbt>=1.2", "vectorbt-rust>=1.2"),
    "bench-backtesting": ("backtesting>=0.6.6",),
    "bench-backtrader": ("backtrader>=1.9.78", "numpy>=2"),
    "bench-nautilus": ("nautilus_trader>=1.221",),
}
"""Other backtest engines, each for an environment of its own: they need not agree with ours, nor with each other."""


def main() -> int:
    """Writes the lock files named, or all."""
    parser = argparse.ArgumentParser(description="Resolve pyproject.toml into requirements/*.lock.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    parser.add_argument("locks", nargs="*", choices=[*LOCKS, *ALONE, *BENCHES, []], help="which locks (default: all)")
    arguments = parser.parse_args()
    for name in arguments.locks or [*LOCKS, *ALONE, *BENCHES]:
        print(_file(name), flush=True)
        code = _compile(name, upgrade=arguments.upgrade)
        if code != 0:
            return code
    return 0


def _file(name: str) -> str:
    return f"requirements/{name}.{'txt' if name in BENCHES else 'lock'}"


def _compile(name: str, *, upgrade: bool) -> int:
    command = [
        sys.executable,
        *("-m", "uv", "pip", "compile", "--quiet", "--no-config"),
        *("--universal", "--generate-hashes", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *("--python-version", "3.11", "--custom-compile-command", "make lock"),
        *("--output-file", _file(name)),
        *(("--upgrade",) if upgrade else ()),
    ]
    if name in BENCHES:
        wanted = "\n".join(BENCHES[name])
        return subprocess.run([*command, "-"], cwd=ROOT, input=wanted, text=True, check=False).returncode
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
