"""Rules of faults: how they are read, when they strike, and that the same seed strikes the same way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.faults.book import FaultBook
from alpaca_simulator.faults.catalogue import KINDS, read_rule, rule_json
from alpaca_simulator.faults.rules import FaultError
from unit.simulator.faulty_floor import FaultyFloor
from unit.simulator.floor import MONDAY_NOON

ROUTED = {"kind": "status", "status": 503}


def statuses(floor: FaultyFloor, requests: int, path: str = "/v2/account") -> list[int]:
    return [floor.client("GET", path).status_code for _ in range(requests)]


def refusal(rule: dict[str, object]) -> str:
    answer = FaultyFloor().post("/admin/faults", **rule)
    assert answer.status == 422
    assert answer.code == 42210000
    return answer.message


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"kind": "status"}, "status:"),
        ({"kind": "status", "status": 42}, "status:"),
        ({"kind": "status", "status": "503"}, "status:"),
        ({"kind": "status", "status": 503, "colour": "red"}, "colour:"),
        ({"kind": "status", "status": 503, "probability": 1.5}, "probability:"),
        ({"kind": "status", "status": 503, "count": 0}, "count:"),
        ({"kind": "status", "status": 503, "match": {"route": "/v2/orders"}}, "match.route:"),
        ({"kind": "status", "status": 503, "match": {"route": "POST v2"}}, "match.route:"),
        ({"kind": "status", "status": 503, "match": {"events": []}}, "match.events:"),
        ({"kind": "status", "status": 503, "since": "2026-03-02T15:00:00"}, "since:"),
        ({"kind": "lose_update", "match": {"events": ["party"]}}, "match.events.0:"),
        ({"kind": "delay_update"}, "seconds:"),
        ({"kind": "no_such_fault"}, "body:"),
        ({}, "body:"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_its_field(rule: dict[str, object], field: str) -> None:
    assert field in refusal(rule)


def test_a_rule_that_ends_before_it_begins_is_refused() -> None:
    hours = {"since": "2026-03-02T16:00:00Z", "until": "2026-03-02T15:00:00Z"}
    assert "until must be after since" in refusal({**ROUTED, **hours})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"kind": "status", "status": NaN}', b"\xff", b"[" * 9000]
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    answer = FaultyFloor().send("POST", "/admin/faults", body)
    assert (answer.status, answer.code) == (422, 42210000)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_example_of_each_kind_is_a_rule_that_reads_back_the_same(kind: str) -> None:
    rule = read_rule(json.dumps(KINDS[kind].example))
    assert rule.model_dump()["kind"] == kind
    assert read_rule(json.dumps(rule_json(rule))) == rule


def test_each_kind_is_explained_with_its_fields() -> None:
    kinds = FaultyFloor().get("/admin/faults/kinds").body
    assert {one["kind"] for one in kinds["faults"]} == set(KINDS)
    for one in kinds["faults"] + kinds["interventions"]:
        assert one["description"]
        assert one["example"]["kind"] == one["kind"]
        assert one["schema"]["properties"]


def test_a_fault_strikes_as_often_as_it_may_after_those_it_skips() -> None:
    floor = FaultyFloor()
    floor.fault("status", status=503, skip=2, count=3)
    assert statuses(floor, 7) == [200, 200, 503, 503, 503, 200, 200]


def test_a_fault_strikes_every_so_many_th_time() -> None:
    floor = FaultyFloor()
    floor.fault("status", status=503, every=3)
    assert statuses(floor, 7) == [200, 200, 503, 200, 200, 503, 200]


def test_a_fault_holds_in_its_hours_of_market_time_only() -> None:
    floor = FaultyFloor()
    floor.fault("status", status=503, since="2026-03-02T17:01:00Z", until="2026-03-02T17:02:00Z")
    seen = []
    for _ in range(4):
        seen += statuses(floor, 1)
        floor.step(30)
    assert seen == [200, 200, 503, 503]
    assert statuses(floor, 1) == [200]


def test_a_chance_is_drawn_from_the_seed_and_the_rules_own_counter() -> None:
    def struck(seed: int, other_requests: int) -> list[int]:
        floor = FaultyFloor(seed=seed)
        floor.fault("status", status=503, probability=0.5, match={"route": "GET /v2/account"})
        seen = []
        for _ in range(20):
            seen += statuses(floor, 1)
            statuses(floor, other_requests, "/v2/clock")
        return seen

    assert struck(1, 0) == struck(1, 2)
    assert struck(1, 0) != struck(2, 0)
    assert set(struck(1, 0)) == {200, 503}


@pytest.mark.parametrize(
    ("match", "struck"),
    [
        ({"route": "POST /v2/orders"}, {"POST /v2/orders"}),
        ({"route": "* /v2/orders"}, {"POST /v2/orders", "GET /v2/orders"}),
        ({"route": "GET /v2/positions/{symbol}"}, {"GET /v2/positions/SPY"}),
        ({"route": "GET /v2/*"}, {"GET /v2/orders", "GET /v2/account"}),
        ({"route": "GET /v2/**"}, {"GET /v2/orders", "GET /v2/account", "GET /v2/positions/SPY"}),
        ({"symbol": "SPY"}, {"POST /v2/orders", "GET /v2/positions/SPY"}),
        ({"client_order_id_prefix": "bot-"}, {"POST /v2/orders"}),
        ({"account": "live"}, set()),
        ({"account": "paper", "symbol": "AAPL"}, set()),
    ],
)
def test_a_fault_meets_only_the_requests_it_is_for(match: dict[str, str], struck: set[str]) -> None:
    floor = FaultyFloor().holding("SPY", 1)
    assert isinstance(floor, FaultyFloor)
    floor.fault("status", status=599, match=match)
    answers = {
        "POST /v2/orders": floor.client_order("bot-1"),
        "GET /v2/orders": floor.client("GET", "/v2/orders"),
        "GET /v2/account": floor.client("GET", "/v2/account"),
        "GET /v2/positions/SPY": floor.client("GET", "/v2/positions/SPY"),
    }
    assert {route for route, answer in answers.items() if answer.status_code == 599} == struck


def test_an_order_is_known_by_its_symbol_and_client_order_id_when_only_its_id_is_sent() -> None:
    floor = FaultyFloor()
    order = floor.client_order("bot-7", symbol="TLT", type="limit", limit_price="5").json()
    floor.fault("status", status=503, match={"symbol": "TLT", "client_order_id_prefix": "bot-7"}, count=1)
    assert floor.client("DELETE", f"/v2/orders/{order['id']}").status_code == 503
    assert floor.client("DELETE", f"/v2/orders/{order['id']}").status_code == 204


def test_the_admin_api_and_health_meet_no_faults() -> None:
    floor = FaultyFloor()
    floor.fault("status", status=503)
    for path in ("/healthz", "/admin/state", "/admin/faults"):
        assert floor.client("GET", path).status_code == 200


def test_of_two_outcomes_the_first_added_strikes_and_latencies_add_up() -> None:
    floor = FaultyFloor()
    floor.fault("status", status=503, count=1)
    floor.fault("status", status=504, count=1)
    floor.fault("latency", seconds=1)
    floor.fault("latency", seconds=2)
    assert statuses(floor, 3) == [503, 504, 200]
    assert floor.waited == [3.0, 3.0, 3.0]


def test_the_number_of_rules_is_bounded_and_spent_ones_make_room() -> None:
    book = FaultBook(1, rules_at_most=2)
    once = read_rule(json.dumps({**ROUTED, "count": 1}))
    spent, _ = book.add(once, MONDAY_NOON), book.add(once, MONDAY_NOON)
    with pytest.raises(FaultError, match="2 rules are in force already"):
        book.add(once, MONDAY_NOON)
    book.note(spent, MONDAY_NOON, "it")
    book.add(once, MONDAY_NOON)
    assert book.find(spent.rule_id) is None


def test_a_name_is_taken_until_its_rule_is_removed() -> None:
    floor = FaultyFloor()
    assert floor.fault("status", status=503, name="mine") == "mine"
    assert "mine is in force already" in floor.post("/admin/faults", **ROUTED, name="mine").message
    assert floor.delete("/admin/faults/mine").status == 204
    assert floor.fault("status", status=503, name="mine") == "mine"


def test_the_log_is_bounded_and_its_numbers_go_on() -> None:
    book = FaultBook(1, log_kept=3)
    rule = book.add(read_rule(json.dumps(ROUTED)), MONDAY_NOON)
    for number in range(5):
        book.note(rule, MONDAY_NOON, f"request {number}")
    assert [(one.number, one.what) for one in book.log()] == [(3, "request 2"), (4, "request 3"), (5, "request 4")]
    assert [one.number for one in book.log(4)] == [5]


RULES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["reset_before", "reset_after", "timeout_after", "empty_body", "hang"]),
                "probability": st.sampled_from([0.2, 0.5, 1.0]),
                "skip": st.integers(0, 2),
                "every": st.integers(1, 3),
            }
        ),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["lose_update", "duplicate_update", "reorder_update"]),
                "probability": st.sampled_from([0.3, 0.7]),
            }
        ),
    ),
    max_size=4,
)


def history(rules: list[dict[str, Any]], steps: list[int]) -> tuple[Any, ...]:
    """Everything that comes of the same rules and requests."""
    floor = FaultyFloor(limits={"requests_per_minute": 0})
    for rule in rules:
        floor.fault(**rule)
    stream, outcomes = floor.listening(), []
    frames: list[Any] = []
    for number, seconds in enumerate(steps):
        try:
            answer = floor.client_order(f"order-{number}")
            outcomes.append((answer.status_code, answer.content))
        except OSError as error:
            outcomes.append((0, type(error).__name__.encode()))
        floor.step(seconds)
        frames += stream.frames()
    return outcomes, frames, floor.log(), floor.orders()


@given(RULES, st.lists(st.integers(0, 120), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_rules_and_requests_give_the_same_faults(rules: list[dict[str, Any]], steps: list[int]) -> None:
    assert history(rules, steps) == history(rules, steps)
