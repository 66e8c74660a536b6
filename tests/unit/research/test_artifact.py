"""What a validation leaves: the same bytes for the same inputs, hashes that hold, a page that asks nobody."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

from tradingbot_api import ValidationEvidence
from tradingbot_research.artifact import Inputs, NotReproduced, sha256_of, verified
from tradingbot_research.charts import MOST_POINTS, thinned, ticks
from tradingbot_research.publish import MOST_EVIDENCE_BYTES, evidence, publish, termination_message
from tradingbot_research.report import months_of, page
from tradingbot_research.validate import Plan, Validation, validate
from tradingbot_research.walk_forward import Scheme
from tradingbot_runtime.strategies.momentum import Momentum
from unit.research.candidates import RULES, Dice, market_of_moods, market_of_noise

PLAN = Plan(trials=5, scheme=Scheme(windows=3), permutations=200)
MOMENTUM = Momentum.from_parameters({"lookback": 15, "max_weight": 0.5})


def made(seed: int = 2) -> tuple[Validation, Inputs]:
    bars = market_of_moods(seed, days=1200)
    found = validate(MOMENTUM, bars, RULES, PLAN, processes=1)
    return found, Inputs.of(MOMENTUM, bars, "1Day", RULES, PLAN)


@cache
def one() -> tuple[Validation, Inputs]:
    return made()


class TestFolder:
    def test_the_same_inputs_leave_the_same_bytes(self, tmp_path: Path) -> None:
        first, second = publish(tmp_path / "a", *one()), publish(tmp_path / "b", *made())
        assert first.folder.name == second.folder.name
        assert first.digest == second.digest
        for path in first.folder.iterdir():
            assert path.read_bytes() == (second.folder / path.name).read_bytes(), path.name

    def test_other_bars_are_another_folder(self, tmp_path: Path) -> None:
        assert publish(tmp_path, *one()).folder != publish(tmp_path, *made(seed=3)).folder

    def test_the_manifest_names_inputs_and_every_file_with_its_hash(self, tmp_path: Path) -> None:
        found, inputs = one()
        folder = publish(tmp_path, found, inputs, ["doubt"]).folder
        manifest = json.loads((folder / "manifest.json").read_text())
        assert {one["name"]: one["sha256"] for one in manifest["files"]} == {
            path.name: sha256_of(path) for path in folder.iterdir() if path.name != "manifest.json"
        }
        assert manifest["inputs"]["data"]["fingerprint"] == found.backtest.bars.fingerprint
        assert manifest["inputs"]["parameters"] == {"lookback": 15, "max_weight": 0.5, "threshold_percent": 0.0}
        assert manifest["inputs"]["rules"]["costs"]["slippage_bps"] > 0
        assert manifest["inputs"]["plan"]["seed"] == 1
        assert {"python", "numpy", "pandas", "pyarrow"} <= set(manifest["inputs"]["versions"])
        assert manifest["results"]["warnings"] == ["doubt"]

    def test_the_tables_hold_what_happened(self, tmp_path: Path) -> None:
        found, inputs = one()
        folder = publish(tmp_path, found, inputs).folder
        trades, equity = pq.read_table(folder / "trades.parquet"), pq.read_table(folder / "equity.parquet")
        assert trades.num_rows == found.metrics.fills
        np.testing.assert_array_equal(equity["equity"].to_numpy(), found.backtest.equity)
        np.testing.assert_array_equal(equity["position S01"].to_numpy(), found.backtest.positions[:, 1])
        assert pq.read_table(folder / "trials.parquet").num_rows == 6

    def test_once_more_is_no_error_and_another_result_is(self, tmp_path: Path) -> None:
        written = publish(tmp_path, *one())
        assert publish(tmp_path, *one()) == written
        (written.folder / "manifest.json").write_text("{}")
        with pytest.raises(NotReproduced, match="another result"):
            publish(tmp_path, *one())
        assert [path.name for path in tmp_path.iterdir()] == [written.folder.name]

    def test_a_file_that_was_changed_is_seen(self, tmp_path: Path) -> None:
        written = publish(tmp_path, *one())
        assert verified(written)
        (written.folder / "report.html").write_text("all is well")
        assert not verified(written)
        assert not evidence(*one(), written).artifacts_verified


class TestEvidence:
    def test_it_is_what_a_gate_reads_and_fits_a_termination_message(self, tmp_path: Path) -> None:
        found, inputs = one()
        text = termination_message(evidence(found, inputs, publish(tmp_path, found, inputs), "sha256:" + "a" * 64))
        assert len(text.encode()) <= MOST_EVIDENCE_BYTES
        read = ValidationEvidence.model_validate_json(text)
        assert float(read.sharpe) == pytest.approx(found.metrics.sharpe, abs=1e-4)
        assert read.artifacts[0].name == "manifest.json"
        assert read.artifacts_verified and read.causal
        assert read.code_digest == "sha256:" + "a" * 64
        assert read.data_fingerprint == found.backtest.bars.fingerprint

    def test_rounding_never_helps(self, tmp_path: Path) -> None:
        found, inputs = one()
        read = evidence(found, inputs, publish(tmp_path, found, inputs))
        assert float(read.sharpe) <= found.metrics.sharpe
        assert float(read.t_statistic) <= found.t_test.t
        assert float(read.permutation_p) >= found.permutation.p
        assert float(read.max_drawdown_percent) >= found.metrics.max_drawdown * 100
        assert float(read.overfit_ratio) >= found.overfit_ratio
        assert float(read.deflated_sharpe) <= found.deflated_sharpe

    def test_it_says_that_a_strategy_knows_the_future(self, tmp_path: Path) -> None:
        found, inputs = one()
        found = replace(found, causality="the targets of 2020-01-02 change with bars that come later")
        assert evidence(found, inputs, publish(tmp_path, found, inputs)).causal is False

    def test_the_order_of_symbols_is_no_other_parameter(self) -> None:
        bars = market_of_moods(2, days=60)
        turned = bars.only(["S01", "S00"])
        digests = {Inputs.of(MOMENTUM, each, "1Day", RULES, PLAN).parameters_digest for each in (bars, turned)}
        assert len(digests) == 1


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in {"meta", "rect", "line", "polyline", "polygon"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"rect", "line", "polyline", "polygon"} or (self.open and self.open[-1] == tag):
            assert self.open.pop() == tag


class TestReport:
    def test_it_asks_nobody_for_anything(self) -> None:
        text = page(*one())
        assert "default-src 'none'" in text
        assert re.search(r"https?:|//\w|url\(|@import|<script|<link|<img|src=|href=", text) is None

    def test_it_is_whole(self) -> None:
        text = page(*one())
        tags = Tags()
        tags.feed(re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL))
        assert tags.open == []
        charts = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
        assert len(charts) == 5
        for chart in charts:
            ElementTree.fromstring(chart)  # noqa: S314 # our own text
            assert "nan" not in chart

    def test_every_check_is_on_it_with_its_verdict(self) -> None:
        found, inputs = one()
        text = page(found, inputs)
        assert all(check.name in text for check in found.checks)
        assert "Every check is passed" in text

    def test_a_failure_is_the_first_thing_it_says(self) -> None:
        bars, dice = market_of_noise(1, days=500), Dice.from_parameters({"number": 3})
        found = validate(dice, bars, RULES, PLAN, processes=1)
        text = page(found, Inputs.of(dice, bars, "1Day", RULES, PLAN))
        assert re.search(r'class="verdict failed">. \d of 7 checks failed', text)

    def test_a_strategy_that_never_trades_has_a_page_too(self) -> None:
        bars, idle = market_of_noise(1, days=200), Momentum.from_parameters({"threshold_percent": 100.0})
        found = validate(idle, bars, RULES, PLAN, processes=1)
        assert not found.passed
        text = page(found, Inputs.of(idle, bars, "1Day", RULES, PLAN))
        assert "nan" not in "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))

    def test_words_of_others_are_escaped(self) -> None:
        text = page(*one(), warnings=["<script>alert(1)</script>"])
        assert "<script" not in text
        assert "&lt;script&gt;" in text

    def test_it_is_for_light_and_dark(self) -> None:
        assert "prefers-color-scheme: dark" in page(*one())

    def test_months_make_the_whole(self) -> None:
        found, _ = one()
        months = [value for year in months_of(found).values() for value in year.values()]
        assert np.prod(1 + np.array(months)) - 1 == pytest.approx(found.metrics.total_return)


class TestCharts:
    def test_a_thinned_line_keeps_its_highest_and_lowest(self) -> None:
        values = np.random.default_rng(1).normal(size=100_000).cumsum()
        places = thinned(values)
        assert len(places) <= MOST_POINTS + 2
        assert {int(values.argmin()), int(values.argmax()), 0, 99_999} <= set(places.tolist())

    def test_ticks_are_round_numbers(self) -> None:
        assert ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
        assert ticks(-0.013, 0.021, 3) == pytest.approx([0.0, 0.02])
        assert ticks(5.0, 5.0) == [5.0]
