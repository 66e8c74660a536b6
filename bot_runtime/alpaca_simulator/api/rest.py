"""The REST API as one call: a request in, an answer and how it is to be delivered out.

No sockets and no waiting. Before it answers it lets the exchange catch up with the market clock.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from alpaca_simulator.api.admin_api import AdminApi
from alpaca_simulator.api.data_api import DataApi
from alpaca_simulator.api.messages import LARGEST_BODY_BYTES, Request, Response, refusal_response
from alpaca_simulator.api.rate_limits import RateLimits, too_many
from alpaca_simulator.api.routing import Api, api_of, no_websocket, nowhere
from alpaca_simulator.api.subjects import subject_of
from alpaca_simulator.api.trading_api import TradingApi
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.exchange.updates import TradeUpdate
from alpaca_simulator.faults.delivery import Answer
from alpaca_simulator.faults.director import Director
from alpaca_simulator.faults.rest_faults import UNHARMED, Struck
from alpaca_simulator.faults.seams import Faults
from alpaca_simulator.market.calendar import OutsideCalendarError
from alpaca_simulator.market.clock import MarketClock


class KeyRing:
    """Which account a key id and its secret open."""

    def __init__(self, exchange: Exchange) -> None:
        self._accounts = {account.terms.key_id: account for account in exchange.accounts.values()}

    def account(self, key_id: str | None, secret_key: str | None) -> Account | None:
        """The account, None for an unknown key or a wrong secret."""
        account = self._accounts.get(key_id or "")
        if account is None:
            return None
        expected = account.terms.secret_key.encode()
        return account if hmac.compare_digest(expected, (secret_key or "").encode()) else None


class Journal(Protocol):
    """What keeps the state across restarts; each call raises Refusal when it cannot."""

    def record(self, at: datetime, account: str | None, request: Request) -> None:
        """Put a request that may change the state on disk before it is handled."""

    def show(self, at: datetime, *, something_happened: bool) -> None:
        """Note the market time that an answer or an update is about to show."""


class RestApi:
    """Trading, data and admin API of one exchange and its clock. Safe to call from several threads.

    `seconds` gives the Unix seconds that requests are counted and delays measured in: the market's on a
    stepped clock, else the machine's. `requests_per_minute` 0 is no limit.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: MarketClock,
        seconds: Callable[[], float] | None = None,
        *,
        requests_per_minute: int = 0,
        director: Director | None = None,
    ) -> None:
        self.exchange = exchange
        self.clock = clock
        self.keys = KeyRing(exchange)
        seconds = seconds or (lambda: clock.now().timestamp())
        self.faults = Faults(exchange, seconds, in_market_time=clock.mode == "stepped")
        self.rate_limits = RateLimits(requests_per_minute, seconds)
        self.director = director or Director()
        self.journal: Journal | None = None
        self._executions_shown = exchange.register.executions
        self._faulty_keys = self.faults.keys(self.keys, "rest")
        self._trading = TradingApi(exchange)
        self._data = DataApi(exchange, self.faults.market_data)
        self.admin = AdminApi(exchange, clock, self.faults, self.director, self.rate_limits, self._catch_up)
        self._lock = threading.Lock()
        exchange.fill_gate = self.faults.fills

    def handle(self, request: Request) -> Response:
        """The true answer to `request` at the clock's present time, without a fault and without a limit.

        Refusals become Alpaca's error bodies.
        """
        with self._lock:
            try:
                self._catch_up()
                return self._handled(request, self.keys.account(*credentials(request)))
            except refusals.Refusal as refusal:
                return refusal_response(refusal)
            except OutsideCalendarError as error:
                return refusal_response(refusals.Refusal(503, 50310000, str(error)))

    def answer(self, request: Request) -> Answer:
        """The answer to `request` as a client gets it: counted, with the faults that meet it."""
        with self._lock:
            try:
                self._catch_up()
                api = api_of(request.segments)
                if api not in {Api.TRADING, Api.DATA}:
                    return Answer(self._handled(request, None))
                return self._answered(request, api)
            except refusals.Refusal as refusal:
                return Answer(refusal_response(refusal))
            except OutsideCalendarError as error:
                return Answer(refusal_response(refusals.Refusal(503, 50310000, str(error))))

    def catch_up(self) -> None:
        """Let the exchange catch up with the clock when nobody asks; raises OutsideCalendarError."""
        with self._lock:
            self._catch_up()

    def take_updates(self) -> list[TradeUpdate]:
        """Every trade update that is to be told since the last call; none is lost between threads.

        In the order it happened, but for what the faults in force make of it.
        """
        with self._lock:
            if self.exchange.register.executions != self._executions_shown:
                try:
                    self._show()
                except refusals.Refusal:
                    # What is not on disk is not told: it waits until the state can be written again.
                    return []
            return self.faults.updates.passed(self.exchange.take_updates())

    def _catch_up(self) -> None:
        """Let market time pass up to the clock's, with the scenario's steps at their times."""
        now = self.clock.now()
        while (played := self.director.due(now)) is not None:
            self.exchange.advance(played.planned.at)
            request = self.admin.request_of(played.planned.step)
            try:
                self._record(request, None)
                self.admin.answer(request)
                played.outcome = "done"
            except refusals.Refusal as refusal:
                played.outcome = refusal.message
        self.exchange.advance(now)

    def _answered(self, request: Request, api: Api) -> Answer:
        account = self._faulty_keys.account(*credentials(request))
        struck = self._struck(request, account)
        if not struck.reaches_exchange:
            return struck.instead()
        allowance = None if account is None else self.rate_limits.count(account.account_id, api.value)
        try:
            if allowance is not None and allowance.is_over:
                raise too_many(api.value)
            response = self._handled(request, account)
        except refusals.Refusal as refusal:
            response = refusal_response(refusal)
        if allowance is not None:
            response = replace(response, headers={**response.headers, **allowance.headers()})
        return struck.after(response)

    def _struck(self, request: Request, account: Account | None) -> Struck:
        if self.faults.rest.is_idle:
            return UNHARMED
        return self.faults.rest.meet(subject_of(request, account), self.exchange.now)

    def _handled(self, request: Request, account: Account | None) -> Response:
        """The true answer to a request of `account`, None for one without right keys; raises Refusal."""
        if len(request.body) > LARGEST_BODY_BYTES:
            raise refusals.too_large(LARGEST_BODY_BYTES)
        segments = request.segments
        match api_of(segments):
            case Api.ADMIN:
                if self.admin.changes_state(request):
                    self._record(request, None)
                response = self.admin.answer(request)
            case Api.DATA:
                if account is None:
                    raise refusals.data_not_authorized()
                response = self._data.answer(request)
            case Api.TRADING:
                if account is None:
                    raise refusals.not_authorized()
                if request.method != "GET":
                    self._record(request, account)
                response = self._trading.answer(account, request)
            case Api.STREAM:
                raise no_websocket()
            case Api.NOWHERE:
                raise nowhere(segments)
        self._show()
        return response

    def _show(self) -> None:
        """Note the time that is about to be shown, and whether anything happened to an order since the last."""
        if self.journal is not None:
            executions = self.exchange.register.executions
            self.journal.show(self.exchange.now, something_happened=executions != self._executions_shown)
            self._executions_shown = executions

    def _record(self, request: Request, account: Account | None) -> None:
        if self.journal is not None:
            name = None if account is None else account.terms.name
            self.journal.record(self.exchange.now, name, request)


def credentials(request: Request) -> tuple[str | None, str | None]:
    """Key id and secret from Alpaca's headers or from basic authorization."""
    key_id = request.header("APCA-API-KEY-ID")
    if key_id is not None:
        return key_id, request.header("APCA-API-SECRET-KEY")
    scheme, _, encoded = (request.header("Authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        return None, None
    return name, secret
