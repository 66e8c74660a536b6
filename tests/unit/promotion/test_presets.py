"""The gates that are shipped: they are valid, ask for what their first lines say, and docs/gates.md tells of each line
of theirs who answers for it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tradingbot_api import CheckKind, Checks, ItemKind, ItemSource, PromotionGateSpec
from tradingbot_operator.promotion.checks import Case, all_checks
from tradingbot_operator.promotion.ledger import Ledger
from unit.promotion.cases import NOW, SPEC

ROOT = Path(__file__).parents[3]
GATES = ROOT / "manifests" / "gates"
PAGE = (ROOT / "docs" / "gates.md").read_text()
WITH_A_TABLE = ("production-readiness", "hardening-80")


def a_gate(name: str) -> PromotionGateSpec:
    document = yaml.safe_load((GATES / f"{name}.yaml").read_text())
    assert document["metadata"]["name"] == name
    return PromotionGateSpec.model_validate(document["spec"])


def kinds_of(gate: PromotionGateSpec) -> dict[str, CheckKind]:
    """Every check of a gate by the name that the checklist has for it."""
    nothing = Case(SPEC, Ledger(), NOW, subject_is_known=False, incidents=None, killed=None)
    return {check.name: check.kind for check in all_checks(gate.checks, nothing)}


@pytest.mark.parametrize(
    "path", sorted(set(GATES.glob("*.yaml")) - {GATES / "kustomization.yaml"}), ids=lambda path: path.stem
)
def test_every_shipped_gate_can_be_read(path: Path) -> None:
    gate = a_gate(path.stem)
    assert len({item.name for item in gate.items}) == len(gate.items)
    assert f"| `{path.stem}` |" in PAGE


def test_standard_asks_for_everything() -> None:
    assert a_gate("standard").checks == Checks()


def test_the_demo_names_no_drill_and_no_validation() -> None:
    checks = a_gate("demo").checks
    assert checks.required_drills.kind is checks.validation_artifacts.kind is CheckKind.NOT_APPLICABLE
    assert checks.paper_sessions.minimum == 30


def test_readiness_leaves_out_no_check_and_no_item_of_its_is_mere_weight() -> None:
    gate = a_gate("production-readiness")
    assert kinds_of(gate) == kinds_of(a_gate("standard"))
    assert {item.kind for item in gate.items} == {ItemKind.BLOCKING}


def test_the_list_of_eighty_has_eighty_lines_of_weight_one() -> None:
    gate = a_gate("hardening-80")
    checks = [getattr(gate.checks, name) for name in Checks.model_fields]
    weighted = [check.weight for check in checks if getattr(check, "kind", None) is CheckKind.WEIGHTED]
    items = [item.weight for item in gate.items if item.kind is ItemKind.WEIGHTED]
    assert len(items) == len(gate.items)
    assert weighted + items == [1] * 80


def test_what_is_attested_goes_stale_within_a_week() -> None:
    for name in WITH_A_TABLE:
        attested = [item for item in a_gate(name).items if item.source is ItemSource.ATTESTED]
        assert attested
        assert {item.max_age for item in attested} == {"7d"}


# ---------------------------------------------------------------------- who answers for what


def rows(gate: str) -> list[str]:
    """Who says so, line by line, as the page has it."""
    table = PAGE.split(f"\n### {gate}\n")[1].split("\n### ")[0]
    lines = [line for line in table.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(line.split("|")[1]) for line in lines] == list(range(1, len(lines) + 1))
    return [line.split("|")[-2].strip() for line in lines]


def named(gate: str) -> Iterator[tuple[str, str]]:
    """What the rows name, each with the word before it: check, drill, attested, signed."""
    for who in rows(gate):
        word = ""
        for part in re.findall(r"`[A-Za-z0-9-]+`|[a-z]+", who):
            if part.startswith("`"):
                assert word in {"check", "drill", "attested", "signed"}, who
                yield word, part.strip("`")
            else:
                word = part.removesuffix("s")
        assert word, who


@pytest.mark.parametrize("name", WITH_A_TABLE)
def test_the_page_names_every_item_of_a_gate_and_who_answers_for_it(name: str) -> None:
    words = {"attested": ItemSource.ATTESTED, "signed": ItemSource.MANUAL}
    on_the_page = [(what, words[word]) for word, what in named(name) if word in words]
    assert sorted(on_the_page) == sorted((item.name, item.source) for item in a_gate(name).items)


@pytest.mark.parametrize("name", WITH_A_TABLE)
def test_the_page_names_every_check_of_a_gate_and_each_drill_it_requires(name: str) -> None:
    gate = a_gate(name)
    checks = {what for word, what in named(name) if word == "check"}
    drills = [what for word, what in named(name) if word == "drill"]
    if drills:
        checks.add("RequiredDrills")
    intro = PAGE.split(f"\n### {name}\n")[1].split("|")[0]
    checks |= {check for check in kinds_of(gate) if check in intro}
    assert checks == {check for check, kind in kinds_of(gate).items() if kind is not CheckKind.NOT_APPLICABLE}
    assert drills == [drill.value for drill in gate.checks.required_drills.drills]


def test_the_list_of_eighty_has_a_row_for_each_of_its_lines() -> None:
    assert len(rows("hardening-80")) == 80


def test_the_page_tells_kind_and_weight_of_every_check_as_the_defaults_have_them() -> None:
    told = dict(re.findall(r"^\| ([A-Z][A-Za-z]+) \| (B(?:, always)?|W \d+) \|", PAGE, re.M))
    defaults = {}
    for name, kind in kinds_of(PromotionGateSpec()).items():
        field = getattr(Checks(), re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(), None)
        if kind is CheckKind.WEIGHTED:
            assert field is not None
            defaults[name] = f"W {field.weight}"
        else:
            defaults[name] = "B" if hasattr(field, "kind") else "B, always"
    assert told == defaults


def test_each_gate_ends_in_a_stage_that_stays() -> None:
    for name in ("standard", *WITH_A_TABLE):
        stages = a_gate(name).stages
        assert [stage.sessions is None for stage in stages] == [False] * (len(stages) - 1) + [True]
