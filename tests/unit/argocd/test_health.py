"""What Argo CD says of each kind: a killed bot is never well, and nobody is called live without a grant."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_api.crd import RESOURCES
from tradingbot_operator.plan import Plan
from tradingbot_operator.plan.account import plan_account
from tradingbot_operator.plan.gate import plan_gate
from tradingbot_operator.plan.snapshot import AccountSnapshot, GateSnapshot
from unit.argocd.lua import Health, health_of, run, scripts
from unit.operator.candidate import Candidate, a_gate, promotable
from unit.operator.kill_world import CANCELLED, DONE, KILL, RELEASED, a_killed_bot, a_record
from unit.operator.world import NOW, a_bot, a_container, a_pod, an_account, answered, plan

KINDS = (
    *("TradingBot", "BrokerAccount", "PromotionGate", "ValidationRun"),
    *("PromotionEvidence", "Approval", "Attestation", "KillRecord"),
)
STATUSES = {"Healthy", "Degraded", "Progressing", "Suspended"}


def observed(raw: Any, found: Plan) -> Any:
    """The object with the status that the operator writes."""
    assert found.status is not None
    return {**raw, "status": found.status}


def health_of_a(bot: Any, **around: Any) -> Health:
    """Health of a bot after one look of the operator's."""
    return health_of(observed(bot, plan(bot, **around)))


def test_every_kind_has_its_script() -> None:
    ours = {key for key in scripts() if key.startswith("health.tradingbots.dev_")}
    assert ours == {f"health.tradingbots.dev_{kind}" for kind in KINDS}
    assert {resource.kind for resource in RESOURCES} <= set(KINDS)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"health": {"status": "Degraded", "message": "why"}}, {"status": "Degraded", "message": "why"}),
        ({"health": {"status": "Healthy"}}, {"status": "Healthy", "message": ""}),
        ({"health": "?"}, {"status": "Progressing", "message": "not looked at yet"}),
        (None, {"status": "Progressing", "message": "not looked at yet"}),
    ],
)
def test_an_application_of_applications_waits_for_their_own_health(status: Any, wanted: Any) -> None:
    assert run(scripts()["health.argoproj.io_Application"], {"status": status}) == wanted


class TestPaper:
    def test_a_bot_that_trades_on_paper_is_healthy(self) -> None:
        assert health_of_a(a_bot()) == Health("Healthy", "paper")

    def test_nothing_is_known_before_the_operator_has_looked(self) -> None:
        assert health_of(a_bot()) == Health("Progressing", "waiting for the operator")
        assert health_of(a_bot(status={})) == Health("Progressing", "waiting for the operator")

    def test_a_status_of_the_former_spec_says_nothing_of_this_one(self) -> None:
        bot = observed(a_bot(), plan())
        bot = {**bot, "metadata": {**bot["metadata"], "generation": 4}}
        assert health_of(bot) == Health("Progressing", "the operator has not seen this spec yet")

    def test_a_bot_that_is_being_deleted_is_on_its_way(self) -> None:
        bot = observed(a_bot(), plan())
        bot = {**bot, "metadata": {**bot["metadata"], "deletionTimestamp": "2026-11-21T12:00:00Z"}}
        assert health_of(bot).status == "Progressing"

    def test_a_pod_that_starts_is_progress(self) -> None:
        found = health_of_a(a_bot(), pods=(a_pod(container=a_container(waiting={"reason": "ContainerCreating"})),))
        assert (found.status, found.message.split(":")[0]) == ("Progressing", "paper; Starting")

    @pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError"])
    def test_a_pod_that_cannot_run_is_degraded_and_says_why(self, reason: str) -> None:
        waiting = a_container(waiting={"reason": reason, "message": "no such thing"}, restarts=9, last={"exitCode": 1})
        found = health_of_a(a_bot(), pods=(a_pod(container=waiting),))
        assert found.status == "Degraded"
        assert found.message.startswith("paper; ")

    def test_a_missing_account_is_degraded(self) -> None:
        found = health_of_a(a_bot(), account=None, pods=(), children={})
        assert found.status == "Degraded"
        assert found.message.startswith("paper; AccountNotFound: ")

    @pytest.mark.parametrize("reason", ["BrokerUnreachable", "KeysRefused", "NotGranted", "AReasonOfTheNextRelease"])
    def test_what_a_bot_says_is_wrong_is_degraded(self, reason: str) -> None:
        found = health_of_a(a_bot(), reported=answered(ready=False, reason=reason, message="look"))
        assert found == Health("Degraded", f"paper; {reason}: look")

    @pytest.mark.parametrize("reason", ["Starting", "Reconciling", "ClockDoubted"])
    def test_what_a_bot_gets_over_by_itself_is_progress(self, reason: str) -> None:
        found = health_of_a(a_bot(), reported=answered(ready=False, reason=reason, message="wait"))
        assert found == Health("Progressing", f"paper; {reason}: wait")

    @pytest.mark.parametrize(("state", "status"), [("Halted", "Degraded"), ("Reducing", "Suspended")])
    def test_a_breaker_shows(self, state: str, status: str) -> None:
        found = health_of_a(a_bot(), reported=answered(tradingState=state, reason="DailyLossLimit", message="lost"))
        assert found.status == status
        assert found.message.endswith("DailyLossLimit: lost")


class TestPause:
    @pytest.mark.parametrize(
        "bot", [a_bot(paused=True), a_bot(annotations={"tradingbots.dev/pause": ""})], ids=["spec", "annotation"]
    )
    def test_a_paused_bot_is_suspended(self, bot: Any) -> None:
        found = health_of_a(bot, reported=answered(paused=True, tradingState="Reducing"))
        assert found.status == "Suspended"
        assert found.message.startswith("paper; paused: ")

    def test_a_pause_hides_no_trouble(self) -> None:
        found = health_of_a(a_bot(paused=True), reported=answered(ready=False, reason="KeysRefused", message="401"))
        assert found == Health("Degraded", "paper; KeysRefused: 401")

    def test_a_paused_bot_whose_pod_starts_is_suspended(self) -> None:
        found = health_of_a(a_bot(paused=True), reported=answered(ready=False, reason="Reconciling"))
        assert found.status == "Suspended"


class TestKill:
    @pytest.mark.parametrize("value", ["", "why", "false"])
    def test_the_annotation_shows_before_the_operator_has_seen_it(self, value: str) -> None:
        bot = observed(a_bot(), plan())
        bot["metadata"]["annotations"] = {KILL: value}
        assert health_of(bot).status == "Degraded"
        assert health_of({**bot, "status": None}).status == "Degraded"

    def test_a_killed_bot_is_degraded_and_says_how_far_it_is(self) -> None:
        report = answered(
            kill={"epoch": 1, "reason": "leak", "scope": "TradingBot", **CANCELLED}, tradingState="Halted"
        )
        found = health_of_a(a_killed_bot(), reported=report)
        assert found.status == "Degraded"
        assert found.message.startswith('paper; killed: kill requested on TradingBot momentum: "leak"')
        assert "no order is open, confirmed by the broker" in found.message

    def test_a_kill_pierces_a_spec_that_nobody_has_seen_and_a_pause(self) -> None:
        bot = observed(a_killed_bot(paused=True), plan(a_killed_bot(paused=True)))
        bot = {**bot, "metadata": {**bot["metadata"], "generation": 9, "annotations": {}}}
        assert health_of(bot).status == "Degraded"

    def test_a_bot_that_is_born_killed_is_degraded(self) -> None:
        found = health_of_a(a_bot(), kill_records=(a_record(status=DONE),))
        assert found.status == "Degraded"

    def test_a_released_bot_is_healthy_again(self) -> None:
        assert health_of_a(a_bot(), kill_records=(a_record(status=DONE | RELEASED),)) == Health("Healthy", "paper")


class TestOnTheWayToLive:
    def test_the_sessions_that_are_missing_are_what_it_says(self) -> None:
        candidate = Candidate(gate=a_gate(checks={"paperSessions": {"minimum": 30}})).settle()
        for number in range(23):
            candidate.session(number)
        candidate.settle(1)
        assert health_of(candidate.bot) == Health("Healthy", "paper; live gated: 23/30 sessions")

    def test_then_the_checks_that_do_not_pass(self) -> None:
        candidate = Candidate().settle()
        for number in range(3):
            candidate.session(number)
        candidate.settle(1)
        assert health_of(candidate.bot) == Health("Healthy", "paper; live gated: NO-GO: Preflight")

    def test_then_the_people(self) -> None:
        found = health_of(Candidate().judged().bot)
        assert found.status == "Healthy"
        assert found.message.startswith("paper; live gated: GO, ")

    def test_a_missing_gate_is_named(self) -> None:
        found = health_of(Candidate(gate=None).settle().bot)
        assert found.status == "Healthy"
        assert found.message.startswith("paper; live gated: GateNotFound: ")

    def test_a_grant_whose_pod_has_not_run_is_progress(self) -> None:
        found = health_of(Candidate().granted().bot)
        assert found.status == "Progressing"

    def test_live_is_healthy_with_its_grant(self) -> None:
        candidate = Candidate().live()
        candidate.settle(2)
        assert health_of(candidate.bot) == Health("Healthy", "live, grant 1 on account real")

    def test_live_and_paused_is_suspended(self) -> None:
        candidate = Candidate().live().annotate("tradingbots.dev/pause", "")
        candidate.settle(2)
        found = health_of(candidate.bot)
        assert found.status == "Suspended"
        assert found.message.startswith("live, grant 1 on account real; paused: ")

    def test_live_and_killed_is_degraded(self) -> None:
        candidate = Candidate().live().annotate(KILL, "now")
        candidate.look()
        assert health_of(candidate.bot).status == "Degraded"

    def test_on_the_way_back_it_is_not_called_live(self) -> None:
        candidate = Candidate().live().spec(mode="paper")
        candidate.look()
        found = health_of(candidate.bot)
        assert found.status == "Progressing"
        assert found.message.startswith("leaving live trading: ")


@pytest.mark.parametrize(
    "take", [{"grant": None}, {"grant": "yes"}, {"conditions": []}, {"tradingState": None}], ids=str
)
def test_live_with_any_of_its_proofs_missing_is_never_healthy(take: dict[str, Any]) -> None:
    candidate = Candidate().live()
    candidate.settle(2)
    status = {**candidate.bot["status"], **take}
    assert health_of({**candidate.bot, "status": status}).status != "Healthy"


class TestTheOtherKinds:
    def account(self, account: Any = None, **around: Any) -> Health:
        raw = account if account is not None else an_account()
        snapshot = AccountSnapshot(account=raw, now=NOW, **({"bots": (a_bot(),), "reports": {}} | around))
        return health_of(observed(raw, plan_account(snapshot)))

    def test_an_account_that_a_bot_reaches_is_healthy(self) -> None:
        assert self.account(reports={"momentum": answered()}) == Health("Healthy", "the broker answers")

    def test_an_account_whose_broker_does_not_answer_is_degraded(self) -> None:
        found = self.account(reports={"momentum": answered(brokerConnected=False)})
        assert found == Health("Degraded", "BrokerUnreachable: the broker does not answer: momentum")

    def test_an_account_that_nobody_uses_yet_lets_the_sync_go_on_to_its_bots(self) -> None:
        assert self.account(bots=()) == Health("Healthy", "no bot on this account reports")

    def test_an_account_that_cannot_be_read_is_degraded(self) -> None:
        assert self.account(an_account(provider="another")).status == "Degraded"

    def test_a_killed_account_is_degraded(self) -> None:
        assert self.account(an_account(annotations={KILL: ""})).status == "Degraded"
        assert health_of(an_account(annotations={KILL: ""})).status == "Degraded"

    def gate(self, gate: Any, *bots: Any) -> Health:
        return health_of(observed(gate, plan_gate(GateSnapshot(gate=gate, bots=bots, now=NOW))))

    def test_a_gate_is_healthy_although_a_bot_waits_to_be_judged(self) -> None:
        assert self.gate(a_gate()) == Health("Healthy", "no bot names it")
        assert self.gate(a_gate(), promotable()) == Health("Healthy", "momentum: not judged yet")

    def test_a_gate_that_cannot_be_read_is_degraded(self) -> None:
        found = self.gate(a_gate(checks={"paperSessions": {"minimum": "many"}}))
        assert found.status == "Degraded"
        assert found.message.startswith("InvalidSpec: ")

    @pytest.mark.parametrize("raw", [an_account(), a_gate()], ids=["BrokerAccount", "PromotionGate"])
    def test_what_the_operator_has_not_seen_is_progress(self, raw: Any) -> None:
        assert health_of(raw) == Health("Progressing", "waiting for the operator")
        behind = {**raw, "metadata": {**raw["metadata"], "generation": 2}, "status": {"observedGeneration": 1}}
        assert health_of(behind).status == "Progressing"

    def test_a_kill_record_is_degraded_until_it_is_released(self) -> None:
        assert health_of(a_record(status=DONE)) == Health("Degraded", 'in force ("reason 1"): orders cancelled')
        flat = a_record(reason="", status=DONE | {"flatAt": "2026-11-21T11:00:03Z"})
        assert health_of(flat) == Health("Degraded", "in force: orders cancelled and positions closed")
        assert health_of(a_record(status=DONE | RELEASED)) == Health("Healthy", "released by rita")
        assert health_of({**a_record(), "status": None}).status == "Progressing"

    def test_records_say_what_they_are(self) -> None:
        candidate = Candidate().judged()
        assert health_of(candidate.evidence[0]) == Health("Healthy", "Session of momentum")
        assert health_of(candidate.approve()) == Health("Healthy", "Promote of momentum by ann")
        attestation = {"kind": "Attestation", "metadata": {}, "spec": {"attester": "ci", "gate": "standard"}}
        assert health_of(attestation) == Health("Healthy", "recorded by ci")

    @pytest.mark.parametrize(
        ("kind", "status", "wanted"),
        [
            ("Complete", "True", Health("Healthy", "Why: told")),
            ("Complete", "False", Health("Progressing", "Why: told")),
            ("Failed", "True", Health("Degraded", "Why: told")),
        ],
    )
    def test_a_validation_is_healthy_once_there_is_evidence(self, kind: str, status: str, wanted: Health) -> None:
        told = {"type": kind, "status": status, "reason": "Why", "message": "told"}
        assert health_of({"kind": "ValidationRun", "status": {"conditions": [told]}}) == wanted
        assert health_of({"kind": "ValidationRun"}).status == "Progressing"

    @pytest.mark.parametrize("kind", KINDS)
    def test_whatever_is_being_deleted_is_progress(self, kind: str) -> None:
        raw = {"metadata": {"deletionTimestamp": "2026-11-21T12:00:00Z"}, "spec": {}, "status": {"kill": 1}}
        assert health_of(raw, kind).status == "Progressing"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.sampled_from(["", "True", "False", "Unknown", "live", "paper", "Ready", "Killed", "Trading", "Granted", "ü"]),
)
KEYS = st.sampled_from(
    [
        *("metadata", "annotations", "generation", "deletionTimestamp", "tradingbots.dev/kill", "summary"),
        *("status", "conditions", "type", "reason", "message", "observedGeneration", "tradingState", "effectiveMode"),
        *("grant", "epoch", "account", "promotion", "sessions", "requiredSessions", "verdict", "blockers"),
        *("spec", "mode", "botRef", "name", "approver", "action", "releasedAt", "releasedBy", "approvalsMissing"),
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25
)
ODD = st.fixed_dictionaries({}, optional={"metadata": VALUES, "spec": VALUES, "status": VALUES})
CONDITION = st.fixed_dictionaries(
    {"type": st.sampled_from(["Ready", "Killed", "Paused", "LiveAuthorized", "Withdrawing", "Connected", "Valid"])},
    optional={"status": st.sampled_from(["True", "False", "Unknown"]), "reason": SCALARS, "message": SCALARS},
)
NEARLY = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({}, optional={"generation": SCALARS, "annotations": VALUES}),
        "spec": st.fixed_dictionaries({}, optional={"mode": st.sampled_from(["paper", "live"]), "botRef": VALUES}),
        "status": st.fixed_dictionaries(
            {"conditions": st.lists(CONDITION, max_size=6)},
            optional={"effectiveMode": st.sampled_from(["paper", "live"]), "grant": VALUES, "promotion": VALUES},
        ),
    }
)


@pytest.mark.parametrize("kind", KINDS)
@given(obj=st.one_of(ODD, NEARLY))
@settings(max_examples=60, deadline=None)
def test_any_object_at_all_has_a_health(kind: str, obj: Any) -> None:
    found = health_of(obj, kind)
    assert found.status in STATUSES
    assert isinstance(found.message, str)


@given(obj=NEARLY)
@settings(max_examples=150, deadline=None)
def test_whatever_else_it_says_live_without_a_grant_is_never_healthy(obj: Any) -> None:
    obj["status"]["effectiveMode"] = "live"
    obj["status"].pop("grant", None)
    assert health_of(obj, "TradingBot").status != "Healthy"


@given(obj=NEARLY)
@settings(max_examples=150, deadline=None)
def test_whatever_else_it_says_a_killed_bot_is_degraded(obj: Any) -> None:
    obj["status"]["conditions"] = [{"type": "Killed", "status": "True"}, *obj["status"]["conditions"]]
    assert health_of(obj, "TradingBot").status == "Degraded"


@pytest.mark.parametrize("library", ["string", "math", "io", "debug", "coroutine", "python"])
def test_the_tests_offer_no_library_that_argo_cd_does_not(library: str) -> None:
    assert run(f"return {library} == nil", {}) is True
    assert run('return os.execute == nil and getmetatable("").__index == nil', {}) is True
