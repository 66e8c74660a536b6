"""Writes docs/reference: a page for each custom resource from its CRD, and one for each program from its own help.

`python hack/docs.py generate` (`make generate`). Never edit what this writes: a field is explained in its model, and an
option where the program declares it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer
import yaml
from typer.testing import CliRunner

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca_simulator.cli import app as simulator
    from kubectl_tradingbot.cli import app as plugin
    from tradingbot_operator.cli import cli as operator
    from tradingbot_runtime.cli import app as runtime

ROOT = Path(__file__).resolve().parent.parent
CRDS = ROOT / "crds"
FOLDER = ROOT / "docs/reference"
_HELP_COLUMNS: Final = 120
_PLAIN: Final[dict[str, str | None]] = {"NO_COLOR": "1", "FORCE_COLOR": None, "TTY_COMPATIBLE": None, "TERM": None}
_CUT: Final = re.compile(r"--[a-z-]*…")
_MOST_DEPTH: Final = 12
"""Of objects in objects, far above what any CRD of ours has."""

Schema = Mapping[str, Any]


# Custom resources ------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """One object of a resource, with its own fields."""

    path: str
    schema: Schema


def resource_page(crd: Mapping[str, Any]) -> str:
    """A kind: its names, its columns, every field of spec and status, and every rule."""
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    lines = [
        f"# {names['kind']}",
        "",
        schema["description"],
        "",
        f"`apiVersion: {crd['spec']['group']}/{version['name']}`, `kind: {names['kind']}`; namespaced. For kubectl:"
        f" {', '.join(f'`{name}`' for name in (names['plural'], names['singular'], *names.get('shortNames', [])))}.",
        "",
        *_rules(schema, "Rules for the object as a whole"),
    ]
    for part in ("spec", "status"):
        if part in schema.get("properties", {}):
            for section in _sections(part, schema["properties"][part]):
                lines += _section(section)
    if "status" in schema.get("properties", {}):
        lines += ["Its conditions, each reason with what it means: [troubleshooting](../troubleshooting.md).", ""]
    return "\n".join([*lines, *_columns(version)]).rstrip() + "\n"


def _sections(path: str, schema: Schema, depth: int = 0) -> Iterator[Section]:
    """This object and those in it, the outer ones first."""
    if depth > _MOST_DEPTH:
        raise ValueError(f"{path}: too deep")
    yield Section(path, schema)
    for name, below in schema.get("properties", {}).items():
        inner, suffix = _inner(below)
        if inner.get("properties"):
            yield from _sections(f"{path}.{name}{suffix}", inner, depth + 1)


def _inner(schema: Schema) -> tuple[Schema, str]:
    """What a list or a map holds, and how its path is written."""
    if schema.get("type") == "array":
        return schema["items"], "[]"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return schema["additionalProperties"], "{}"
    return schema, ""


def _section(section: Section) -> list[str]:
    required = section.schema.get("required", [])
    depth = 2 if "." not in section.path else 3
    lines = [f"{'#' * depth} {section.path}", ""]
    if section.schema.get("description"):
        lines += [section.schema["description"], ""]
    lines += ["| field | type | default | what |", "|---|---|---|---|"]
    for name, schema in section.schema.get("properties", {}).items():
        inner, suffix = _inner(schema)
        below = f"{section.path}.{name}{suffix}"
        shown = f"[`{name}`](#{anchor(below)})" if inner.get("properties") else f"`{name}`"
        default = "required" if name in required else _default(schema)
        what = [schema.get("description", ""), *(f"*{rule['message']}*" for rule in _validations(schema, inner))]
        lines.append(
            f"| {shown} | {type_of(schema)} | {default} | {_cell('<br>'.join(part for part in what if part))} |"
        )
    return [*lines, "", *_rules(section.schema, "Rules")]


def _validations(schema: Schema, inner: Schema) -> list[Mapping[str, str]]:
    """Rules of a field that has no section of its own to say them in."""
    if inner.get("properties"):
        return list(schema.get("x-kubernetes-validations", [])) if inner is not schema else []
    found = list(schema.get("x-kubernetes-validations", []))
    return found + (list(inner.get("x-kubernetes-validations", [])) if inner is not schema else [])


def _rules(schema: Schema, title: str) -> list[str]:
    rules = schema.get("x-kubernetes-validations", [])
    if not rules:
        return []
    return [
        f"{title}; what breaks one is refused with its words:",
        "",
        *(f"- {_text(rule['message'])}" for rule in rules),
        "",
    ]


def _columns(version: Mapping[str, Any]) -> list[str]:
    columns = version.get("additionalPrinterColumns", [])
    if not columns:
        return []
    lines = ["## kubectl get", "", "| column | from | what |", "|---|---|---|"]
    for column in columns:
        parts = [column.get("description", ""), "(with `-o wide`)" if column.get("priority") else ""]
        means = " ".join(part for part in parts if part)
        lines.append(f"| {column['name'].upper()} | `{_cell(column['jsonPath'])}` | {_cell(means)} |")
    return [*lines, ""]


def type_of(schema: Schema) -> str:
    """Type and bounds of a field, in words."""
    kind = schema.get("type", "any")
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if kind == "array":
        unique = ", none twice" if schema.get("x-kubernetes-list-type") == "set" else ""
        keys = schema.get("x-kubernetes-list-map-keys")
        unique = f", one for each {' and '.join(f'`{key}`' for key in keys)}" if keys else unique
        return f"list of: {type_of(schema['items'])}{_count(schema, 'Items', 'entry', 'entries')}{unique}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to: {type_of(schema['additionalProperties'])}{_count(schema, 'Properties', 'entry', 'entries')}"
    if kind == "object":
        return "object, not looked into" if schema.get("x-kubernetes-preserve-unknown-fields") else "object"
    bounds = _range(schema) + _count(schema, "Length", "character", "characters")
    pattern = f", matches `{_cell(schema['pattern'])}`" if "pattern" in schema else ""
    return f"{kind}{bounds}{pattern}"


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", at least {low}" if low is not None else f", at most {high}" if high is not None else ""


def _count(schema: Schema, of: str, one: str, many: str) -> str:
    low, high = schema.get(f"min{of}", 0), schema.get(f"max{of}")
    if low and high is not None:
        return f", {low} to {high} {many}" if low != high else f", {low} {one if low == 1 else many}"
    if high is not None:
        return f", at most {high} {one if high == 1 else many}"
    return f", at least {low} {one if low == 1 else many}" if low else ""


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    # An empty object takes the defaults of its own fields.
    return "" if schema["default"] == {} and schema.get("properties") else f"`{_cell(json.dumps(schema['default']))}`"


def anchor(heading: str) -> str:
    """What a heading is linked by, on the site and in the repository alike."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """On one line."""
    return " ".join(text.split())


# Programs -------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """A command of ours."""

    name: str
    app: typer.Typer
    says: str
    """Where else to read on."""


PROGRAMS: Final = (
    Program(
        "tradingbot", runtime, "With examples and exit codes: [the commands of `tradingbot`](../runtime-commands.md)."
    ),
    Program("tradingbot-operator", operator, "How to run it: [the operator in operation](../operator.md)."),
    Program("alpaca-simulator", simulator, "What it does: [the Alpaca simulator](../simulator.md)."),
    Program(
        "kubectl-tradingbot", plugin, "With examples and exit codes: [kubectl tradingbot](../kubectl-tradingbot.md)."
    ),
)


def program_page(program: Program) -> str:
    """A program: the help of each of its commands, as it prints it."""
    parts = [f"# {program.name}\n\nWhat `--help` says, command by command. {program.says}\n"]
    for path in _commands(typer.main.get_command(program.app)):
        title = " ".join((program.name, *path)) if path else "The program itself"
        parts.append(f"## {title}\n\n```text\n{help_of(program, path)}\n```\n")
    return "\n".join(parts)


def help_of(program: Program, path: tuple[str, ...]) -> str:
    """What the program prints for `PATH --help`."""
    environment = _PLAIN | {"COLUMNS": str(_HELP_COLUMNS)}
    done = CliRunner().invoke(program.app, [*path, "--help"], prog_name=program.name, env=environment)
    if done.exit_code != 0:
        raise ValueError(f"{program.name} {' '.join(path)} --help ended with {done.exit_code}: {done.output}")
    if _CUT.search(done.output):
        raise ValueError(f"{program.name} {' '.join(path)}: a name does not fit into {_HELP_COLUMNS} columns")
    return "\n".join(line.rstrip() for line in done.output.strip("\n").splitlines())


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _commands(below, (*path, name))


# Both -------------------------------------------------------------------------------


def resources() -> list[dict[str, Any]]:
    """The CRDs, in the order in which one meets them."""
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CRDS.glob("tradingbots.dev_*.yaml"))]
    first = [
        "TradingBot",
        "BrokerAccount",
        "PromotionGate",
        "PromotionEvidence",
        "Approval",
        "Attestation",
        "KillRecord",
        "ValidationRun",
    ]
    order = {kind: number for number, kind in enumerate(first)}
    return sorted(found, key=lambda crd: (order.get(_kind(crd), len(order)), _kind(crd)))


def _kind(crd: Mapping[str, Any]) -> str:
    return str(crd["spec"]["names"]["kind"])


def _index(crds: list[dict[str, Any]]) -> str:
    lines = [
        "# Reference",
        "",
        "Written by `make generate` from the CustomResourceDefinitions and the programs; `make lint` compares.",
        "",
        "| kind | what it is |",
        "|---|---|",
    ]
    for crd in crds:
        description = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"]
        lines.append(f"| [{_kind(crd)}]({_kind(crd).lower()}.md) | {_cell(description)} |")
    lines += ["", "| program | what it is |", "|---|---|"]
    for program in PROGRAMS:
        said = str(program.app.info.help or "").split("\n\n")[0]
        lines.append(f"| [{program.name}](command-{program.name}.md) | {_cell(said)} |")
    return "\n".join(lines) + "\n"


def contents() -> dict[Path, str]:
    """Every page, as it should be."""
    crds = resources()
    pages = {FOLDER / f"{_kind(crd).lower()}.md": resource_page(crd) for crd in crds}
    pages |= {FOLDER / f"command-{program.name}.md": program_page(program) for program in PROGRAMS}
    return pages | {FOLDER / "README.md": _index(crds)}


def stale() -> list[Path]:
    """Pages that are not as they should be, or should not be there."""
    return _stale(contents())


def _stale(wanted: Mapping[Path, str]) -> list[Path]:
    changed = {path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text}
    return sorted(changed | (set(FOLDER.glob("*")) - wanted.keys()))


def write() -> list[Path]:
    """Writes everything anew; what was changed."""
    wanted = contents()
    changed = _stale(wanted)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in changed:
        if path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return changed
