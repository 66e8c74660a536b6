"""Runs the test tiers in order, each with what it needs, and says at the end what ran, what did not, and why.

Under CI=true nothing may be left out: a tier that cannot run, or a test that is skipped, is a failure there. Must
never report a tier as passed that did not run, nor hide a tier's own output.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import demo_cluster
from argocd.installing import build as build_argocd
from argocd.place import ArgoError, Place
from demo_cluster import IMAGES, ROOT, SCRIPT

RESULTS = ROOT / ".tiers"
TIERS = ("lint", "unit", "simulation", "contract", "cluster", "e2e")
USUAL_MINUTES: Mapping[str, float] = {"unit": 6, "simulation": 8, "contract": 2, "cluster": 22, "e2e": 34}
"""What each takes alone on 2 cores."""
LIMIT_MINUTES: Mapping[str, float] = {"unit": 11, "simulation": 13, "contract": 4, "cluster": 28, "e2e": 42}
"""A tier that takes longer hangs: it is stopped, with every thread's stack printed, and has failed. Wide enough for a
machine that does other work, and so that one that hangs leaves all others their usual time in CI's 88 minutes.
"""
TIMES_LONGER_EVERYWHERE = 4
"""Where a run was asked to strike everything, by TRADINGBOT_FAULTS_EVERYWHERE or TRADINGBOT_CRASH_EVERYWHERE."""
BRANCHES_PERCENT = 90.0
HELD_TO_BRANCHES: Mapping[str, str] = {
    "api": "operator/tradingbot_api/",
    "plan": "operator/tradingbot_operator/plan/",
    "core": "bot_runtime/tradingbot_runtime/core/",
}
NO_TESTS = 5
INTERRUPTED = 130


@dataclass(frozen=True)
class Result:
    """What became of one tier."""

    tier: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    reasons: tuple[str, ...] = ()
    """What failed or was skipped, and why: a line each."""
    did_not_run: bool = False


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    pytest_arguments: tuple[str, ...]
    coverage: bool
    missing: bool
    in_ci: bool
    seed: int


@dataclass
class CannotRunError(Exception):
    """A tier's needs are not met on this machine."""

    reason: str


@dataclass
class Stage:
    """What a tier was given: environment for its tests, and what to undo afterwards."""

    environment: dict[str, str] = field(default_factory=dict)
    undo: list[Callable[[], object]] = field(default_factory=list)


# Lint ------------------------------------------------------------------------


def lint_checks() -> list[tuple[str, list[str]]]:
    """Every check: its name and its command."""
    scripts = [".ci/run", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "hack").rglob("*.sh"))]
    hack = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "hack").rglob("*.py"))
    return [
        ("ruff", _program("ruff", "check", ".")),
        ("ruff format", _program("ruff", "format", "--check", ".")),
        ("mypy", _program("mypy")),
        ("mypy hack", _program("mypy", *hack)),
        ("import contracts", _program("lint-imports")),
        ("shellcheck", _program("shellcheck", *scripts)),
        ("CRDs match the models", [sys.executable, str(Path(__file__).resolve()), "--drift"]),
        ("documentation", [sys.executable, str(ROOT / "hack" / "docs.py"), "check"]),
    ]


def _program(name: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / name), *arguments]


def run_lint() -> Result:
    """All checks, also after one has failed."""
    began = time.monotonic()
    failures = []
    checks = lint_checks()
    for name, command in checks:
        say(f"lint: {name}")
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failures.append(f"{name}: `{_shown(command)}`")
    return Result(
        "lint", len(checks) - len(failures), len(failures), seconds=time.monotonic() - began, reasons=tuple(failures)
    )


def _shown(command: Sequence[str]) -> str:
    return " ".join(Path(part).name if part.startswith("/") else part for part in command)


def drift() -> int:
    """Whether crds/ is what the models generate; says which file is not."""
    from tradingbot_api import crd

    with tempfile.TemporaryDirectory() as folder:
        stale = [
            path.name
            for path in crd.write(Path(folder))
            if not (ROOT / "crds" / path.name).exists() or (ROOT / "crds" / path.name).read_text() != path.read_text()
        ]
    if stale:
        print(f"not what the models generate: {', '.join(stale)}. Run `make generate`.")
    return 1 if stale else 0


# What a tier needs -------------------------------------------------------------


def prepare(tier: str) -> Stage:
    """Gets ready what the tier's tests use; raises CannotRunError."""
    if tier == "cluster":
        return _prepare_control_plane()
    if tier == "e2e":
        return _prepare_cluster()
    return Stage()


def _prepare_control_plane() -> Stage:
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        say("cluster: building the control plane (seconds if it was built before, else usually 6 minutes)")
        _build("control-plane")
    say("cluster: building helm and promtool (seconds if they were built before, else usually 3 minutes)")
    _build("chart-tools")
    say("cluster: building Litestream and an S3 for it (seconds if they were built before, else usually 2 minutes)")
    _build("litestream")
    return Stage()


def _build(what: str) -> None:
    command = [str(SCRIPT), "build", what]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code != 0:
        raise CannotRunError(f"what the tests run cannot be built here (`{_shown(command)}` ended with {code})")


def _prepare_cluster() -> Stage:
    say("e2e: building Argo CD (seconds if it was built before, else usually 4 minutes)")
    try:
        build_argocd(Place.of(os.environ))
    except ArgoError as error:
        raise CannotRunError(str(error)) from error
    try:
        machine = demo_cluster.look_around(os.environ)
        name = demo_cluster.choose(os.environ.get("CLUSTER") or "auto", machine)
        cluster = demo_cluster.cluster_named(name, os.environ)
        stage = Stage()
        if not cluster.is_up():
            stage.undo.append(cluster.down)
        say(f"e2e: starting the {name} cluster (usually {cluster.usual_start})")
        cluster.up()
        for image in IMAGES:
            say(f"e2e: building and loading {image.tag} (usually 1 minute, seconds if nothing changed)")
            cluster.deliver(image)
    except demo_cluster.NoClusterError as error:
        raise CannotRunError(str(error)) from error
    except demo_cluster.CommandFailedError as error:
        raise CannotRunError(f"no cluster: {error}") from error
    stage.environment |= {"KUBECONFIG": cluster.kubeconfig, "KUBECTL": cluster.kubectl, "CLUSTER": name}
    return stage


# Tests -------------------------------------------------------------------------


def run_tests(tier: str, options: Options) -> Result:
    """One tier of pytest, with its output as it comes."""
    began = time.monotonic()
    folder = ROOT / "tests" / tier
    if not any(folder.rglob("test_*.py")):
        return Result(tier, did_not_run=True, reasons=(f"tests/{tier} holds no tests",))
    stage = Stage()
    try:
        stage = prepare(tier)
        began_tests = time.monotonic()
        code = _pytest(tier, options, stage.environment)
    except CannotRunError as error:
        return Result(tier, did_not_run=True, seconds=time.monotonic() - began, reasons=(error.reason,))
    finally:
        for step in stage.undo:
            if not os.environ.get("KEEP"):
                step()
    result = read_results(tier, RESULTS / f"{tier}.xml", code)
    say(f"{tier}: tests took {time.monotonic() - began_tests:.0f} s")
    return replace(result, seconds=time.monotonic() - began)


def _pytest(tier: str, options: Options, environment: Mapping[str, str]) -> int:
    results = RESULTS / f"{tier}.xml"
    results.unlink(missing_ok=True)
    minutes = limit_minutes(tier, os.environ)
    limit_seconds = minutes * 60
    command = [
        *(sys.executable, "-m", "pytest", f"tests/{tier}", f"--junitxml={results}"),
        *("-o", "junit_family=xunit2", "-o", f"faulthandler_timeout={limit_seconds / 2:g}"),
        *(f"--hypothesis-seed={options.seed}", "--durations=5", "--durations-min=1"),
        *(("--cov", "--cov-report=") if options.coverage else ()),
        *options.pytest_arguments,
    ]
    variables = {**os.environ, **environment, "COVERAGE_FILE": str(RESULTS / f".coverage.{tier}")}
    # A process group of its own, so that a tier that hangs can be ended with everything it started.
    child = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True)
    try:
        return child.wait(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        say(f"{tier}: not done after {minutes:g} minutes, stopping it")
        _end(child)
        return -1
    except KeyboardInterrupt:
        _end(child)
        raise


def limit_minutes(tier: str, environment: Mapping[str, str]) -> float:
    """After how many minutes a tier is taken to hang."""
    strikes_everything = any(name.endswith("_EVERYWHERE") and value for name, value in environment.items())
    return LIMIT_MINUTES[tier] * (TIMES_LONGER_EVERYWHERE if strikes_everything else 1)


def _end(child: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGINT, 20), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=seconds)
            return


def read_results(tier: str, path: Path, code: int) -> Result:
    """Counts and reasons from pytest's own record of a run that ended with `code`."""
    if code == NO_TESTS:
        return Result(tier, did_not_run=True, reasons=("no test was selected",))
    if not path.exists():
        return Result(tier, failed=1, reasons=(f"pytest ended with {code} and left no record",))
    passed, failures, skips = 0, [], []
    # The file is pytest's, written a moment ago.
    for case in ElementTree.parse(path).iter("testcase"):  # noqa: S314
        name = f"{case.get('classname', '')}.{case.get('name', '')}"
        skipped, failed = case.find("skipped"), _first(case, "failure", "error")
        if failed is not None:
            failures.append(f"{name}: {_headline(failed)}")
        elif skipped is None or skipped.get("type") == "pytest.xfail":
            passed += 1
        else:
            skips.append(f"skipped {name}: {_headline(skipped)}")
    if code != 0 and not failures:
        failures.append("stopped: over its time" if code == -1 else f"pytest ended with {code}")
    return Result(tier, passed, len(failures), len(skips), reasons=(*failures, *skips))


def _first(case: ElementTree.Element, *tags: str) -> ElementTree.Element | None:
    return next((found for tag in tags if (found := case.find(tag)) is not None), None)


def _headline(element: ElementTree.Element) -> str:
    lines = (element.get("message") or element.text or "").strip().splitlines()
    return lines[0][:200] if lines else "no message"


# Coverage ------------------------------------------------------------------------


def run_coverage(tiers: Sequence[str], *, missing: bool) -> Result:
    """Combines what the tiers covered, prints it, and holds the packages that decide to their share of branches."""
    began = time.monotonic()
    data = [str(path) for tier in tiers if (path := RESULTS / f".coverage.{tier}").exists()]
    if not data:
        return Result("coverage", did_not_run=True, reasons=("no tier measured coverage",))
    environment = {**os.environ, "COVERAGE_FILE": str(RESULTS / ".coverage")}
    coverage = [sys.executable, "-m", "coverage"]
    report = RESULTS / "coverage.json"
    subprocess.run([*coverage, "combine", "--keep", "--quiet", *data], cwd=ROOT, env=environment, check=True)
    subprocess.run([*coverage, "json", "--quiet", "-o", str(report)], cwd=ROOT, env=environment, check=True)
    if missing:
        subprocess.run([*coverage, "report"], cwd=ROOT, env=environment, check=True)
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    lines, shortfalls = judge_coverage(files)
    print("\n".join(lines), flush=True)
    return Result(
        "coverage",
        passed=len(HELD_TO_BRANCHES) - len(shortfalls),
        failed=len(shortfalls),
        seconds=time.monotonic() - began,
        reasons=tuple(shortfalls),
    )


def judge_coverage(files: Mapping[str, Mapping[str, Mapping[str, int]]]) -> tuple[list[str], list[str]]:
    """A table of branches and lines a package, and a line for each package that is below its share."""
    folders = dict(HELD_TO_BRANCHES) | {"all": ""}
    lines, shortfalls = [f"{'coverage':<10} {'branches':>10} {'lines':>8}"], []
    for name, folder in folders.items():
        summaries = [found["summary"] for path, found in files.items() if path.startswith(folder)]
        if not summaries:
            shortfalls.append(f"{folder} was not reached by any test")
            continue
        branches = _percent(summaries, "covered_branches", "num_branches")
        lines.append(f"{name:<10} {branches:>8.1f} % {_percent(summaries, 'covered_lines', 'num_statements'):>6.1f} %")
        if name in HELD_TO_BRANCHES and branches < BRANCHES_PERCENT:
            shortfalls.append(f"{folder} has {branches:.1f} % of its branches covered, {BRANCHES_PERCENT:g} % are due")
    return lines, shortfalls


def _percent(summaries: Sequence[Mapping[str, int]], part: str, whole: str) -> float:
    total = sum(summary[whole] for summary in summaries)
    return 100.0 * sum(summary[part] for summary in summaries) / total if total else 100.0


# Summary ---------------------------------------------------------------------------


def judge(result: Result, *, in_ci: bool) -> Result:
    """Turns what was left out into a failure where nothing may be left out, and into a skip elsewhere."""
    if result.did_not_run:
        return replace(result, failed=result.failed + 1) if in_ci else replace(result, skipped=result.skipped + 1)
    if in_ci and result.skipped:
        return replace(result, failed=result.failed + result.skipped, skipped=0)
    return result


def summary(results: Sequence[Result], *, in_ci: bool) -> str:
    """The table, what failed or was left out and why, and the counts alone on the last line."""
    rows = [f"{'tier':<12} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}"]
    rows += [
        f"{result.tier:<12} {result.passed:>7} {result.failed:>7} {result.skipped:>8} {result.seconds:>8.1f}"
        + ("  did not run" if result.did_not_run else "")
        for result in results
    ]
    reasons = [f"  {result.tier}: {reason}" for result in results for reason in result.reasons]
    text = io.StringIO()
    text.write("\n" + "\n".join(rows) + "\n")
    if reasons:
        text.write("\nfailed, or left out" + (" (a failure under CI=true)" if in_ci else "") + ":\n")
        text.write("\n".join(reasons) + "\n")
    counts = [sum(getattr(result, name) for result in results) for name in ("passed", "failed", "skipped")]
    text.write("\n{} passed, {} failed, {} skipped".format(*counts))
    return text.getvalue()


def say(text: str) -> None:
    """A line of progress."""
    print(f"\n=== {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Runs what was asked for; 0 only if nothing failed."""
    parser = argparse.ArgumentParser(
        description="Run test tiers.", epilog="What follows `--` goes to pytest: tiers.py unit -- -k gateway -x"
    )
    parser.add_argument("tiers", nargs="+", choices=TIERS, help="which, in this order")
    parser.add_argument("--coverage", action="store_true", help="measure it, and hold core, plan and api to 90 %%")
    parser.add_argument("--missing", action="store_true", help="with --coverage: list the lines that were not reached")
    given, passed_on = _split(arguments)
    asked = parser.parse_args(given)
    options = Options(
        pytest_arguments=tuple(passed_on),
        # A selection of tests covers a selection of lines.
        coverage=asked.coverage and not passed_on,
        missing=asked.missing,
        in_ci=os.environ.get("CI", "").lower() == "true",
        seed=_seed(os.environ),
    )
    RESULTS.mkdir(exist_ok=True)
    for tier in asked.tiers:
        (RESULTS / f".coverage.{tier}").unlink(missing_ok=True)
    say(f"tiers: {' '.join(asked.tiers)}; random tests start from SEED={options.seed}")
    results: list[Result] = []
    interrupted = False
    try:
        for tier in asked.tiers:
            say(tier)
            results.append(judge(run_lint() if tier == "lint" else run_tests(tier, options), in_ci=options.in_ci))
        if options.coverage:
            say("coverage")
            measured = judge(run_coverage(asked.tiers, missing=options.missing), in_ci=options.in_ci)
            results.append(measured)
    except KeyboardInterrupt:
        interrupted = True
        results.append(Result("interrupted", failed=1, reasons=("stopped by hand",)))
    print(summary(results, in_ci=options.in_ci), flush=True)
    if interrupted:
        return INTERRUPTED
    return 1 if any(result.failed for result in results) else 0


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return list(arguments), []
    at = list(arguments).index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])


def _seed(environment: Mapping[str, str]) -> int:
    """The same for everyone on a day of CI and always: a failure must be repeatable. SEED=... asks for another."""
    return int(environment.get("SEED") or 20260302)


if __name__ == "__main__":
    sys.exit(drift() if sys.argv[1:] == ["--drift"] else main(sys.argv[1:]))
