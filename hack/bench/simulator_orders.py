"""Orders a second: a market order accepted by the simulator, in process and over HTTP.

Beside it in process: parsing and printing the same body and one insertion into a dict. Over HTTP: aiohttp that
echoes the same body.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from datetime import timedelta

from alpaca_simulator.api.messages import Request
from alpaca_simulator.config import parse_config
from alpaca_simulator.simulator import build_simulator
from bench.harness import Bench, Measurement, Scale, in_turns
from bench.programs import bare_server, bench_config, key_headers, request_bytes, seconds_for, simulator

ORDERS = 4_000
#: Market orders wait for the next second: a step fills them, before there are too many open ones.
ORDERS_A_STEP = 200
ORDERS_OVER_HTTP = 1_000

_numbers = itertools.count()


def _bodies(count: int) -> list[bytes]:
    return [
        json.dumps(
            {
                "symbol": "SPY",
                "qty": "1",
                "side": "buy",
                "type": "market",
                "time_in_force": "day",
                "client_order_id": f"bench-{next(_numbers):012}",
            }
        ).encode()
        for _ in range(count)
    ]


def _in_process() -> float:
    simulated = build_simulator(parse_config(bench_config(), "bench"))
    # The first price of a symbol is dear and comes once: it is no part of an order.
    simulated.rest.handle(Request("GET", "/v2/stocks/quotes/latest", "symbols=SPY", key_headers()))
    requests = [Request("POST", "/v2/orders", headers=key_headers(), body=body) for body in _bodies(ORDERS)]
    began = time.perf_counter()
    for number, request in enumerate(requests, 1):
        if simulated.rest.handle(request).status != 200:
            raise RuntimeError("an order was refused")
        if number % ORDERS_A_STEP == 0:
            simulated.step(timedelta(seconds=1))
            simulated.take_trade_updates()
    return ORDERS / (time.perf_counter() - began)


def _bare_dict() -> float:
    bodies = _bodies(ORDERS)
    kept: dict[str, object] = {}
    began = time.perf_counter()
    for body in bodies:
        order = json.loads(body)
        kept[order["client_order_id"]] = order
        json.dumps(order, separators=(",", ":")).encode()
    return ORDERS / (time.perf_counter() - began)


def _over_http(port: int, connections: int) -> float:
    orders = [request_bytes("POST", "/v2/orders", key_headers(), body) for body in _bodies(ORDERS_OVER_HTTP)]
    seconds = seconds_for(port, orders, connections)
    step = request_bytes("POST", "/admin/clock/step", {}, b'{"seconds": 1}')
    seconds_for(port, [step])
    return ORDERS_OVER_HTTP / seconds


def _echoed(port: int, connections: int) -> float:
    orders = [request_bytes("POST", "/echo", key_headers(), body) for body in _bodies(ORDERS_OVER_HTTP)]
    return ORDERS_OVER_HTTP / seconds_for(port, orders, connections)


def run(scale: Scale) -> Iterator[Measurement]:
    """Market orders accepted a second; more is better."""
    yield in_turns(scale, "in process, accepted and filled", "orders/s", _in_process, "dict and json", _bare_dict)
    with simulator(bench_config()) as ours, bare_server() as bare:
        for connections in (1, 8):
            yield in_turns(
                scale,
                f"over HTTP, connections: {connections}",
                "orders/s",
                lambda count=connections: _over_http(ours.port, count),  # type: ignore[misc]
                "aiohttp echo",
                lambda count=connections: _echoed(bare.port, count),  # type: ignore[misc]
            )


BENCH = Bench("simulator-orders", "market orders accepted a second", 15, run)
