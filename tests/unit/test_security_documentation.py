"""docs/security.md names tests that are there, each in the file it says, and fences that are shipped."""

import re
from pathlib import Path

from tradingbot_operator.plan.policies import SHIPPED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
NAMED = re.findall(r"(test_\w+)?::(test_\w+)", PAGE)
FILES: dict[str, str] = {}
for _path in (ROOT / "tests").rglob("test_*.py"):
    # Several tiers may have a file of one name.
    FILES[_path.stem] = f"{FILES.get(_path.stem, '')}\n{_path.read_text()}"


def _tests_of(text: str) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))


def test_every_test_that_the_page_names_exists() -> None:
    written = set().union(*map(_tests_of, FILES.values()))
    named = {test for _, test in NAMED}
    assert len(named) > 50
    assert named <= written, named - written


def test_a_test_that_is_named_with_its_file_is_in_it() -> None:
    # A name without a file is in the file that was named before.
    file = ""
    for given, test in NAMED:
        file = given or file
        assert test in _tests_of(FILES.get(file, "")), f"{file}::{test}"


def test_every_attack_has_a_fence_and_a_test() -> None:
    rows = [line.split("|")[1:-1] for line in _section("Attacks").splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 20
    for attack, who, fence, test in rows:
        assert attack.strip() and who.strip() and fence.strip(), attack
        assert "::test_" in test, attack


def test_every_policy_is_on_the_page() -> None:
    for name in {name.name for name in SHIPPED}:
        assert f"`{name}`" in PAGE, name


def _section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
