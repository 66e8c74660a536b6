"""Bots that trade thirty sessions on paper and are judged: the good one alone may go live, and each other is told why.

Nothing is made up: sessions are the runtime's own, audits the real command's, verdicts those of the real gate. Each
refusal is seen to hang on the check it is about: with that check switched off, the same run is a GO.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulation.paper_strategies import Guessing
from simulation.promotion_runs import PaperRun, Traded, strategies_installed
from simulation.replayed_markets import on_sessions, replaying
from tradingbot_api import CheckState, GateVerdict, PromotionGateSpec, SessionReport
from tradingbot_operator.promotion import ledger
from tradingbot_operator.promotion.evaluate import Assessment
from tradingbot_operator.promotion.findings import Finding
from tradingbot_research.engine import backtest
from tradingbot_research.market import Bars
from tradingbot_research.statistics import sharpe_ratio
from tradingbot_research.sweep import targets_of
from unit.research.candidates import RULES, market_of_moods, market_of_noise

DEMO = Path(__file__).parents[2] / "manifests" / "gates" / "demo.yaml"
SESSIONS = 31
OFF = {"kind": "NotApplicable"}
LUCKY_MARKET: dict[str, Any] = {"symbols": ["GLD", "INTC"]}
"""Two symbols that rise over these weeks."""
GOOD: dict[str, Any] = LUCKY_MARKET | {"strategy": {"name": "tilting"}, "execution": {"limitOffsetBps": 100}}
LOSING: dict[str, Any] = GOOD | {"symbols": ["DIS", "EFA"], "execution": {"limitOffsetBps": 250}}
LUCKY: dict[str, Any] = LUCKY_MARKET | {"strategy": {"name": "holding"}}


def a_gate(**checks: Any) -> PromotionGateSpec:
    """The gate of the demo, but one that asks for a profit, too."""
    spec = yaml.safe_load(DEMO.read_text())["spec"]
    return PromotionGateSpec.model_validate(spec | {"checks": spec["checks"] | {"paperProfit": {}} | checks})


def finding(assessment: Assessment, name: str) -> Finding:
    return next(check.finding for check in assessment.checklist if check.name == name)


@pytest.fixture(scope="module", autouse=True)
def _strategies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with strategies_installed(tmp_path_factory.mktemp("strategies")):
        yield


@pytest.fixture(scope="module")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperRun]:
    run = PaperRun(tmp_path_factory.mktemp("good"), **GOOD)
    run.trade(SESSIONS)
    yield run
    run.world.database.close()


@pytest.fixture(scope="module")
def losing_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperRun]:
    run = PaperRun(tmp_path_factory.mktemp("losing"), **LOSING)
    run.trade(SESSIONS)
    yield run
    run.world.database.close()


# ---------------------------------------------------------------------- the good one


def test_a_good_bot_is_go_after_thirty_sessions_and_not_before(good_run: PaperRun) -> None:
    traded = good_run.audited()
    found = traded.judged(a_gate())
    assert (found.verdict, found.score, found.failed) == (GateVerdict.GO, 10_000, ())
    assert found.sessions == SESSIONS
    assert not found.ledger.set_aside
    assert sum((one.pnl for one in traded.reports), Decimal(0)) > 0
    assert [one.not_compared for one in traded.audits.audits if any("pnl" in what for what in one.not_compared)] == []

    early = traded.first(29).judged(a_gate())
    assert (early.verdict, early.blockers) == (GateVerdict.NO_GO, ("PaperSessions",))
    assert "1 more sessions" in finding(early, "PaperSessions").message


# ---------------------------------------------------------------------- the losing one


def test_a_losing_strategy_is_no_go_because_of_its_real_losses(losing_run: PaperRun) -> None:
    traded = losing_run.audited()
    found = traded.judged(a_gate())
    assert found.blockers == ()
    assert found.failed == ("PaperProfit",)
    # 15 of the 30 that the demo's weights and PaperProfit's add up to.
    assert (found.verdict, found.score) == (GateVerdict.NO_GO, 5_000)
    earned = 100 * sum((one.pnl for one in traded.reports), Decimal(0)) / 20_000
    observed = Decimal(finding(found, "PaperProfit").observed.removesuffix(" %"))
    assert abs(observed - earned) < Decimal("0.01")
    assert earned < -1
    assert traded.judged(a_gate(paperProfit=OFF)).verdict is GateVerdict.GO


# ---------------------------------------------------------------------- the lucky one


def test_a_lucky_bot_earns_more_than_the_good_one_and_is_no_go_for_want_of_trades(
    tmp_path: Path, good_run: PaperRun
) -> None:
    run = PaperRun(tmp_path, **LUCKY)
    run.trade(SESSIONS)
    traded = run.audited()
    found = traded.judged(a_gate())
    assert (found.verdict, found.failed) == (GateVerdict.NO_GO, ("PaperTrades",))
    assert "more trades have to be made" in finding(found, "PaperTrades").message
    assert sum(one.pnl for one in traded.reports) > sum(one.pnl for one in good_run.audited().reports)
    assert traded.judged(a_gate(paperTrades=OFF)).verdict is GateVerdict.GO
    run.world.database.close()


# ---------------------------------------------------------------------- the one that was away


async def _away_for_a_third(run: PaperRun, number: int) -> None:
    await run.be_away(timedelta(hours=2, minutes=10))


def test_no_session_counts_of_a_bot_that_was_down_for_a_third_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PaperRun(tmp_path, **GOOD)
    run.trade(SESSIONS, _away_for_a_third)
    traded = run.audited()
    assert {one.starts for one in traded.reports} == {2}
    found = traded.judged(a_gate())
    assert (found.verdict, found.sessions) == (GateVerdict.NO_GO, 0)
    assert "PaperSessions" in found.blockers
    assert "95 % are needed" in finding(found, "PaperSessions").message
    assert len(found.ledger.set_aside) == SESSIONS
    monkeypatch.setattr(ledger, "LEAST_COVERAGE_PERCENT", Decimal(0))
    assert traded.judged(a_gate()).verdict is GateVerdict.GO
    run.world.database.close()


# ---------------------------------------------------------------------- the one whose books had a hole


def _shares_vanish_in(*sessions: int) -> Callable[[PaperRun, int], Any]:
    async def meanwhile(run: PaperRun, number: int) -> None:
        if number in sessions:
            # The broker's own record explains it, so the bot books it; that the books had differed stays on record.
            taken = {"kind": "position_change", "account": "paper", "symbol": "GLD", "quantity": "-1"}
            assert run.world.intervene(**taken)

    return meanwhile


def test_a_hole_in_the_books_blocks_until_enough_clean_sessions_came_after_it(tmp_path: Path) -> None:
    run = PaperRun(tmp_path, **GOOD)
    run.trade(SESSIONS, _shares_vanish_in(SESSIONS - 3))
    traded = run.audited()
    assert [one.reconciliations.mismatch for one in traded.reports[-3:]] == [1, 0, 0]
    found = traded.judged(a_gate())
    assert (found.verdict, found.failed) == (GateVerdict.NO_GO, ("CleanReconciliationSessions",))
    assert finding(found, "CleanReconciliationSessions").observed == "2"
    assert traded.judged(a_gate(cleanReconciliationSessions={"minimum": 2})).verdict is GateVerdict.GO
    run.trade(3)
    assert run.audited().judged(a_gate()).verdict is GateVerdict.GO
    run.world.database.close()


def test_holes_that_come_again_and_again_are_no_go_even_after_clean_sessions(tmp_path: Path) -> None:
    run = PaperRun(tmp_path, **GOOD)
    run.trade(SESSIONS, _shares_vanish_in(3, 8, 13, 18))
    traded = run.audited()
    found = traded.judged(a_gate())
    assert (found.verdict, found.failed) == (GateVerdict.NO_GO, ("ReconciliationRate",))
    assert traded.judged(a_gate(reconciliationRate=OFF)).verdict is GateVerdict.GO
    run.world.database.close()


async def _shares_come_back(run: PaperRun, number: int) -> None:
    if number == 2:
        for quantity in ("-3", "3"):
            change = {"kind": "position_change", "account": "paper", "symbol": "GLD", "quantity": quantity}
            assert run.world.intervene(**change)
            await run.world.step(timedelta(minutes=15))
            await run.world.step(timedelta(minutes=15))


def test_shares_that_nobody_explains_halt_the_bot_and_its_incident_blocks(tmp_path: Path) -> None:
    run = PaperRun(tmp_path, **GOOD)
    run.trade(5, _shares_come_back)
    found = run.audited().judged(a_gate(paperSessions={"minimum": 5}, paperTrades={"minimum": 1}))
    assert found.verdict is GateVerdict.NO_GO
    assert {"CleanReconciliationSessions", "ReconciliationRate", "NoOpenIncident"} <= set(found.blockers)
    run.world.database.close()


# ---------------------------------------------------------------------- the one whose report the broker contradicts


def _on_one_day(**changes: Any) -> Callable[[SessionReport], SessionReport]:
    def lie(report: SessionReport) -> SessionReport:
        if report.session != "2026-03-18":
            return report
        return report.model_copy(update={name: getattr(report, name) + more for name, more in changes.items()})

    return lie


def _with_pnl_turned(report: SessionReport) -> SessionReport:
    return report.model_copy(update={"pnl": -report.pnl, "return_percent": -report.return_percent})


def _with_returns_turned(report: SessionReport) -> SessionReport:
    turned = {"return_percent": -report.return_percent, "shadow_return_percent": -report.shadow_return_percent}
    return report.model_copy(update=turned)


@pytest.mark.parametrize(
    ("lie", "named"),
    [
        (_on_one_day(orders=1), "orders"),
        (_on_one_day(filled_orders=30), "filledOrders"),
        (_on_one_day(fills=5), "fills"),
        (_on_one_day(turnover=Decimal(500)), "turnover"),
        (_on_one_day(pnl=Decimal(2000), return_percent=Decimal(10), shadow_return_percent=Decimal(10)), "pnl"),
    ],
    ids=["orders", "trades", "fills", "turnover", "profit"],
)
def test_a_report_that_the_brokers_record_contradicts_is_no_go(
    good_run: PaperRun, lie: Callable[[SessionReport], SessionReport], named: str
) -> None:
    traded = good_run.audited(lie)
    contradicted = [one for one in traded.audits.audits if one.result.value == "Mismatch"]
    assert [one.session for one in contradicted] == ["2026-03-18"]
    assert [one.what for one in contradicted[0].differences] == [named]
    found = traded.judged(a_gate())
    assert (found.verdict, found.failed) == (GateVerdict.NO_GO, ("BrokerAudit",))
    assert named in finding(found, "BrokerAudit").message
    assert traded.as_if_they_matched().judged(a_gate()).verdict is GateVerdict.GO


@pytest.mark.parametrize("lie", [_with_pnl_turned, _with_returns_turned], ids=["profit", "returns alone"])
def test_a_losing_bot_cannot_report_itself_into_profit(
    losing_run: PaperRun, lie: Callable[[SessionReport], SessionReport]
) -> None:
    found = losing_run.audited(lie).judged(a_gate())
    assert found.verdict is GateVerdict.NO_GO
    assert finding(found, "BrokerAudit").state is CheckState.FAIL


def test_a_session_that_the_audit_cannot_judge_does_not_count(good_run: PaperRun) -> None:
    traded = good_run.audited()
    found = traded.with_audits_lost(1).judged(a_gate(paperSessions={"minimum": 30}))
    assert (found.verdict, found.blockers) == (GateVerdict.NO_GO, ("BrokerAudit",))
    assert found.sessions == SESSIONS - 1
    assert finding(found, "BrokerAudit").state is CheckState.UNKNOWN


def test_the_evidence_of_a_good_bot_says_nothing_of_one_with_more_capital(good_run: PaperRun) -> None:
    traded = good_run.audited()
    now = traded.judged(a_gate())
    found = traded.judged(a_gate(), as_if={"capital": "40000"})
    assert now.verdict is GateVerdict.GO
    assert (found.verdict, found.sessions) == (GateVerdict.NO_GO, 0)
    assert all("of another subject" in why for why in found.ledger.set_aside.values())


# ---------------------------------------------------------------------- the overfit one, and the one with an edge

HISTORY = 600
"""Days before the first session on paper."""
TO_COME = SESSIONS + 5
DAYS = HISTORY + TO_COME
VALIDATED = 500
BEST_OF = 100
VALIDATION_CHECKS = (
    "validationArtifacts",
    "backtestSharpe",
    "backtestMaxDrawdown",
    "walkForwardEfficiency",
    "overfitRatio",
    "statisticalSignificance",
)


def a_gate_that_validates(**changes: Any) -> PromotionGateSpec:
    """The demo's gate with every check of a validation, and so long as nothing but that is at stake."""
    asked: dict[str, Any] = {name: {} for name in VALIDATION_CHECKS}
    return a_gate(**asked | {"paperProfit": OFF, "paperTrades": OFF} | changes)


def validated_run(directory: Path, bars: Bars, strategy: dict[str, Any]) -> Traded:
    """Thirty-one sessions on paper in this market, and a validation of the strategy on the broker's bars of it."""
    market: dict[str, Any] = {"simulator": replaying(directory, bars), "symbols": list(bars.symbols)}
    run = PaperRun(directory, strategy=strategy, execution={"limitOffsetBps": 100}, **market)
    run.trade(SESSIONS)
    run.validate(VALIDATED)
    traded = run.audited()
    run.world.database.close()
    return traded


def luckiest(bars: Bars) -> int:
    """The number that would have earned the most, as somebody finds it who has a computer and knows the past."""
    tried = {number: Guessing.from_parameters({"number": number}) for number in range(1, BEST_OF + 1)}
    return max(tried, key=lambda number: sharpe_ratio(backtest(bars, targets_of(tried[number], bars), RULES).returns))


def test_an_overfit_bot_is_no_go_because_of_its_real_validation(tmp_path: Path) -> None:
    noise = on_sessions(market_of_noise(5, days=DAYS, symbols=2), TO_COME)
    number = luckiest(noise.between(HISTORY - VALIDATED, HISTORY))
    traded = validated_run(tmp_path, noise, {"name": "guessing", "parameters": {"number": number}})
    found = traded.judged(a_gate_that_validates())
    # It looked good to whoever chose it, and nothing in its backtest shows that it was chosen.
    assert finding(found, "BacktestSharpe").state is CheckState.PASS
    assert finding(found, "ValidationArtifacts").state is CheckState.PASS
    assert (found.verdict, found.blockers) == (GateVerdict.NO_GO, ())
    assert "StatisticalSignificance" in found.failed
    assert set(found.failed) <= {"WalkForwardEfficiency", "OverfitRatio", "StatisticalSignificance"}
    unasked = dict.fromkeys(VALIDATION_CHECKS, OFF)
    assert traded.judged(a_gate_that_validates(**unasked)).verdict is GateVerdict.GO


def test_a_bot_with_an_edge_passes_every_check_of_its_validation(tmp_path: Path) -> None:
    moods = on_sessions(market_of_moods(1, days=DAYS), TO_COME)
    strategy = {"name": "momentum", "parameters": {"lookback": 15, "max_weight": 0.45}}
    found = validated_run(tmp_path, moods, strategy).judged(a_gate_that_validates())
    assert (found.verdict, found.score, found.failed) == (GateVerdict.GO, 10_000, ())
    assert "deflated Sharpe" in finding(found, "StatisticalSignificance").observed


def test_a_bot_that_knows_the_future_passes_no_check_of_its_validation(tmp_path: Path) -> None:
    noise = on_sessions(market_of_noise(5, days=DAYS, symbols=2), TO_COME)
    found = validated_run(tmp_path, noise, {"name": "foreseeing"}).judged(a_gate_that_validates())
    assert found.verdict is GateVerdict.NO_GO
    named = [name[0].upper() + name[1:] for name in VALIDATION_CHECKS]
    assert {finding(found, name).observed for name in named} == {"look-ahead"}
    assert set(named) <= set(found.failed)
