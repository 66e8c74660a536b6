"""status.promotion answers "why is it not live yet?" in one look, stays small, and changes only when something did."""

import copy
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tradingbot_api import ApprovalSpec, PromotionStatus
from tradingbot_operator.plan import PlanSettings, ReportPending, status_write
from tradingbot_operator.plan.checklist import NEXT
from unit.operator.candidate import IMAGE_ID, Candidate, a_gate, an_object, promotable
from unit.operator.world import NOW, a_bot, a_container, stamp


def test_a_new_bot_is_told_what_is_missing_how_many_sessions_and_by_when_at_the_earliest() -> None:
    bot = Candidate(report={"marketTime": "2026-11-23T20:00:00Z"}).settle()
    found = bot.promotion
    assert (found.verdict.value, found.sessions, found.required_sessions) == ("NO-GO", 0, 3)
    assert found.message.startswith("NO-GO at 0.00 %, 0/3 sessions; PaperSessions 0 (needs >= 3)")
    # It is Monday, the market is open, Thursday is Thanksgiving: Monday, Tuesday, Wednesday.
    assert found.earliest_at == "2026-11-25"
    assert "on 2026-11-25 at the earliest" in found.message
    assert found.message.partition(NEXT)[2] == "kubectl describe bot momentum -n demo lists every check"
    assert set(found.blockers) >= {"PaperSessions", "PaperTrades", "BrokerAudit", "Preflight"}


@pytest.mark.parametrize(
    ("market_time", "counted", "unaudited", "expected"),
    [
        ("2026-11-20T22:00:00Z", 0, 0, "2026-11-25"),  # Friday after the close
        ("2026-11-23T14:00:00Z", 0, 0, "2026-11-25"),  # Monday before the open
        ("2026-11-23T14:00:00Z", 1, 0, "2026-11-24"),
        ("2026-11-23T14:00:00Z", 1, 1, "2026-11-23"),
        ("2026-11-23T14:00:00Z", 2, 1, None),
        ("2026-11-25T22:00:00Z", 0, 0, "2026-12-01"),  # over Thanksgiving and a weekend
    ],
)
def test_the_earliest_date_is_by_the_exchanges_calendar_and_the_brokers_clock(
    market_time: str, counted: int, unaudited: int, expected: str | None
) -> None:
    bot = Candidate(report={"marketTime": market_time}).settle()
    for number in range(counted + unaudited):
        bot.session(number, audit="Match" if number < counted else "Unknown")
    bot.look()
    assert bot.promotion.earliest_at == expected


def test_a_verdict_that_can_be_approved_comes_with_the_approval_to_write() -> None:
    bot = Candidate().judged()
    message, _, command = bot.promotion.message.partition(NEXT)
    assert message == "GO at 100.00 %, 3/3 sessions. It waits for people: 0 of 1 approvals by different people."
    head, _, document = command.partition("<<<")
    assert head == "kubectl create -n demo -f - "
    written = json.loads(document.strip("'"))
    spec = ApprovalSpec.model_validate(written["spec"])
    assert (spec.subject_digest, spec.verdict and spec.verdict.value) == (bot.promotion.subject.digest, "GO")
    bot.approvals.append(an_object("Approval", "written", written["spec"], created=bot.now))
    bot.later(seconds=1).look()
    assert bot.status.grant is not None


def test_the_approval_of_a_review_names_what_failed() -> None:
    bot = Candidate(gate=a_gate(checks={"paperProfit": {"weight": 70}, "averageSlippage": {"maximumBps": 0}})).judged()
    assert bot.promotion.verdict.value == "REVIEW"
    assert "although these do not pass: AverageSlippage" in bot.promotion.message


def test_a_bot_on_paper_that_may_be_live_is_told_how_to_ask() -> None:
    bot = Candidate(bot=promotable(mode="paper")).judged()
    bot.approve()
    bot.later(seconds=1).look()
    assert "It is approved" in bot.promotion.message
    assert """kubectl patch bot momentum -n demo --type merge -p '{"spec":{"mode":"live"}}'""" in bot.promotion.message


def test_items_of_people_are_named() -> None:
    items = [{"name": "runbook", "text": "the runbook was read"}]
    bot = Candidate(gate=a_gate(items=items)).judged()
    assert bot.promotion.blockers == ["runbook"]
    assert "people have to look at runbook" in bot.promotion.message


# ---------------------------------------------------------------- it does not change by itself


def test_nothing_is_written_while_nothing_changes() -> None:
    bot = Candidate().judged().settle(2)
    for _ in range(5):
        stored = copy.deepcopy(bot.bot)
        bot.later(seconds=7).look()
        write = status_write(stored, bot.plan.status or {}, stamp(bot.now))
        assert bot.plan.status is not None
        assert bot.plan.status["promotion"] == stored["status"]["promotion"]
        assert bot.notes == []
        assert not write.now or stored["status"]["reportedAt"] != bot.plan.status["reportedAt"]


def test_a_line_keeps_its_time_until_it_says_something_else() -> None:
    bot = Candidate().settle()
    first = {line.name: line.last_evaluated for line in bot.promotion.checklist}
    bot.later(minutes=5).session(0)
    bot.look()
    second = {line.name: line.last_evaluated for line in bot.promotion.checklist}
    moved = {name for name in second if second[name] != first[name]}
    assert {"PaperSessions", "PaperTrades", "BrokerAudit"} <= moved
    assert not moved & {"Preflight", "NotKilled", "ValidationArtifacts"}
    assert all(second[name] == stamp(bot.now) for name in moved)


def test_the_order_in_which_objects_are_seen_changes_nothing() -> None:
    bot = Candidate().judged()
    bot.approve("ann")
    bot.approve("bob")
    bot.session(40, coveragePercent="10")
    bot.spec(mode="paper").look()
    before = bot.promotion
    bot.evidence.reverse()
    bot.approvals.reverse()
    bot.look()
    assert bot.promotion == before


# ---------------------------------------------------------------- it is bounded, and nothing raises


def test_a_status_stays_small_whatever_is_stored() -> None:
    items: list[Any] = [{"name": f"item-{n}-{'x' * 50}", "text": "y" * 512, "kind": "Weighted"} for n in range(100)]
    bot = Candidate(gate=a_gate(items=items)).settle()
    for number in range(200):
        bot.session(number, coveragePercent="10")
        bot.approve(f"user-{number}", subjectDigest="0" * 64, reason="z" * 2000)
    bot.look()
    found = PromotionStatus.model_validate(bot.bot["status"]["promotion"])
    assert (len(found.set_aside), len(found.void_approvals), len(found.checklist)) == (10, 10, 122)
    assert len(found.message) <= 1024
    assert len(json.dumps(bot.bot["status"])) < 160_000


@pytest.mark.parametrize(
    "spec", [None, {}, {"type": "Session"}, {"type": 7}, {"botRef": "x"}, "words", {"observedAt": "soon"}]
)
def test_what_cannot_be_read_is_set_aside_and_says_why(spec: Any) -> None:
    bot = Candidate().judged()
    good = bot.evidence[0]["spec"]
    odd = {**good, **spec} if isinstance(spec, dict) and spec else spec
    if spec == {"type": "Session"}:
        odd = {key: value for key, value in good.items() if key != "session"}
    for kind, into in (
        ("PromotionEvidence", bot.evidence),
        ("Approval", bot.approvals),
        ("Attestation", bot.attestations),
    ):
        into.append(an_object(kind, f"odd-{kind.lower()}", odd, created=NOW))
    bot.look()
    assert bot.promotion.sessions == 3
    why = {one.name: one.reason for one in bot.promotion.set_aside}
    assert set(why) == {"odd-promotionevidence", "odd-approval", "odd-attestation"}
    assert all(why.values())


# ---------------------------------------------------------------- the subject


def test_the_image_is_known_by_what_the_kubelet_reports() -> None:
    bot = Candidate()
    bot.look()
    assert bot.promotion.subject.image == "unknown"
    assert "image is not known" in bot.promotion.message
    bot.follow().look()
    assert bot.promotion.subject.image == IMAGE_ID


def test_another_image_behind_the_same_tag_is_another_subject() -> None:
    bot = Candidate().judged()
    before = bot.promotion.subject
    bot.image_id = "docker.io/library/runtime@sha256:" + "c" * 64
    bot.later(seconds=10).follow().look()
    assert bot.promotion.subject.digest != before.digest
    assert bot.promotion.subject.since == stamp(bot.now)
    assert (bot.promotion.sessions, bot.promotion.verdict.value) == (0, "NO-GO")
    assert [one.name for one in bot.promotion.subject.inputs if one.changed_at == stamp(bot.now)] == ["image"]


def test_between_two_pods_the_image_is_the_one_before() -> None:
    bot = Candidate().judged()
    before = bot.promotion.subject
    bot.pods = ()
    bot.look()
    assert bot.promotion.subject == before
    bot.follow()
    bot.pods[0]["status"]["containerStatuses"] = [a_container(waiting={"reason": "ContainerCreating"})]
    bot.look()
    assert bot.promotion.subject == before


def test_a_pod_that_still_runs_the_former_image_says_nothing_of_the_new_one() -> None:
    bot = Candidate().judged()
    bot.spec(image="mine:2").look()
    assert bot.promotion.subject.image == "unknown"
    bot.follow().look()
    assert bot.promotion.subject.image == IMAGE_ID


def test_a_new_default_image_of_the_operator_is_another_one_for_a_bot_on_paper() -> None:
    bot = Candidate().judged()
    bot.settings = PlanSettings(runtime_image="tradingbot-runtime:next")
    bot.look()
    assert bot.promotion.subject.image == "unknown"


def test_the_name_that_a_kubelet_gives_the_same_image_does_not_matter() -> None:
    bot = Candidate().live()
    before = copy.deepcopy(bot.stateful_set)
    bot.image_id = "mirror.example.org/runtime@sha256:" + "a" * 64
    bot.follow().settle(2)
    assert before is not None
    assert bot.stateful_set is not None
    assert bot.stateful_set["spec"] == before["spec"]


def test_a_recreated_bot_is_another_one() -> None:
    bot = Candidate().judged()
    bot.bot = {**bot.bot, "metadata": {**bot.bot["metadata"], "uid": "another"}}
    del bot.bot["status"]
    bot.settle(2)
    assert bot.promotion.sessions == 0
    assert all("another bot" in one.reason for one in bot.promotion.set_aside)


def test_a_restarted_operator_takes_no_verdict_back_and_a_silent_bot_loses_it() -> None:
    bot = Candidate().judged()
    bot.reported = ReportPending()
    bot.look()
    assert (bot.promotion.verdict.value, bot.notes) == ("GO", [])
    bot.pods = ()
    bot.look()
    assert (bot.promotion.verdict.value, bot.notes) == ("NO-GO", ["VerdictNoGo"])


# ---------------------------------------------------------------- approvals


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"subjectDigest": "0" * 64}, "of another subject"),
        ({"botRef": {"name": "momentum", "uid": "another"}}, "of another bot"),
        ({"gate": "other"}, "of another gate"),
        ({"verdict": "REVIEW"}, "of another verdict"),
    ],
)
def test_an_approval_of_something_else_is_void_and_says_why(spec: dict[str, Any], why: str) -> None:
    bot = Candidate().judged()
    bot.approve(**spec)
    bot.later(seconds=1).look()
    assert bot.status.grant is None
    assert why in bot.promotion.void_approvals[0].reason


def test_an_approval_expires() -> None:
    bot = Candidate(bot=promotable(mode="paper"), gate=a_gate(checks={"preflight": {"maxAge": "30d"}})).judged()
    bot.approve()
    bot.later(hours=73).spec(mode="live").look()
    assert bot.status.grant is None
    assert "expired" in bot.promotion.void_approvals[0].reason


def test_separated_duties_need_two_people_even_for_go() -> None:
    bot = Candidate(gate=a_gate(approvals={"separationOfDuties": True})).judged()
    bot.approve("ann")
    bot.approve("ann")
    bot.later(seconds=1).look()
    assert bot.status.grant is None
    assert bot.promotion.approvals_missing == "1 of 2 approvals by different people"
    bot.approve("bob")
    bot.later(seconds=1).look()
    assert bot.status.grant is not None


# ---------------------------------------------------------------- preflight and Events


def test_the_live_keys_are_looked_at_only_when_nothing_else_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    from tradingbot_operator.plan import plan as planning

    real = planning.producing

    def listening(*given: Any, **named: Any) -> Any:
        asked.append(named["wants_preflight"])
        return real(*given, **named)

    monkeypatch.setattr(planning, "producing", listening)
    bot = Candidate(gate=a_gate(items=[{"name": "runbook", "text": "read"}])).settle()
    assert not any(asked)
    for number in range(3):
        bot.session(number)
    bot.look()
    assert asked[-1], "an item of people may still be missing"
    bot.report["kill"] = {"observedAt": stamp(NOW)}
    bot.look()
    assert not asked[-1]
    bot.report.clear()
    bot.live_account = None
    bot.look()
    assert not asked[-1]


def test_each_change_of_verdict_is_told_once() -> None:
    bot = Candidate().settle()
    assert bot.notes == [], "a new bot begins with NO-GO"
    bot.judged()
    told = [note for note in bot.plan.events if note.reason == "VerdictGo"]
    assert len(told) == 1
    assert told[0].message.startswith("GO (NO-GO before): GO at 100.00 %")
    assert "kubectl" not in told[0].message
    bot.settle(2)
    assert bot.notes == []
    bot.evidence.pop(0)
    bot.look()
    assert bot.notes == ["VerdictNoGo"]
    assert bot.plan.events[-1].warning


def test_without_a_gate_nothing_is_said() -> None:
    bot = Candidate(bot=a_bot(), gate=None)
    bot.look()
    assert "promotion" not in bot.bot["status"]
    assert bot.said("LiveAuthorized") == ("False", "NotRequested")


def test_a_session_in_progress_counts_only_for_a_subject_that_saw_it_open() -> None:
    alpaca: dict[str, Any] = {"provider": "alpaca", "baseURL": None}
    opened = datetime.fromisoformat("2026-11-23T15:00:00+00:00")
    bot = Candidate(now=opened, report={"marketTime": stamp(opened)})
    for name in ("account", "live_account"):
        raw = getattr(bot, name)
        spec = {key: value for key, value in (raw["spec"] | alpaca).items() if value is not None}
        setattr(bot, name, {**raw, "spec": spec})
    bot.settle(2)
    assert bot.promotion.earliest_at == "2026-11-27", "it began today, after the open: Tue, Wed, Fri"
    bot.later(days=1).report["marketTime"] = stamp(opened + timedelta(days=1))
    bot.look()
    assert bot.promotion.earliest_at == "2026-11-27", "Tue is open and was seen from its open: Tue, Wed, Fri"
