"""The bench beside other backtest engines: what it takes for the same trades, and what it does when one is missing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lock
from bench import backtest_peers, environments
from bench.backtest_work import AnotherTrade, compare, drawn, reference
from bench.environments import NotInstallable, python_of
from bench.harness import Scale
from bench.peers.work import Found, Work

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = Found([(0, 3, 10.0), (0, 9, -10.0), (1, 4, 2.0)], [105.0, 99.0])


def test_our_engine_makes_the_trades_of_the_plain_loop(tmp_path: Path) -> None:
    work = drawn(3_000, symbols=3, pairs=((3, 10), (20, 50)), volatility=1e-2)
    work.write(tmp_path)
    expected = reference(work)
    assert {lane for lane, _, _ in expected.fills} == set(range(6))
    found = backtest_peers.played(backtest_peers.OURS, Path(sys.executable), tmp_path, expected, 1)
    assert len(found.seconds) == 2
    assert found.mib > 10


def test_another_rule_is_noticed(tmp_path: Path) -> None:
    work = drawn(500)
    replace(work, slippage=work.slippage * 1.01).write(tmp_path)
    with pytest.raises(AnotherTrade, match="ours: fill 1 "):
        backtest_peers.played(backtest_peers.OURS, Path(sys.executable), tmp_path, reference(work), 0)


def test_the_plain_loop_trades_at_the_next_open_with_slippage_both_ways() -> None:
    closes = [10.0, 10.0, 10.0, 13.0, 14.0, 4.0, 4.0, 4.0]
    opens = [10.0, 10.0, 10.0, 10.0, 12.5, 14.0, 5.0, 4.0]
    prices = {"open": opens, "high": opens, "low": opens, "close": closes}
    columns = {name: np.array(values)[:, None] for name, values in prices.items()}
    found = reference(
        Work(**columns, time=np.arange(8), bar_seconds=60, pairs=((1, 2),), capital=1_000.0, slippage=0.01)
    )
    bought = 1_000 / (12.5 * 1.01)
    assert found.fills == [(0, 4, bought), (0, 6, -bought)]
    assert found.equity == [bought * 5 * 0.99]


def test_bars_whose_averages_touch_are_refused() -> None:
    with pytest.raises(ValueError, match="too near to each other"):
        drawn(100, volatility=0.0)


def test_the_same_seed_draws_the_same_bars_and_an_edge_pays() -> None:
    assert np.array_equal(drawn(200, seed=4).close, drawn(200, seed=4).close)
    without, edge = (reference(drawn(20_000, edge=edge)).equity[0] for edge in (0.0, 1e-4))
    assert without < 1_000_000 < edge


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(EXPECTED, fills=[(0, 3, 10.0), (0, 8, -10.0), (1, 4, 2.0)]), r"fill 2 .* is \(0, 8, -10\.0\)"),
        (replace(EXPECTED, fills=[(0, 3, 10.1), *EXPECTED.fills[1:]]), r"fill 1 .* is \(0, 3, 10\.1\)"),
        (replace(EXPECTED, fills=EXPECTED.fills[:2]), "fill 3 .* is None"),
        (replace(EXPECTED, fills=[*EXPECTED.fills, (1, 5, -2.0)]), "but None by the plain loop"),
        (replace(EXPECTED, equity=[105.0, 99.1]), "lane 1 ends with 99.1"),
        (replace(EXPECTED, dropped=["bar 7: Margin"]), "dropped orders, the first: bar 7: Margin"),
    ],
)
def test_the_first_difference_is_told(found: Found, said: str) -> None:
    with pytest.raises(AnotherTrade, match=f"somebody.*{said}"):
        compare("somebody", found, EXPECTED)


def test_parts_of_a_share_may_be_rounded() -> None:
    compare("somebody", replace(EXPECTED, fills=[(0, 3, 10.000001), *EXPECTED.fills[1:]]), EXPECTED)


def test_what_cannot_be_installed_is_said_and_ends_in_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def works() -> Iterator[tuple[str, Work]]:
        yield "few bars", drawn(200)

    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/bench-numba.txt").write_text("numba==0.68.1\n", encoding="utf-8")  # without a hash
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setenv("TRADINGBOT_CACHE", str(tmp_path))
    monkeypatch.setattr(backtest_peers, "works", works)
    monkeypatch.setattr(backtest_peers, "PEERS", backtest_peers.PEERS[:1])
    with pytest.raises(NotInstallable, match="hash"):
        python_of("numba")
    with pytest.raises(backtest_peers.NotAllMeasured, match=r"a bare numba loop: .*hash"):
        list(backtest_peers.run(Scale(1)))
    assert "NOT MEASURED: a bare numba loop" in capsys.readouterr().out


def test_every_peer_has_its_locked_packages_and_its_program() -> None:
    assert {f"bench-{peer.environment}" for peer in backtest_peers.PEERS} == set(lock.BENCHES)
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(lock.BENCHES)
    for peer in (backtest_peers.OURS, *backtest_peers.PEERS):
        assert (backtest_peers.PROGRAMS / f"{peer.program}.py").is_file()


@pytest.mark.parametrize("name", sorted(lock.BENCHES))
def test_a_peers_packages_are_pinned_with_hashes_and_name_no_place(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", "\n" + text)[1:]
    assert blocks
    for block in blocks:
        assert re.match(r"[\w.\[\]-]+==\S+", block), block[:80]
        assert "--hash=sha256:" in block
    assert "://" not in text
