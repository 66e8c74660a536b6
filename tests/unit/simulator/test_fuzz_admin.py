"""Faults and interventions of any shape: refused in words or carried out, and never the end of the simulator."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alpaca_simulator.api.messages import Request
from alpaca_simulator.faults.catalogue import KINDS
from alpaca_simulator.faults.interventions import INTERVENTIONS
from unit.simulator.floor import PAPER, Floor
from unit.simulator.fuzzing import (
    EARLY_NOON,
    books_must_balance,
    garbage,
    headers,
    json_text,
    must_be_answered_well,
    query_of,
    texts,
    values,
)

RULES: list[dict[str, Any]] = [kind.example for kind in KINDS.values()]
DEEDS: list[dict[str, Any]] = [
    *(kind.example for kind in INTERVENTIONS.values()),
    {"kind": "position_change", "account": "paper", "symbol": "SPY", "quantity": "7.5", "price": "100.25"},
    {"kind": "position_change", "account": "live", "symbol": "TLT", "quantity": "-4"},
    {"kind": "cash_change", "account": "live", "amount": "-1000000"},
    *(
        {"kind": "force_event", "account": "paper", "client_order_id": "mine", "event": event}
        for event in ("suspended", "rejected", "canceled", "expired", "fill", "new", "done_for_day", "replaced")
    ),
]
COMMON = {"name": "one", "count": 2, "skip": 1, "every": 2, "probability": 0.5}


@st.composite
def spoilt(draw: st.DrawFn, examples: list[dict[str, Any]]) -> bytes:
    """One of the examples, whole or with a field more, less or wrong."""
    chosen = dict(draw(st.sampled_from(examples)))
    chosen |= draw(st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in COMMON.items()}))
    if draw(st.booleans()):
        names = st.sampled_from([*chosen, *COMMON, "match", "since", "until"]) | texts
        chosen |= draw(st.dictionaries(names, values, max_size=2))
    return json_text(chosen)


ORDER = {"symbol": "SPY", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"}
ROUTES: list[tuple[str, str, st.SearchStrategy[bytes]]] = [
    ("POST", "/admin/faults", spoilt(RULES)),
    ("POST", "/admin/faults", spoilt(RULES)),
    ("POST", "/admin/interventions", spoilt(DEEDS)),
    ("POST", "/admin/interventions", spoilt(DEEDS)),
    ("GET", "/admin/faults", st.just(b"")),
    ("GET", "/admin/faults/kinds", st.just(b"")),
    ("GET", "/admin/faults/log", st.just(b"")),
    ("GET", "/admin/faults/one", st.just(b"")),
    ("DELETE", "/admin/faults/one", st.just(b"")),
    ("GET", "/admin/scenario", st.just(b"")),
    ("GET", "/admin/view", st.just(b"")),
    ("GET", "/admin/state", st.just(b"")),
    ("PUT", "/admin/interventions", garbage),
]


def admin(method: str, path: str, body: object) -> Request:
    return Request(method, path, body=json_text(body))


@st.composite
def admin_requests(draw: st.DrawFn) -> Request:
    method, path, bodies = draw(st.sampled_from(ROUTES))
    query = draw(query_of(("after", "limit", "account")))
    return Request(method, path, query, draw(headers), draw(bodies | bodies | bodies | garbage))


trading_requests = st.sampled_from(
    [
        Request("POST", "/v2/orders", "", PAPER, json_text(ORDER)),
        Request("POST", "/v2/orders", "", PAPER, json_text({**ORDER, "client_order_id": "mine"})),
        Request("GET", "/v2/orders", "status=all", PAPER),
        Request("DELETE", "/v2/orders", "", PAPER),
        Request("DELETE", "/v2/positions", "cancel_orders=true", PAPER),
        Request("GET", "/v2/account", "", PAPER),
        Request("GET", "/v2/stocks/bars", "symbols=SPY,AAPL&timeframe=5Min&limit=50", PAPER),
        Request("GET", "/v2/stocks/quotes/latest", "symbols=SPY,AAPL", PAPER),
        Request("GET", "/v2/stocks/snapshots", "symbols=SPY,AAPL", PAPER),
    ]
)
waits = st.sampled_from([1, 60, 900]).map(
    lambda seconds: Request("POST", "/admin/clock/step", "", {}, json_text({"seconds": seconds}))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.one_of(admin_requests(), admin_requests(), trading_requests, waits), max_size=14))
@example([admin("POST", "/admin/faults", {**RULES[0], "A" * 5_000: None})])
@example([admin("POST", "/admin/faults", {"kind": "A" * 5_000})])
@example([admin("POST", "/admin/interventions", {**DEEDS[0], "A" * 5_000: None})])
def test_no_fault_or_intervention_ends_the_simulator(script: list[Request]) -> None:
    floor = Floor(EARLY_NOON)
    floor.holding("SPY", 10)
    for request in script:
        if request.path.startswith("/admin"):
            # A fault may hit the API it is asked for; the admin's own answers are never spoilt.
            must_be_answered_well(floor.simulator.rest.handle(request), request)
        else:
            floor.simulator.rest.answer(request)
        floor.updates()
    floor.send("DELETE", "/admin/faults")
    floor.step(60)
    books_must_balance(floor)
    floor.keys = PAPER
    for path in ("/v2/account", "/v2/positions", "/v2/orders", "/admin/state", "/admin/view"):
        assert floor.get(path).status == 200
