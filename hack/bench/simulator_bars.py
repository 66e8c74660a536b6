"""Bars a second: pages of one-minute bars from the simulator, in process and over HTTP.

Beside it: printing the same bars as JSON, bare or in an aiohttp handler. Cold is the first time a session is
asked for, warm the next.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

from alpaca_simulator.api.messages import Request
from alpaca_simulator.config import parse_config
from alpaca_simulator.simulator import Simulator, build_simulator
from bench.harness import Bench, Measurement, Scale, in_turns
from bench.programs import ask, bare_server, bench_config, key_headers, request_bytes, seconds_for, simulator

PATH = "/v2/stocks/bars"
QUERY = "symbols=SPY,TLT,GLD,AAPL,MSFT&timeframe=1Min&start=2026-02-23T00:00:00Z&end=2026-02-27T23:59:00Z&limit=10000"
PAGES_OVER_HTTP = 10


_seeds = itertools.count(1)


def _build() -> Simulator:
    """A simulator whose prices no other one of this process has: they share what a seed leads to."""
    return build_simulator(parse_config({**bench_config(), "seed": next(_seeds)}, "bench"))


def _page(simulated: Simulator) -> bytes:
    answer = simulated.rest.handle(Request("GET", PATH, QUERY, key_headers()))
    if answer.status != 200:
        raise RuntimeError(f"bars were refused: {answer.body[:300]!r}")
    return answer.body


def _count(body: bytes) -> int:
    return sum(len(bars) for bars in json.loads(body)["bars"].values())


def run(scale: Scale) -> Iterator[Measurement]:
    """One-minute bars served a second; more is better."""
    warm = _build()
    body = _page(warm)
    bars, parsed = _count(body), json.loads(body)

    def timed(simulated: Simulator) -> float:
        began = time.perf_counter()
        _page(simulated)
        return bars / (time.perf_counter() - began)

    def printed() -> float:
        began = time.perf_counter()
        json.dumps(parsed, separators=(",", ":")).encode()
        return bars / (time.perf_counter() - began)

    yield in_turns(scale, "in process, cold", "bars/s", lambda: timed(_build()), "json.dumps", printed)
    yield in_turns(scale, "in process, warm", "bars/s", lambda: timed(warm), "json.dumps", printed)
    with simulator(bench_config()) as ours, bare_server() as bare:
        wanted = request_bytes("GET", f"{PATH}?{QUERY}", key_headers())
        keep = request_bytes("POST", "/keep", {}, body)
        kept = request_bytes("GET", "/kept", {})
        ask(bare.port, [keep])
        ask(ours.port, [wanted])
        for connections in (1, 8):
            pages = PAGES_OVER_HTTP if connections == 1 else 2 * connections
            yield in_turns(
                scale,
                f"over HTTP, warm, connections: {connections}",
                "bars/s",
                lambda n=connections, m=pages: m * bars / seconds_for(ours.port, [wanted] * m, n),  # type: ignore[misc]
                "aiohttp json.dumps",
                lambda n=connections, m=pages: m * bars / seconds_for(bare.port, [kept] * m, n),  # type: ignore[misc]
            )


BENCH = Bench("simulator-bars", "one-minute bars served a second", 25, run)
