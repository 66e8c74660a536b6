"""The simulator's own view: health, state, what each account received, and stepping the clock.

Not part of Alpaca's API and without keys: serve it where only you can reach it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.rendering import Json, account_summary_json, clock_json, order_json, request_json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.calendar import OutsideCalendarError
from alpaca_simulator.market.clock import MarketClock, SteppedClock
from alpaca_simulator.values.instants import read_instant, utc_text
from alpaca_simulator.values.quantities import read_decimal

LARGEST_STEP = timedelta(days=366)


class AdminApi:
    """Answers `/healthz` and everything below `/admin`."""

    def __init__(self, exchange: Exchange, clock: MarketClock) -> None:
        self._exchange = exchange
        self._clock = clock

    def answer(self, request: Request) -> Response:
        """Answer a request; raises Refusal."""
        match (request.method, request.segments):
            case ("GET", ("healthz",)):
                return json_response(200, {"status": "ok"})
            case ("GET", ("admin", "state")):
                return json_response(200, self._state())
            case ("GET", ("admin", "accounts", account_id, "orders")):
                orders = [order_json(order) for order in self._account(account_id).orders_newest_first()]
                return json_response(200, orders)
            case ("GET", ("admin", "accounts", account_id, "requests")):
                return json_response(200, _requests(self._account(account_id)))
            case ("POST", ("admin", "clock", "step")):
                return json_response(200, self._step(request))
        raise refusals.not_found("endpoint not found.")

    def _state(self) -> Json:
        exchange = self._exchange
        return {
            "seed": exchange.market.seed,
            "clock": {"mode": self._clock.mode, **self._clock_state()},
            "accounts": [account_summary_json(exchange, account) for account in exchange.accounts.values()],
            "trade_updates_dropped": exchange.updates_dropped,
        }

    def _clock_state(self) -> Json:
        now = self._exchange.now
        return {"now": utc_text(now), **clock_json(self._exchange.calendar, now)}

    def _account(self, name_or_id: str) -> Account:
        for account in self._exchange.accounts.values():
            if name_or_id in {account.terms.name, str(account.account_id)}:
                return account
        raise refusals.not_found(f"no account {name_or_id}")

    def _step(self, request: Request) -> Json:
        clock = self._clock
        if not isinstance(clock, SteppedClock):
            raise refusals.unprocessable(f"the clock is {clock.mode}: only a stepped one can be stepped")
        target = self._step_target(clock.now(), request.json_object())
        if not clock.now() <= target <= clock.now() + LARGEST_STEP:
            raise refusals.unprocessable(f"a step goes forward, by at most {LARGEST_STEP.days} days")
        try:
            self._exchange.calendar.require(target)
        except OutsideCalendarError as error:
            raise refusals.unprocessable(str(error)) from error
        clock.step_to(target)
        self._exchange.advance(target)
        return self._clock_state()

    def _step_target(self, now: datetime, fields: dict[str, object]) -> datetime:
        """The time that `seconds`, `to` or `until` asks for; raises Refusal unless exactly one is given."""
        match fields:
            case {"seconds": raw, **rest} if not rest:
                seconds = read_decimal(raw)
                if seconds is not None and 0 <= seconds <= LARGEST_STEP.total_seconds():
                    return now + timedelta(seconds=float(seconds))
            case {"to": str(raw), **rest} if not rest:
                instant = read_instant(raw)
                if instant is not None:
                    return instant
            case {"until": "open", **rest} if not rest:
                return self._exchange.calendar.next_opening(now).opens_at
            case {"until": "close", **rest} if not rest:
                return self._exchange.calendar.next_closing(now).closes_at
        raise refusals.bad_parameter(
            'a step is one of {"seconds": number}, {"to": RFC 3339 time}, {"until": "open" or "close"}'
        )


def _requests(account: Account) -> Json:
    return {
        "received": account.requests_received,
        "kept": len(account.requests),
        "requests": [request_json(entry) for entry in account.requests],
    }
