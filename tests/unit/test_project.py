"""The project as a whole: its layout, its locks, its commands, and what no file of it may say."""

import contextlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lock

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
# Put together, so that this file does not hold what it looks for.
REGISTRY_HOSTS = tuple(
    f"{name}.{domain}"
    for name, domain in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("deb.debian", "org"),
        ("proxy.golang", "org"),
        ("registry.npmjs", "org"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
        ("registry.k8s", "io"),
    )
)
HOMES = re.compile("(?:/home/|/Users/)[a-z]" + "|" + "/root/" + "[a-z.]" + "|" + "/work/" + "[a-z]")


def tracked_files() -> list[Path]:
    """What a commit would hold; where there is no git, everything but what .gitignore names."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
        return [ROOT / name for name in listed.stdout.splitlines()]
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()}
    return [path for path in ROOT.rglob("*") if not ignored & set(path.relative_to(ROOT).parts)]


def tracked_texts() -> Iterator[tuple[str, str]]:
    for path in tracked_files():
        if path.is_file() and path.stat().st_size < 2_000_000:
            with contextlib.suppress(UnicodeDecodeError):
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def make_targets() -> dict[str, str]:
    """Every target that people call, with its line in the help."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    lines = dict(re.findall(r"^([a-z][a-z0-9-]*):.*?## (.*)$", text, re.MULTILINE))
    return {name: lines.get(name, "").strip() for name in phony[1].split()}


class TestLayout:
    def test_the_folder_named_operator_does_not_shadow_the_standard_library(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("source_root", ["operator", "bot_runtime"])
    def test_a_source_root_is_no_package(self, source_root: str) -> None:
        assert not (ROOT / source_root / "__init__.py").exists()

    def test_every_module_says_what_it_is_for(self) -> None:
        silent = [
            str(path.relative_to(ROOT))
            for folder in ("operator", "bot_runtime", "hack")
            for path in (ROOT / folder).rglob("*.py")
            if not path.read_text(encoding="utf-8").startswith(('"""', "#!"))
        ]
        assert silent == []

    def test_what_the_wheel_names_is_there(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        assert [package for package in packages if not (ROOT / package / "__init__.py").exists()] == []
        for entry in project["project"]["scripts"].values():
            module = entry.partition(":")[0].replace(".", "/")
            assert any((ROOT / source / f"{module}.py").exists() for source in ("operator", "bot_runtime")), entry


class TestWhatNoFileSays:
    def test_no_package_registry_is_named(self) -> None:
        named = [
            f"{name}: {host}" for name, text in tracked_texts() for host in REGISTRY_HOSTS if _names_host(text, host)
        ]
        assert named == []

    def test_no_path_of_somebodys_machine(self) -> None:
        found = [f"{name}: {match[0]}" for name, text in tracked_texts() for match in HOMES.finditer(text)]
        assert found == []

    def test_the_guard_would_notice(self) -> None:
        assert _names_host("FROM quay" + ".io/library/python", "quay" + ".io")
        assert not _names_host("my-quay" + ".iox", "quay" + ".io")
        assert HOMES.search("cd /home/" + "someone")


def _names_host(text: str, host: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(host)}(?![\w])", text) is not None


class TestLocks:
    def test_every_lock_is_there(self) -> None:
        assert {path.stem for path in LOCKS} == {*lock.LOCKS, *lock.ALONE}

    @pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
    def test_every_requirement_is_pinned_and_has_a_hash(self, path: Path) -> None:
        pinned = _requirements(path)
        assert pinned
        for requirement, block in pinned:
            assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
            assert "--hash=sha256:" in block, requirement

    @pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
    def test_no_lock_says_where_packages_come_from(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", text, re.M)

    @pytest.mark.parametrize("name", sorted(lock.LOCKS))
    def test_a_lock_holds_what_pyproject_asks_for(self, name: str) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = {key: [Requirement(text) for text in value] for key, value in project["optional-dependencies"].items()}
        asked = [Requirement(text) for text in project["dependencies"]]
        waiting = list(lock.LOCKS[name])
        while waiting:
            for requirement in extras[waiting.pop()]:
                if canonicalize_name(requirement.name) == project["name"]:
                    waiting.extend(requirement.extras)
                else:
                    asked.append(requirement)
        _assert_covered(asked, ROOT / "requirements" / f"{name}.lock")

    def test_the_build_lock_holds_what_builds_the_wheel(self) -> None:
        requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
        _assert_covered([Requirement(text) for text in requires], ROOT / "requirements" / "build.lock")

    def test_the_locks_agree_with_each_other(self) -> None:
        versions: dict[str, set[str]] = {}
        for path in LOCKS:
            for requirement, _ in _requirements(path):
                if not requirement.marker:
                    versions.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
        assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def _requirements(path: Path) -> list[tuple[Requirement, str]]:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", "\n" + path.read_text(encoding="utf-8"))[1:]
    return [(Requirement(block.split("\\")[0].split("--hash")[0].strip()), block) for block in blocks]


def _assert_covered(asked: list[Requirement], path: Path) -> None:
    locked: dict[str, list[Requirement]] = {}
    for requirement, _ in _requirements(path):
        locked.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    for requirement in asked:
        found = locked.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement} is not in {path.name}: run `make lock`"
        for pinned in found:
            version = next(iter(pinned.specifier)).version
            wanted = requirement.specifier.contains(version, prereleases=True)
            assert wanted, f"{pinned} is not {requirement}: run `make lock`"


class TestCommands:
    def test_every_target_has_a_line_in_the_help(self) -> None:
        assert [name for name, line in make_targets().items() if not line] == []

    def test_the_help_shows_every_target(self) -> None:
        shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert [name for name in make_targets() if not re.search(rf"^  {name} ", shown, re.MULTILINE)] == []

    def test_documents_name_only_targets_that_exist(self) -> None:
        documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
        unknown = [
            f"{path.name}: make {target}"
            for path in documents
            for words in re.findall(r"(?:^|[`$] ?)make((?: [a-z][a-z0-9-]*)+)", path.read_text(encoding="utf-8"), re.M)
            for target in words.split()
            if target not in make_targets()
        ]
        assert unknown == []

    def test_links_between_documents_lead_somewhere(self) -> None:
        documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        broken = [
            f"{path.name}: {target}"
            for path in documents
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
            if not (path.parent / target).exists()
        ]
        assert broken == []

    def test_ci_runs_what_everyone_runs(self) -> None:
        workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text(encoding="utf-8"))
        assert "bash .ci/run" in [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
        assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


class TestImages:
    @pytest.mark.parametrize("name", ["operator", "runtime"])
    def test_an_image_runs_as_nobody_without_a_shell_from_locked_packages(self, name: str) -> None:
        text = (ROOT / "docker" / f"{name}.Dockerfile").read_text(encoding="utf-8")
        assert "USER 65532:65532" in text
        assert re.search(r'^ENTRYPOINT \["', text, re.MULTILINE)
        assert f"requirements/{name}.lock" in text
        last = text[text.rindex("\nFROM ") :]
        assert "RUN " not in last
        assert all("--require-hashes" in line or "--no-deps" in line for line in _pip_installs(text))


def _pip_installs(text: str) -> list[str]:
    commands = re.split(r"&&|\n(?! )", text.replace("\\\n", " "))
    return [command for command in commands if "pip" in command and " install " in command]
