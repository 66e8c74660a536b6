"""What a bot takes before it has done anything: the time until a command answers, and memory.

Beside it: a Python that imports alpaca-py's clients for trading, data and both streams, and ends.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.harness import Bench, Measurement, Scale
from bench.programs import DEADLINE_SECONDS, bench_config, simulator
from bench.runtime_bot import bot_document, running_bot

_CLIENTS = "import alpaca.trading.client, alpaca.trading.stream, alpaca.data.historical.stock, alpaca.data.live.stock"
#: The most memory it had, as the kernel counts it since the program began: what a parent reads includes the parent.
_AND_TELL = """
import re, sys
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)"""
_COMMAND = """
import sys
sys.argv = ["tradingbot", *sys.argv[1:]]
from tradingbot_runtime.cli import main
try:
    main()
except SystemExit:
    pass"""
_HELP, _RUN_HELP = (_COMMAND, "--help"), (_COMMAND, "run", "--help")


def _ran(program: str, *arguments: str) -> tuple[float, float]:
    """Seconds that a program takes, and the most memory it had, MiB."""
    command = (sys.executable, "-c", program + _AND_TELL, *arguments)
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE_SECONDS)
    return time.perf_counter() - began, int(done.stderr.split()[-1]) / 1024


def _bot(port: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder, running_bot(bot_document(port), Path(folder) / "state") as bot:
        return bot.active_seconds, bot.mib


def run(scale: Scale) -> Iterator[Measurement]:
    """Seconds and MiB."""
    beside = "importing alpaca-py"
    for name, command in (("tradingbot --help", _HELP), ("tradingbot run --help", _RUN_HELP)):
        helped, bare = [], []
        for _ in range(scale.repeats):
            bare.append(_ran(_CLIENTS))
            helped.append(_ran(*command))
        yield Measurement(name, "s", _column(helped, 0), beside, _column(bare, 0))
        yield Measurement(name, "MiB at most", _column(helped, 1), beside, _column(bare, 1))
    found, bare = [], []
    with simulator(bench_config()) as broker:
        for _ in range(scale.repeats):
            bare.append(_ran(_CLIENTS))
            found.append(_bot(broker.port))
    yield Measurement("a bot until it is Active", "s", _column(found, 0), beside, _column(bare, 0))
    yield Measurement("a bot that is Active", "MiB resident", _column(found, 1), beside, _column(bare, 1))


def _column(rows: Sequence[tuple[float, float]], number: int) -> tuple[float, ...]:
    return tuple(row[number] for row in rows)


BENCH = Bench("runtime-footprint", "start time and memory", 30, run)
