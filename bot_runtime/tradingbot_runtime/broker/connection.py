"""How one kind of calls reaches Alpaca: threads, HTTP sessions, the request budget, and what a failure is called.

One call here is one request, so that each is counted. A write is sent once; a read is tried again by `retries` alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import requests
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.trading.client import TradingClient

from tradingbot_api import BrokerEndpoint
from tradingbot_runtime.broker import failures
from tradingbot_runtime.broker.budget import RULES, BudgetSpent, RequestBudget, Urgency
from tradingbot_runtime.broker.lanes import Lane
from tradingbot_runtime.broker.port import OrderNotTaken, Unauthorized
from tradingbot_runtime.broker.retries import Retries
from tradingbot_runtime.broker.sockets import looking_again
from tradingbot_runtime.broker.transport import SessionFactory, hardened, without_version

T = TypeVar("T")

CALL_TIMEOUT_SECONDS = 30.0
"""The most one request may take, its wait for a thread included and its wait for the budget not."""
LEAST_WAIT_FOR_A_THREAD_SECONDS = 1.0
"""What an order that has waited for the budget may still wait for a thread."""


class Api(StrEnum):
    """Alpaca's two APIs, which count requests and check keys each for itself."""

    TRADING = "trading"
    DATA = "data"


@dataclass(frozen=True)
class Credentials:
    """The account's keys. Never logged: the representation hides them."""

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)


class KeyStanding:
    """Whether the broker accepts the keys, as each API last said."""

    def __init__(self) -> None:
        self._refused: dict[str, str] = {}

    def accepted(self, where: str) -> None:
        """An answer that only who has good keys gets."""
        self._refused.pop(where, None)

    def refused(self, where: str, message: str) -> None:
        """The keys were refused."""
        self._refused[where] = message

    @property
    def message(self) -> str:
        """Why they are refused; empty where they are not."""
        return next(iter(list(self._refused.values())), "")


class Connection:
    """A lane of threads with clients of its own: a session is not shared between lanes, budgets and keys are."""

    def __init__(
        self,
        endpoint: BrokerEndpoint,
        keys: Credentials,
        *,
        urgency: Urgency,
        lane: Lane,
        session: SessionFactory,
        budgets: dict[Api, RequestBudget],
        standing: KeyStanding,
        retries: Retries,
    ) -> None:
        self._urgency = urgency
        self._lane = lane
        self._budgets = budgets
        self._standing = standing
        self._retries = retries
        trading, data = without_version(endpoint.base_url), without_version(endpoint.data_url)
        self.trading = hardened(
            TradingClient(keys.key_id, keys.secret_key, raw_data=True, url_override=trading),
            self._listening(session(), Api.TRADING),
        )
        self.data = hardened(
            StockHistoricalDataClient(keys.key_id, keys.secret_key, raw_data=True, url_override=data),
            self._listening(session(), Api.DATA),
        )

    def close(self) -> None:
        """Ends the idle threads."""
        self._lane.close()

    async def read(self, doing: str, call: Callable[[], T], api: Api = Api.TRADING) -> T:
        """What a request returns that may be repeated. Raises BrokerUnavailable, Unauthorized or OrderRejected."""

        async def once() -> T:
            return await self.once(doing, call, api)

        return await self._retries.run(once)

    async def once(self, doing: str, call: Callable[[], T], api: Api = Api.TRADING) -> T:
        """The same for a request that must not be repeated."""
        await self._budgets[api].take(self._urgency)
        try:
            return await self._lane.run(call, CALL_TIMEOUT_SECONDS)
        except Exception as error:
            raise self._noted(failures.of_call(error, doing), api) from error

    async def write(self, doing: str, call: Callable[[], T], may_send: Callable[[], bool]) -> T:
        """What the sending of an order returns. Raises OrderRejected, OrderNotTaken, Unauthorized or OrderInDoubt.

        `may_send` is asked in the lane's thread when the order's turn has come, and again when the connection stands
        and nothing has been sent.
        """
        try:
            waited = await self._budgets[Api.TRADING].take(self._urgency)
        except BudgetSpent as error:
            raise OrderNotTaken(f"{doing}: {error}") from error
        left = RULES[self._urgency].longest_wait_seconds - waited
        begin_within = max(LEAST_WAIT_FOR_A_THREAD_SECONDS, left)

        def look() -> None:
            _check_it_may_be_sent(doing, may_send)

        def send() -> T:
            look()
            with looking_again(look):
                return call()

        try:
            return await self._lane.run(send, CALL_TIMEOUT_SECONDS, begin_within_seconds=begin_within)
        except Exception as error:
            raise self._noted(failures.of_write(error, doing), Api.TRADING) from error

    def _noted(self, error: Exception, api: Api) -> Exception:
        if isinstance(error, Unauthorized):
            self._standing.refused(api, str(error))
        return error

    def _listening(self, session: requests.Session, api: Api) -> requests.Session:
        """The session, with every answer's headers read before alpaca-py sees it."""
        budget = self._budgets[api]

        def heard(response: requests.Response, *args: Any, **kwargs: Any) -> None:
            budget.learn(self._urgency, response.status_code, response.headers)
            if 300 <= response.status_code < 400:
                # alpaca-py takes a redirect for success: a cancel would count as asked for.
                raise requests.exceptions.TooManyRedirects(f"answered {response.status_code}: not the broker's API")
            if response.ok:
                self._standing.accepted(api)

        session.hooks["response"].append(heard)
        return session


def _check_it_may_be_sent(doing: str, may_send: Callable[[], bool]) -> None:
    """Raises OrderNotTaken; whoever cannot say whether an order may be sent has it withheld."""
    try:
        allowed = may_send()
    except Exception as error:
        raise OrderNotTaken(f"{doing}: withheld: whether it may be sent cannot be told: {error!r}") from error
    if not allowed:
        raise OrderNotTaken(f"{doing}: withheld: a kill, a pause or a halt came while it waited to be sent")
