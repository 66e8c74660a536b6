"""One language for tests of commands: a simulator with orders and positions on it, and a broker that reaches it.

No sockets and no waiting: sleeping moves the machine's clock and the market's alike.
"""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import requests

from alpaca_simulator.api.rendering import order_json
from alpaca_simulator.in_process import InProcessAdapter
from builders import UID, a_config
from simulation.world import KEYS
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.budget import RequestBudget
from tradingbot_runtime.broker.lanes import InlineLane
from tradingbot_runtime.broker.retries import Retries
from tradingbot_runtime.core.orders import client_order_id, client_order_id_prefix
from unit.simulator.floor import Floor

PREFIX = client_order_id_prefix(UID, "paper")
MONDAY_NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
SATURDAY = datetime(2026, 3, 7, 15, 0, tzinfo=UTC)


class Venue(Floor):
    """A simulator, and one bot's broker."""

    def __init__(self, at: datetime = MONDAY_NOON, **config: Any) -> None:
        super().__init__(at, **({"limits": {"requests_per_minute": 0}} | config))
        self.machine = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
        self.meanwhile: Callable[[], None] = lambda: None
        """What somebody else does whenever time passes."""
        self.numbers = 0

    def broker(self) -> AlpacaBroker:
        return AlpacaBroker(
            a_config().broker,
            KEYS,
            prefix=PREFIX,
            rng=random.Random(1),
            session=self._session,
            lane=lambda name, threads: InlineLane(),
            retries=Retries(random.Random(1), self.sleep),
            budget=lambda name: RequestBudget(name, monotonic=self.monotonic, sleep=self.sleep),
            monotonic=self.monotonic,
        )

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", InProcessAdapter(self.simulator.rest))
        return session

    def monotonic(self) -> float:
        return self.machine.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)
        self.meanwhile()

    def pass_time(self, seconds: float) -> None:
        self.machine += timedelta(seconds=seconds)
        self.simulator.step(timedelta(seconds=seconds))

    # ------------------------------------------------------------------ what is there

    def ours(self, **fields: Any) -> str:
        """One more order of the bot's; gives its client_order_id."""
        self.numbers += 1
        order_id = client_order_id(UID, "paper", 0, self.numbers)
        answer = self.order(**({"time_in_force": "day", "type": "market", "client_order_id": order_id} | fields))
        assert answer.status == 200, answer.body
        return order_id

    def resting(self, symbol: str = "AAPL", **fields: Any) -> str:
        """An order of the bot's far from the market."""
        return self.ours(
            **({"symbol": symbol, "side": "buy", "qty": "1", "type": "limit", "limit_price": "5"} | fields)
        )

    def strangers(self, symbol: str = "AAPL", **fields: Any) -> str:
        """An order of somebody else's, far from the market; gives its broker id."""
        body = {
            "symbol": symbol,
            "side": "buy",
            "qty": "1",
            "type": "limit",
            "limit_price": "5",
            "time_in_force": "gtc",
        }
        answer = self.order(**(body | fields))
        assert answer.status == 200, answer.body
        return str(answer.body["id"])

    def holds(self, symbol: str, qty: str) -> None:
        """The bot has bought shares."""
        self.ours(symbol=symbol, side="buy", qty=qty)
        self.pass_time(5)
        assert self.held[symbol] == Decimal(qty)

    def fault(self, **rule: Any) -> None:
        """Something goes wrong from now on."""
        self.keys, keys = {}, self.keys
        answer = self.send("POST", "/admin/faults", json.dumps(rule).encode())
        self.keys = keys
        assert answer.status == 200, answer.body

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order at the simulator, oldest first."""
        account = next(a for a in self.exchange.accounts.values() if a.terms.kind == "paper")
        return [dict(order_json(order)) for order in reversed(list(account.orders_newest_first()))]

    @property
    def open_ids(self) -> set[str]:
        """client_order_ids that are open, whoever's."""
        ended = {"filled", "canceled", "expired", "rejected", "replaced"}
        return {order["client_order_id"] for order in self.orders if order["status"] not in ended}

    @property
    def held(self) -> dict[str, Decimal]:
        """The simulator's positions."""
        account = next(a for a in self.exchange.accounts.values() if a.terms.kind == "paper")
        return {symbol: position.quantity for symbol, position in account.positions.items()}
