"""A gate lists who names it, and of each what it says now; a bot that asks for live says what is in the way."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_api import PromotionGateStatus
from tradingbot_operator.plan import GateSnapshot, Plan, plan_gate
from tradingbot_operator.plan.objects import ObjectKey, Raw
from tradingbot_operator.routing import affected
from tradingbot_operator.snapshots import gate_snapshot
from tradingbot_operator.store import ACCOUNT, BOT, GATE, Store
from unit.operator.candidate import Candidate
from unit.operator.candidate import a_gate as candidate_gate
from unit.operator.world import NOW, a_bot, an_account, condition, plan, said

LIVE: dict[str, Any] = {"mode": "live", "accounts": {"paper": "sim", "live": "real"}}


def a_gate(name: str = "standard", *, status: Any = None, deleting: bool = False, **spec: Any) -> Raw:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "demo",
        "uid": f"uid-of-{name}",
        "generation": 4,
        "resourceVersion": "10",
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    document = {"kind": "PromotionGate", "metadata": metadata, "spec": spec}
    return document | ({"status": status} if status is not None else {})


def gate_plan(*bots: Raw, gate: Raw | None = None) -> Plan:
    return plan_gate(GateSnapshot(gate=gate if gate is not None else a_gate(), now=NOW, bots=bots))


def gated(name: str, gate: str = "standard", **spec: Any) -> Raw:
    return a_bot(name, gateRef={"name": gate}, **spec)


def test_bots_are_listed_by_name_and_pending() -> None:
    planned = gate_plan(gated("b", **LIVE), gated("a"))
    assert planned.status is not None
    assert [(entry["name"], entry["requested"], entry["verdict"]) for entry in planned.status["bots"]] == [
        ("a", "paper", "Pending"),
        ("b", "live", "Pending"),
    ]
    assert all("not judged by this gate" in entry["message"] for entry in planned.status["bots"])
    assert (planned.status["botCount"], planned.status["observedGeneration"]) == (2, 4)
    assert said(planned, "Valid") == ("True", "Valid")
    assert said(planned, "Evaluated") == ("False", "Evaluating")
    assert (planned.apply, planned.stop, planned.events) == ((), (), ())


def test_a_gate_without_bots_says_so() -> None:
    planned = gate_plan()
    assert planned.status is not None
    assert planned.status["botCount"] == 0
    assert "bots" not in planned.status


def test_a_gate_says_of_each_bot_what_is_in_its_status() -> None:
    live, waiting, new = Candidate().live(), Candidate().settle(), Candidate(bot=gated("new"))
    bots = [
        {**one.bot, "metadata": {**one.bot["metadata"], "name": name}}
        for one, name in ((live, "a"), (waiting, "b"), (new, "c"))
    ]
    planned = gate_plan(*bots, gate=candidate_gate())
    assert planned.status is not None
    found = {entry["name"]: entry for entry in planned.status["bots"]}
    assert (found["a"]["verdict"], found["a"]["reason"]) == (live.promotion.verdict.value, "Live")
    assert (found["b"]["verdict"], found["b"]["reason"]) == ("NO-GO", "Blocked")
    assert found["b"]["message"].startswith("NO-GO at 0.00 %, 0/3 sessions; PaperSessions 0")
    assert "kubectl" not in found["b"]["message"]
    assert (found["c"]["verdict"], found["c"]["reason"]) == ("Pending", "NotEvaluated")
    assert condition(planned, "Evaluated")["message"].endswith(": c")
    assert said(gate_plan(*bots[:2], gate=candidate_gate()), "Evaluated") == ("True", "Evaluated")


def test_a_gate_sums_up_in_one_line_why_its_bots_are_not_live() -> None:
    live, waiting = Candidate().live(), Candidate().settle()
    assert live.bot["status"]["promotion"]["verdict"] == "GO"
    live.bot = {**live.bot, "metadata": {**live.bot["metadata"], "name": "alpha"}}
    new = Candidate(bot=gated("new"))
    planned = gate_plan(live.bot, new.bot, waiting.bot, gate=candidate_gate())
    assert planned.status is not None
    first, second, third = planned.status["summary"].split("; ")
    assert first.startswith("momentum: NO-GO, 0/3 sessions, by 20")
    assert first.endswith(
        "at the earliest, not passed: PaperSessions, PaperTrades, CleanReconciliationSessions and 4 more"
    )
    assert second == "new: not judged yet"
    assert third == "alpha: GO, live"
    many = gate_plan(*[gated(f"bot-{number}") for number in range(9)])
    assert many.status is not None
    assert many.status["summary"].endswith("; and 6 more")


def test_a_gate_passes_nobody_whom_it_judged_before_it_was_changed() -> None:
    bot = Candidate().judged()
    assert bot.promotion.verdict.value == "GO"
    for gate in (
        candidate_gate(stages=[{"maxCapital": "1"}]),
        candidate_gate() | {"spec": {"checks": 1}},
        a_gate("other"),
    ):
        planned = gate_plan(bot.bot, gate=gate)
        assert planned.status is not None
        assert planned.status["bots"][0]["verdict"] == "Pending"
        assert said(planned, "Evaluated")[0] == "False"


def test_a_gate_that_cannot_be_read_is_invalid_and_still_lists_its_bots() -> None:
    planned = gate_plan(gated("a"), gate=a_gate(checks={"paperSessions": {"minimum": "many"}}))
    assert said(planned, "Valid") == ("False", "InvalidSpec")
    assert "paperSessions" in condition(planned, "Valid")["message"]
    assert planned.status is not None
    assert planned.status["botCount"] == 1


def test_a_gate_that_is_being_deleted_is_left_alone() -> None:
    assert gate_plan(gated("a"), gate=a_gate(deleting=True)) == Plan()


def test_more_bots_than_a_status_holds_are_counted() -> None:
    planned = gate_plan(*(gated(f"bot-{number:04}") for number in range(1003)))
    assert planned.status is not None
    assert planned.status["botCount"] == 1003
    assert len(planned.status["bots"]) == 1000
    PromotionGateStatus.model_validate(planned.status)


@settings(max_examples=25, deadline=None)
@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_in_which_bots_are_seen_changes_nothing(names: list[str]) -> None:
    assert gate_plan(*map(gated, names)) == gate_plan(*map(gated, sorted(names)))


# ----------------------------------------------------------------- on the bot


def live_plan(gate: Raw | None, **spec: Any) -> Plan:
    return plan(a_bot(**{**LIVE, "gateRef": {"name": "standard"}, **spec}), gate=gate)


def test_a_bot_that_asks_for_live_names_what_is_in_the_way() -> None:
    cases: list[tuple[Raw | None, dict[str, Any], str]] = [
        (None, {}, "GateNotFound"),
        (None, {"gateRef": None}, "GateNotNamed"),
        (a_gate(deleting=True), {}, "GateNotFound"),
        (a_gate(stages="none"), {}, "GateInvalid"),
        (a_gate(), {}, "VerdictNoGo"),
    ]
    for gate, spec, reason in cases:
        planned = live_plan(gate, **spec)
        assert said(planned, "LiveAuthorized") == ("False", reason)
        assert "stays on paper" in condition(planned, "LiveAuthorized")["message"]
        assert planned.status is not None
        assert planned.status["effectiveMode"] == "paper"


def test_a_bot_on_paper_asks_for_nothing() -> None:
    assert said(plan(gated("momentum"), gate=a_gate()), "LiveAuthorized") == ("False", "NotRequested")


# ------------------------------------------------------------ who is looked at


def looks(store: Store, kind: str, before: Raw | None, after: Raw | None) -> set[ObjectKey]:
    return set(affected(store, kind, before, after))


def test_a_bot_concerns_the_gate_it_names_and_the_one_it_named() -> None:
    before, after = gated("a", "old"), gated("a", "new")
    after = {**after, "metadata": {**after["metadata"], "generation": 9}}
    found = looks(Store(), BOT, before, after)
    assert {ObjectKey(GATE, "demo", "old"), ObjectKey(GATE, "demo", "new")} <= found
    assert not {key for key in looks(Store(), BOT, None, a_bot("a")) if key.kind == GATE}


def test_a_gate_concerns_its_bots_but_its_status_does_not() -> None:
    store = Store()
    store.put(BOT, gated("a"))
    store.put(BOT, gated("b", "other"))
    gate = a_gate()
    assert looks(store, GATE, None, gate) == {ObjectKey(GATE, "demo", "standard"), ObjectKey(BOT, "demo", "a")}
    assert looks(store, GATE, gate, None) == {ObjectKey(GATE, "demo", "standard"), ObjectKey(BOT, "demo", "a")}
    assert looks(store, GATE, gate, a_gate(status={"botCount": 1})) == {ObjectKey(GATE, "demo", "standard")}


def test_a_gates_snapshot_holds_the_bots_that_name_it() -> None:
    store = Store()
    for bot in (gated("a"), gated("b", "other"), a_bot("c")):
        store.put(BOT, bot)
    store.put(GATE, a_gate())
    store.put(ACCOUNT, an_account())
    key = ObjectKey(GATE, "demo", "standard")
    snapshot = gate_snapshot(store, key, a_gate(), now=NOW)
    assert [bot["metadata"]["name"] for bot in snapshot.bots] == ["a"]
