"""The REST API as one call: a request in, a response out.

No sockets and no waiting. Before it answers it lets the exchange catch up with the market clock.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import threading

from alpaca_simulator.api.admin_api import AdminApi
from alpaca_simulator.api.data_api import DataApi
from alpaca_simulator.api.messages import LARGEST_BODY_BYTES, Request, Response, refusal_response
from alpaca_simulator.api.trading_api import TradingApi
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange, TradeUpdate
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


class RestApi:
    """Trading, data and admin API of one exchange and its clock. Safe to call from several threads."""

    def __init__(self, exchange: Exchange, clock: MarketClock) -> None:
        self.exchange = exchange
        self.clock = clock
        self.keys = KeyRing(exchange)
        self._trading = TradingApi(exchange)
        self._data = DataApi(exchange)
        self._admin = AdminApi(exchange, clock)
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Response:
        """Answer `request` at the market clock's present time; refusals become Alpaca's error bodies."""
        with self._lock:
            try:
                self.exchange.advance(self.clock.now())
                return self._answer(request)
            except refusals.Refusal as refusal:
                return refusal_response(refusal)
            except OutsideCalendarError as error:
                return refusal_response(refusals.Refusal(503, 50310000, str(error)))

    def catch_up(self) -> None:
        """Let the exchange catch up with the clock when nobody asks; raises OutsideCalendarError."""
        with self._lock:
            self.exchange.advance(self.clock.now())

    def take_updates(self) -> list[TradeUpdate]:
        """Every trade update since the last call, in the order it happened; none is lost between threads."""
        with self._lock:
            return self.exchange.take_updates()

    def _answer(self, request: Request) -> Response:
        if len(request.body) > LARGEST_BODY_BYTES:
            raise refusals.too_large(LARGEST_BODY_BYTES)
        match request.segments:
            case ("healthz",) | ("admin", *_):
                return self._admin.answer(request)
            case ("v2", "stocks", *_):
                self._authorized(request, refusals.data_not_authorized())
                return self._data.answer(request)
            case ("v2", *_):
                return self._trading.answer(self._authorized(request, refusals.not_authorized()), request)
            case (str(version), *_) if version.startswith(("v1", "v3")):
                raise refusals.not_implemented(f"/{version[:20]}")
        raise refusals.not_found("endpoint not found.")

    def _authorized(self, request: Request, refusal: refusals.Refusal) -> Account:
        key_id, secret_key = _credentials(request)
        account = self.keys.account(key_id, secret_key)
        if account is None:
            raise refusal
        return account


def _credentials(request: Request) -> tuple[str | None, str | None]:
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
