"""The tutorial can be followed: what it types exists, and what it shows is looked for. The e2e tier follows it."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

import demo
from demo_cluster import Embedded
from kubectl_tradingbot.cli import app as plugin
from tradingbot_api import KILL_ANNOTATION
from tutorial_page import PAGE, Step, missing, steps

ROOT = Path(__file__).parents[3]
STEPS = steps(PAGE.read_text(encoding="utf-8"))


def commands() -> list[list[str]]:
    """Every simple command of the page, as the shell splits it."""
    found = []
    for step in STEPS:
        for line in step.commands.splitlines():
            for part in re.split(r"\|\||&&|;|\|", _without_quotes(line)):
                words = [word for word in shlex.split(part) if word not in ("until", "do", "done")]
                found += [words] if words else []
    return found


def _without_quotes(line: str) -> str:
    """Quoted text keeps its place and loses what would split it."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", lambda match: re.sub(r"[|;&]", "_", match[0]), line)


def test_it_is_all_of_the_story() -> None:
    assert len(STEPS) > 15
    headings = [step.heading for step in STEPS]
    numbers = [int(heading.split(".")[0]) for heading in headings]
    assert numbers == sorted(numbers) and set(numbers) == set(range(1, max(numbers) + 1))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_block_is_what_bash_understands(step: Step) -> None:
    done = subprocess.run(["bash", "-n"], input=step.commands, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_known_programs_are_typed() -> None:
    assert {words[0] for words in commands()} == {"make", "mkdir", "kubectl", "eval", "grep", "tee", "echo", "sleep"}


def test_every_target_of_make_is_there() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    asked = {words[1] for words in commands() if words[0] == "make"}
    assert asked and asked <= set(targets)


def test_every_file_is_there() -> None:
    named = {word for words in commands() for word in words if word.startswith("manifests/")}
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    "words",
    [words for words in commands() if words[:2] == ["kubectl", "tradingbot"]],
    ids=lambda words: " ".join(words[2:4]),
)
def test_the_plugin_has_the_command_and_its_options(words: list[str]) -> None:
    known: Any = getattr(typer.main.get_command(plugin), "commands", {})[words[2]]
    options = {name for parameter in known.params if parameter.param_type_name == "option" for name in parameter.opts}
    assert {word for word in words[3:] if word.startswith("-")} <= options


def test_whoever_decides_does_so_in_their_own_name() -> None:
    decided = [
        words for words in commands() if words[:2] == ["kubectl", "tradingbot"] and words[2] in ("approve", "release")
    ]
    assert [words[words.index("--as") + 1] for words in decided] == ["bob", "alice", "rita"]


def test_nothing_waits_for_good_or_for_somebody_at_the_keyboard() -> None:
    for words in commands():
        assert not {"-w", "--watch", "-f", "--follow"} & set(words) or words[1] in ("apply", "create"), words
        if words[:2] == ["kubectl", "wait"] or words[:3] == ["kubectl", "rollout", "status"]:
            assert any(word.startswith("--timeout=") for word in words), words
        if words[:2] == ["kubectl", "tradingbot"] and words[2] in ("approve", "kill", "release"):
            assert "--yes" in words, words


def test_everything_is_done_in_the_tutorials_own_namespaces() -> None:
    for words in commands():
        if words[0] == "kubectl" and "-n" in words:
            assert words[words.index("-n") + 1] in ("tutorial", "tradingbot-system", "alpaca-simulator"), words


def test_its_annotation_is_the_kill() -> None:
    (taken_off,) = [words for words in commands() if words[:2] == ["kubectl", "annotate"]]
    assert taken_off[-1] == f"{KILL_ANNOTATION}-"


def test_what_make_cluster_up_prints_puts_the_cluster_and_the_plugin_into_a_shell(tmp_path: Path) -> None:
    cluster = Embedded({"TRADINGBOT_CLUSTER_STATE": str(tmp_path / "a state"), "TRADINGBOT_CACHE": str(tmp_path)})
    lines = "\n".join(demo.exports(cluster))
    script = f'PATH=/usr/bin:/bin\n{lines}\nprintf "%s\\n" "$KUBECONFIG" "$PATH"'
    shown = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown[0] == cluster.kubeconfig
    folders = shown[1].split(":")
    assert (Path(folders[0]) / "kubectl-tradingbot").exists()
    assert folders[1:] == [str(tmp_path / "bin"), "/usr/bin", "/bin"]


# ---------------------------------------------------------------- reading a page


def test_a_block_without_what_one_should_see_is_refused() -> None:
    with pytest.raises(ValueError, match="does not show"):
        steps("# One\n```sh\nls\n```\n\nand so on\n")
    with pytest.raises(ValueError, match="belongs to no commands"):
        steps("# One\n```yaml\na: 1\n```\n")


def test_a_block_is_read_with_its_heading() -> None:
    (step,) = steps("# One\n## Two\ntext\n```sh\nls\npwd\n```\n```text\na\n...\n```\n")
    assert step == Step("Two", "ls\npwd\n", ("a", "..."))


@pytest.mark.parametrize(
    ("shown", "output", "absent"),
    [
        (["a"], "b\n a \nc", None),
        (["a", "b"], "b\na", "b"),
        (["a  b"], "a b", None),
        (["a ... c"], "a c", None),
        (["a ... c"], "a b b c", None),
        (["a ... c"], "ab c", "a ... c"),
        (["... flat (...)"], "   0.61 s  demo/momentum: flat (2026)", None),
        (["... flat (...)"], "0.61 s  demo/momentum: not yet", "... flat (...)"),
        (["name-... is written"], "name-x7f is written", None),
        (["a.b"], "axb", "a.b"),
    ],
)
def test_what_is_shown_has_to_come_in_its_order(shown: list[str], output: str, absent: str | None) -> None:
    assert missing(shown, output) == absent


@settings(max_examples=60)
@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e.")), max_size=8),
    st.data(),
)
def test_any_of_its_own_lines_in_their_order_are_found(lines: list[str], data: st.DataObject) -> None:
    chosen = [line for line in lines if data.draw(st.booleans())]
    assert missing(chosen, "\n".join(lines)) is None or "\n".join(lines).splitlines() != lines
