"""`tradingbot ci`: what a pull request is told, by table, exit code, JUnit, JSON and Markdown."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import typer
import yaml
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tradingbot_api import BrokerAccountSpec, PromotionGateSpec, TradingBotSpec
from tradingbot_operator.promotion.subject import changed_inputs, subject_of
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands.ci_config import EXAMPLE, CiConfig, MayFail
from tradingbot_runtime.commands.ci_findings import Findings, Outcome, finding
from tradingbot_runtime.commands.ci_manifests import Manifests, manifests_in
from tradingbot_runtime.commands.ci_report import as_json, as_junit, as_summary, as_table
from tradingbot_runtime.commands.ci_steps import BACKTEST, CHECK_STRATEGY, MANIFEST, VALIDATION
from tradingbot_runtime.commands.ci_voids import Change, Compared, Void, compared
from unit.research.candidates import market_of_moods

ROOT = Path(__file__).parents[3]
HOSTILE = "</failure>]]> & \" ' \x1b[31m \x00 \ud800 \ufffe | `@team` <img src=x> ::error::\r\n::stop-commands::x"
STRATEGIES = """
import pandas as pd
from tradingbot_runtime.strategies.contract import Parameters, Strategy

class None_(Parameters):
    pass

class Peeking(Strategy[None_]):
    name = "peeking"
    parameters_model = None_
    lookback = 1
    def targets(self, bars):
        closes = pd.DataFrame({symbol: frame["close"] for symbol, frame in bars.items()})
        return (closes.shift(-1) > closes).astype(float) / len(bars)

class Hostile(Peeking):
    name = "hostile"
    def targets(self, bars):
        raise KeyError(WORDS)

WORDS = %a
"""
GOOD: dict[str, Any] = {
    "image": "mine:1",
    "strategy": {"name": "momentum", "parameters": {"lookback": 15, "max_weight": 0.5}},
    "symbols": ["S00", "S01"],
    "capital": "100000",
    "accounts": {"paper": "paper"},
}
LIVE: dict[str, Any] = {
    **GOOD,
    "mode": "live",
    "accounts": {"paper": "paper", "live": "live"},
    "gateRef": {"name": "standard"},
}
ACCOUNT: dict[str, Any] = {
    "provider": "alpaca",
    "environment": "live",
    "credentialsSecretRef": {"name": "keys"},
}
QUICK: dict[str, Any] = {
    "bars": "bars.csv",
    "checkStrategy": {"tries": 2},
    "backtest": {"minimumSharpe": "1", "maximumDrawdownPercent": "20", "minimumTrades": 10},
    "validation": {"trials": 4, "windows": 2, "processes": 1},
}


def manifest(name: str, spec: dict[str, Any], kind: str = "TradingBot") -> str:
    document = {"apiVersion": "tradingbots.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return yaml.safe_dump(document)


def files(*documents: str) -> Manifests:
    return manifests_in([("bot.yaml", "---\n".join(documents).encode())])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ci", *arguments])


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Bars on which momentum earns, as CSV."""
    parts = [frame.assign(symbol=symbol) for symbol, frame in market_of_moods(2, days=1200).frames().items()]
    return str(pd.concat(parts).rename_axis("timestamp").to_csv())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with strategies that are installed, as pip installs them; one is in it."""
    site = tmp_path / "site"
    metadata = site / "mine-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    points = (
        "[tradingbot.strategies]",
        "peeking = of_mine:Peeking",
        "hostile = of_mine:Hostile",
        "gone = of_mine:Gone",
    )
    (metadata / "entry_points.txt").write_text("\n".join(points) + "\n")
    (site / "of_mine.py").write_text(STRATEGIES % HOSTILE)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("of_mine", None)


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def write_config(folder: Path, **changes: Any) -> None:
    (folder / ".tradingbot").mkdir(exist_ok=True)
    (folder / ".tradingbot/ci.yaml").write_text(yaml.safe_dump({"bots": ["bot.yaml"], **QUICK, **changes}))


# ------------------------------------------------------------------ whole runs


def test_a_good_strategy_passes_and_is_told_what_merging_would_void(repository: Path, market: str) -> None:
    (repository / "bars.csv").write_text(market)
    bot = repository / "bot.yaml"
    strict = {
        "checks": {
            "backtestSharpe": {"minimum": "90", "kind": "NotApplicable"},
            "overfitRatio": {"maximum": "0.0001"},
            "backtestMaxDrawdown": {"maximumPercent": "99"},
        }
    }
    gate = "---\n" + manifest("standard", strict, "PromotionGate")
    good = {**GOOD, "gateRef": {"name": "standard"}}
    bot.write_text(manifest("good", good) + gate)
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", "bot.yaml", "site/of_mine.py")
    git(repository, "commit", "-q", "-m", "before")
    changed = {**good, "strategy": {"name": "momentum", "parameters": {"lookback": 16, "max_weight": 0.5}}}
    bot.write_text(manifest("good", changed) + gate)
    (repository / "site/of_mine.py").write_text("# another")
    forgiving = {**QUICK["validation"], "mayFail": ["OverfitRatio"]}
    write_config(repository, base={"ref": "main", "imageSources": ["site"]}, validation=forgiving)
    done = run("--junit", "ci.xml", "--json", "ci.json", "--summary", "ci.md", "--out", "results")
    assert done.exit_code == 0, done.output
    document = json.loads((repository / "ci.json").read_text())
    outcomes = {one["check"]: one["outcome"] for one in document["findings"]}
    assert document["passed"] is True
    assert {outcomes[f"check-strategy/{name}"] for name in ("causality", "determinism", "bounds")} == {"passed"}
    assert outcomes["backtest/Sharpe"] == outcomes["validation/StatisticalSignificance"] == "passed"
    assert outcomes["subject"] == "noted"
    validation = {
        one["check"]: (one["outcome"], one["threshold"], one["message"])
        for one in document["findings"]
        if one["check"].startswith("validation/")
    }
    assert validation["validation/BacktestSharpe"] == ("noted", ">= 90", "the bot's gate does not look at it")
    assert validation["validation/OverfitRatio"] == ("noted", "<= 0.0001", "validation.mayFail names it")
    assert validation["validation/BacktestMaxDrawdown"] == ("passed", "<= 99 %", "")
    (voids,) = document["voids"]
    assert voids["voids"] == ["evidence", "approvals", "grant"]
    changes = {one["input"]: one["differences"] for one in voids["changes"]}
    assert changes["strategy"] == ["parameters.lookback: 15 -> 16"]
    assert [one.partition(" ")[0] for one in changes["image"]] == [
        "site/mine-1.0.dist-info/METADATA",
        "site/mine-1.0.dist-info/entry_points.txt",
        "site/of_mine.py",
    ]
    assert "parameters.lookback: 15 -> 16" in done.stdout
    assert "parameters.lookback: 15 -> 16" in (repository / "ci.md").read_text()
    assert len(list((repository / "results").glob("momentum-*/report.html"))) == 1
    (suite,) = junit("ci.xml")
    assert (suite.get("failures"), suite.get("tests")) == ("0", str(len(document["findings"])))
    assert len(list(suite)) == len(document["findings"])


def test_a_peeking_a_weak_and_a_hostile_bot_fail_each_by_its_own_check(repository: Path, market: str) -> None:
    (repository / "bars.csv").write_text(market)
    peeking = {**GOOD, "strategy": {"name": "peeking"}}
    bots = [manifest("peeks", peeking), manifest("weak", GOOD)]
    bots += [manifest("rude", {**GOOD, "strategy": {"name": "hostile"}})]
    (repository / "bot.yaml").write_text("---\n".join(bots))
    write_config(repository, validation=None)
    limits = ["--minimum-sharpe", "9.5", "--maximum-drawdown", "0.01", "--minimum-return", "1", "--minimum-trades", "5"]
    done = run(*limits, "--junit", "ci.xml", "--summary", "ci.md")
    assert done.exit_code == 1
    cases = {(one.get("classname"), one.get("name")): one for one in junit("ci.xml").iter("testcase")}
    failed = {where: one.find("failure") for where, one in cases.items() if one.find("failure") is not None}
    assert ("peeks", "check-strategy/causality") in failed
    assert "when the bars after it" in message(failed["peeks", "check-strategy/causality"])
    assert cases["peeks", "backtest"].find("skipped") is not None
    assert {name for bot, name in failed if bot == "weak"} == {"backtest/Sharpe", "backtest/MaxDrawdown"}
    assert re.fullmatch(r"\d+\.\d{4} \(asked: >= 9\.5\)", message(failed["weak", "backtest/Sharpe"]))
    assert re.fullmatch(r"\d+\.\d{4} % \(asked: <= 0\.01 %\)", message(failed["weak", "backtest/MaxDrawdown"]))
    assert "KeyError" in message(failed["rude", "check-strategy/answers"])
    assert "</failure>]]> & " in message(failed["rude", "check-strategy/answers"])
    assert "\x1b" not in done.stdout
    assert not any(line.startswith("::") for line in done.stdout.splitlines())
    assert "FAILED peeks check-strategy/causality" in done.stdout


def junit(path: str) -> ElementTree.Element:
    return ElementTree.fromstring(Path(path).read_bytes())  # noqa: S314 - what the command has just written


def message(element: ElementTree.Element | None) -> str:
    assert element is not None
    return element.get("message", "")


# ------------------------------------------------------------------ manifests


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (manifest("bad", {**GOOD, "symbol": []}), "spec.symbol: Extra inputs are not permitted"),
        (manifest("bad", {**GOOD, "capital": 0.5}), "spec.capital"),
        (manifest("Bad", GOOD), "metadata.name: Bad"),
        (manifest("bad", {**GOOD, "mode": "live"}), "spec.gateRef: mode live needs a PromotionGate"),
        (manifest("bad", {**GOOD, "symbols": ["AAPL", "AAPL"]}), "spec.symbols: write each once"),
        (manifest("bad", {**GOOD, "strategy": {"name": "momentun"}}), "UnknownStrategy"),
        (manifest("bad", {**GOOD, "strategy": {"name": "gone"}}), "cannot be imported: AttributeError"),
        (manifest("bad", {**GOOD, "strategy": {"name": "momentum", "parameters": {"lookback": 0}}}), "lookback"),
        ("a: [", "bot.yaml: is not YAML"),
        (manifest("bad", {"stage": []}, "PromotionGate"), "PromotionGate bad: spec.stage"),
    ],
)
def test_a_manifest_that_is_wrong_is_a_failed_check_that_says_what(repository: Path, text: str, words: str) -> None:
    (repository / "bot.yaml").write_text(text)
    done = run("--bot", "bot.yaml", "--junit", "ci.xml")
    assert done.exit_code == 1
    found = [message(one) for one in junit("ci.xml").iter("failure")]
    assert any(words in one for one in found), found


def test_a_bot_that_is_there_twice_is_a_problem_of_its_file() -> None:
    found = files(manifest("a", GOOD), manifest("a", {**GOOD, "capital": "5"}))
    assert found.problems == (("bot.yaml", "document 2: TradingBot a is there twice"),)


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_no_file_breaks_the_reading_of_manifests(text: bytes) -> None:
    found = manifests_in([("any", text)])
    assert len(found.problems) <= 1


def test_documents_of_other_kinds_are_passed_over() -> None:
    found = files(manifest("a", GOOD), "kind: ConfigMap\napiVersion: v1\n", "[1, 2]\n", "kind: TradingBot\n")
    assert [bot.name for bot in found.bots] == ["a"]
    assert found.problems == ()


# ------------------------------------------------------------------ what is voided


def with_changes(*paths: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(spec: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(spec))
        below = found
        for part in paths[:-1]:
            below = below.setdefault(part, {})
        below[paths[-1]] = value
        return found

    return changed


#: A change of each part of a bot's spec, and how the subject calls it; None where it is no part of it.
CHANGES = [
    (with_changes("strategy", "parameters", "lookback", value=30), "strategy"),
    (with_changes("symbols", value=["S00"]), "symbols"),
    (with_changes("timeframe", value="15Min"), "timeframe"),
    (with_changes("capital", value="1"), "capital"),
    (with_changes("risk", "maxPositions", value=3), "risk"),
    (with_changes("execution", "orderType", value="market"), "execution"),
    (with_changes("accounts", "live", value="other"), "accounts.live"),
    (with_changes("symbols", value=["S01", "S00"]), None),
    (with_changes("timeframe", value="1Day"), None),
    (with_changes("onKill", value="Flatten"), None),
    (with_changes("paused", value=True), None),
    (with_changes("storage", "size", value="2Gi"), None),
    (with_changes("notices", "acknowledgeMinutes", value=3), None),
]


@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_what_is_voided_is_what_the_operator_voids(
    change: Callable[[dict[str, Any]], dict[str, Any]], name: str | None
) -> None:
    gate, account = manifest("standard", {}, "PromotionGate"), manifest("live", ACCOUNT, "BrokerAccount")
    other = manifest("other", ACCOUNT, "BrokerAccount")
    (found,) = compared(
        files(manifest("a", LIVE), gate, account, other),
        files(manifest("a", change(LIVE)), gate, account, other),
        "x",
        (),
    )
    subjects = [
        subject_of(
            "uid",
            TradingBotSpec.model_validate(spec),
            PromotionGateSpec(),
            BrokerAccountSpec.model_validate(ACCOUNT),
            image=None,
            kill_epoch=0,
        )
        for spec in (LIVE, change(LIVE))
    ]
    assert tuple(one.input for one in found.changes) == changed_inputs(subjects[0].inputs, subjects[1].inputs)
    assert [one.input for one in found.changes] == ([name] if name is not None else [])
    assert found.voids == (tuple(Void) if name is not None else ())


def test_every_input_of_the_subject_is_one_that_is_compared_or_said_to_be_unknown() -> None:
    subject = subject_of(
        "uid", TradingBotSpec.model_validate(LIVE), PromotionGateSpec(), None, image=None, kill_epoch=0
    )
    changed = {name for _, name in CHANGES if name is not None}
    assert {*changed, "image", "gate", "killEpoch"} == set(subject.inputs)


@pytest.mark.parametrize(
    ("spec", "field", "voids"),
    [
        (LIVE | {"mode": "paper"}, "mode", (Void.APPROVALS, Void.GRANT)),
        (LIVE | {"accounts": {"paper": "p2", "live": "live"}}, "accounts.paper", (Void.EVIDENCE,)),
        (LIVE | {"image": "mine:2"}, "image", tuple(Void)),
        (LIVE | {"gateRef": {"name": "lax"}}, "gate", tuple(Void)),
    ],
)
def test_what_is_no_input_and_still_costs_something_is_said(
    spec: dict[str, Any], field: str, voids: tuple[Void, ...]
) -> None:
    (found,) = compared(files(manifest("a", LIVE)), files(manifest("a", spec)), "x", ())
    assert found.changes[0].input == field
    assert found.voids == voids


def test_asking_for_live_voids_nothing() -> None:
    (found,) = compared(files(manifest("a", LIVE | {"mode": "paper"})), files(manifest("a", LIVE)), "x", ())
    assert ([one.input for one in found.changes], found.voids) == (["mode"], ())


def test_a_gate_and_an_account_count_where_the_files_hold_them_then_and_now() -> None:
    gate = {"checks": {"paperSessions": {"minimum": 20}}}
    before = files(
        manifest("a", LIVE), manifest("standard", {}, "PromotionGate"), manifest("live", ACCOUNT, "BrokerAccount")
    )
    now = files(
        manifest("a", LIVE),
        manifest("standard", gate, "PromotionGate"),
        manifest("live", {**ACCOUNT, "dataFeed": "sip", "limits": {"maxOrdersPerMinute": 3}}, "BrokerAccount"),
    )
    (found,) = compared(before, now, "x", ())
    assert {one.input: one.differences for one in found.changes} == {
        "accounts.live": ("account.dataFeed: iex -> sip",),
        "gate": ("checks.paperSessions.minimum: 30 -> 20",),
    }
    (unseen,) = compared(files(manifest("a", LIVE)), now, "x", ())
    assert unseen.changes == ()
    assert [one.partition(":")[0] for one in unseen.unknown] == ["image", "gate", "accounts.live", "killEpoch"]


def test_an_image_by_digest_is_the_same_whatever_its_name_and_its_sources() -> None:
    digest = "@sha256:" + "a" * 64
    before, now = (files(manifest("a", {**GOOD, "image": name + digest})) for name in ("mine", "mirror/mine"))
    (found,) = compared(before, now, "x", ("src/a.py",))
    assert found.voids == ()
    (tagged,) = compared(files(manifest("a", GOOD)), files(manifest("a", GOOD)), "x", ("src/a.py",))
    assert tagged.voids == tuple(Void)


def test_new_gone_and_unreadable_bots_are_told_apart() -> None:
    a, b = manifest("a", GOOD), manifest("b", GOOD)
    new, gone = compared(files(b), files(a), "x", ())
    assert (new.is_new, new.voids) == (True, ())
    assert gone.voids == tuple(Void)
    (unread,) = compared(files(manifest("a", {})), files(a), "x", ())
    assert unread.voids == tuple(Void)
    (torn,) = compared(manifests_in([("bot.yaml", b"a: [")]), files(a), "x", ())
    assert torn.voids == tuple(Void)


# ------------------------------------------------------------------ git


def test_a_base_that_git_does_not_know_is_refused_in_words(repository: Path) -> None:
    (repository / "bot.yaml").write_text(manifest("a", GOOD))
    outside = run("--bot", "bot.yaml", "--base-ref", "main")
    assert (outside.exit_code, "GitRefused: git rev-parse" in outside.stderr) == (78, True)
    git(repository, "init", "-q")
    unknown = run("--bot", "bot.yaml", "--base-ref", "origin/main")
    assert unknown.exit_code == 78
    assert "UnknownRef: origin/main: this clone has no such commit" in unknown.stderr
    assert run("--bot", "bot.yaml", "--base-ref=--upload-pack=x").exit_code == 78


def test_without_git_it_is_said_what_else_to_give(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "bot.yaml").write_text(manifest("a", GOOD))
    monkeypatch.setenv("PATH", str(repository))
    done = run("--bot", "bot.yaml", "--base-ref", "main")
    assert done.exit_code == 78
    assert "GitMissing: git is not installed here: install it, or give --base FILE" in done.stderr


def test_files_as_they_were_do_instead_of_git_and_voiding_can_be_a_failure(repository: Path) -> None:
    broken = {**GOOD, "strategy": {"name": "nobody"}}
    (repository / "bot.yaml").write_text(manifest("a", broken))
    (repository / "before.yaml").write_text(manifest("a", {**broken, "capital": "5"}))
    done = run("--bot", "bot.yaml", "--base", "before.yaml", "--fail-on-void", "--json", "ci.json")
    assert done.exit_code == 1
    found = {one["check"]: one for one in json.loads((repository / "ci.json").read_text())["findings"]}
    assert found["subject"]["outcome"] == "failed"
    assert found["subject"]["message"] == "merging it voids evidence, approvals, grant: capital"
    assert "capital: 5 -> 100000" in done.stdout


# ------------------------------------------------------------------ config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bots: [b.yaml]\nbar: x\n", "bar: Extra inputs are not permitted"),
        ("bots: []\n", "bots: List should have at least 1 item"),
        ("bots: [b.yaml]\nbacktest: {minimumSharpe: '1'}\n", "bars: backtest and validation need"),
        ("bots: [b.yaml]\nbars: b\nbacktest: {minimumSharpe: 0.5}\n", "backtest.minimumSharpe: Value error, write the"),
        ("bots: [b.yaml]\nbars: b\nvalidation: {mayFail: [Causality]}\n", "validation.mayFail.0"),
        ("bots: [b.yaml]\nbase: {failOnVoid: true}\n", "failOnVoid needs ref or files"),
        ("bots: [b.yaml]\nbase: {imageSources: [src]}\n", "imageSources needs ref"),
        ("bots: [b.yaml]\ncosts: {slippageBps: '-1'}\n", "costs.slippageBps"),
        ("- bots\n", "holds no checks"),
        ("bots: [\n", "is not YAML"),
    ],
)
def test_a_wrong_config_names_the_field(repository: Path, text: str, words: str) -> None:
    (repository / "checks.yaml").write_text(text)
    done = run("--config", "checks.yaml")
    assert done.exit_code == 78
    assert words in done.stderr


def test_the_example_is_a_config_and_holds_every_section(repository: Path) -> None:
    shown = run("--print-example")
    assert (shown.exit_code, shown.stdout) == (0, EXAMPLE)
    config = CiConfig.model_validate(yaml.safe_load(EXAMPLE))
    assert config.validation is not None and config.validation.may_fail[0] is MayFail.STATISTICAL_SIGNIFICANCE
    assert set(yaml.safe_load(EXAMPLE)) | {"costs"} == {field.alias for field in CiConfig.model_fields.values()}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 78, "give --bot, or write .tradingbot/ci.yaml"),
        (["--bot", "none.yaml"], 78, "none.yaml cannot be read"),
        (["--bot", "empty.yaml"], 78, "there is no TradingBot in it"),
        (["--bot", "bot.yaml", "--bars", "none.csv"], 65, "none.csv: there is no such file"),
        (["--bot", "bot.yaml", "--validate"], 78, "bars: backtest and validation need"),
        (["--bot", "bot.yaml", "--minimum-sharpe", "much"], 78, "backtest.minimumSharpe"),
        (["--bot", "bot.yaml", "--base", "b.yaml", "--base-ref", "main"], 78, "give ref or files, and not both"),
        (["--bot", "bot.yaml", "--junit", "none/ci.xml"], 65, "NotWritten: none/ci.xml"),
        (["--bots", "bot.yaml"], 2, "No such option"),
    ],
)
def test_what_cannot_be_looked_at_is_said(repository: Path, arguments: list[str], code: int, words: str) -> None:
    (repository / "empty.yaml").write_text("kind: ConfigMap\napiVersion: v1\n")
    (repository / "bot.yaml").write_text(manifest("a", {**GOOD, "strategy": {"name": "nobody"}}))
    done = run(*arguments)
    assert done.exit_code == code
    assert words in done.stderr


# ------------------------------------------------------------------ what is left


def any_findings(words: str) -> Findings:
    outcomes = [
        finding(words, words, one, observed=words, threshold=words, message=words, seconds=0.5) for one in Outcome
    ]
    change = Change(words, (words, words), tuple(Void))
    return Findings(tuple(outcomes), (Compared(words, words, (change,), (words,)),))


@given(st.text(max_size=80))
@settings(max_examples=100)
def test_whatever_the_words_are_every_document_stays_whole(words: str) -> None:
    found = any_findings(words + HOSTILE)
    document = ElementTree.fromstring(as_junit(found).encode())  # noqa: S314 - made here
    assert [len(case.findall("failure")) for case in document.iter("testcase")] == [0, 1, 0, 0]
    assert json.loads(as_json(found).encode())["passed"] is False
    assert {one for one in as_table(found) if not one.isprintable()} == {"\n"}
    rows = [line for line in as_summary(found).splitlines() if line.startswith("| ") and "| bot |" not in line]
    assert len(rows) == 5
    for row in rows:
        assert set(without_code(row)) <= {"|", " "}
        assert row.count("|") in (5, 6)


def without_code(line: str) -> str:
    """A line of Markdown without its code spans, as CommonMark finds them."""
    return re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", line)


def test_a_summary_is_short_enough_for_a_comment() -> None:
    many = Findings(tuple(finding("a", f"check-{n}", Outcome.FAILED, message="x" * 900) for n in range(200)))
    text = as_summary(many)
    assert len(text) < 60_000
    assert "There is more" in text


def test_nothing_looked_at_is_not_passed() -> None:
    assert not Findings(()).passed
    assert not Findings((finding("a", "backtest", Outcome.SKIPPED),)).passed


def test_help_says_what_the_exit_codes_mean_and_loads_no_research() -> None:
    shown = CliRunner().invoke(app, ["ci", "--help"]).stdout
    assert "Exit codes: 0" in shown
    code = (
        "import sys, tradingbot_runtime.commands.ci;"
        "found = {'numpy', 'pydantic', 'yaml', 'tradingbot_research'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ------------------------------------------------------------------ the page

PAGE = (ROOT / "docs/how-to/ci.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    return re.findall(r"^```yml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_shows_the_example_and_a_workflow_whose_options_exist() -> None:
    example, workflow = blocks()
    assert example == EXAMPLE
    job = yaml.safe_load(workflow)["jobs"]["bots"]
    (line,) = [step["run"] for step in job["steps"] if "tradingbot ci" in step.get("run", "")]
    assert_its_options_exist(line)


def test_a_new_package_says_a_line_whose_options_exist(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["new-strategy", "of-my-own", "--directory", str(tmp_path)])
    assert done.exit_code == 0
    readme = (tmp_path / "of-my-own/README.md").read_text(encoding="utf-8")
    found = re.search(r"^tradingbot ci .*?[^\\]$", readme, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert_its_options_exist(found[0])


def assert_its_options_exist(line: str) -> None:
    words = shlex.split(line.replace("\\\n", " "))
    options = {name for one in command().params for name in one.opts}
    assert words[:2] == ["tradingbot", "ci"]
    given = {word for word in words if word.startswith("--")}
    assert given and given <= options


def command() -> Any:
    group: Any = typer.main.get_command(app)
    return group.commands["ci"]


def test_the_page_names_every_input_that_is_compared_and_every_exit_code() -> None:
    table = PAGE.partition("| what differs |")[2].partition("\n\n")[0]
    first_cells = "".join(line.split("|")[1] for line in table.splitlines()[2:])
    named = set(re.findall(r"`([\w.]+)`", first_cells)) - {"spec.image", "imageSources", "mode"}
    compared_ones = {name for _, name in CHANGES if name is not None}
    assert named == compared_ones | {"image", "gate", "gateRef", "accounts.paper"}
    said = re.search(r"Exit codes: (.*?)\n\n", command().help, re.DOTALL)
    assert said is not None
    assert re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE) == re.findall(r"\b(\d+) \w", said[1])


def test_what_the_steps_are_called_on_the_page_is_what_they_are_called() -> None:
    table = PAGE.partition("| step |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)", table, re.MULTILINE) == [
        MANIFEST,
        CHECK_STRATEGY,
        BACKTEST,
        VALIDATION,
        "subject",
    ]
