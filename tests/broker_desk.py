"""A broker adapter whose HTTP answers are written down: for tests of what it asks and of what it understands."""

import json
import random
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from builders import a_config
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.budget import RequestBudget
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.broker.lanes import InlineLane
from tradingbot_runtime.broker.retries import Retries

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | Exception


class Wire(BaseAdapter):
    """Plays the broker: one answer after the other, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.answers = list(answers)
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.status_code, body = answer[:2]
        response.headers = CaseInsensitiveDict(answer[2] if len(answer) == 3 else {})
        response._content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        response.url, response.request = request.url or "", request
        return response

    def close(self) -> None:
        pass


class Desk:
    def __init__(self, *answers: Answer, wire: Wire | None = None, **options: Any) -> None:
        self.wire = wire or Wire(*answers)
        self.slept: list[float] = []
        self.waited_for_budget: list[float] = []
        self.broker = AlpacaBroker(
            a_config().broker,
            Credentials("PK", "secret"),
            prefix="tb-",
            rng=random.Random(1),
            session=self._session,
            lane=lambda name, threads: InlineLane(),
            retries=Retries(random.Random(1), self._sleep),
            budget=lambda name: RequestBudget(name, monotonic=self._monotonic, sleep=self._wait),
            monotonic=self._monotonic,
            **options,
        )

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", self.wire)
        return session

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def _wait(self, seconds: float) -> None:
        self.waited_for_budget.append(seconds)

    def _monotonic(self) -> float:
        return sum(self.slept) + sum(self.waited_for_budget)

    def pass_time(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def sent(self) -> list[str]:
        return [f"{request.method} {(request.url or '').split(':1/')[-1]}" for request in self.wire.requests]


def always() -> bool:
    """Nothing has come between an order and its leaving."""
    return True


def refusal(code: int | None, message: str) -> dict[str, Any]:
    return {"message": message} if code is None else {"code": code, "message": message}
