"""Every alert of the chart fires when it should, not before, and clears: promtool, on the rules that Helm renders."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from chart_tools import CHART, ROOT, Json, only, promtool, rendered

BOT = {"namespace": "live", "bot": "momentum"}
OF_THE_BOT = 'namespace="live", bot="momentum", pod="momentum-bot-0"'


@dataclass(frozen=True)
class Case:
    """Samples a minute, and at which minute the alert is quiet, fires, and is quiet again."""

    alert: str
    series: dict[str, str]
    quiet: int
    fires: int
    clears: int
    summary: str
    labels: dict[str, str] = field(default_factory=dict)


def counted(metric: str, labels: str, times: int = 1) -> dict[str, str]:
    """A counter that is not there before it has counted, as the bot's and the operator's are."""
    return {f"{metric}{{{labels}}}": f"_x20 {times}x100"}


def of_the_bot(metric: str, labels: str = "") -> str:
    return f"{metric}{{{OF_THE_BOT}{', ' if labels else ''}{labels}}}"


CASES = [
    Case(
        "TradingbotOperatorDown",
        {'tradingbot_operator_leader{pod="a"}': "1x20 _x20 1x20"},
        quiet=29,
        fires=31,
        clears=42,
        summary="No operator has been seen for 5 minutes",
    ),
    Case(
        "TradingbotOperatorNoLeader",
        {'tradingbot_operator_leader{pod="a"}': "1x20 0x10 0x20", 'tradingbot_operator_leader{pod="b"}': "0x31 1x20"},
        quiet=21,
        fires=23,
        clears=33,
        summary="Operators run and none of them leads",
    ),
    Case(
        "TradingbotOperatorTwoLeaders",
        {'tradingbot_operator_leader{pod="a"}': "1x60", 'tradingbot_operator_leader{pod="b"}': "0x19 1x10 0x30"},
        quiet=20,
        fires=22,
        clears=32,
        summary="2 operators say that they lead",
    ),
    Case(
        "TradingbotOperatorLeaderFlaps",
        {
            'tradingbot_operator_leader_changes_total{pod="a", to="leader"}': "1x40 2+1x2 4x60",
            'tradingbot_operator_leader_changes_total{pod="b", to="leader"}': "_x41 1+1x2 3x60",
        },
        quiet=41,
        fires=45,
        clears=90,
        summary="The operators took turns 6 times in half an hour",
    ),
    Case(
        "TradingbotOperatorSweepOverdue",
        {
            'tradingbot_operator_last_sweep_timestamp_seconds{pod="a"}': "0+60x20 1200x20 2460+60x20",
            'tradingbot_operator_last_sweep_timestamp_seconds{pod="new"}': "0x60",
        },
        quiet=31,
        fires=33,
        clears=43,
        summary="The last full sweep ended 13m 0s ago",
    ),
    Case(
        "TradingbotOperatorBehind",
        {'tradingbot_operator_queue_due{pod="a"}': "0x9 7x20 0x9", 'tradingbot_operator_queue_due{pod="b"}': "0x60"},
        quiet=19,
        fires=21,
        clears=32,
        summary="The operator has been behind for 10 minutes, now by 7 objects",
    ),
    Case(
        "TradingbotOperatorErrors",
        counted("tradingbot_operator_reconciles_total", 'pod="a", kind="TradingBot", result="error"'),
        quiet=19,
        fires=20,
        clears=37,
        summary="The operator failed on a TradingBot in a way that nobody foresaw",
        labels={"kind": "TradingBot"},
    ),
    Case(
        "TradingbotOperatorRefused",
        {'tradingbot_operator_reconciles_total{pod="a", kind="TradingBot", result="refused"}': "0x9 1+1x20 21x20"},
        quiet=24,
        fires=27,
        clears=37,
        summary="The API server has refused what the operator writes for a TradingBot for 15 minutes",
        labels={"kind": "TradingBot"},
    ),
    Case(
        "TradingbotOperatorApiFailing",
        {
            'tradingbot_operator_api_calls_total{pod="a", code="200"}': "0+60x60",
            'tradingbot_operator_api_calls_total{pod="a", code="503"}': "0x9 60+60x20 1260x30",
        },
        quiet=19,
        fires=26,
        clears=37,
        summary="50% of the operator's requests fail",
    ),
    Case(
        "TradingbotOperatorReportsFailing",
        {
            'tradingbot_operator_reports_total{pod="a", result="answer"}': "0+10x60",
            'tradingbot_operator_reports_total{pod="a", result="NotReporting"}': "0x9 30+30x20 630x30",
        },
        quiet=19,
        fires=26,
        clears=37,
        summary="75% of the reports that the operator asks for do not come",
    ),
    Case(
        "TradingbotKillUnconfirmed",
        {'tradingbot_operator_kill_age_seconds{pod="a"}': "0x5 30 90 0x10"},
        quiet=6,
        fires=7,
        clears=8,
        summary="A kill has been waiting for the broker's word for 1m 30s",
    ),
    Case(
        "TradingbotsLiveHalted",
        {
            'tradingbot_operator_bots{pod="a", mode="live", state="Halted"}': "_x10 2x10 0x20",
            'tradingbot_operator_bots{pod="a", mode="paper", state="Halted"}': "5x60",
        },
        quiet=11,
        fires=13,
        clears=22,
        summary="2 live bots are halted",
    ),
    Case(
        "TradingbotsNotReady",
        {
            'tradingbot_operator_bots_ready{pod="a", status="False"}': "_x10 3x20 _x20",
            'tradingbot_operator_bots_ready{pod="a", status="True"}': "9x60",
        },
        quiet=24,
        fires=26,
        clears=37,
        summary="3 bots have not been ready for 15 minutes (Ready is False)",
        labels={"status": "False"},
    ),
    Case(
        "TradingbotAuditMismatch",
        counted("tradingbot_operator_evidence_total", 'pod="a", type="session", result="Mismatch"'),
        quiet=19,
        fires=20,
        clears=82,
        summary="An audit found that a bot's session differs from the broker's record",
    ),
    Case(
        "TradingbotSessionsNotTaken",
        {'tradingbot_operator_session_answers_total{pod="a", result="InvalidReport"}': "0x9 1+1x30 31x30"},
        quiet=24,
        fires=27,
        clears=52,
        summary="Closed sessions could not be taken from bots for 15 minutes (InvalidReport)",
        labels={"result": "InvalidReport"},
    ),
    Case(
        "TradingbotEvidenceJobsRepeat",
        counted("tradingbot_operator_evidence_jobs_total", 'pod="a", kind="audit", attempt="again"', times=3),
        quiet=19,
        fires=20,
        clears=82,
        summary="Jobs of the kind audit come to no end and are begun again",
        labels={"kind": "audit"},
    ),
    Case(
        "TradingbotKilled",
        {of_the_bot("tradingbot_killed"): "0x5 1x5 0x5"},
        quiet=5,
        fires=6,
        clears=12,
        summary="The bot live/momentum is killed",
        labels=BOT,
    ),
    Case(
        "TradingbotHalted",
        {
            of_the_bot("tradingbot_trading_state", 'state="Halted"'): "0x9 1x20",
            of_the_bot("tradingbot_killed"): "0x19 1x20",
        },
        quiet=11,
        fires=13,
        clears=20,
        summary="The bot live/momentum is halted, and nobody killed it",
        labels=BOT,
    ),
    Case(
        "TradingbotKeysRefused",
        {of_the_bot("tradingbot_keys_refused"): "0x9 1x9 0x9"},
        quiet=10,
        fires=12,
        clears=20,
        summary="The broker refuses the keys of live/momentum",
        labels=BOT,
    ),
    Case(
        "TradingbotBrokerFailing",
        {
            of_the_bot("tradingbot_broker_call_seconds_count", 'operation="clock", outcome="answered"'): "0+4x9 40x60",
            of_the_bot(
                "tradingbot_broker_call_seconds_count", 'operation="clock", outcome="NotReachedError"'
            ): "0x9 4+4x20 84x40",
        },
        quiet=14,
        fires=21,
        clears=37,
        summary="100% of the calls of live/momentum to the broker fail",
        labels=BOT,
    ),
    Case(
        "TradingbotStreamLost",
        {of_the_bot("tradingbot_stream_connected"): "1x9 0x9 1x9"},
        quiet=14,
        fires=16,
        clears=20,
        summary="No trade updates come to live/momentum",
        labels=BOT,
    ),
    Case(
        "TradingbotOrderInDoubt",
        counted("tradingbot_decisions_total", f'{OF_THE_BOT}, kind="orders", what="in_doubt"'),
        quiet=19,
        fires=20,
        clears=37,
        summary="The broker did not answer to an order of live/momentum",
        labels=BOT,
    ),
    Case(
        "TradingbotReconciliationMismatch",
        counted("tradingbot_decisions_total", f'{OF_THE_BOT}, kind="reconciliation", what="mismatch"', times=3),
        quiet=19,
        fires=20,
        clears=37,
        summary="The books of live/momentum differ from the broker's again and again",
        labels=BOT,
    ),
    Case(
        "TradingbotBreakerTripped",
        counted("tradingbot_decisions_total", f'{OF_THE_BOT}, kind="breaker", what="DailyLossLimit"'),
        quiet=19,
        fires=20,
        clears=82,
        summary="The circuit breaker of live/momentum opened within the hour",
        labels=BOT,
    ),
    Case(
        "TradingbotStrategyFailing",
        counted("tradingbot_decisions_total", f'{OF_THE_BOT}, kind="strategy", what="failed"'),
        quiet=19,
        fires=20,
        clears=82,
        summary="The strategy of live/momentum raised an error within the hour",
        labels=BOT,
    ),
    Case(
        "TradingbotNoticesLost",
        {of_the_bot("tradingbot_decisions_total", 'kind="notices", what="dead"'): "2x80 3x100"},
        quiet=80,
        fires=82,
        clears=145,
        summary="Notices of live/momentum were not delivered within the hour",
        labels=BOT,
    ),
    Case(
        "TradingbotRateLimited",
        {of_the_bot("tradingbot_too_many_requests_total", 'api="trading", lane="orders"'): "0x20 14x60"},
        quiet=20,
        fires=25,
        clears=38,
        summary="The broker turned 14 calls of live/momentum away for being too many",
        labels=BOT,
    ),
    Case(
        "TradingbotJournalSlow",
        {
            of_the_bot("tradingbot_journal_commit_seconds_bucket", 'le="0.25"'): "0+9x20 180x20 189+9x20",
            of_the_bot("tradingbot_journal_commit_seconds_bucket", 'le="0.5"'): "0+9x60",
            of_the_bot("tradingbot_journal_commit_seconds_bucket", 'le="+Inf"'): "0+9x60",
        },
        quiet=29,
        fires=32,
        clears=60,
        summary="A decision of live/momentum takes 497.5ms to be durable",
        labels=BOT,
    ),
    Case(
        "TradingbotEventsWaiting",
        {of_the_bot("tradingbot_waiting_events"): "100x9 800x9 3x9"},
        quiet=14,
        fires=16,
        clears=20,
        summary="800 events wait in live/momentum",
        labels=BOT,
    ),
]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as the chart's PrometheusRule holds them."""
    objects = rendered("--set", "monitoring.prometheusRule.enabled=true")
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump(only("PrometheusRule", objects)["spec"]))
    return file


def alerts(rules: Path) -> dict[str, Json]:
    return {rule["alert"]: rule for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]}


def test_the_rules_are_rules(rules: Path) -> None:
    assert f"{len(CASES)} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))


def test_every_alert_has_its_case(rules: Path) -> None:
    assert sorted(case.alert for case in CASES) == sorted(alerts(rules))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should_and_clears(case: Case, rules: Path) -> None:
    rule = alerts(rules)[case.alert]
    fired = {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {**rule["annotations"], "summary": case.summary},
    }
    moments = [(case.quiet, []), (case.fires, [fired]), (case.clears, [])]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": expected} for minute, expected in moments
        ],
    }
    file = rules.parent / f"{case.alert}.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))


def test_the_tests_of_alerts_would_notice(rules: Path) -> None:
    case = next(case for case in CASES if case.alert == "TradingbotKilled")
    moment = {"eval_time": f"{case.fires}m", "alertname": case.alert, "exp_alerts": []}
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [moment]}
    file = rules.parent / "wrong.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": [test]}))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", str(file))


def test_what_the_dashboards_ask_for_can_be_asked(tmp_path: Path) -> None:
    asked = []
    for path in sorted((CHART / "files/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            asked += [target["expr"] for target in panel.get("targets", [])]
    assert len(asked) > 20
    plain = [re.sub(r"\$__rate_interval", "5m", re.sub(r"\$(namespace|bot)\b", ".*", expr)) for expr in asked]
    rules = [{"record": f"dashboard:question:{number}", "expr": expr} for number, expr in enumerate(plain)]
    file = tmp_path / "dashboards.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_every_alert_has_its_page(rules: Path) -> None:
    for name, rule in alerts(rules).items():
        page = ROOT / rule["annotations"]["runbook_url"]
        assert page.is_file(), name
