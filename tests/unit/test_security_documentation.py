"""docs/security.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"::(test_\w+)", (ROOT / "docs/security.md").read_text()))
    files = [(ROOT / "tests/cluster" / name).read_text() for name in ("test_access.py", "test_policies.py")]
    written = {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 20
    assert named <= written, named - written
