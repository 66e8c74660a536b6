"""Everything that the simulator can do to a bot, drawn by a seed: faults, somebody else's hand, and crashes.

One deed at a time, each with an end, so that afterwards the bot has to come back to the broker's books by itself.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from simulation.shuffled import ShuffledWorld
from simulation.world import Points

Deed = dict[str, Any]
ROUTES = (
    "POST /v2/orders",
    "POST /v2/orders",
    "DELETE /v2/orders/{order_id}",
    "PATCH /v2/orders/{order_id}",
    "GET /v2/orders",
    "GET /v2/orders:by_client_order_id",
    "GET /v2/positions",
    "GET /v2/account",
    "GET /v2/clock",
    "GET /v2/stocks/**",
)
LONGEST_FAULT = timedelta(minutes=4)
CRASH_PROBABILITY = 1 / 600
"""At each commit, before and after it, and before and after each call to the broker."""


class Chaos:
    """Plays with one world for as long as it is told."""

    def __init__(self, world: ShuffledWorld, seed: str, *, hands_off: bool = False) -> None:
        """`hands_off`: nobody else changes what the account holds, so that the bot's limits can be looked at."""
        self._world = world
        self._rng = random.Random(f"chaos {seed}")
        self._hands_off = hands_off
        self.played: Counter[str] = Counter()
        """How often what was done."""
        world.points = Points(lambda number: self._crashes())
        world.database.points = world.points

    def play(self, market: timedelta, *, between: timedelta = timedelta(minutes=2)) -> None:
        """Lets market time pass, with a deed every now and then."""
        until = self._now + market
        while self._now < until:
            pause = min(until - self._now, between * self._rng.uniform(0.3, 1.7))
            self._world.run_for(pause)
            self._do_something()

    def stop(self) -> None:
        """Nothing goes wrong any more."""
        self._world.points.dies_at = lambda number: False
        self._world.heal()
        for symbol in self._world.config.symbols:
            self._world.intervene(kind="resume", symbol=symbol)

    @property
    def _now(self) -> datetime:
        return self._world.simulator.clock.now()

    def _crashes(self) -> bool:
        dies = self._rng.random() < CRASH_PROBABILITY
        self.played["crash"] += dies
        return dies

    def _do_something(self) -> None:
        if self._rng.random() < 0.15 and not self._hands_off:
            deed = self._rng.choice(INTERVENTIONS)(self._rng, self._world.config.symbols)
            if self._world.intervene(**deed):
                self._world.interfered |= deed["kind"] in {"position_change", "foreign_order"}
                self.played[deed["kind"]] += 1
            return
        rule = self._rng.choice(FAULTS)(self._rng, self._world.config.symbols)
        until = self._now + LONGEST_FAULT * self._rng.random() + timedelta(seconds=1)
        self._world.fault(**rule, until=until.isoformat())
        self.played[rule["kind"]] += 1


def _on_a_route(kind: str, **fields: Callable[[random.Random], Any]) -> Callable[..., Deed]:
    def rule(rng: random.Random, symbols: list[str]) -> Deed:
        drawn = {name: draw(rng) for name, draw in fields.items()}
        return {"kind": kind, "match": {"route": rng.choice(ROUTES)}, "count": rng.randint(1, 4), **drawn}

    return rule


def _on_updates(kind: str, **fields: Callable[[random.Random], Any]) -> Callable[..., Deed]:
    def rule(rng: random.Random, symbols: list[str]) -> Deed:
        drawn = {name: draw(rng) for name, draw in fields.items()}
        return {"kind": kind, "match": {"account": "paper"}, "probability": 0.6, **drawn}

    return rule


def _on_a_symbol(kind: str, **fields: Callable[[random.Random], Any]) -> Callable[..., Deed]:
    def rule(rng: random.Random, symbols: list[str]) -> Deed:
        drawn = {name: draw(rng) for name, draw in fields.items()}
        return {"kind": kind, "match": {"symbol": rng.choice(symbols)}, **drawn}

    return rule


def _on_the_stream(kind: str, **fields: Callable[[random.Random], Any]) -> Callable[..., Deed]:
    def rule(rng: random.Random, symbols: list[str]) -> Deed:
        drawn = {name: draw(rng) for name, draw in fields.items()}
        return {"kind": kind, "match": {"stream": "trade_updates"}, "count": rng.randint(1, 3), **drawn}

    return rule


FAULTS: tuple[Callable[[random.Random, list[str]], Deed], ...] = (
    _on_a_route("status", status=lambda rng: rng.choice([403, 404, 408, 422, 500, 502, 503, 504])),
    _on_a_route(
        "rate_limit", headers=lambda rng: rng.random() < 0.5, retry_after_seconds=lambda rng: rng.randint(0, 3)
    ),
    _on_a_route("html_error", status=lambda rng: rng.choice([200, 403, 404, 502, 503])),
    _on_a_route("latency", seconds=lambda rng: rng.uniform(1, 60)),
    _on_a_route("slow_bytes", bytes_per_second=lambda rng: rng.choice([0.1, 20])),
    _on_a_route("reset_before"),
    _on_a_route("reset_after"),
    _on_a_route("timeout_after"),
    _on_a_route("hang", reaches_exchange=lambda rng: rng.random() < 0.5),
    _on_a_route("truncated_json", fraction=lambda rng: rng.random(), honest_length=lambda rng: rng.random() < 0.5),
    _on_a_route("empty_body"),
    lambda rng, symbols: {"kind": "expired_keys", "match": {"account": "paper"}},
    _on_updates("duplicate_update", copies=lambda rng: rng.randint(1, 3)),
    _on_updates("reorder_update", window=lambda rng: rng.randint(1, 3)),
    _on_updates("delay_update", seconds=lambda rng: rng.randint(1, 90)),
    _on_updates("lose_update"),
    _on_the_stream("drop_socket", when=lambda rng: rng.choice(["now", "listening", "message"])),
    _on_the_stream("mute_socket", answers_pings=lambda rng: rng.random() < 0.5),
    _on_the_stream("garbage_frame", when=lambda rng: "message", instead=lambda rng: rng.random() < 0.5),
    _on_the_stream("refuse_connection"),
    _on_a_symbol("stale_quotes"),
    _on_a_symbol("absurd_quotes", shape=lambda rng: rng.choice(["zero", "crossed", "jump"])),
    _on_a_symbol("missing_bars", fraction=lambda rng: 0.5),
    _on_a_symbol("duplicated_bars", fraction=lambda rng: 0.5),
    _on_a_symbol("out_of_order_bars", fraction=lambda rng: 0.5),
    _on_a_symbol("absurd_bars", fraction=lambda rng: 0.3, shape=lambda rng: rng.choice(["negative", "zero", "jump"])),
    _on_a_symbol("partial_fill_stall", seconds=lambda rng: rng.randint(10, 240), fraction=lambda rng: 0.5),
    lambda rng, symbols: {
        "kind": "bad_columns",
        "columns": ["c"],
        "how": rng.choice(["null", "missing"]),
        "match": {"route": "GET /v2/stocks/bars"},
        "count": 2,
    },
)
INTERVENTIONS: tuple[Callable[[random.Random, list[str]], Deed], ...] = (
    lambda rng, symbols: {
        "kind": "foreign_order",
        "account": "paper",
        "order": {
            "symbol": rng.choice(symbols),
            "qty": str(rng.randint(1, 5)),
            "side": rng.choice(["buy", "sell"]),
            "type": "market",
            "time_in_force": "day",
        },
    },
    lambda rng, symbols: {
        "kind": "position_change",
        "account": "paper",
        "symbol": rng.choice(symbols),
        "quantity": str(rng.choice([-2, -1, 1, 2])),
    },
    lambda rng, symbols: {"kind": "cash_change", "account": "paper", "amount": str(rng.choice([-500, 500]))},
    lambda rng, symbols: {"kind": "halt", "symbol": rng.choice(symbols), "seconds": rng.randint(30, 300)},
)
