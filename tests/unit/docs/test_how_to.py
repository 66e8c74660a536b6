"""The how-to pages: their commands exist, their objects are valid, their roles are those that are shipped."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import docs_reference
from kubectl_tradingbot.cli import app as plugin
from tradingbot_api import BrokerAccountSpec, TradingBotSpec
from tradingbot_operator.plan.litestream import S3_KEYS

ROOT = Path(__file__).parents[3]
PAGES = [*sorted((ROOT / "docs/how-to").glob("*.md")), ROOT / "docs/why-kubernetes.md", ROOT / "docs/tutorial.md"]
SPECS = {"TradingBot": TradingBotSpec, "BrokerAccount": BrokerAccountSpec}


def command_lines() -> list[Any]:
    """What is shown of `kubectl tradingbot` and of `tradingbot`, in blocks and within sentences."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        blocks = "\n".join(block for language, block in fenced if language in ("", "sh"))
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        inline = re.findall(r"`((?:kubectl )?tradingbot [^`]*)`", prose)
        for line in [*blocks.splitlines(), *inline]:
            match = re.search(r"(kubectl tradingbot|(?<![\w/-])tradingbot) ([a-z].*)", line)
            if match and not line.startswith(("helm ", "kubectl annotate", "kubectl rollout", "kubectl logs")):
                command = match[2].split(" | ")[0].split(" || ")[0]
                found.append(pytest.param(match[1], command, id=f"{page.stem}: {match[0][:50]}"))
    return found


@pytest.mark.parametrize(("program", "line"), command_lines())
def test_a_command_that_is_shown_exists_with_its_options(program: str, line: str) -> None:
    app = plugin if program.startswith("kubectl") else docs_reference.runtime
    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not getattr(command, "commands", {}), f"{program} {line}: no such command"
    options = {name for one in command.params if one.param_type_name == "option" for name in one.opts}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= options


def test_commands_are_found_at_all() -> None:
    assert len(command_lines()) > 25


def documents() -> list[Any]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            found += [pytest.param(one, id=f"{page.stem}: {one['kind']}") for one in yaml.safe_load_all(block)]
    return found


@pytest.mark.parametrize("document", documents())
def test_an_object_that_is_shown_is_valid(document: dict[str, Any]) -> None:
    if document["kind"] == "Pod":
        # Its volume and paths are those that the operator gives a bot.
        (container,) = document["spec"]["containers"]
        assert container["volumeMounts"][0]["mountPath"] == "/var/lib/tradingbot"
        assert "tradingbot state restore --state /var/lib/tradingbot " in " ".join(container["command"])
        for fetch in document["spec"].get("initContainers", ()):
            assert fetch["command"][:2] == ["litestream", "restore"]
            assert {entry["name"] for entry in fetch["env"]} == set(S3_KEYS)
    else:
        SPECS[document["kind"]].model_validate(document["spec"])


def test_the_account_page_shows_the_example_that_it_names() -> None:
    shown = re.search(r"^```yaml\n(.*?)^```$", (ROOT / "docs/how-to/alpaca-paper.md").read_text(), re.M | re.S)
    assert shown is not None
    example = yaml.safe_load_all((ROOT / "manifests/examples/alpaca-paper.yaml").read_text())
    by_kind = {one["kind"]: one for one in example}
    account, bot = yaml.safe_load_all(shown[1])
    assert account == by_kind["BrokerAccount"]
    assert bot["spec"].items() <= by_kind["TradingBot"]["spec"].items()


def test_the_roles_are_those_that_are_shipped_and_part_of_what_is_said() -> None:
    shipped = {}
    for role in yaml.safe_load_all((ROOT / "manifests/base/user-roles.yaml").read_text()):
        labels = role["metadata"].get("labels") or {}
        parts = [name.rpartition("-to-")[2] for name in labels if "aggregate-to-" in name]
        shipped[role["metadata"]["name"]] = ", ".join(f"`{part}`" for part in parts) or "nothing"
    page = (ROOT / "docs/how-to/approvals-and-roles.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(tradingbots-\w+)` \| .* \| (.*) \|$", page, re.MULTILINE)) == shipped
