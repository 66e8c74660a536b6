"""A trading floor on which things go wrong: faults are added as a person adds them, clients see what clients see."""

from __future__ import annotations

import json
from typing import Any

import requests

from alpaca_simulator.in_process import BASE_URL, InProcessAdapter, InProcessStream
from alpaca_simulator.simulator import MachineTime, build_simulator
from unit.simulator.floor import PAPER, Answer, Floor

KEYS = (PAPER["APCA-API-KEY-ID"], PAPER["APCA-API-SECRET-KEY"])


class FaultyFloor(Floor):
    """A floor whose clients speak through `requests`, and whose stream is a client's."""

    def __init__(self, *arguments: Any, machine: MachineTime | None = None, **config: Any) -> None:
        super().__init__(*arguments, **config)
        if machine is not None:
            self.simulator = build_simulator(self.simulator.config, machine)
            self.exchange = self.simulator.exchange
        self.waited: list[float] = []
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://", InProcessAdapter(self.simulator.rest, self.waited.append))

    def fault(self, kind: str, **fields: object) -> str:
        """Put a rule in force; its id."""
        answer = self.post("/admin/faults", kind=kind, **fields)
        assert answer.status == 200, answer.body
        rule_id: str = answer.body["id"]
        return rule_id

    def intervene(self, kind: str, **fields: object) -> Answer:
        return self.post("/admin/interventions", kind=kind, **fields)

    def post(self, path: str, **fields: object) -> Answer:
        return self.send("POST", path, json.dumps(fields).encode())

    def client(self, method: str, path: str, timeout: float | None = 10, **more: Any) -> requests.Response:
        """A request as a client sends it, faults included."""
        return self.session.request(method, BASE_URL + path, headers=dict(self.keys), timeout=timeout, **more)

    def client_order(self, client_order_id: str = "a", symbol: str = "SPY", **more: object) -> requests.Response:
        order = {"symbol": symbol, "qty": "3", "side": "buy", "type": "market", "time_in_force": "day"}
        return self.client("POST", "/v2/orders", json={**order, "client_order_id": client_order_id, **more})

    def orders(self) -> list[str]:
        """The client order ids of every order that the exchange has, oldest first."""
        return [one["client_order_id"] for one in self.get("/v2/orders", status="all", direction="asc").body]

    def listening(self) -> InProcessStream:
        """A client of the trade updates that has been told that it listens."""
        stream = self.simulator.open_stream(*KEYS)
        assert [json.loads(frame)["stream"] for frame in stream.frames()] == ["authorization", "listening"]
        return stream

    def log(self) -> list[Any]:
        lines: list[Any] = self.get("/admin/faults/log", limit="1000").body["log"]
        return lines


def told(stream: InProcessStream) -> list[str]:
    """The events that have come, as `event client_order_id`."""
    messages = [json.loads(frame)["data"] for frame in stream.frames()]
    return [f"{one['event']} {one['order']['client_order_id']}" for one in messages]
