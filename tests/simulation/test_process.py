"""The real process against the real simulator, over sockets: killed without a word, started again, ended in order."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import UID
from free_ports import free_ports
from tradingbot_runtime.state import verify

DEADLINE_SECONDS = 180.0
BIN = Path(sys.executable).parent
KEYS = {"APCA_API_KEY_ID": "PKDEMOPAPER", "APCA_API_SECRET_KEY": "demo-paper-secret"}


def page(port: int, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
            return json.load(response)
    except OSError:
        return None


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return found


@contextmanager
def process(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **KEYS})
        try:
            yield started
        finally:
            started.kill()
            started.wait()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[int]:
    port = free_ports(1)[0]
    pace = ("--session-seconds", "60", "--requests-per-minute", "0")
    command = (str(BIN / "alpaca-simulator"), "serve", "--port", str(port), *pace)
    with process(*command, log=tmp_path / "simulator.log"):
        until(lambda: page(port, "/healthz"))
        yield port


def orders_at(simulator: int) -> list[dict[str, Any]]:
    return list(page(simulator, "/admin/accounts/paper/orders") or ())


def test_a_bot_that_is_killed_by_the_system_comes_back_and_doubles_nothing(tmp_path: Path, simulator: int) -> None:
    port, config, control = free_ports(1)[0], tmp_path / "bot.yaml", tmp_path / "control.yaml"
    url = f"http://127.0.0.1:{simulator}"
    config.write_text(
        yaml.safe_dump(
            {
                "bot": {"name": "momentum", "uid": UID},
                "strategy": {"name": "momentum", "parameters": {"lookback": 3}},
                "symbols": ["AAPL", "MSFT", "SPY"],
                "timeframe": "5Min",
                "capital": "10000",
                "broker": {
                    "account": "paper",
                    "provider": "simulator",
                    "environment": "paper",
                    "baseURL": url,
                    "dataURL": url,
                    "clockPollSeconds": 0.1,
                },
            }
        )
    )
    bot = (
        *(str(BIN / "tradingbot"), "run", "--config", str(config), "--state", str(tmp_path / "state")),
        *("--control", f"file:{control}", "--listen", f"127.0.0.1:{port}"),
    )
    with process(*bot, log=tmp_path / "bot.log") as first:
        until(lambda: (page(port, "/status") or {}).get("filledOrders", 0) > 0)
        first.send_signal(signal.SIGKILL)
        first.wait()
    seen = {order["client_order_id"] for order in orders_at(simulator)}

    with process(*bot, log=tmp_path / "bot.log") as second:
        until(lambda: (page(port, "/status") or {}).get("ready"))
        until(lambda: len(orders_at(simulator)) > len(seen))
        control.write_text("kill: enough")
        kill = until(lambda: ((page(port, "/status") or {}).get("kill") or {}).get("ordersCancelledAt"))
        assert kill
        ids = [order["client_order_id"] for order in orders_at(simulator)]
        assert len(ids) == len(set(ids))
        assert seen <= set(ids)
        started = time.monotonic()
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=60) == 0
        assert time.monotonic() - started < 5
    found = verify(tmp_path / "state", "paper")
    assert found.killed
    assert found.orders >= len(ids)

    with process(*bot, log=tmp_path / "bot.log"):
        control.unlink()
        report = until(lambda: (status := page(port, "/status") or {}).get("marketTime") and status)
        assert (report["tradingState"], report["reason"]) == ("Halted", "Killed")
        assert [order["client_order_id"] for order in orders_at(simulator)] == ids
