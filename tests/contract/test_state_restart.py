"""The real program, killed without a word while a client trades: what was answered is there afterwards."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from alpaca_simulator.in_process import BASE_URL, answer_in_process
from alpaca_simulator.values.instants import utc_text
from contract.conftest import DEADLINE_SECONDS, MONDAY_NOON, PAPER, noon_simulator

KEYS = {"APCA-API-KEY-ID": PAPER[0], "APCA-API-SECRET-KEY": PAPER[1]}
STEPS = 100
#: A kill comes within this many seconds after a step of these began; a step takes about a hundredth of one.
KILLED_WITHIN_SECONDS = 0.03
KILLED_AT = (20, 70)
READ = (
    "/v2/account",
    "/v2/orders?status=all&limit=500",
    "/v2/positions",
    "/v2/account/activities",
    "/v2/account/portfolio/history?period=1D&timeframe=1Min",
    "/v2/clock",
)


class Program:
    """`alpaca-simulator serve --state`, started again whenever it was killed."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "state"
        self.starts = 0
        self.url = ""
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        config = folder / "config.json"
        config.write_text(json.dumps({"limits": {"requests_per_minute": 0}}))
        self.command = [
            *(sys.executable, "-m", "alpaca_simulator", "serve", "--port", "0", "--clock", "stepped"),
            *("--start", utc_text(MONDAY_NOON), "--config", str(config), "--state", str(self.directory)),
        ]

    def start(self) -> None:
        self.starts += 1
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(self.command, stderr=output)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (serving := [line for line in self._said() if line["event"] == "serving"]):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        self.url = serving[0]["url"]

    def _said(self) -> list[Any]:
        return [json.loads(line) for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def stop(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(DEADLINE_SECONDS)


@contextmanager
def running(folder: Path) -> Iterator[Program]:
    program = Program(folder)
    program.start()
    try:
        yield program
    finally:
        program.stop(signal.SIGKILL)


def plan() -> list[tuple[str, str, dict[str, Any]]]:
    """What the client does: orders of its own naming, and market time that it moves to moments of its choosing."""
    draw, did = random.Random(4), []
    at = MONDAY_NOON
    for number in range(STEPS):
        if number % 3 == 2:
            at += timedelta(seconds=draw.choice([1, 30, 600]))
            did.append(("POST", "/admin/clock/step", {"to": utc_text(at)}))
            continue
        order = {
            "symbol": draw.choice(["SPY", "TLT", "QQQ"]),
            "qty": draw.randint(1, 20),
            "side": draw.choice(["buy", "buy", "sell"]),
            "type": "market",
            "time_in_force": "day",
            "client_order_id": f"order-{number}",
        }
        did.append(("POST", "/v2/orders", order))
    return did


def send(session: requests.Session, url: str, method: str, path: str, body: Any = None) -> requests.Response:
    return session.request(method, url + path, json=body, headers=KEYS, timeout=DEADLINE_SECONDS)


def read(session: requests.Session, url: str) -> dict[str, bytes]:
    return {path: send(session, url, "GET", path).content for path in READ}


def never_killed() -> dict[str, bytes]:
    with requests.Session() as session:
        answer_in_process(session, noon_simulator(limits={"requests_per_minute": 0}).rest)
        for method, path, body in plan():
            send(session, BASE_URL, method, path, body)
        return read(session, BASE_URL)


def test_killed_at_any_moment_it_has_every_order_it_answered_and_ends_as_if_never_killed(tmp_path: Path) -> None:
    draw, answered = random.Random(), {}
    with running(tmp_path) as program, requests.Session() as session:
        for number, (method, path, body) in enumerate(plan()):
            if number in KILLED_AT:
                threading.Timer(draw.uniform(0, KILLED_WITHIN_SECONDS), program.kill).start()
            while True:
                try:
                    answer = send(session, program.url, method, path, body)
                    break
                except requests.ConnectionError:
                    program.stop(signal.SIGKILL)
                    program.start()
                    for name, order_id in answered.items():
                        kept = send(
                            session, program.url, "GET", f"/v2/orders:by_client_order_id?client_order_id={name}"
                        )
                        assert kept.json()["id"] == order_id
            if path == "/v2/orders" and answer.status_code == 200:
                answered[body["client_order_id"]] = answer.json()["id"]
        assert program.starts == 1 + len(KILLED_AT)
        name = next(iter(answered))
        again = send(session, program.url, "POST", "/v2/orders", {**plan()[0][2], "client_order_id": name})
        assert (again.status_code, again.json()["code"]) == (422, 40010001)
        assert read(session, program.url) == never_killed()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alpaca_simulator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)


def test_an_orderly_stop_leaves_a_snapshot_to_verify_and_to_go_on_from_with_the_same_seed(tmp_path: Path) -> None:
    with running(tmp_path) as program, requests.Session() as session:
        send(session, program.url, *plan()[0])
        before = read(session, program.url)
        assert program.stop(signal.SIGTERM) == 0
        assert (program.directory / "snapshot").exists()
        shown = json.loads(run("replay", str(program.directory)).stdout)
        assert (shown["records"], shown["replayed"], shown["torn_bytes"]) == (1, 0, 0)
        assert shown["accounts"][0]["orders"] == 1
        other_seed = run("serve", "--seed", "99", *program.command[4:])
        assert other_seed.returncode == 2
        (line,) = other_seed.stderr.splitlines()
        assert "seed: 1 there, 99 here" in line
        program.start()
        assert read(session, program.url) == before
        while_in_use = run("replay", str(program.directory))
        assert (while_in_use.returncode, "is in use by process" in while_in_use.stderr) == (2, True)


@pytest.mark.parametrize("directory", ["/dev/null/state"])
def test_a_directory_that_cannot_be_made_is_explained_in_one_line(directory: str) -> None:
    done = run("serve", "--port", "0", "--state", directory)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"alpaca-simulator: {directory}: ")
