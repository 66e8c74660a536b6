"""An audit says Match where bot and broker agree, and names both sides where they do not; it believes the broker."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from typer.testing import CliRunner, Result

from alpaca_simulator.api.messages import Request
from alpaca_simulator.values.instants import NEW_YORK
from builders import OPEN, UID, a_position, a_word, an_order
from contract.conftest import served
from simulation.live import LiveWorld
from simulation.world import KEYS, LIVE_KEYS, World
from tradingbot_api import AuditReports, ClosedSession, ClosedSessions, SessionReport
from tradingbot_runtime.broker.fills import BrokerFill
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands.audit import shortened
from tradingbot_runtime.commands.auditing import Audit, Books, BrokerRecord, Prices
from tradingbot_runtime.core.orders import Fill, Order, OrderState
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.report import instant
from tradingbot_runtime.core.values import BrokerActivity, MarketSession, Side

DAYS = ("2026-03-02", "2026-03-03")


class Audited:
    """A bot that has traded for two sessions, and the files of an audit."""

    def __init__(self, directory: Path, world: World | None = None) -> None:
        self.directory = directory
        self.world = world or World(directory / "state", 1)
        self.keys = KEYS if self.world.mode == "paper" else LIVE_KEYS
        asyncio.run(self._trade())

    async def _trade(self) -> None:
        await self.world.begin()
        await self.world.run(2)
        await self.world.settle()

    @property
    def closed(self) -> list[SessionReport]:
        sessions = self.world.database.records.sessions()
        return [SessionReport.model_validate_json(one.record.payload) for one in reversed(sessions)]

    def report(self, change: Callable[[SessionReport], SessionReport] = lambda one: one) -> str:
        """The body of /sessions as a file, with one session changed."""
        sessions = [
            ClosedSession(report=change(one), digest="0" * 64, journal_sequence=1, journal_hash="0" * 64)
            for one in self.closed
        ]
        path = self.directory / "sessions.json"
        path.write_text(ClosedSessions(sessions=sessions).model_dump_json(by_alias=True))
        return str(path)

    def run(self, *options: str, secret: str | None = None, **config: Any) -> Result:
        with served(self.world.simulator) as url:
            return self.run_at(url, *options, secret=secret, **config)

    def run_at(self, url: str, *options: str, secret: str | None = None, **config: Any) -> Result:
        document = json.loads(self.world.config.model_dump_json(by_alias=True)) | config
        document["broker"] |= {"baseURL": url, "dataURL": url}
        path = self.directory / "bot.yaml"
        path.write_text(yaml.safe_dump(document))
        environment = {
            "APCA_API_KEY_ID": self.keys.key_id,
            "APCA_API_SECRET_KEY": secret or self.keys.secret_key,
            "TERMINATION_MESSAGE_PATH": str(self.directory / "termination-log"),
        }
        result = CliRunner().invoke(app, ["audit", "--config", str(path), *options], env=environment)
        structlog.reset_defaults()  # the simulator of this process logs, too, and the command's stderr is gone
        return result

    @property
    def last_words(self) -> AuditReports:
        return AuditReports.model_validate_json((self.directory / "termination-log").read_text())

    @property
    def state(self) -> tuple[str, str]:
        return "--state", str(self.directory / "state")


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    audited = Audited(tmp_path_factory.mktemp("audited"))
    assert [one.session for one in audited.closed] == list(DAYS)
    assert all(one.fills > 0 for one in audited.closed)
    yield audited
    audited.world.database.close()


def differences(result: Result) -> dict[str, tuple[str, str]]:
    reports = AuditReports.model_validate_json(result.stdout)
    return {one.what: (one.reported, one.broker) for audit in reports.audits for one in audit.differences}


def test_what_bot_and_broker_agree_on_is_a_match(traded: Audited) -> None:
    result = traded.run(*traded.state, "--last", "2")
    assert result.exit_code == 0, result.output
    reports = AuditReports.model_validate_json(result.stdout)
    assert [(one.session, one.result) for one in reports.audits] == [(day, "Match") for day in DAYS]
    assert [one.not_compared for one in reports.audits] == [[], []]
    assert traded.last_words == reports


def test_a_live_bots_sessions_are_audited_with_its_grant_and_without_it(tmp_path: Path) -> None:
    live = Audited(tmp_path, LiveWorld(tmp_path / "state"))
    assert all(one.mode == "live" and one.fills > 0 for one in live.closed)
    for grant in ({}, {"grant": None}):
        result = live.run(*live.state, "--last", "2", **grant)
        assert result.exit_code == 0, result.output
        assert live.last_words.mode == "live"
        assert [one.result for one in live.last_words.audits] == ["Match", "Match"]
    as_paper = live.run("--report", live.report(), "--last", "1", mode="paper")
    assert as_paper.exit_code == 1
    assert {"bot", "orders"} <= set(differences(as_paper))
    live.world.database.close()


def test_a_report_alone_is_audited_too(traded: Audited) -> None:
    result = traded.run("--report", traded.report(), "--session", DAYS[0], "--session", DAYS[1])
    assert result.exit_code == 0, result.output
    last = AuditReports.model_validate_json(result.stdout).audits[-1]
    assert last.not_compared == ["positions: the report does not hold them; give --state"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("orders", 1),
        ("filledOrders", -1),
        ("fills", 1),
        ("turnover", Decimal("1.00")),
        ("pnl", Decimal("400.00")),
        ("pnl", Decimal("-400.00")),
    ],
)
def test_a_figure_that_was_reported_wrongly_is_found(traded: Audited, field: str, change: Any) -> None:
    name = {"filledOrders": "filled_orders"}.get(field, field)

    def lie(one: SessionReport) -> SessionReport:
        wrong = {name: getattr(one, name) + change}
        return one.model_copy(update=wrong) if one.session == DAYS[0] else one

    result = traded.run("--report", traded.report(lie), "--last", "2")
    assert result.exit_code == 1
    assert list(differences(result)) == [field]
    reports = AuditReports.model_validate_json(result.stdout)
    assert [one.result for one in reports.audits] == ["Mismatch", "Match"]
    assert f"{DAYS[0]} Mismatch" in result.stderr and "broker" in result.stderr


def test_rejects_that_were_kept_quiet_are_found_and_those_on_the_spot_are_not_missed(traded: Audited) -> None:
    more = traded.run("--report", traded.report(lambda one: one.model_copy(update={"rejected_orders": 3})))
    assert more.exit_code == 0


def test_another_bots_sessions_are_no_match(traded: Audited) -> None:
    result = traded.run("--report", traded.report(lambda one: one.model_copy(update={"uid": "somebody-else"})))
    assert result.exit_code == 1
    assert "bot" in differences(result)


def in_new_york(day: str, begin: str, end: str) -> dict[str, str]:
    """A session's date, open and close, as a bot reports them."""
    bells = [datetime.fromisoformat(f"{day}T{bell}").replace(tzinfo=NEW_YORK).astimezone(UTC) for bell in (begin, end)]
    return {"session": day, "opens_at": instant(bells[0]), "closes_at": instant(bells[1])}


@pytest.mark.parametrize(
    ("reported", "broker"),
    [
        (in_new_york("2026-02-28", "09:30", "16:00"), "no session on this date"),  # a Saturday
        (in_new_york("2026-02-16", "09:30", "16:00"), "no session on this date"),  # a holiday
        (in_new_york("2026-02-27", "14:00", "14:05"), "2026-02-27T14:30:00.000Z to 2026-02-27T21:00:00.000Z"),
        (in_new_york("2026-02-27", "09:30", "13:00"), "2026-02-27T14:30:00.000Z to 2026-02-27T21:00:00.000Z"),
        (in_new_york("2025-11-28", "09:30", "16:00"), "2025-11-28T14:30:00.000Z to 2025-11-28T18:00:00.000Z"),
    ],
)
def test_a_session_that_the_exchange_did_not_hold_is_made_up(
    traded: Audited, reported: dict[str, str], broker: str
) -> None:
    nothing = {"orders": 0, "filled_orders": 0, "fills": 0, "turnover": Decimal(0), "pnl": Decimal(0)}

    def lie(one: SessionReport) -> SessionReport:
        return one.model_copy(update=reported | nothing) if one.session == DAYS[0] else one

    day = reported["session"]
    result = traded.run("--report", traded.report(lie), "--session", day, "--session", DAYS[1])
    assert result.exit_code == 1, result.output
    assert differences(result) == {"session": (f"{reported['opens_at']} to {reported['closes_at']}", broker)}
    assert [(one.session, one.result) for one in traded.last_words.audits] == [(day, "Mismatch"), (DAYS[1], "Match")]


def test_a_half_day_that_was_reported_as_one_is_a_session(traded: Audited) -> None:
    nothing = {"orders": 0, "filled_orders": 0, "fills": 0, "turnover": Decimal(0), "pnl": Decimal(0)}
    half = in_new_york("2025-11-28", "09:30", "13:00")
    report = traded.report(lambda one: one.model_copy(update=half | nothing) if one.session == DAYS[0] else one)
    result = traded.run("--report", report, "--session", "2025-11-28")
    assert result.exit_code == 0, result.output


def test_a_calendar_that_cannot_be_read_is_a_reason_to_try_again(tmp_path: Path) -> None:
    audited = Audited(tmp_path)
    fault = {"kind": "status", "status": 503, "match": {"route": "GET /v2/calendar"}}
    request = Request("POST", "/admin/faults", body=json.dumps(fault).encode())
    assert audited.world.simulator.rest.handle(request).status in (200, 201)
    result = audited.run(*audited.state, "--last", "2")
    assert result.exit_code == 75, result.output
    assert [one.result for one in audited.last_words.audits] == ["Unknown", "Unknown"]
    assert "calendar" in audited.last_words.audits[0].message
    audited.world.database.close()


def test_shares_that_vanished_at_the_broker_are_found(tmp_path: Path) -> None:
    audited = Audited(tmp_path)
    symbol = next(iter(audited.world.held))
    body = {"kind": "position_change", "account": "paper", "symbol": symbol, "quantity": "-1"}
    request = Request("POST", "/admin/interventions", body=json.dumps(body).encode())
    assert audited.world.simulator.rest.handle(request).status == 200
    result = audited.run(*audited.state)
    assert result.exit_code == 1, result.output
    reported, broker = differences(result)[f"{symbol} held"]
    assert Decimal(reported) == Decimal(broker) + 1
    audited.world.database.close()


# ---------------------------------------------------------------------- the comparison itself

OPENS, CLOSES = OPEN, OPEN + timedelta(hours=6.5)


def a_report(**changes: Any) -> SessionReport:
    """A session in which 10 AAPL were bought at 100 and sold at 101."""
    fields: dict[str, Any] = {
        "session": "2026-03-02",
        "namespace": "demo",
        "name": "momentum",
        "uid": UID,
        "mode": "paper",
        "account": "paper",
        "opens_at": OPENS.isoformat(),
        "closes_at": CLOSES.isoformat(),
        "coverage_percent": "100",
        "closed_normally": True,
        "starts": 1,
        "orders": 2,
        "filled_orders": 2,
        "fills": 2,
        "rejected_orders": 0,
        "refused_orders": 0,
        "pnl": "10.00",
        "return_percent": "0.1",
        "shadow_return_percent": "0.1",
        "turnover": "2010.00",
        "operations": 10,
        "operational_errors": 0,
        "incidents": 0,
        "killed": False,
    }
    return SessionReport.model_validate(fields | changes)


BOUGHT = an_order(1, state=OrderState.FILLED, filled_qty=Decimal(10), filled_average_price=Decimal(100), broker_id="b1")
SOLD = replace(
    BOUGHT,
    client_order_id=an_order(2).client_order_id,
    side=Side.SELL,
    filled_average_price=Decimal(101),
    broker_id="b2",
)


def a_fill(order: Order, minute: float = 60, **changes: Any) -> BrokerFill:
    fields: dict[str, Any] = {
        "fill_id": f"fill-{order.broker_id}-{minute}",
        "order_id": order.broker_id,
        "symbol": order.symbol,
        "side": order.side,
        "qty": order.qty,
        "price": order.filled_average_price,
        "at": OPENS + timedelta(minutes=minute),
        "completes": True,
    }
    return BrokerFill(**(fields | changes))


def a_record(*fills: BrokerFill, orders: tuple[Order, ...] = (BOUGHT, SOLD), **changes: Any) -> BrokerRecord:
    words = tuple(
        a_word(order, "filled", "10", str(order.filled_average_price), broker_id=order.broker_id) for order in orders
    )
    held = {"2026-03-02": MarketSession(OPENS.date(), OPENS, CLOSES)}
    record = BrokerRecord(words, fills or (a_fill(BOUGHT), a_fill(SOLD, 120)), (), (), held)
    return replace(record, **changes)


def of_the_fills(*orders: Order) -> Books:
    fills = tuple(
        Fill(
            one.client_order_id,
            1,
            one.symbol,
            one.filled_qty * (1 if one.side is Side.BUY else -1),
            one.filled_average_price or Decimal(0),
            OPENS,
        )
        for one in orders
    )
    return Books(orders, fills, Portfolio.of(fills))


def found(
    report: SessionReport, record: BrokerRecord, books: Books | None = None, *, is_last: bool = False
) -> set[str]:
    audit = Audit(report, record, frozenset({"AAPL"}), books).result(is_last=is_last)
    assert (audit.result == "Match") == (not audit.differences)
    return {re.sub("^order [^ ]+", "order", one.what) for one in audit.differences}


def test_a_session_flat_at_both_ends_is_compared_to_the_cent() -> None:
    assert found(a_report(), a_record(), of_the_fills(BOUGHT, SOLD), is_last=True) == set()
    assert found(a_report(pnl="10.05"), a_record()) == {"pnl"}


def test_a_bell_may_be_off_by_a_minute_and_no_more() -> None:
    for bell, at in (("opens_at", OPENS), ("closes_at", CLOSES)):
        for seconds, differing in ((60, set()), (-60, set()), (61, {"session"}), (-61, {"session"})):
            assert found(a_report(**{bell: (at + timedelta(seconds=seconds)).isoformat()}), a_record()) == differing
    assert found(a_report(), a_record(sessions={})) == {"session"}


def test_a_minute_that_the_bot_leaves_out_is_looked_at_all_the_same() -> None:
    early, late = OPENS + timedelta(seconds=60), CLOSES - timedelta(seconds=60)
    hiding = a_report(opens_at=early.isoformat(), closes_at=late.isoformat(), orders=1, filled_orders=1, fills=1)
    record = a_record(a_fill(BOUGHT, 0.5), a_fill(SOLD, 120))
    assert found(hiding, record) == {"orders", "filledOrders"}


def test_an_order_that_only_one_side_knows_is_named() -> None:
    record = a_record()
    assert found(a_report(), record, of_the_fills(BOUGHT)) == {"order", "AAPL shares traded"}
    only_bought = a_record(a_fill(BOUGHT), orders=(BOUGHT,))
    assert {"orders", "filledOrders", "fills", "turnover", "order"} <= found(
        a_report(), only_bought, of_the_fills(BOUGHT, SOLD)
    )


def test_a_filled_quantity_or_price_that_differs_is_named() -> None:
    less = replace(BOUGHT, filled_qty=Decimal(9))
    assert found(a_report(), a_record(), of_the_fills(less, SOLD)) == {"order filled", "AAPL shares traded"}
    dearer = replace(BOUGHT, filled_average_price=Decimal("100.5"))
    assert found(a_report(), a_record(), of_the_fills(dearer, SOLD)) == {"order average price"}


def test_an_order_that_the_broker_got_after_the_bell_may_count_for_the_session_it_was_sent_in() -> None:
    late = replace(BOUGHT, client_order_id=an_order(3).client_order_id, broker_id="b3")
    words = [*a_record().orders, a_word(late, "accepted", broker_id="b3", created_at=CLOSES + timedelta(minutes=20))]
    record = replace(a_record(), orders=tuple(words))
    assert found(a_report(orders=3), record) == set()
    assert found(a_report(orders=2), record) == set()
    assert found(a_report(orders=4), record) == found(a_report(orders=1), record) == {"orders"}
    tomorrow = MarketSession(OPENS.date() + timedelta(days=1), OPENS + timedelta(days=1), CLOSES + timedelta(days=1))
    next_day = replace(record, sessions={**record.sessions, "2026-03-03": tomorrow})
    of_tomorrow = replace(words[-1], created_at=OPENS + timedelta(days=1, minutes=1))
    assert found(a_report(orders=3), replace(next_day, orders=(*words[:-1], of_tomorrow))) == {"orders"}


def test_executions_that_reached_the_bot_as_one_count_as_one() -> None:
    halves = [a_fill(BOUGHT, minute, qty=Decimal(5), completes=minute == 61) for minute in (60, 61)]
    assert found(a_report(), a_record(*halves, a_fill(SOLD, 120))) == set()
    assert found(a_report(fills=4), a_record(*halves, a_fill(SOLD, 120))) == {"fills"}


def test_a_leg_counts_as_a_trade_and_not_as_an_order() -> None:
    leg = replace(SOLD, client_order_id="chosen-by-the-broker", parent_id=BOUGHT.client_order_id)
    word = a_word(leg, "filled", "10", "101", broker_id="b2")
    parent = a_word(BOUGHT, "filled", "10", "100", broker_id="b1", legs=(word,), order_class="bracket")
    record = a_record(orders=())
    assert found(a_report(orders=1), replace(record, orders=(parent,)), of_the_fills(BOUGHT, leg)) == set()


def test_what_is_held_at_an_end_is_worth_what_the_sessions_prices_allow() -> None:
    held = a_record(
        a_fill(BOUGHT),
        orders=(BOUGHT,),
        positions=(a_position("AAPL", "10"),),
        prices={"2026-03-02": {"AAPL": Prices(Decimal(98), Decimal(104), Decimal(99))}},
    )
    report = a_report(orders=1, filled_orders=1, fills=1, turnover="1000.00")
    assert found(report.model_copy(update={"pnl": Decimal(40)}), held) == set()
    assert found(report.model_copy(update={"pnl": Decimal(-20)}), held) == set()
    assert found(report.model_copy(update={"pnl": Decimal(45)}), held) == {"pnl"}
    assert found(report.model_copy(update={"pnl": Decimal(-25)}), held) == {"pnl"}


def test_profit_that_the_broker_cannot_tell_is_said_and_not_judged() -> None:
    split = BrokerActivity("1", "SPLIT", "AAPL", Decimal(10), Decimal(0), OPENS + timedelta(days=3))
    audit = Audit(a_report(pnl="99999"), a_record(activities=(split,)), frozenset({"AAPL"})).result(is_last=False)
    assert audit.result == "Match"
    assert audit.not_compared == ["pnl: AAPL was held or moved at prices that are not known"]


def test_a_reject_in_the_brokers_record_must_be_in_the_report() -> None:
    refused = a_word(an_order(3), "rejected", broker_id="b3")
    record = a_record()
    record = replace(record, orders=(*record.orders, refused))
    assert found(a_report(orders=3), record) == {"rejectedOrders"}
    assert found(a_report(orders=3, rejected_orders=1), record) == set()


def test_what_is_held_after_the_last_session_is_compared_unless_somebody_traded_since() -> None:
    record = a_record(positions=(a_position("AAPL", "3"),), prices={})
    books = of_the_fills(BOUGHT, SOLD)
    assert "AAPL held" in found(a_report(), record, books, is_last=True)
    later = a_fill(BOUGHT, 24 * 60, fill_id="later", order_id="somebody's", qty=Decimal(3))
    audit = Audit(a_report(), replace(record, fills=(*record.fills, later)), frozenset({"AAPL"}), books)
    said = audit.result(is_last=True)
    assert said.result == "Match"
    assert said.not_compared == ["positions: there were trades after the session"]


# ---------------------------------------------------------------------- when nothing can be said


def test_a_broker_that_does_not_answer_is_a_reason_to_try_again(traded: Audited) -> None:
    result = traded.run_at("http://127.0.0.1:1", *traded.state)
    assert result.exit_code == 75
    assert [one.result for one in traded.last_words.audits] == ["Unknown"]
    assert "the broker cannot be read" in traded.last_words.audits[0].message
    refused = traded.run(*traded.state, secret="wrong")
    assert refused.exit_code == 75


def test_a_session_that_is_not_closed_is_unknown(traded: Audited) -> None:
    result = traded.run(*traded.state, "--session", "2026-03-04", "--session", DAYS[0])
    assert result.exit_code == 75
    assert [one.result for one in traded.last_words.audits] == ["Match", "Unknown"]


def test_a_report_comes_from_an_address_too(traded: Audited) -> None:
    body = Path(traded.report()).read_bytes()

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Pages) as pages:
        thread = threading.Thread(target=pages.serve_forever, daemon=True)
        thread.start()
        result = traded.run("--report", f"http://127.0.0.1:{pages.server_port}/sessions", "--last", "2")
        pages.shutdown()
        thread.join()
    assert result.exit_code == 0, result.output


def test_an_address_that_does_not_answer_is_a_reason_to_try_again(traded: Audited) -> None:
    result = traded.run("--report", "http://127.0.0.1:1/sessions", "--session", DAYS[0])
    assert result.exit_code == 75
    assert "127.0.0.1:1" in traded.last_words.audits[0].message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give --state or --report"),
        (["--report", "nowhere.json"], "No such file"),
        (["--report", __file__], "is no /sessions document"),
        (["--report", "x", "--session", "yesterday"], "write a date such as 2026-03-02"),
    ],
)
def test_wrong_options_are_said(traded: Audited, options: list[str], said: str) -> None:
    result = traded.run_at("http://127.0.0.1:1", *options)
    assert result.exit_code == 78
    assert said in result.stderr


def test_last_words_always_fit_and_hold_every_result(traded: Audited) -> None:
    result = traded.run("--report", traded.report(lambda one: one.model_copy(update={"orders": 99, "fills": 99})))
    one = AuditReports.model_validate_json(result.stdout).audits[0]
    many = one.model_copy(update={"differences": [one.differences[0]] * 20, "message": ""})
    words = shortened(AuditReports(uid="u", mode="paper", audits=[many] * 30))
    assert len(words.encode()) <= 4096
    kept = AuditReports.model_validate_json(words)
    assert [audit.result for audit in kept.audits] == ["Mismatch"] * 30
    assert len(shortened(AuditReports(uid="u", mode="paper", audits=[many])).encode()) <= 4096


def test_help_says_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["audit", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--session", "--last", "--report", "--state", "Exit codes: 0", "75", "78", "65"):
        assert words in text
