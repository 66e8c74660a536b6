"""The bot that is measured: its config, its volumes, and its process.

Measures nothing itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.programs import DEADLINE_SECONDS, KEYS, key_headers, resident_mib
from tradingbot_api import RuntimeConfig
from tradingbot_runtime.ops import logs

UID = "11111111-2222-3333-4444-555555555555"
OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
SYMBOLS = ("AAPL", "MSFT", "NVDA")


def bot_document(port: int, uid: str = UID, **changes: Any) -> dict[str, Any]:
    """The config file of a paper bot whose broker is at `port` of 127.0.0.1; `changes` by their names in YAML."""
    url = f"http://127.0.0.1:{port}"
    document: dict[str, Any] = {
        "bot": {"name": "bench", "uid": uid},
        "strategy": {"name": "momentum", "parameters": {"lookback": 20, "max_weight": 0.2}},
        "symbols": list(SYMBOLS),
        "timeframe": "1Min",
        "capital": "10000",
        "risk": {"maxOrdersPerMinute": 200},
        "broker": {
            "account": "bench",
            "provider": "simulator",
            "environment": "paper",
            "baseURL": url,
            "dataURL": url,
            "clockPollSeconds": 0.05,
        },
    }
    return document | changes


def bot_config(port: int, uid: str = UID, **changes: Any) -> RuntimeConfig:
    """The same, read."""
    return RuntimeConfig.model_validate(bot_document(port, uid, **changes))


@contextmanager
def silent_bots() -> Iterator[None]:
    """Bots in this process log nowhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        logs.configure("bench", "local", stream=nowhere)
        yield


@dataclass(frozen=True)
class RunningBot:
    """A `tradingbot run` that has become Active."""

    pid: int
    active_seconds: float
    """From its start to the first report that says Active and ready."""

    @property
    def mib(self) -> float:
        """Its resident memory."""
        return resident_mib(self.pid)


@contextmanager
def running_bot(document: Mapping[str, Any], state: Path, key_id: str = KEYS[0]) -> Iterator[RunningBot]:
    """`tradingbot run` on that state, as a process of its own."""
    config = state.with_suffix(".json")
    config.write_text(json.dumps(document), encoding="utf-8")
    options = ("--config", str(config), "--state", str(state), "--control", "none", "--listen", "127.0.0.1:0")
    environment = {
        **os.environ,
        "APCA_API_KEY_ID": key_id,
        "APCA_API_SECRET_KEY": key_headers()["APCA-API-SECRET-KEY"],
    }
    began = time.perf_counter()
    command = (str(Path(sys.executable).parent / "tradingbot"), "run", *options)
    log = state.with_suffix(".log")
    with log.open("w") as output, subprocess.Popen(command, env=environment, stderr=output, stdout=output) as child:
        try:
            port = _port_in(log, child)
            _until_active(port)
            yield RunningBot(child.pid, time.perf_counter() - began)
        finally:
            child.terminate()
            child.wait(DEADLINE_SECONDS)


def _port_in(log: Path, child: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        found = re.search(r'"event": "started".*|.*"event": "started"', log.read_text())
        if found and (port := re.search(r"port (\d+)", found[0])):
            return int(port[1])
        time.sleep(0.01)
    raise RuntimeError(f"the bot did not start: {log.read_text()[-2000:]}")


def _until_active(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
            report = json.load(answer)
        if report["ready"] and report["tradingState"] == "Active":
            return
        time.sleep(0.01)
    raise RuntimeError(f"the bot did not become Active: {report['reason']} {report['message']}")
