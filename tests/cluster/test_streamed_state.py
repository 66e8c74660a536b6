"""A bot's state is in a bucket within a minute and comes back from there; a bucket that is away stops no bot.

Real processes: the bot, the simulator, Litestream with what the operator renders, and an S3.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from streaming import Bucket, Companion, settings, with_checksum

from builders import UID
from free_ports import free_ports
from simulation.test_process import BIN, orders_at, page, process, until
from tradingbot_runtime.state import verify
from unit.operator.world import a_bot, an_account, child, plan
from volumes import opened, recovered, trade

WAL_LIMIT_BYTES = 64 * 1024 * 1024
RPO_SECONDS = 60.0


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    bucket = Bucket(tmp_path)
    bucket.up()
    yield bucket
    bucket.down()


class Desk:
    """One bot with the config that the operator renders, on a simulator."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.simulator, self.port = folder, *free_ports(2)
        self.url = f"http://127.0.0.1:{self.simulator}"
        self.bot = a_bot(
            strategy={"name": "momentum", "parameters": {"lookback": 3}},
            symbols=["AAPL", "MSFT", "SPY"],
            timeframe="5Min",
        )
        made = plan(self.bot, account=an_account(baseURL=self.url), settings=settings())
        (folder / "bot.yaml").write_text(child(made, "ConfigMap")["data"]["bot.yaml"])

    def market(self) -> Any:
        pace = ("--session-seconds", "60", "--requests-per-minute", "0")
        command = (str(BIN / "alpaca-simulator"), "serve", "--port", str(self.simulator), *pace)
        return process(*command, log=self.folder / "simulator.log")

    def trading(self, volume: Path) -> Any:
        command = (
            *(str(BIN / "tradingbot"), "run", "--config", str(self.folder / "bot.yaml"), "--state", str(volume)),
            *("--control", f"file:{self.folder / 'control.yaml'}", "--listen", f"127.0.0.1:{self.port}"),
        )
        return process(*command, log=self.folder / "bot.log")

    def status(self) -> dict[str, Any]:
        return page(self.port, "/status") or {}

    def orders(self) -> list[str]:
        return [order["client_order_id"] for order in orders_at(self.simulator)]

    def until_more_orders(self) -> None:
        before = len(self.orders())
        until(lambda: len(self.orders()) > before)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    with desk.market():
        until(lambda: page(desk.simulator, "/healthz"))
        yield desk


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def test_a_bot_whose_volume_is_lost_goes_on_from_the_bucket_and_doubles_nothing(
    tmp_path: Path, bucket: Bucket, desk: Desk
) -> None:
    lost, found = tmp_path / "lost", tmp_path / "found"
    companion = Companion.of(tmp_path / "beside", lost, bucket, desk.bot)
    with companion.running() as streaming, desk.trading(lost) as bot:
        until(lambda: desk.status().get("filledOrders", 0) > 0)
        companion.until_in_the_bucket()
        # What the bot does now reaches no bucket any more.
        streaming.send_signal(signal.SIGSTOP)
        desk.until_more_orders()
        bot.send_signal(signal.SIGKILL)
        streaming.send_signal(signal.SIGKILL)
        bot.wait()
    died = verify(lost, "paper")
    sent = desk.orders()
    shutil.rmtree(lost)

    companion.restore(found / "paper/state.db")
    command = [str(BIN / "tradingbot"), "state", "verify", "--state", str(found), "--mode", "paper"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    back = verify(found, "paper")
    assert 0 < back.orders < died.orders, "orders that the restored books do not know"

    beside = Companion.of(tmp_path / "beside-anew", found, bucket, desk.bot)
    with beside.running(), desk.trading(found):
        report = until(lambda: (status := desk.status()).get("ready") and status)
        assert report["lastReconciliation"]["result"] == "Clean"
        desk.until_more_orders()
        (tmp_path / "control.yaml").write_text("kill: enough")
        until(lambda: (desk.status().get("kill") or {}).get("ordersCancelledAt"))
        beside.until_in_the_bucket()
        ids = desk.orders()
        assert len(ids) == len(set(ids)), "no order twice"
        assert set(sent) <= set(ids), "none lost at the broker"
    beside.restore(tmp_path / "again/paper/state.db")
    again = verify(tmp_path / "again", "paper")
    assert again.killed
    assert again.orders == len(ids), "and the books have each of them"


def test_a_bot_trades_on_while_the_bucket_is_away_and_nothing_grows_without_bound(
    tmp_path: Path, bucket: Bucket, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = tmp_path / "state"
    companion = Companion.of(tmp_path / "beside", volume, bucket, desk.bot)
    with desk.trading(volume) as bot:
        with companion.running():
            until(lambda: desk.status().get("filledOrders", 0) > 0)
            companion.until_in_the_bucket()
            bucket.down()
            desk.until_more_orders()
            assert companion.probe().wait(timeout=30) != 0, "the kubelet learns of it"
            until(lambda: desk.status().get("ready"))
        # After some of these the kubelet starts it anew.
        staged = companion.staged_bytes()
        with companion.running() as streaming:
            lines = verify(volume, "paper").lines
            until(lambda: verify(volume, "paper").lines > lines + 20)
            assert companion.staged_bytes() == staged, "what it cannot send it does not pile up"
            assert (volume / "paper/state.db-wal").stat().st_size < WAL_LIMIT_BYTES
            until(lambda: desk.status().get("ready"))
            assert streaming.poll() is None
            bucket.up()
            companion.until_in_the_bucket()
            # From here on at its own pace, and cut off at no special moment.
            time.sleep(12)
            bot.send_signal(signal.SIGKILL)
            streaming.send_signal(signal.SIGKILL)
            bot.wait()
    took = companion.restore(tmp_path / "back/paper/state.db")
    died, back = verify(volume, "paper"), verify(tmp_path / "back", "paper")
    behind = seconds_between(back.last_line_at, died.last_line_at)
    with capsys.disabled():
        lines = died.lines - back.lines
        print(f"\nrestored in {took:.2f} s, {behind:.1f} s and {lines} of {died.lines} journal lines behind the bot")
    assert 0 <= behind <= RPO_SECONDS


def test_an_empty_state_that_took_the_place_of_a_lost_one_does_not_hide_it(tmp_path: Path, bucket: Bucket) -> None:
    volume, fetched = tmp_path / "state", tmp_path / "state/paper/fetched.db"
    companion = Companion.of(tmp_path / "beside", volume, bucket)
    with companion.running(), opened(volume) as state:
        trade(state, 1, 3)
        companion.until_in_the_bucket()
    time.sleep(1.1)
    well = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    shutil.rmtree(volume)
    with companion.running(), opened(volume) as state:
        trade(state, 1, 1)
        companion.until_in_the_bucket()
    companion.restore(tmp_path / "newest/paper/state.db")
    assert len(recovered(tmp_path / "newest").orders) == 1

    companion.restore(fetched, "-timestamp", well)
    restore = [str(BIN / "tradingbot"), "state", "restore", "--state", str(volume)]
    with companion.running():
        companion.until_in_the_bucket()
        # It goes on for a while with the file that is replaced.
        subprocess.run([*restore, "--backup", str(with_checksum(fetched))], check=True, timeout=60, capture_output=True)
        time.sleep(1.1)
    assert len(recovered(volume).orders) == 3

    # Started anew, Litestream takes it for what it is: another history than it has streamed before.
    with companion.running():
        companion.until_in_the_bucket()
    companion.restore(tmp_path / "at-last/paper/state.db")
    assert len(recovered(tmp_path / "at-last").orders) == 3
    assert verify(tmp_path / "at-last", "paper").bot_uid == UID
