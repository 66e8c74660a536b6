"""What a simulator holds in memory while one account sends more and more orders.

A program of its own as well (`python -m bench.simulator_memory COUNT...`), so that nothing else is in the figure.
Beside it: a dict of as many client order ids, without any order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from alpaca_simulator.api.messages import Request
from alpaca_simulator.config import parse_config
from alpaca_simulator.simulator import build_simulator
from bench.harness import Bench, Measurement, Scale
from bench.programs import HACK, bench_config, key_headers, resident_mib

QUICK = (10_000, 20_000, 50_000)
FULL = (100_000, 500_000, 1_000_000)
#: Also how many are open at most; a million of them are an hour and a half of one session.
ORDERS_A_STEP = 200


def _orders(until: Sequence[int]) -> None:
    """Send orders, one buy and one sell in turn, and print the resident MiB at each count."""
    simulated = build_simulator(parse_config(bench_config(), "bench"))
    print(json.dumps({"orders": 0, "mib": resident_mib(os.getpid()), "seconds": 0}), flush=True)
    began = time.perf_counter()
    for number in range(1, max(until) + 1):
        # Steps of buys and steps of sales: the two sides never stand against each other.
        side = "buy" if (number - 1) // ORDERS_A_STEP % 2 == 0 else "sell"
        order = {"symbol": "SPY", "qty": "1", "side": side, "type": "market", "time_in_force": "day"}
        body = json.dumps({**order, "client_order_id": f"bench-{number:012}-with-the-length-of-most"}).encode()
        answer = simulated.rest.handle(Request("POST", "/v2/orders", headers=key_headers(), body=body))
        if answer.status != 200:
            raise RuntimeError(f"order {number} was refused: {answer.body!r}")
        if number % ORDERS_A_STEP == 0:
            simulated.step(timedelta(seconds=1))
            simulated.take_trade_updates()
        if number in until:
            seconds = time.perf_counter() - began
            print(json.dumps({"orders": number, "mib": resident_mib(os.getpid()), "seconds": seconds}), flush=True)


def _ids(until: Sequence[int]) -> None:
    """Keep client order ids and nothing else."""
    kept: dict[str, None] = {}
    print(json.dumps({"orders": 0, "mib": resident_mib(os.getpid())}), flush=True)
    for number in range(1, max(until) + 1):
        kept[f"bench-{number:012}-with-the-length-of-most"] = None
        if number in until:
            print(json.dumps({"orders": number, "mib": resident_mib(os.getpid())}), flush=True)


def _child(what: str, counts: Sequence[int]) -> Iterator[dict[str, float]]:
    """The lines that the program prints, as it prints them; raises RuntimeError when it fails."""
    command = [sys.executable, "-m", "bench.simulator_memory", what, *map(str, counts)]
    environment = {**os.environ, "PYTHONPATH": str(HACK)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None  # noqa: S101  (it was asked for)
        for line in child.stdout:
            yield json.loads(line)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {child.returncode}")


def run(scale: Scale) -> Iterator[Measurement]:
    """Resident MiB over the start; what is kept of orders is bounded, the ids are remembered for ever."""
    counts = FULL if scale.full else QUICK
    ids = {line["orders"]: line["mib"] for line in _child("ids", counts)}
    ours = _child("orders", counts)
    start = next(ours)["mib"]
    yield Measurement("before the first order", "MiB resident", (start,))
    for found in ours:
        count, added = found["orders"], found["mib"] - start
        yield Measurement(f"{count:,} orders add", "MiB", (added,), "a dict of their ids", (ids[count] - ids[0],))
        yield Measurement(f"{count:,} orders, accepted and filled", "orders/s", (count / found["seconds"],))


BENCH = Bench(
    "simulator-memory",
    "memory held after many orders of one account",
    15,
    run,
    full_adds=f"{FULL[-1]:,} orders, about 5 minutes",
)

if __name__ == "__main__":
    {"orders": _orders, "ids": _ids}[sys.argv[1]]([int(count) for count in sys.argv[2:]])
