"""Why a bot is not live: what is missing, and the command that comes next."""

from kubectl_tradingbot.gate_view import gate_view, next_steps
from unit.plugin.sample import (
    STAMP,
    a_bot,
    a_check,
    a_condition,
    a_promotion,
    a_status,
    an_approval_of,
    judged,
    killed,
    text_of,
)

GRANT = {
    "subject_digest": "5" * 64,
    "epoch": 2,
    "granted_at": STAMP,
    "gate": "standard",
    "account": "real",
    "verdict": "GO",
    "approvals": [],
    "stage_since": STAMP,
}
SESSIONS = a_check("PaperSessions", "Fail", observed="23", threshold=">= 30", message="let it trade")
ITEM = a_check("on-call-named", "Unknown", threshold="a person", message="an approval has to name it in items: who?")
DRIFT = a_check("ShadowDrift", "Fail", kind="Weighted", weight=5, observed="20 %", threshold="<= 15 %")


def told(bot: object) -> list[str]:
    return [f"{step.text} {step.command}".strip() for step in next_steps(bot)]  # type: ignore[arg-type]


def test_it_says_how_many_sessions_are_to_go_and_when_they_can_be_there() -> None:
    bot = judged("NO-GO", SESSIONS, sessions=23, earliest_at="2026-12-02")
    shown = text_of(gate_view(bot))
    assert "23 of 30 count, 7 to go, 2026-12-02 at the earliest" in shown
    assert "PaperSessions  Blocking  Fail   23        >= 30  let it trade" in shown
    assert told(bot) == [
        "Let it trade on paper: PaperSessions come with time. The sessions are there on 2026-12-02 at the earliest."
    ]


def test_what_blocks_comes_before_what_only_weighs() -> None:
    shown = text_of(gate_view(judged("NO-GO", DRIFT, SESSIONS)))
    assert shown.index("PaperSessions") < shown.index("ShadowDrift")


def test_without_a_gate_the_way_to_one_is_shown() -> None:
    first, second = next_steps(a_bot())
    assert first.command == "kubectl get promotiongates --namespace demo"
    assert second.command.startswith("kubectl patch tradingbot momentum --namespace demo --type=merge")
    assert told(a_bot(gateRef={"name": "standard"})) == ["The operator has not judged it by the gate standard yet"]


def test_a_verdict_that_can_be_approved_names_the_command_with_what_the_reason_needs() -> None:
    bot = judged("REVIEW", DRIFT, approvals_missing="1 of 2 approvals by different people", score=9_500)
    (step,) = next_steps(bot, scope=["--context=prod"])
    assert "has 1 of 2 approvals by different people" in step.text
    assert step.command.startswith("kubectl tradingbot approve momentum --namespace demo --context=prod --reason '")
    assert "ShadowDrift" in step.command


def test_a_bot_that_asks_for_nothing_is_told_how_to_ask() -> None:
    (step,) = next_steps(judged("GO", a_check("PaperTrades"), mode="paper"))
    assert step.command.endswith("""'--patch={"spec":{"mode":"live"}}'""")


def test_an_item_for_a_person_is_named_with_its_option() -> None:
    (step,) = next_steps(judged("NO-GO", ITEM))
    assert "Somebody has to look at on-call-named" in step.text
    assert "--item on-call-named" in step.command


def test_a_kill_comes_first_and_nothing_is_live_beside_it() -> None:
    first, *_ = next_steps(killed())
    assert first.command.startswith("kubectl tradingbot release momentum --namespace demo")


def test_what_is_in_the_way_of_an_approved_bot_is_the_operators_word() -> None:
    conditions = [a_condition("LiveAuthorized", "False", "PolicyNotEnforced", "PolicyMissing: put it back")]
    bot = judged("GO", a_check("PaperTrades"), status={"conditions": conditions})
    assert told(bot) == ["It is approved. What is in the way: PolicyNotEnforced: PolicyMissing: put it back"]


def test_a_live_bot_is_told_to_be_live() -> None:
    status = a_status(promotion=a_promotion("GO"), grant=GRANT, effective_mode="live")
    bot = a_bot(mode="live", gateRef={"name": "standard"}, status=status)
    assert told(bot) == ["It is live."]
    assert "2 of 2026-11-21T11:00:00Z, stage 0" in text_of(gate_view(bot))


def test_an_audit_that_failed_points_to_its_evidence() -> None:
    audit = a_check("BrokerAudit", "Fail", evidence_refs=["e-1", "e-2"], message="they differ")
    assert told(judged("NO-GO", audit))[1].endswith("kubectl tradingbot evidence momentum e-2 --namespace demo")


def test_a_pod_that_does_not_answer_is_said_once() -> None:
    silent = [a_check(name, "Unknown", observed="not reported") for name in ("NoOpenIncident", "NotKilled")]
    said = told(judged("NO-GO", *silent))
    assert len(said) == 1
    assert "Its pod does not answer, so that nobody knows of NoOpenIncident, NotKilled" in said[0]


def test_approvals_that_stand_and_those_that_do_not_are_told_apart() -> None:
    bot = judged(
        "GO",
        approvals=[an_approval_of(a_bot())],
        void_approvals=[{"name": "old-1", "reason": "expired: older than 72h"}],
        approvals_missing="1 of 2 approvals by different people",
    )
    shown = text_of(gate_view(bot))
    assert "momentum-1  alice  yes" in shown
    assert "old-1              no      expired: older than 72h" in shown
    assert "still needed: 1 of 2" in shown
