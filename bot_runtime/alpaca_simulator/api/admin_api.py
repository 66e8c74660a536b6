"""The simulator's own view: health, state, what each account received, faults, and stepping the clock.

Not part of Alpaca's API and without keys: serve it where only you can reach it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from alpaca_simulator.api.admin_html import page_response
from alpaca_simulator.api.admin_view import AdminView
from alpaca_simulator.api.faults_api import FaultsApi, request_of
from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.rate_limits import RateLimits
from alpaca_simulator.api.rendering import Json, account_summary_json, order_json, request_json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.faults.director import Director
from alpaca_simulator.faults.interventions import account_named
from alpaca_simulator.faults.scenario import Step
from alpaca_simulator.faults.seams import Faults
from alpaca_simulator.market.calendar import OutsideCalendarError
from alpaca_simulator.market.clock import MarketClock, SteppedClock
from alpaca_simulator.values.instants import read_instant
from alpaca_simulator.values.quantities import read_decimal

LARGEST_STEP = timedelta(days=366)
#: What a browser says of a request that another site's page makes.
_FOREIGN_SITES = {"cross-site", "same-site"}


class AdminApi:
    """Answers `/healthz` and everything below `/admin`.

    `catch_up` lets the exchange and the scenario come up to the clock's time.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: MarketClock,
        faults: Faults,
        director: Director,
        rate_limits: RateLimits,
        catch_up: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._catch_up = catch_up
        self._faults = FaultsApi(exchange, faults.book, director)
        self.view = AdminView(exchange, clock, faults, director, rate_limits)

    def answer(self, request: Request) -> Response:
        """Answer a request; raises Refusal."""
        if request.method != "GET" and request.header("Sec-Fetch-Site") in _FOREIGN_SITES:
            raise refusals.forbidden("a page of another site may not do this")
        match (request.method, request.segments):
            case ("GET", ("healthz",)):
                return json_response(200, {"status": "ok"})
            case ("GET", ("admin",)):
                return page_response()
            case ("GET", ("admin", "view")):
                return json_response(200, self.view.told(self._accounts_shown(request)))
            case ("GET", ("admin", "state")):
                return json_response(200, self._state())
            case ("GET", ("admin", "accounts", name, "orders")):
                orders = [order_json(order) for order in account_named(self._exchange, name).orders_newest_first()]
                return json_response(200, orders)
            case ("GET", ("admin", "accounts", name, "requests")):
                return json_response(200, _requests(account_named(self._exchange, name)))
            case ("POST", ("admin", "clock", "step")):
                return json_response(200, self._step(request))
            case (_, ("admin", "faults" | "interventions" | "scenario", *_)):
                return self._faults.answer(request)
        raise refusals.not_found("endpoint not found.")

    def changes_state(self, request: Request) -> bool:
        """Whether a request may change what the exchange does from now on."""
        refused = request.header("Sec-Fetch-Site") in _FOREIGN_SITES
        return request.method != "GET" and request.segments[0] == "admin" and not refused

    def request_of(self, step: Step) -> Request:
        """The request that does what a step of a scenario does."""
        return request_of(step)

    def _state(self) -> Json:
        exchange = self._exchange
        return {
            "seed": exchange.market.seed,
            "clock": self.view.clock_json(),
            "accounts": [account_summary_json(exchange, account) for account in exchange.accounts.values()],
            "trade_updates_dropped": exchange.updates_dropped,
        }

    def _accounts_shown(self, request: Request) -> list[Account]:
        wanted = request.parameters.get("account")
        return [account_named(self._exchange, wanted)] if wanted else list(self._exchange.accounts.values())

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
        self._catch_up()
        return self.view.clock_json()

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
