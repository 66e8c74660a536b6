"""A preflight passes where all is as it should be, names what is not, and never orders anything: the real simulator."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import structlog
import yaml
from typer.testing import CliRunner, Result

from alpaca_simulator.api.messages import Request
from alpaca_simulator.simulator import Simulator
from builders import OPEN, a_live_config
from contract.conftest import LIVE, PAPER, noon_simulator, served
from tradingbot_api import PreflightReport
from tradingbot_runtime.broker.account import BrokerAccount, account_from
from tradingbot_runtime.broker.port import BrokerUnavailable, OrderRejected
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands.account_config import PreflightConfig
from tradingbot_runtime.commands.preflight import shortened
from tradingbot_runtime.commands.preflighting import CHECKS, LARGEST_CLOCK_SKEW, Finding, Preflight, Preflighted
from tradingbot_runtime.core.values import BrokerAsset, BrokerQuote, MarketClock
from tradingbot_runtime.ops.notices import Deliverer, NoticeSecrets

ALL = list(CHECKS)


class Desk:
    """A simulator at noon and a directory with the config of a bot that wants to go live."""

    def __init__(self, directory: Path, **config: Any) -> None:
        self.directory = directory
        self.simulator: Simulator = noon_simulator(**config)

    def run(self, *options: str, keys: tuple[str, str] = LIVE, **config: Any) -> Result:
        with served(self.simulator) as url:
            return self.run_at(url, *options, keys=keys, **config)

    def run_at(self, url: str, *options: str, keys: tuple[str, str] = LIVE, **config: Any) -> Result:
        document = json.loads(a_live_config().model_dump_json(by_alias=True)) | {"grant": None, "mode": "paper"}
        document["broker"] |= {"baseURL": url, "dataURL": url} | config.pop("broker", {})
        path = self.directory / "bot.yaml"
        path.write_text(yaml.safe_dump(document | config))
        environment = {
            "APCA_API_KEY_ID": keys[0],
            "APCA_API_SECRET_KEY": keys[1],
            "TERMINATION_MESSAGE_PATH": str(self.directory / "termination-log"),
            "WEBHOOK_TOKEN": "token-1",
        }
        result = CliRunner().invoke(app, ["preflight", "--config", str(path), *options], env=environment)
        structlog.reset_defaults()  # the simulator of this process logs, too, and the command's stderr is gone
        return result

    @property
    def last_words(self) -> PreflightReport:
        return PreflightReport.model_validate_json((self.directory / "termination-log").read_text())

    @property
    def orders(self) -> int:
        return sum(len(list(one.orders_newest_first())) for one in self.simulator.exchange.accounts.values())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def failed(result: Result) -> dict[str, str]:
    report = PreflightReport.model_validate_json(result.stdout)
    assert [one.name for one in report.checks] == ALL
    return {one.name: one.message for one in report.checks if not one.passed}


def test_an_account_that_is_ready_passes_every_check_and_nothing_is_ordered(desk: Desk) -> None:
    result = desk.run()
    assert (result.exit_code, failed(result)) == (0, {}), result.output
    report = PreflightReport.model_validate_json(result.stdout)
    assert report == desk.last_words
    assert (report.account, report.uid) == ("live", a_live_config().bot.uid)
    messages = {one.name: one.message for one in report.checks}
    assert messages["ClockSkew"] == "the simulator's clock is its own"
    assert messages["Notices"] == "none configured"
    assert "10000 needed" in messages["BuyingPower"]
    assert desk.orders == 0


def test_keys_of_a_paper_account_are_refused_for_a_live_one_and_the_reverse(desk: Desk) -> None:
    paper = desk.run(keys=PAPER)
    assert paper.exit_code == 1
    assert failed(paper) == {"Keys": "the keys are those of a paper account, the BrokerAccount says live"}
    live = desk.run(broker={"environment": "paper"})
    assert live.exit_code == 1
    assert failed(live) == {"Keys": "the keys are those of a live account, the BrokerAccount says paper"}


def test_keys_that_are_refused_fail_and_are_no_reason_to_try_again(desk: Desk) -> None:
    result = desk.run(keys=(LIVE[0], "wrong"))
    assert result.exit_code == 1
    assert {"Keys", "Account", "BuyingPower"} <= set(failed(result))
    assert "refuses the keys" in failed(result)["Keys"]


def test_the_account_must_be_able_to_buy_for_the_capital_or_the_first_stages_cap(desk: Desk) -> None:
    too_much = desk.run(capital="900000000")
    assert (too_much.exit_code, list(failed(too_much))) == (1, ["BuyingPower"])
    assert "900000000 needed" in failed(too_much)["BuyingPower"]
    assert desk.run("--capital", "1000", capital="900000000").exit_code == 0


def test_an_account_that_may_not_trade_is_named_with_what_blocks_it(desk: Desk) -> None:
    with served(desk.simulator) as url:
        suspended = Request(
            "PATCH",
            "/v2/account/configurations",
            headers={"APCA-API-KEY-ID": LIVE[0], "APCA-API-SECRET-KEY": LIVE[1]},
            body=b'{"suspend_trade": true}',
        )
        assert desk.simulator.rest.handle(suspended).status == 200
        result = desk.run_at(url)
    assert failed(result) == {"Account": "the account cannot trade: trade_suspended_by_user"}


def test_symbols_that_the_broker_does_not_know_are_named(desk: Desk) -> None:
    result = desk.run(symbols=["AAPL", "NOSUCH"])
    assert result.exit_code == 1
    assert failed(result)["Symbols"] == "the broker does not know NOSUCH"
    assert "NOSUCH" in failed(result)["MarketData"]


def test_a_broker_that_is_not_there_is_a_reason_to_try_again(desk: Desk) -> None:
    result = desk.run_at("http://127.0.0.1:9")
    assert result.exit_code == 75
    assert all(message.startswith("no answer: ") for message in failed(result).values())
    assert list(failed(result)) == ALL[:-1]
    assert desk.last_words == PreflightReport.model_validate_json(result.stdout)


def test_what_is_wrong_counts_more_than_what_is_silent(desk: Desk) -> None:
    with served(desk.simulator) as url:
        result = desk.run_at(url, keys=PAPER, broker={"dataURL": "http://127.0.0.1:9"})
    assert result.exit_code == 1
    assert set(failed(result)) == {"Keys", "MarketData"}


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """A receiver, and what it has taken."""
    taken: list[tuple[str, dict[str, Any]]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            taken.append((self.headers["Authorization"], body))
            self.send_response(204 if self.path == "/hook" else 500)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_test_notice_is_delivered(desk: Desk, webhook: tuple[str, list[Any]]) -> None:
    url, taken = webhook
    result = desk.run(notices={"webhook": {"url": f"{url}/hook"}})
    assert result.exit_code == 0, result.output
    ((token, body),) = taken
    assert token == "Bearer token-1"
    assert (body["kind"], body["severity"], body["context"]["account"]) == ("preflight", "info", "live")
    assert "a test" in body["message"]


def test_a_notice_that_nobody_takes_fails(desk: Desk, webhook: tuple[str, list[Any]]) -> None:
    result = desk.run(notices={"webhook": {"url": f"{webhook[0]}/elsewhere"}})
    assert result.exit_code == 1
    assert failed(result) == {"Notices": "webhook: answered 500"}


@pytest.mark.parametrize(
    ("options", "config", "said"),
    [
        (("--capital", "much"), {}, "--capital much: write an amount"),
        (("--capital", "-1"), {}, "--capital -1: write an amount"),
        ((), {"symbols": []}, "symbols: List should have at least 1 item"),
        ((), {"capital": "0"}, "capital: "),
    ],
)
def test_a_wrong_config_or_option_is_said(
    desk: Desk, options: tuple[str, ...], config: dict[str, Any], said: str
) -> None:
    result = desk.run_at("http://127.0.0.1:9", *options, **config)
    assert result.exit_code == 78
    assert said in result.stderr


def test_help_says_what_is_looked_at_and_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["preflight", "--help"], env={"COLUMNS": "200"}).output
    for words in (*ALL, "--capital", "nothing is ordered", "Exit codes: 0", "75", "78", "4096"):
        assert words in text


# ---------------------------------------------------------------- what the simulator never says


class Broker:
    """A real Alpaca, as far as a preflight asks it."""

    def __init__(self) -> None:
        self.standing = BrokerAccount("123456789", "ACTIVE", (), "USD", Decimal(20_000))
        self.now = OPEN
        self.tradable = {"AAPL": True, "MSFT": True}
        self.with_bars, self.with_quotes = {"AAPL", "MSFT"}, {"AAPL", "MSFT"}

    async def account(self) -> BrokerAccount:
        return self.standing

    async def clock(self) -> MarketClock:
        return MarketClock(self.now, True, OPEN + timedelta(days=1), OPEN + timedelta(hours=6))

    async def assets(self, symbols: list[str]) -> dict[str, BrokerAsset]:
        return {symbol: BrokerAsset(symbol, can, False, False) for symbol, can in self.tradable.items()}

    async def bars(self, symbols: list[str], *_: Any) -> dict[str, Any]:
        if not self.with_bars:
            raise OrderRejected("bars: 403 subscription does not permit querying recent SIP data", status=403)
        return dict.fromkeys(self.with_bars)

    async def quotes(self, symbols: list[str]) -> dict[str, BrokerQuote]:
        return {one: BrokerQuote(one, Decimal(1), Decimal(1), OPEN) for one in symbols if one in self.with_quotes}


async def looked(broker: Broker) -> Preflighted:
    document = json.loads(a_live_config().model_dump_json(by_alias=True))
    document["broker"]["provider"] = "alpaca"
    config = PreflightConfig.model_validate(document)
    deliverer = Deliverer(config.notices, NoticeSecrets())
    return await Preflight(config, broker, deliverer, lambda: OPEN).run()  # type: ignore[arg-type]


def wrong(found: Preflighted) -> dict[str, str]:
    return {name: one.message for name, one in found.findings.items() if not one.passed}


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 5.0])
async def test_a_clock_within_five_seconds_is_right(seconds: float) -> None:
    broker = Broker()
    broker.now = OPEN + timedelta(seconds=seconds)
    assert wrong(await looked(broker)) == {}


@pytest.mark.parametrize("seconds", [-5.1, 5.1, 86_400.0])
async def test_a_clock_further_off_fails(seconds: float) -> None:
    broker = Broker()
    broker.now = OPEN + timedelta(seconds=seconds)
    assert list(wrong(await looked(broker))) == ["ClockSkew"]
    assert timedelta(seconds=5) == LARGEST_CLOCK_SKEW


async def test_an_account_that_is_not_active_fails() -> None:
    broker = Broker()
    broker.standing = replace(broker.standing, status="ONBOARDING")
    assert wrong(await looked(broker)) == {"Account": "the account's status is ONBOARDING: ask the broker"}


async def test_a_symbol_that_is_not_traded_any_more_fails() -> None:
    broker = Broker()
    broker.tradable["MSFT"] = False
    assert wrong(await looked(broker)) == {"Symbols": "the broker does not trade MSFT"}


async def test_a_quote_stands_in_for_a_bar_and_without_either_the_symbol_is_named() -> None:
    broker = Broker()
    broker.with_bars = {"AAPL"}
    assert wrong(await looked(broker)) == {}
    broker.with_quotes = set()
    assert wrong(await looked(broker)) == {"MarketData": "feed iex has neither a bar nor a quote of MSFT"}


async def test_data_that_the_subscription_does_not_hold_is_no_reason_to_try_again() -> None:
    broker = Broker()
    broker.with_bars = set()
    found = await looked(broker)
    assert "subscription" in wrong(found)["MarketData"]
    assert found.has_failed and not found.is_unanswered


async def test_an_answer_that_is_none_is_a_reason_to_try_again() -> None:
    class Silent(Broker):
        async def clock(self) -> MarketClock:
            raise BrokerUnavailable("clock: 503")

    found = await looked(Silent())
    assert set(wrong(found)) == {"ClockSkew", "MarketData"}
    assert found.is_unanswered and not found.has_failed


def test_a_block_that_cannot_be_read_is_one() -> None:
    body = {"account_number": "1", "status": "ACTIVE", "currency": "USD", "buying_power": "5"}
    free = body | {"account_blocked": False, "trading_blocked": False, "trade_suspended_by_user": False}
    assert account_from(free).blocks == ()
    assert account_from(free | {"trading_blocked": "no"}).blocks == ("trading_blocked",)
    assert len(account_from(body).blocks) == 3
    with pytest.raises(ValueError, match="account_number"):
        account_from(free | {"account_number": None})


def test_last_words_always_fit_and_hold_every_check() -> None:
    document = json.loads(a_live_config().model_dump_json(by_alias=True))
    config = PreflightConfig.model_validate(document)
    found = Preflighted({name: Finding(False, "😀" * 1000) for name in CHECKS})
    text = shortened(config, found)
    assert len(text.encode()) <= 4096
    report = PreflightReport.model_validate_json(text)
    assert [one.name for one in report.checks] == ALL and not any(one.passed for one in report.checks)
