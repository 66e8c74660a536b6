"""Flattening without the bot: nothing of its is left, nothing of others is touched; only the broker's word counts."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from typer.testing import CliRunner, Result

from builders import UID, a_config
from contract.conftest import served
from simulation.world import KEYS
from tradingbot_api import FlattenReport
from tradingbot_runtime.cli import app
from tradingbot_runtime.commands.flattening import Flattening, Target
from venue import PREFIX, SATURDAY, Venue


def flattened(venue: Venue, *, closes: bool = True, seconds: float = 120, symbols: str = "AAPL MSFT") -> FlattenReport:
    target = Target(UID, "paper", PREFIX, frozenset(symbols.split()), closes)
    work = Flattening(
        venue.broker(),
        target,
        machine_clock=lambda: venue.machine,
        monotonic=venue.monotonic,
        sleep=venue.sleep,
    )
    report = asyncio.run(work.run(seconds))
    assert len(report.model_dump_json(by_alias=True)) <= 4096
    return report


def test_all_orders_of_the_bot_are_cancelled_and_nobody_elses() -> None:
    venue = Venue()
    for symbol in ("AAPL", "MSFT", "SPY"):
        venue.resting(symbol)
    strangers = venue.strangers("AAPL")
    report = flattened(venue, closes=False)
    assert (report.confirmed, report.reason) == (True, "Confirmed")
    assert (report.orders_before, report.open_orders, report.cancels_asked) == (3, 0, 3)
    assert report.orders_cancelled_at and report.flat_at is None and report.positions_before is None
    still_open = [order["id"] for order in venue.orders if order["client_order_id"] in venue.open_ids]
    assert still_open == [strangers]


def test_positions_in_the_bots_symbols_are_closed_and_no_others() -> None:
    venue = Venue()
    venue.holds("AAPL", "7")
    venue.holds("MSFT", "2.5")
    venue.holds("SPY", "3")
    report = flattened(venue)
    assert report.confirmed
    assert (report.positions_before, report.open_positions) == (2, 0)
    assert report.flat_at is not None and report.orders_cancelled_at is not None
    assert report.flat_at >= report.orders_cancelled_at >= report.started_at
    assert venue.held == {"SPY": Decimal(3)}


def test_without_flatten_positions_stay() -> None:
    venue = Venue()
    venue.holds("AAPL", "7")
    assert flattened(venue, closes=False).confirmed
    assert venue.held == {"AAPL": Decimal(7)}


def test_exits_that_outlived_their_entry_are_cancelled_by_whose_legs_they_are() -> None:
    venue = Venue()
    bracket: dict[str, Any] = {
        "symbol": "AAPL",
        "side": "buy",
        "qty": "4",
        "time_in_force": "gtc",
        "order_class": "bracket",
        "take_profit": {"limit_price": "900"},
        "stop_loss": {"stop_price": "10"},
    }
    venue.ours(**bracket)
    answer = venue.order(**(bracket | {"type": "market", "symbol": "MSFT"}))
    assert answer.status == 200, answer.body
    venue.pass_time(5)
    assert venue.held == {"AAPL": Decimal(4), "MSFT": Decimal(4)}
    report = flattened(venue, closes=False)
    assert report.confirmed
    assert report.orders_before == 2
    left = {order["symbol"] for order in venue.orders if order["client_order_id"] in venue.open_ids}
    assert left == {"MSFT"}


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 500, "count": 12},
        {"kind": "status", "status": 503, "match": {"route": "DELETE /v2/orders/{order_id}"}, "count": 12},
        {"kind": "rate_limit", "retry_after_seconds": 3, "count": 6},
        {"kind": "html_error", "status": 502, "count": 6},
        {"kind": "truncated_json", "match": {"route": "GET /v2/positions"}, "count": 3},
        {"kind": "timeout_after", "match": {"route": "DELETE /v2/positions/{symbol_or_asset_id}"}, "count": 1},
        {"kind": "reset_after", "count": 4},
        {"kind": "hang", "match": {"route": "GET /v2/orders"}, "count": 4},
        {"kind": "expired_keys", "match": {"account": "paper"}, "until": "2026-03-02T17:00:30Z"},
    ],
    ids=lambda rule: f"{rule['kind']} {rule.get('match', {}).get('route', '')}",
)
def test_it_goes_on_through_what_the_broker_does_wrong(rule: dict[str, Any]) -> None:
    venue = Venue()
    venue.holds("AAPL", "7")
    venue.resting("MSFT")
    venue.fault(**rule)
    report = flattened(venue)
    assert report.confirmed, report
    assert venue.held == {}
    assert venue.open_ids == set()


def test_a_broker_that_never_answers_is_not_a_confirmation() -> None:
    venue = Venue()
    venue.resting("AAPL")
    venue.fault(kind="status", status=500)
    report = flattened(venue, seconds=20)
    assert (report.confirmed, report.reason) == (False, "TimedOut")
    assert report.orders_before is None and report.open_orders is None
    assert "what is left is not known" in report.message and "500" in report.message


def test_cancels_that_do_not_take_are_named_as_left() -> None:
    venue = Venue()
    venue.resting("AAPL")
    venue.fault(kind="status", status=500, match={"route": "DELETE /v2/orders/{order_id}"})
    report = flattened(venue, seconds=20)
    assert (report.confirmed, report.reason, report.open_orders) == (False, "TimedOut", 1)
    assert report.left[0].startswith("order buy 1 AAPL")


def test_while_the_market_is_closed_closings_are_queued_and_that_is_said() -> None:
    venue = Venue()
    venue.holds("AAPL", "7")
    venue.resting("MSFT", time_in_force="gtc")
    venue.simulator.step(SATURDAY - venue.now)
    report = flattened(venue)
    assert (report.confirmed, report.reason) == (False, "QueuedForTheOpen")
    assert (report.open_orders, report.open_positions, report.closes_asked) == (0, 1, 1)
    assert "2026-03-09T13:30:00.000Z" in report.message
    assert report.left == ["position AAPL 7"]
    again = flattened(venue)
    assert (again.reason, again.closes_asked) == ("QueuedForTheOpen", 0)
    venue.simulator.step(venue.exchange.calendar.next_closing(venue.now).opens_at - venue.now)
    venue.pass_time(60)
    assert flattened(venue).confirmed
    assert venue.held == {}


def test_it_waits_for_an_open_that_comes_in_time() -> None:
    venue = Venue()
    venue.holds("AAPL", "7")
    tuesday = datetime(2026, 3, 3, 14, 29, 30, tzinfo=UTC)
    venue.simulator.step(tuesday - venue.now)
    assert venue.get("/v2/clock").body["is_open"] is False
    report = flattened(venue)
    assert report.confirmed
    assert venue.held == {}


def test_a_partial_fill_is_followed_to_its_end() -> None:
    venue = Venue(partial_fill_probability=0.9)
    venue.ours(symbol="AAPL", side="buy", qty="400")
    venue.pass_time(600)
    report = flattened(venue, seconds=600)
    assert report.confirmed
    assert venue.held == {}


def test_somebody_who_closes_at_the_same_time_never_makes_it_oversell() -> None:
    for seed in range(12):
        venue = Venue(seed=seed)
        venue.holds("AAPL", "10")
        turn = iter(range(10_000))

        def closes_too(venue: Venue = venue, turn: Iterator[int] = turn, seed: int = seed) -> None:
            if next(turn) % 3 == seed % 3:
                venue.delete("/v2/positions/AAPL", qty=str(1 + seed))
            assert venue.held.get("AAPL", Decimal(0)) >= 0

        venue.meanwhile = closes_too
        closes_too()
        report = flattened(venue)
        assert report.confirmed
        assert venue.held == {}
        sold = [Decimal(one["filled_qty"]) for one in venue.orders if one["side"] == "sell"]
        assert sum(sold) == 10


def test_an_order_that_arrives_late_is_cancelled_too() -> None:
    venue = Venue()
    venue.resting("AAPL")
    late = iter([True])

    def arrives() -> None:
        if not [one for one in venue.orders if one["status"] not in {"canceled"}] and next(late, False):
            venue.resting("MSFT")

    venue.meanwhile = arrives
    report = flattened(venue, closes=False)
    assert report.confirmed
    assert (report.cancels_asked, venue.open_ids) == (2, set())


# ---------------------------------------------------------------------- the command


@contextmanager
def a_job(tmp_path: Path, venue: Venue, **changes: Any) -> Iterator[Path]:
    with served(venue.simulator) as url:
        document = json.loads(a_config().model_dump_json(by_alias=True)) | changes
        document["broker"] |= {"baseURL": url, "dataURL": url}
        (tmp_path / "bot.yaml").write_text(yaml.safe_dump(document))
        yield tmp_path


def run(directory: Path, *options: str, secret: str = KEYS.secret_key) -> Result:
    environment = {
        "APCA_API_KEY_ID": KEYS.key_id,
        "APCA_API_SECRET_KEY": secret,
        "TERMINATION_MESSAGE_PATH": str(directory / "termination-log"),
    }
    result = CliRunner().invoke(app, ["flatten", "--config", str(directory / "bot.yaml"), *options], env=environment)
    structlog.reset_defaults()  # the simulator of this process logs, too, and the command's stderr is gone
    return result


def last_words(directory: Path) -> FlattenReport:
    return FlattenReport.model_validate_json((directory / "termination-log").read_text())


def test_the_jobs_last_words_are_the_verified_result(tmp_path: Path) -> None:
    venue = Venue()
    venue.resting("AAPL")
    with a_job(tmp_path, venue) as job:
        result = run(job)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1].startswith("Confirmed: ")
    report = last_words(tmp_path)
    assert (report.uid, report.mode, report.flatten) == (UID, "paper", False)
    assert (report.orders_before, report.open_orders) == (1, 0)
    assert FlattenReport.model_validate_json(result.stdout) == report


@pytest.mark.parametrize(
    ("changes", "options", "flatten"),
    [
        ({"onKill": "Flatten"}, [], True),
        ({"onKill": "CancelOrders"}, [], False),
        ({"onKill": "CancelOrders"}, ["--positions"], True),
        ({"onKill": "Flatten"}, ["--no-positions"], False),
        ({"onKill": "Flatten"}, ["--all-orders"], False),
    ],
)
def test_what_is_closed_is_the_configs_to_say_or_the_callers(
    tmp_path: Path, changes: dict[str, Any], options: list[str], flatten: bool
) -> None:
    with a_job(tmp_path, Venue(), **changes) as job:
        assert run(job, *options).exit_code == 0
    assert last_words(tmp_path).flatten is flatten


def test_a_config_that_is_wrong_elsewhere_does_not_keep_a_kill_back(tmp_path: Path) -> None:
    venue = Venue()
    venue.resting("AAPL")
    wrong = {"capital": "-1", "strategy": {"name": "astrology"}, "risk": {"no": "such"}, "mode": "paper", "x": 1}
    with a_job(tmp_path, venue, **wrong) as job:
        assert run(job).exit_code == 0
    assert venue.open_ids == set()


def test_what_is_not_confirmed_ends_with_1_and_says_what_is_left(tmp_path: Path) -> None:
    venue = Venue()
    venue.resting("AAPL")
    venue.fault(kind="status", status=500, match={"route": "DELETE /v2/orders/{order_id}"})
    with a_job(tmp_path, venue) as job:
        result = run(job, "--timeout", "2")
    assert result.exit_code == 1
    assert last_words(tmp_path).reason == "TimedOut"


def test_an_interrupted_job_says_what_it_has_verified(tmp_path: Path) -> None:
    venue = Venue()
    venue.resting("AAPL")
    venue.fault(kind="status", status=500, match={"route": "DELETE /v2/orders/{order_id}"})

    with a_job(tmp_path, venue) as job:
        before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        try:
            result = run(job, "--timeout", "60")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert result.exit_code == 1
    report = last_words(tmp_path)
    assert (report.reason, report.confirmed) == ("Interrupted", False)


def test_wrong_configs_and_missing_keys_are_said_before_anything_is_asked(tmp_path: Path) -> None:
    with a_job(tmp_path, Venue(), symbols=[]) as job:
        result = run(job)
        assert (result.exit_code, result.stderr.partition(":")[0]) == (78, "InvalidConfig")
        result = run(job, secret="")
        assert result.exit_code == 78
        assert "APCA_API_SECRET_KEY not set" in (tmp_path / "termination-log").read_text() or "symbols" in result.stderr
        assert run(job, "--positions", "--all-orders").exit_code == 2


def test_help_says_what_the_exit_codes_mean() -> None:
    text = CliRunner().invoke(app, ["flatten", "--help"], env={"COLUMNS": "200"}).output
    for words in ("--positions", "--all-orders", "--timeout", "queued for the open", "Exit codes: 0", "78"):
        assert words in text
