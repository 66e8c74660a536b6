"""`/admin/faults`, `/admin/interventions` and `/admin/scenario`: what goes wrong, asked for by a person.

Reads a request, asks the book, renders the answer; every refusal has Alpaca's shape and a 4xx status.
"""

from __future__ import annotations

import json

from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.api.rendering import Json
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.faults.book import FaultBook, Injected, RuleInForce
from alpaca_simulator.faults.catalogue import explained, read_rule, rule_json
from alpaca_simulator.faults.director import Director
from alpaca_simulator.faults.interventions import (
    Intervention,
    intervention_json,
    interventions_explained,
    read_intervention,
)
from alpaca_simulator.faults.rules import FaultError, Rule
from alpaca_simulator.faults.scenario import Step
from alpaca_simulator.values.instants import utc_text
from alpaca_simulator.values.quantities import read_decimal

LOG_LINES = 100
LOG_LINES_AT_MOST = 1_000


class FaultsApi:
    """Answers what is asked of one book of faults, and intervenes in one exchange."""

    def __init__(self, exchange: Exchange, book: FaultBook, director: Director) -> None:
        self._exchange = exchange
        self._book = book
        self._director = director

    def answer(self, request: Request) -> Response:
        """Answer a request below `/admin`; raises Refusal."""
        match (request.method, request.segments[1:]):
            case ("GET", ("faults",)):
                return json_response(200, [rule_in_force_json(entry) for entry in self._book.in_force()])
            case ("POST", ("faults",)):
                return json_response(200, rule_in_force_json(self._add(request)))
            case ("DELETE", ("faults",)):
                self._book.clear()
                return Response(204)
            case ("GET", ("faults", "kinds")):
                return json_response(200, {"faults": explained(), "interventions": interventions_explained()})
            case ("GET", ("faults", "log")):
                return json_response(200, self._log(request))
            case ("GET", ("faults", rule_id)):
                return json_response(200, rule_in_force_json(self._rule(rule_id)))
            case ("DELETE", ("faults", rule_id)):
                self._book.remove(self._rule(rule_id).rule_id)
                return Response(204)
            case ("POST", ("interventions",)):
                return json_response(200, self._intervene(request))
            case ("GET", ("scenario",)):
                return json_response(200, self._director.told())
        raise refusals.not_found("endpoint not found.")

    def _add(self, request: Request) -> RuleInForce[Rule]:
        try:
            return self._book.add(read_rule(request.body), self._exchange.now)
        except FaultError as error:
            raise refusals.unprocessable(str(error)) from error

    def _rule(self, rule_id: str) -> RuleInForce[Rule]:
        found = self._book.find(rule_id)
        if found is None:
            raise refusals.not_found(f"no fault {rule_id[:64]}")
        return found

    def _log(self, request: Request) -> Json:
        after = _whole(request, "after", 0, at_most=10**15)
        limit = _whole(request, "limit", LOG_LINES, at_most=LOG_LINES_AT_MOST)
        lines = [injected_json(one) for one in self._book.log(after)]
        return {"injected": self._book.injected_ever, "log": lines[:limit] if after else lines[-limit:]}

    def _intervene(self, request: Request) -> Json:
        try:
            intervention = read_intervention(request.body)
        except FaultError as error:
            raise refusals.unprocessable(str(error)) from error
        result = intervention.carry_out(self._exchange)
        told = intervention_json(intervention)
        account = told.pop("account", None)
        what = json.dumps({name: value for name, value in told.items() if name != "kind"})
        self._book.write(self._exchange.now, "intervention", intervention.kind, what, account)
        return {"kind": intervention.kind, "at": utc_text(self._exchange.now), "result": result}


def request_of(step: Step) -> Request:
    """The request that does what a step of a scenario does."""
    if isinstance(step.add, Rule):
        return Request("POST", "/admin/faults", body=json.dumps(rule_json(step.add)).encode())
    if isinstance(step.do, Intervention):
        return Request("POST", "/admin/interventions", body=json.dumps(intervention_json(step.do)).encode())
    return Request("DELETE", f"/admin/faults/{step.remove}")


def rule_in_force_json(entry: RuleInForce[Rule]) -> Json:
    """A rule with its id and its counters."""
    return {
        "id": entry.rule_id,
        "added_at": utc_text(entry.added_at),
        "seen": entry.seen,
        "injected": entry.injected,
        "spent": entry.is_spent,
        "rule": rule_json(entry.rule),
    }


def injected_json(one: Injected) -> Json:
    """A line of the log of what was injected."""
    return {
        "number": one.number,
        "time": utc_text(one.at),
        "id": one.rule_id,
        "kind": one.kind,
        "account": one.account,
        "what": one.what,
    }


def _whole(request: Request, name: str, otherwise: int, *, at_most: int) -> int:
    raw = request.parameters.get(name)
    if not raw:
        return otherwise
    number = read_decimal(raw)
    if number is None or not 0 <= number <= at_most or number != int(number):
        raise refusals.unprocessable(f"{name} must be a whole number from 0 to {at_most}")
    return int(number)
