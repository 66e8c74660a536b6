"""The test runner's judgement: what counts as passed, failed and left out, here and in CI."""

from pathlib import Path

import pytest

import tiers
from tiers import Result

RECORD = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest">
<testcase classname="tests.unit.test_a" name="test_good" time="0.1"/>
<testcase classname="tests.unit.test_a" name="test_expected"><skipped type="pytest.xfail" message="known"/></testcase>
<testcase classname="tests.unit.test_a" name="test_left_out"><skipped type="pytest.skip" message="no root"/></testcase>
<testcase classname="tests.unit.test_a" name="test_bad"><failure message="assert 1 == 2&#10;more">t</failure></testcase>
<testcase classname="tests.unit.test_a" name="test_broken"><error message="fixture">trace</error></testcase>
</testsuite></testsuites>
"""
PASSING = '<testsuites><testsuite><testcase classname="a" name="b"/></testsuite></testsuites>'


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "unit.xml"
    path.write_text(RECORD)
    return path


class TestResults:
    def test_everything_is_counted_and_the_reasons_are_kept(self, record: Path) -> None:
        result = tiers.read_results("unit", record, 1)
        assert (result.passed, result.failed, result.skipped) == (2, 2, 1)
        assert result.reasons == (
            "tests.unit.test_a.test_bad: assert 1 == 2",
            "tests.unit.test_a.test_broken: fixture",
            "skipped tests.unit.test_a.test_left_out: no root",
        )

    def test_a_run_that_left_no_record_has_failed(self, tmp_path: Path) -> None:
        assert tiers.read_results("unit", tmp_path / "none.xml", 3).failed == 1

    def test_a_run_that_ended_badly_with_every_test_passed_has_failed(self, tmp_path: Path) -> None:
        path = tmp_path / "unit.xml"
        path.write_text(PASSING)
        assert tiers.read_results("unit", path, 0).failed == 0
        assert tiers.read_results("unit", path, 3).failed == 1
        assert "over its time" in tiers.read_results("unit", path, -1).reasons[0]

    def test_no_test_selected_is_no_run(self, tmp_path: Path) -> None:
        assert tiers.read_results("unit", tmp_path / "none.xml", tiers.NO_TESTS).did_not_run


class TestJudgement:
    def test_a_tier_that_cannot_run_is_a_skip_here_and_a_failure_in_ci(self) -> None:
        absent = Result("e2e", did_not_run=True, reasons=("no Docker",))
        here, there = tiers.judge(absent, in_ci=False), tiers.judge(absent, in_ci=True)
        assert (here.failed, here.skipped) == (0, 1)
        assert (there.failed, there.skipped) == (1, 0)

    def test_a_skipped_test_is_a_failure_in_ci(self) -> None:
        some = Result("unit", passed=5, skipped=2)
        assert tiers.judge(some, in_ci=False) == some
        assert (tiers.judge(some, in_ci=True).failed, tiers.judge(some, in_ci=True).skipped) == (2, 0)


class TestSummary:
    def test_the_last_line_is_the_sum_and_stands_alone(self) -> None:
        results = [Result("lint", passed=7), Result("unit", passed=3, failed=1, skipped=2, reasons=("why",))]
        text = tiers.summary(results, in_ci=False)
        assert text.splitlines()[-1] == "10 passed, 1 failed, 2 skipped"
        assert "unit: why" in text

    def test_a_tier_that_did_not_run_says_so(self) -> None:
        assert "did not run" in tiers.summary([Result("e2e", did_not_run=True, skipped=1)], in_ci=False)


def summarized(covered: int, branches: int) -> dict[str, dict[str, int]]:
    lines = {"covered_lines": 1, "num_statements": 1}
    return {"summary": {"covered_branches": covered, "num_branches": branches, **lines}}


class TestCoverage:
    def test_each_held_package_has_its_own_share(self) -> None:
        files = {f"{folder}a.py": summarized(95, 100) for folder in tiers.HELD_TO_BRANCHES.values()}
        assert tiers.judge_coverage(files)[1] == []
        files[tiers.HELD_TO_BRANCHES["core"] + "b.py"] = summarized(0, 50)
        [shortfall] = tiers.judge_coverage(files)[1]
        assert "core" in shortfall and "63.3 %" in shortfall

    def test_a_package_that_no_test_reached_falls_short(self) -> None:
        assert len(tiers.judge_coverage({"elsewhere/a.py": summarized(1, 1)})[1]) == len(tiers.HELD_TO_BRANCHES)

    def test_the_held_packages_exist(self) -> None:
        assert [folder for folder in tiers.HELD_TO_BRANCHES.values() if not (tiers.ROOT / folder).is_dir()] == []


class TestArguments:
    def test_what_follows_two_dashes_goes_to_pytest(self) -> None:
        assert tiers._split(["unit", "--", "-k", "x"]) == (["unit"], ["-k", "x"])
        assert tiers._split(["unit", "--"]) == (["unit"], [])
        assert tiers._split(["unit"]) == (["unit"], [])

    def test_the_seed_is_the_same_until_another_is_asked_for(self) -> None:
        assert tiers._seed({}) == tiers._seed({"SEED": ""})
        assert tiers._seed({"SEED": "7"}) == 7

    def test_every_tier_with_tests_has_a_limit(self) -> None:
        assert set(tiers.LIMIT_MINUTES) == set(tiers.USUAL_MINUTES) == set(tiers.TIERS) - {"lint"}

    def test_a_tier_that_hangs_leaves_all_others_their_usual_time(self) -> None:
        for tier, limit in tiers.LIMIT_MINUTES.items():
            others = (minutes for other, minutes in tiers.USUAL_MINUTES.items() if other != tier)
            assert 1.2 * tiers.USUAL_MINUTES[tier] < limit <= 85 - sum(others)

    def test_a_run_that_strikes_everything_may_take_longer(self) -> None:
        usual = tiers.limit_minutes("cluster", {"TRADINGBOT_FAULTS_EVERYWHERE": ""})
        assert usual == tiers.LIMIT_MINUTES["cluster"]
        assert tiers.limit_minutes("cluster", {"TRADINGBOT_FAULTS_EVERYWHERE": "1"}) == 4 * usual
