"""Every condition and reason that the operator writes by name is in docs/troubleshooting.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PLAN = ROOT / "operator/tradingbot_operator/plan"
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
SAID_BY = {"true", "false", "unknown"}


def constants() -> dict[str, str]:
    """Names of the plan's modules that stand for a text."""
    found = {}
    for path in PLAN.glob("*.py"):
        for line in ast.parse(path.read_text(encoding="utf-8")).body:
            target = (
                line.target
                if isinstance(line, ast.AnnAssign)
                else line.targets[0]
                if isinstance(line, ast.Assign)
                else None
            )
            value = getattr(line, "value", None)
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[target.id] = value.value
    return found


def said() -> Iterator[tuple[str, str]]:
    """Condition and reason of each call that names both."""
    known = constants()

    def text(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return known.get(node.id)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None

    for path in PLAN.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAID_BY:
                kind, reason = (text(argument) for argument in node.args[:2])
                if kind is not None and reason is not None:
                    yield kind, reason


def test_every_condition_and_reason_is_explained() -> None:
    found = set(said())
    assert {("Killed", "NoKill"), ("StorageGrown", "Resizing")} <= found
    words = {word for pair in found for word in pair}
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", PAGE)) == []
