"""docs/reference is what the CRDs and the programs say, whole."""

from pathlib import Path
from typing import Any

import pytest
import typer

import docs_reference
from docs_reference import PROGRAMS, anchor, resource_page, resources, type_of


def test_it_is_what_the_code_says() -> None:
    stale = [path.name for path in docs_reference.stale()]
    assert stale == [], "run `make generate`"


def fields(schema: Any) -> list[str]:
    found = []
    for name, below in schema.get("properties", {}).items():
        found.append(name)
        found += fields(below.get("items", below))
    return found


@pytest.mark.parametrize("crd", resources(), ids=lambda crd: crd["spec"]["names"]["singular"])
def test_every_field_rule_and_column_of_a_kind_is_on_its_page(crd: dict[str, Any]) -> None:
    page = resource_page(crd)
    version = crd["spec"]["versions"][0]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    named = [name for part in ("spec", "status") if part in properties for name in fields(properties[part])]
    assert named
    assert [name for name in named if f"`{name}`" not in page] == []
    assert [rule for rule in rules(version["schema"]["openAPIV3Schema"]) if rule.replace("|", "\\|") not in page] == []
    assert [
        one["name"] for one in version["additionalPrinterColumns"] if f"| {one['name'].upper()} |" not in page
    ] == []


def rules(schema: Any) -> list[str]:
    if not isinstance(schema, dict):
        return []
    below = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    own = [" ".join(rule["message"].split()) for rule in schema.get("x-kubernetes-validations", [])]
    return own + [rule for part in below for rule in rules(part)]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer, 1 to 9"),
        ({"type": "integer", "minimum": 0}, "integer, at least 0"),
        ({"type": "string", "enum": ["a", "b"]}, "one of `a`, `b`"),
        (
            {"type": "string", "minLength": 1, "maxLength": 63, "pattern": "a|b"},
            "string, 1 to 63 characters, matches `a\\|b`",
        ),
        ({"type": "array", "maxItems": 3, "items": {"type": "boolean"}}, "list of: boolean, at most 3 entries"),
        (
            {"type": "array", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object"}},
            "list of: object, one for each `name`",
        ),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "map to: string"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "object, not looked into"),
        ({"x-kubernetes-int-or-string": True}, "integer or string"),
    ],
)
def test_a_type_is_said_with_its_bounds(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema) == words


def test_a_section_is_linked_as_the_site_and_the_repository_name_it() -> None:
    assert anchor("spec.stages[]") == "specstages"
    assert anchor("spec.podLabels{}") == "specpodlabels"
    assert anchor("What it means") == "what-it-means"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_command_and_option_of_a_program_is_on_its_page(program: docs_reference.Program) -> None:
    page = (docs_reference.FOLDER / f"command-{program.name}.md").read_text(encoding="utf-8")

    def look(command: Any, path: str) -> None:
        for name, below in getattr(command, "commands", {}).items():
            if not below.hidden:
                assert f"\n## {path} {name}\n" in page
                look(below, f"{path} {name}")
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert max(parameter.opts, key=len) in page

    look(typer.main.get_command(program.app), program.name)


def test_the_help_does_not_depend_on_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = docs_reference.help_of(PROGRAMS[1], ("run",))
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert docs_reference.help_of(PROGRAMS[1], ("run",)) == shown
    assert "\x1b" not in shown
    assert str(Path.home()) not in shown
