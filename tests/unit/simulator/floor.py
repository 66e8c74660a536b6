"""A trading floor for tests: one simulator with a stepped clock, spoken to in short sentences.

Everything goes through `RestApi.handle`, as a client's requests do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from alpaca_simulator.api.messages import Request, Response
from alpaca_simulator.config import SimulatorConfig
from alpaca_simulator.exchange.exchange import TradeUpdate
from alpaca_simulator.simulator import build_simulator

PAPER = {"APCA-API-KEY-ID": "PKDEMOPAPER", "APCA-API-SECRET-KEY": "demo-paper-secret"}
LIVE = {"APCA-API-KEY-ID": "AKDEMOLIVE", "APCA-API-SECRET-KEY": "demo-live-secret"}

#: A Monday in New York's winter: open from 14:30 to 21:00 UTC.
MONDAY_BEFORE_OPEN = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)
MONDAY_NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
MONDAY_CLOSE = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
SATURDAY = datetime(2026, 3, 7, 15, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    """A response with its body parsed."""

    status: int
    body: Any
    raw: Response

    @property
    def code(self) -> int | None:
        return self.body.get("code")

    @property
    def message(self) -> str:
        return self.body["message"]


class Floor:
    """One simulator, its demo accounts, and a clock that moves when told."""

    def __init__(self, at: datetime = MONDAY_NOON, **config: Any) -> None:
        content = {"clock": {"mode": "stepped", "start": at}, **config}
        self.simulator = build_simulator(SimulatorConfig.model_validate(content))
        self.exchange = self.simulator.exchange
        self.market = self.exchange.market
        self.keys: Mapping[str, str] = PAPER

    @property
    def now(self) -> datetime:
        return self.simulator.clock.now()

    def send(self, method: str, path: str, body: bytes = b"", **query: object) -> Answer:
        request = Request(method, path, urlencode(query), self.keys, body)
        raw = self.simulator.rest.handle(request)
        return Answer(raw.status, json.loads(raw.body) if raw.body else None, raw)

    def get(self, path: str, **query: object) -> Answer:
        return self.send("GET", path, **query)

    def delete(self, path: str, **query: object) -> Answer:
        return self.send("DELETE", path, **query)

    def order(self, **fields: object) -> Answer:
        return self.send("POST", "/v2/orders", json.dumps(fields).encode())

    def buy(self, symbol: str, qty: object, limit: object = None, tif: str = "day", **more: object) -> Answer:
        return self._trade("buy", symbol, qty, limit, tif, more)

    def sell(self, symbol: str, qty: object, limit: object = None, tif: str = "day", **more: object) -> Answer:
        return self._trade("sell", symbol, qty, limit, tif, more)

    def step(self, seconds: float) -> Answer:
        return self._step({"seconds": seconds})

    def step_until(self, bell: str) -> Answer:
        return self._step({"until": bell})

    def holding(self, symbol: str, qty: int) -> Floor:
        """This floor after `qty` shares were bought at the market."""
        assert self.buy(symbol, qty).status == 200
        self.step(1)
        assert self.get(f"/v2/positions/{symbol}").body["qty"] == str(qty)
        self.updates()
        return self

    def updates(self) -> list[TradeUpdate]:
        return self.simulator.take_trade_updates()

    def events(self) -> list[str]:
        return [update.event.value for update in self.updates()]

    def status(self, order: Answer) -> str:
        return self.get(f"/v2/orders/{order.body['id']}").body["status"]

    def quote(self, symbol: str) -> tuple[float, float]:
        """Bid and ask in dollars."""
        quote = self.get("/v2/stocks/quotes/latest", symbols=symbol).body["quotes"][symbol]
        return quote["bp"], quote["ap"]

    def account(self) -> Any:
        return self.get("/v2/account").body

    def _trade(
        self, side: str, symbol: str, qty: object, limit: object, tif: str, more: Mapping[str, object]
    ) -> Answer:
        kind = {"type": "market"} if limit is None else {"type": "limit", "limit_price": str(limit)}
        fields = {"symbol": symbol, "qty": str(qty), "side": side, "time_in_force": tif, **kind, **more}
        return self.order(**fields)

    def _step(self, how: Mapping[str, object]) -> Answer:
        answer = self.send("POST", "/admin/clock/step", json.dumps(how).encode())
        assert answer.status == 200, answer
        return answer
