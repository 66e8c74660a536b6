"""A simulator with 1,000 accounts: how long it takes to start, to answer each, and what it holds in memory.

Beside it: the same with one account.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.harness import Bench, Measurement, Scale
from bench.programs import bench_config, key_headers, request_bytes, resident_mib, seconds_for, simulator

ACCOUNTS = 1_000


def _look(accounts: int) -> tuple[float, float, float]:
    """Seconds to start, account requests answered a second, MiB afterwards."""
    requests = [request_bytes("GET", "/v2/account", key_headers(number % accounts)) for number in range(ACCOUNTS)]
    with simulator(bench_config(accounts)) as program:
        seconds = seconds_for(program.port, requests)
        return program.ready_seconds, ACCOUNTS / seconds, resident_mib(program.pid)


def run(scale: Scale) -> Iterator[Measurement]:
    """Start, answers and memory with many accounts, beside one."""
    samples = [(_look(ACCOUNTS), _look(1)) for _ in range(max(1, scale.repeats // 2))]
    for number, (what, unit) in enumerate(
        (("start until it serves", "s"), ("GET /v2/account, each its own", "answers/s"), ("resident", "MiB"))
    ):
        yield Measurement(
            f"{ACCOUNTS:,} accounts, {what}",
            unit,
            tuple(many[number] for many, _ in samples),
            "one account",
            tuple(one[number] for _, one in samples),
        )


BENCH = Bench("simulator-accounts", f"{ACCOUNTS:,} accounts in one simulator", 10, run)
