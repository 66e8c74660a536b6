"""docs/order-faults.md says what becomes of each kind of order under each fault: every cell is played here."""

from pathlib import Path

import pytest

from simulation.order_faults import FAULTS, all_outcomes, table

OUTCOMES = {"taken once", "never sent", "known by asking", "rejected"}
PAGE = Path(__file__).parents[2] / "docs" / "order-faults.md"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_kind_of_order_ends_as_the_page_says(tmp_path: Path, fault: str) -> None:
    lines = table(all_outcomes(tmp_path, [fault]))[2:]
    assert lines
    assert [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {fault} |")] == lines


def test_the_page_has_no_fault_that_is_not_played() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert set(rows) - {"fault", "outcome"} - OUTCOMES == set(FAULTS)
