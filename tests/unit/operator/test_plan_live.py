"""From paper to live and back: nothing unknown grants, nothing that ended is kept, and live pods leave in order."""

import copy
from datetime import timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_api import KILL_ANNOTATION, RuntimeConfig
from tradingbot_api.group import LIVE_LABEL
from tradingbot_operator.plan import PlanSettings, ReportAnswer, ReportFailure, ReportPending
from tradingbot_operator.plan.children import config_text
from tradingbot_operator.plan.conditions import false, unknown
from tradingbot_operator.plan.live import WITHDRAWAL_LIMIT
from unit.operator.candidate import IMAGE_ID, Candidate, a_gate, a_live_account, an_object, promotable
from unit.operator.world import NOW, a_bot, a_container, a_pod, a_report, an_account, stamp

STAGES = [{"maxCapital": "1000", "sessions": 2}, {"maxCapital": "5000", "sessions": 1}, {"maxCapital": "9000"}]
CANCELLED = "2026-11-21T12:00:30Z"


def withdrawal(on_delete: str = "CancelOrders", **steps: Any) -> dict[str, Any]:
    return {"onDelete": on_delete, "observedAt": "2026-11-21T12:00:20Z", **steps}


def a_rival(name: str = "rival", *, elder: bool, live: bool, mode: str = "live") -> Any:
    status = {"grant": {"epoch": 1}} if live else {}
    return promotable(name, mode=mode, age_minutes=90 if elder else 30, status=status)


# ---------------------------------------------------------------- a grant


def test_a_grant_names_what_was_approved_and_needs_another_look_at_everything() -> None:
    bot = Candidate(gate=a_gate(stages=STAGES)).granted()
    grant = bot.status.grant
    assert grant is not None
    assert bot.plan.confirm
    assert (grant.subject_digest, grant.epoch) == (bot.promotion.subject.digest, 1)
    assert (grant.gate, grant.account, grant.verdict.value) == ("standard", "real", "GO")
    assert [one.approver for one in grant.approvals] == ["ann"]
    assert (grant.stage, str(grant.max_capital)) == (0, "1000")
    assert (bot.said("LiveAuthorized"), bot.notes) == (("True", "Granted"), ["LiveGranted"])
    assert (bot.promotion.grants, [one.approver for one in bot.promotion.used_approvals]) == (1, ["ann"])


def test_the_look_that_grants_still_makes_a_paper_pod() -> None:
    bot = Candidate().granted()
    assert bot.stateful_set is not None
    assert LIVE_LABEL not in bot.stateful_set["metadata"]["labels"]


def test_what_a_paper_pod_says_is_no_figure_of_a_live_bot_and_the_other_way_round() -> None:
    bot = Candidate(report={"filledOrders": 40}).granted()
    said = bot.bot["status"]
    assert said["effectiveMode"] == "live"
    assert not {"filledOrders", "account", "positions", "tradingState"} & said.keys()
    assert bot.said("Ready") == ("False", "Starting")
    bot.report = {"filledOrders": 1}
    bot.settle()
    assert bot.bot["status"]["filledOrders"] == 1
    assert bot.said("Ready")[0] == "True"
    bot.spec(mode="paper").look()
    assert bot.bot["status"]["filledOrders"] == 1  # the live pod is still there, and still speaks of its account
    bot.report = {"filledOrders": 41}
    bot.stateful_set, bot.pods = None, ()
    bot.look()
    assert bot.bot["status"]["effectiveMode"] == "paper"
    assert bot.bot["status"]["filledOrders"] == 41


def test_the_next_look_makes_the_live_pod_and_nothing_is_confirmed_again() -> None:
    bot = Candidate().granted()
    bot.later(seconds=1).look()
    assert not bot.plan.confirm
    assert bot.stateful_set is not None
    template = bot.stateful_set["spec"]["template"]
    assert bot.stateful_set["metadata"]["labels"][LIVE_LABEL] == template["metadata"]["labels"][LIVE_LABEL] == "true"
    assert template["metadata"]["annotations"]["tradingbots.dev/account"] == "real"
    container = template["spec"]["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == (IMAGE_ID, "IfNotPresent")
    secrets = {
        one["valueFrom"]["secretKeyRef"]["name"]
        for one in container["env"]
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    assert secrets == {"live-keys"}
    assert LIVE_LABEL not in bot.stateful_set["spec"]["selector"]["matchLabels"]


def test_the_live_config_names_its_grant_and_the_live_endpoint() -> None:
    bot = Candidate(live_account=a_live_account(baseURL="http://live-simulator:8080")).granted()
    bot.later(seconds=1).look()
    data = next(one.manifest for one in bot.plan.apply if one.kind == "ConfigMap")["data"]["bot.yaml"]
    config = RuntimeConfig.model_validate(yaml.safe_load(data))
    assert config.grant is not None
    assert bot.status.grant is not None
    assert (config.mode.value, config.grant.epoch, config.grant.subject_digest) == (
        "live",
        1,
        bot.status.grant.subject_digest,
    )
    assert (config.broker.account, config.broker.environment.value) == ("real", "live")
    assert config.broker.base_url == "http://live-simulator:8080"
    assert config_text(config) == data


def test_only_a_bot_that_is_live_may_read_its_live_account() -> None:
    def readable(bot: Candidate) -> list[str]:
        role = next(one.manifest for one in bot.plan.apply if one.kind == "Role")
        return [name for rule in role["rules"] for name in rule["resourceNames"]]

    bot = Candidate().judged()
    assert readable(bot) == ["momentum", "sim"]
    bot.approve()
    bot.later(seconds=1).settle(3)
    assert bot.is_live_pod
    assert readable(bot) == ["momentum", "sim", "real"]
    bot.spec(mode="paper").look()
    assert readable(bot) == ["momentum", "sim", "real"]


def test_an_image_that_was_never_in_a_registry_is_named_by_its_id() -> None:
    bot = Candidate(image_id="sha256:" + "b" * 64).live()
    assert bot.stateful_set is not None
    assert bot.stateful_set["spec"]["template"]["spec"]["containers"][0]["image"] == "sha256:" + "b" * 64
    assert bot.settle(2).said("LiveAuthorized") == ("True", "Live")


def test_a_live_bot_stays_live_and_nothing_is_written_while_nothing_changes() -> None:
    bot = Candidate().live().settle(3)
    before = copy.deepcopy(bot.bot["status"])
    later = bot.settle(3).bot["status"]
    assert {key: value for key, value in later.items() if key != "reportedAt"} == {
        key: value for key, value in before.items() if key != "reportedAt"
    }
    assert (bot.said("LiveAuthorized"), later["effectiveMode"], bot.plan.confirm) == (("True", "Live"), "live", False)


def _no_gate(bot: Candidate) -> None:
    bot.gate = None


OBSTACLES: dict[str, tuple[str, Any]] = {
    "mode paper": ("NotRequested", lambda bot: bot.spec(mode="paper")),
    "no gate": ("GateNotFound", _no_gate),
    "no gate named": ("GateNotNamed", lambda bot: bot.spec(gateRef=None)),
    "a gate that cannot be read": ("GateInvalid", lambda bot: setattr(bot, "gate", a_gate(stages="none"))),
    "a session too few": ("VerdictNoGo", lambda bot: bot.evidence.pop(0)),
    "nobody approved": ("NotApproved", lambda bot: bot.approvals.clear()),
    "no live account": ("VerdictNoGo", lambda bot: setattr(bot, "live_account", None)),
    "policies are missing": (
        "PolicyNotEnforced",
        lambda bot: setattr(bot, "policies", false("PolicyEnforced", "PolicyMissing", "gone")),
    ),
    "policies were not read": (
        "PolicyNotEnforced",
        lambda bot: setattr(bot, "policies", unknown("PolicyEnforced", "NotRead")),
    ),
    "a kill": ("Killed", lambda bot: bot.annotate(KILL_ANNOTATION, "")),
    "a kill on the paper account": (
        "Killed",
        lambda bot: setattr(bot, "account", an_account(annotations={KILL_ANNOTATION: "x"})),
    ),
    "a kill on the live account": (
        "Killed",
        lambda bot: setattr(bot, "live_account", a_live_account(annotations={KILL_ANNOTATION: "x"})),
    ),
    "an elder asks for the symbols": (
        "SymbolConflict",
        lambda bot: bot.changes.update(live_rivals=(a_rival(elder=True, live=False),)),
    ),
    "a younger one is live": (
        "SymbolConflict",
        lambda bot: bot.changes.update(live_rivals=(a_rival(elder=False, live=True, mode="paper"),)),
    ),
    "another pod still trades": ("WaitingForSymbols", lambda bot: bot.changes.update(live_pods=(a_pod("other"),))),
    "the pod is silent": (
        "VerdictNoGo",
        lambda bot: setattr(bot, "reported", ReportFailure("Timeout", "no answer", NOW)),
    ),
    "the report is old": (
        "VerdictNoGo",
        lambda bot: setattr(bot, "reported", ReportAnswer(a_report(incidents=[]), NOW - timedelta(minutes=2))),
    ),
    "this process has not asked": ("NotReporting", lambda bot: setattr(bot, "reported", ReportPending())),
    "an incident": (
        "VerdictNoGo",
        lambda bot: bot.report.update(
            incidents=[
                {
                    "id": "i-1",
                    "name": "broker",
                    "severity": "error",
                    "state": "open",
                    "openedAt": stamp(NOW),
                    "acknowledgeBy": stamp(NOW),
                }
            ]
        ),
    ),
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_whatever_is_missing_keeps_the_bot_on_paper_and_is_named(what: str) -> None:
    reason, change = OBSTACLES[what]
    bot = Candidate().judged()
    bot.approve()
    bot.later(seconds=1)
    change(bot)
    bot.look()
    assert bot.status.grant is None
    assert not bot.plan.confirm
    assert bot.said("LiveAuthorized") == ("False", reason)
    if reason != "NotRequested":
        assert "stays on paper" in bot.message("LiveAuthorized")


def test_without_any_of_them_it_is_granted() -> None:
    assert Candidate().granted().status.grant is not None


@pytest.mark.parametrize(
    "rival", [a_rival(elder=False, live=False), a_rival(elder=True, live=False, mode="paper")], ids=["younger", "paper"]
)
def test_a_younger_bot_that_asks_and_one_on_paper_are_in_nobodys_way(rival: Any) -> None:
    assert Candidate(changes={"live_rivals": (rival,)}).granted().status.grant is not None


def test_an_account_of_paper_money_is_no_live_account() -> None:
    bot = Candidate(live_account=a_live_account(environment="paper")).judged()
    bot.approve()
    bot.look()
    assert bot.said("LiveAuthorized") == ("False", "AccountMismatch")


def test_a_simulator_is_live_only_for_a_bot_whose_paper_is_one() -> None:
    paper = an_account(provider="alpaca")
    del paper["spec"]["baseURL"]
    bot = Candidate(account=paper).judged()
    bot.approve()
    bot.look()
    assert bot.said("LiveAuthorized") == ("False", "AccountMismatch")


@pytest.mark.parametrize(("limit", "granted"), [("15000", False), ("20000", True)])
def test_the_live_accounts_capital_is_shared_with_those_before(limit: str, granted: bool) -> None:
    elder = promotable("elder", age_minutes=90)
    limits = {"limits": {"maxCapital": limit}}
    bot = Candidate(live_account=a_live_account(**limits), changes={"live_account_bots": (elder,)}).judged()
    bot.approve()
    bot.later(seconds=1).look()
    assert (bot.status.grant is not None) is granted
    assert bot.said("LiveAuthorized")[1] == ("Granted" if granted else "CapitalExceeded")


def test_review_needs_two_people_whose_reasons_name_what_failed() -> None:
    bot = Candidate(
        gate=a_gate(checks={"paperProfit": {"weight": 70}, "averageSlippage": {"weight": 5, "maximumBps": 0}})
    )
    bot.judged()
    assert (bot.promotion.verdict.value, bot.promotion.score) == ("REVIEW", 9500)
    bot.approve("ann", verdict="REVIEW", reason="AverageSlippage is fine")
    bot.approve("bob", verdict="REVIEW", reason="all fine")
    bot.later(seconds=1).look()
    assert bot.said("LiveAuthorized") == ("False", "NotApproved")
    assert any("AverageSlippage" in one.reason for one in bot.promotion.void_approvals)
    bot.approve("bob", verdict="REVIEW", reason="AverageSlippage: seen")
    bot.later(seconds=1).look()
    assert bot.status.grant is not None
    assert sorted(one.approver for one in bot.status.grant.approvals) == ["ann", "bob"]


# ---------------------------------------------------------------- a grant that is none


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ({"epoch": 7}, "its epoch is 7"),
        ({"subjectDigest": "0" * 64}, "changed since it was approved"),
        ({"account": "other"}, "it names account other"),
        ({"epoch": "many"}, "cannot be read"),
    ],
)
def test_a_grant_that_somebody_wrote_by_hand_is_taken_away(forged: dict[str, Any], said: str) -> None:
    bot = Candidate().live()
    bot.bot["status"]["grant"] |= forged
    bot.look()
    assert bot.status.grant is None
    assert bot.status.demotion is not None
    assert bot.status.demotion.reason == "SubjectChanged"
    assert said in bot.status.demotion.message


def test_a_grant_written_onto_a_bot_that_never_had_one_makes_no_live_pod() -> None:
    bot = Candidate().judged()
    grant = Candidate().granted().bot["status"]["grant"]
    bot.bot["status"]["grant"] = grant
    bot.look()
    assert bot.status.grant is None
    assert bot.stateful_set is not None
    assert LIVE_LABEL not in bot.stateful_set["metadata"]["labels"]


# ---------------------------------------------------------------- demotion


def _drift(bot: Candidate) -> None:
    for number in range(3):
        bot.session(20 + number, live=True, returnPercent="1", shadowReturnPercent="2")


def _incident(bot: Candidate) -> None:
    opened = stamp(bot.now - timedelta(minutes=61))
    bot.report["incidents"] = [
        {
            "id": "i-1",
            "name": "broker",
            "severity": "error",
            "state": "open",
            "openedAt": opened,
            "acknowledgeBy": opened,
        }
    ]


CAUSES: dict[str, tuple[str, Any]] = {
    "mode paper": ("Requested", lambda bot: bot.spec(mode="paper")),
    "a kill": ("Killed", lambda bot: bot.annotate(KILL_ANNOTATION, "now")),
    "a kill on the live account": (
        "Killed",
        lambda bot: setattr(bot, "live_account", a_live_account(annotations={KILL_ANNOTATION: ""})),
    ),
    "the bot says it is killed": (
        "Killed",
        lambda bot: bot.report.update(kill={"observedAt": stamp(NOW), "reason": "x"}),
    ),
    "other parameters": (
        "SubjectChanged",
        lambda bot: bot.spec(strategy={"name": "momentum", "parameters": {"lookback": 21}}),
    ),
    "more capital": ("SubjectChanged", lambda bot: bot.spec(capital="10001")),
    "another gate": ("SubjectChanged", lambda bot: setattr(bot, "gate", a_gate(demotion={"driftSessions": 9}))),
    "no gate": ("SubjectChanged", lambda bot: setattr(bot, "gate", None)),
    "another image": ("SubjectChanged", lambda bot: bot.spec(image="mine:2")),
    "no live account": ("SubjectChanged", lambda bot: setattr(bot, "live_account", None)),
    "another endpoint": (
        "SubjectChanged",
        lambda bot: setattr(bot, "live_account", a_live_account(baseURL="http://other:8080")),
    ),
    "policies are gone": (
        "PolicyNotEnforced",
        lambda bot: setattr(bot, "policies", false("PolicyEnforced", "PolicyMissing", "gone")),
    ),
    "an elder is live with its symbols": (
        "SymbolConflict",
        lambda bot: bot.changes.update(
            live_rivals=(a_rival(elder=True, live=True),), live_pods=(*bot.pods, a_pod("rival"))
        ),
    ),
    "the breaker": ("BreakerTripped", lambda bot: bot.report.update(breaker="Drawdown")),
    "an incident that nobody acknowledged": ("IncidentNotAcknowledged", _incident),
    "a live audit that contradicts": ("AuditMismatch", lambda bot: bot.session(20, live=True, audit="Mismatch")),
    "drift": ("DriftExceeded", _drift),
}


@pytest.mark.parametrize("what", CAUSES)
def test_each_cause_takes_the_grant_away_and_leaves_the_pod_alone(what: str) -> None:
    reason, change = CAUSES[what]
    bot = Candidate().live().later(seconds=1)
    change(bot)
    before = copy.deepcopy(bot.stateful_set)
    bot.look()
    assert bot.status.grant is None
    assert bot.status.demotion is not None
    assert (bot.status.demotion.reason, bot.status.demotion.epoch) == (reason, 1)
    assert bot.status.demotion.message
    assert bot.said("LiveAuthorized") == ("False", "Withdrawing")
    assert bot.said("Withdrawing") == ("True", "WaitingForBot")
    assert bot.notes[-1] == "Demoted"
    assert bot.stateful_set == before
    assert not {one.kind for one in bot.plan.apply} & {"ConfigMap", "StatefulSet", "NetworkPolicy"}
    assert (bot.plan.stop, bot.status.effective_mode and bot.status.effective_mode.value) == ((), "live")
    assert bot.promotion.grants == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda bot: setattr(bot, "policies", unknown("PolicyEnforced", "NotReadable")),
        lambda bot: setattr(bot, "reported", ReportFailure("Timeout", "no answer", NOW)),
        lambda bot: setattr(bot, "reported", ReportPending()),
        lambda bot: setattr(bot, "pods", ()),
        lambda bot: setattr(bot, "gate", a_gate(stages="none")),
        lambda bot: bot.spec(symbols="none"),
        lambda bot: setattr(bot, "evidence", []),
        lambda bot: setattr(bot, "approvals", []),
        lambda bot: bot.spec(paused=True),
        lambda bot: bot.spec(onDelete="Flatten"),
        lambda bot: bot.changes.update(live_rivals=(a_rival(elder=True, live=False),)),
        lambda bot: bot.changes.update(live_rivals=(a_rival(elder=False, live=True),)),
        lambda bot: bot.changes.update(
            live_rivals=(a_rival(elder=True, live=True),), live_pods=(*bot.pods, a_pod("rival", symbols=("TSLA",)))
        ),
        lambda bot: setattr(bot, "settings", PlanSettings(runtime_image="tradingbot-runtime:next")),
        lambda bot: [bot.session(20 + n, live=True, returnPercent="1", shadowReturnPercent="2") for n in range(2)],
        lambda bot: bot.later(hours=30),
    ],
    ids=[
        "policies cannot be read",
        "silent",
        "not asked yet",
        "no pod",
        "unreadable gate",
        "unreadable spec",
        "evidence gone",
        "approvals gone",
        "paused",
        "onDelete",
        "an elder only asks",
        "a younger one is live",
        "an elder live bot asks for more than its pod trades",
        "a new operator",
        "two sessions of drift",
        "a stale preflight",
    ],
)
def test_what_is_unknown_or_does_not_matter_takes_nothing_away(change: Any) -> None:
    bot = Candidate().live().later(seconds=1)
    change(bot)
    bot.look()
    assert bot.status.grant is not None
    assert bot.said("LiveAuthorized") == ("True", "Live")
    assert LIVE_LABEL in (bot.stateful_set or {})["metadata"]["labels"]


def test_while_the_gate_cannot_be_read_a_changed_spec_is_not_rolled_out_live() -> None:
    bot = Candidate().live().later(seconds=1)
    before = copy.deepcopy(bot.stateful_set)
    bot.gate = a_gate(stages="none")
    bot.spec(capital="900000", symbols=["TSLA"]).look()
    assert bot.status.grant is not None
    assert bot.stateful_set == before
    assert not {one.kind for one in bot.plan.apply} & {"ConfigMap", "StatefulSet", "NetworkPolicy"}
    bot.gate = a_gate()
    bot.later(seconds=1).look()
    assert bot.status.demotion is not None and bot.status.demotion.reason == "SubjectChanged"


def test_a_live_bot_that_was_killed_stays_killed_on_paper() -> None:
    bot = Candidate().live().later(seconds=1)
    bot.annotate(KILL_ANNOTATION, "enough").look()
    bot.bot = {**bot.bot, "metadata": {**bot.bot["metadata"], "annotations": {}}}
    bot.stateful_set, bot.pods = None, ()
    bot.later(seconds=1).settle()
    assert bot.status.effective_mode is not None and bot.status.effective_mode.value == "paper"
    assert bot.said("Killed")[0] == "True"
    assert "NotKilled" in bot.promotion.blockers


def test_a_withdrawal_whose_workload_was_taken_away_was_never_confirmed() -> None:
    bot = Candidate().live().later(seconds=1)
    bot.spec(mode="paper").look()
    assert bot.said("Withdrawing")[0] == "True"
    bot.stateful_set, bot.pods = None, ()
    bot.later(seconds=1).look()
    assert bot.said("Withdrawing") == ("False", "NotConfirmed")


def test_the_status_says_which_input_changed_and_when() -> None:
    bot = Candidate().live().later(minutes=5)
    bot.spec(capital="20000").look()
    assert bot.status.demotion is not None
    assert "changed since it was approved: capital" in bot.status.demotion.message
    changed = {one.name: one.changed_at for one in bot.promotion.subject.inputs}
    assert changed["capital"] == bot.promotion.subject.since == stamp(bot.now)
    assert {at for name, at in changed.items() if name not in ("capital", "image")} == {stamp(NOW)}
    assert changed["risk"] < changed["capital"]
    assert bot.promotion.sessions == 0


def test_a_session_near_zero_is_measured_by_what_is_usual() -> None:
    bot = Candidate().live().later(seconds=1)
    for number in range(3):
        bot.session(30 + number, live=True, returnPercent=f"{number - 1}.5", shadowReturnPercent=f"{number - 1}.5")
    for number in range(3):
        bot.session(20 + number, live=True, returnPercent="0.001", shadowReturnPercent="0.003")
    bot.look()
    assert bot.status.grant is not None


# ---------------------------------------------------------------- the way back


def demoted(**report: Any) -> Candidate:
    bot = Candidate().live().later(seconds=1)
    bot.spec(mode="paper").look()
    bot.report |= report
    return bot.later(seconds=1)


def is_paper(bot: Candidate) -> bool:
    assert bot.stateful_set is not None
    return LIVE_LABEL not in bot.stateful_set["spec"]["template"]["metadata"]["labels"]


def test_orders_that_the_broker_confirmed_as_cancelled_end_the_withdrawal() -> None:
    bot = demoted(withdrawal=withdrawal())
    bot.look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("True", "WaitingForCancel"), False)
    bot.report["withdrawal"] = withdrawal(ordersCancelledAt=CANCELLED)
    bot.look()
    assert (bot.said("Withdrawing"), is_paper(bot), bot.notes) == (("False", "Confirmed"), True, ["Withdrawn"])
    assert bot.status.effective_mode is not None
    assert bot.status.effective_mode.value == "live", "until the last live pod is gone"
    bot.report.clear()
    bot.follow().later(seconds=1).look()
    assert bot.status.effective_mode.value == "paper"
    assert bot.said("Withdrawing") == ("False", "Confirmed")
    assert bot.notes == []


def test_keep_waits_only_until_the_pod_has_seen_it() -> None:
    bot = Candidate(bot=promotable(onDelete="Keep")).live().later(seconds=1)
    bot.spec(mode="paper").look()
    bot.later(seconds=1).look()
    assert bot.said("Withdrawing") == ("True", "WaitingForBot")
    bot.report["withdrawal"] = withdrawal("Keep")
    bot.look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("False", "Confirmed"), True)


def test_flatten_waits_for_the_open_as_long_as_the_pod_is_there_and_not_for_ever_after_it() -> None:
    bot = Candidate(bot=promotable(onDelete="Flatten")).live().later(seconds=1)
    bot.spec(mode="paper").look()
    bot.report |= {"withdrawal": withdrawal("Flatten", ordersCancelledAt=CANCELLED), "marketOpen": False}
    bot.later(hours=60).look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("Unknown", "MarketClosed"), False)
    bot.report["marketOpen"] = True
    bot.later(seconds=15).look()
    assert bot.said("Withdrawing") == ("True", "WaitingForFlat")
    bot.later(seconds=WITHDRAWAL_LIMIT.total_seconds() - 1).look()
    assert not is_paper(bot)
    bot.later(seconds=2).look()
    assert (bot.said("Withdrawing"), is_paper(bot), bot.notes) == (("False", "NotConfirmed"), True, ["NotWithdrawn"])
    assert "Look at the broker" in bot.message("Withdrawing")
    assert bot.plan.events[-1].warning


def test_what_the_pod_was_started_with_counts_and_not_what_the_spec_says_since() -> None:
    bot = Candidate().live().later(seconds=1)
    bot.spec(mode="paper", onDelete="Flatten").look()
    bot.report["withdrawal"] = withdrawal(ordersCancelledAt=CANCELLED)
    bot.later(seconds=1).look()
    assert bot.said("Withdrawing") == ("False", "Confirmed")


def test_a_kill_is_carried_out_before_the_keys_go_whatever_on_delete_keeps() -> None:
    bot = Candidate(bot=promotable(onDelete="Keep")).live().later(seconds=1)
    bot.annotate(KILL_ANNOTATION, "now").look()
    bot.report |= {"withdrawal": withdrawal("Keep"), "kill": {"observedAt": stamp(NOW)}}
    bot.later(seconds=1).look()
    assert bot.said("Withdrawing") == ("True", "WaitingForCancel")
    bot.report["kill"] = {"observedAt": stamp(NOW), "ordersCancelledAt": CANCELLED}
    bot.later(seconds=1).look()
    assert bot.said("Withdrawing") == ("False", "Confirmed")


@pytest.mark.parametrize("silence", [ReportFailure("Timeout", "no answer", NOW), ReportPending()])
def test_a_silent_pod_has_its_time_and_no_more(silence: Any) -> None:
    bot = demoted()
    bot.reported = silence
    bot.look()
    assert bot.said("Withdrawing") == ("True", "NotReporting")
    bot.later(seconds=WITHDRAWAL_LIMIT.total_seconds()).look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("False", "NotConfirmed"), True)


def test_a_live_pod_that_never_ran_has_nothing_to_withdraw() -> None:
    bot = Candidate().granted().later(seconds=1)
    bot.look()
    bot.follow()
    bot.pods[0]["status"]["containerStatuses"] = [a_container(waiting={"reason": "ImagePullBackOff"})]
    bot.later(seconds=1).look()
    assert bot.said("LiveAuthorized") == ("True", "Granted")
    bot.spec(mode="paper").look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("True", "NothingRan"), False)
    bot.later(seconds=1).look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("False", "NothingRan"), True)


def test_a_live_pod_that_started_at_the_last_moment_is_waited_for() -> None:
    bot = Candidate().granted().later(seconds=1)
    bot.look()
    bot.spec(mode="paper").look()
    assert bot.said("Withdrawing") == ("True", "NothingRan")
    bot.follow().later(seconds=1).look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("True", "WaitingForBot"), False)


def test_nobody_waits_for_a_pod_that_will_never_come() -> None:
    bot = demoted()
    assert bot.stateful_set is not None
    bot.stateful_set["spec"]["replicas"] = 0
    bot.pods, bot.reported = (), ReportPending()
    bot.look()
    assert (bot.said("Withdrawing"), is_paper(bot)) == (("False", "NotConfirmed"), True)


def test_a_live_workload_whose_time_is_over_loses_its_keys_even_without_a_paper_account() -> None:
    bot = demoted(withdrawal=withdrawal(ordersCancelledAt=CANCELLED))
    bot.account = None
    bot.look()
    assert [one["metadata"]["name"] for one in bot.plan.stop] == ["momentum-bot"]


def test_the_way_back_to_live_needs_a_new_word_of_a_person() -> None:
    bot = demoted(withdrawal=withdrawal(ordersCancelledAt=CANCELLED))
    spare = an_object("Approval", "spare", bot.approvals[0]["spec"] | {"approver": "bob"}, created=NOW)
    bot.approvals.append(spare)
    bot.settle(3)
    bot.report.clear()
    bot.spec(mode="live").settle(2)
    assert bot.said("LiveAuthorized") == ("False", "Demoted")
    assert "Requested" in bot.message("LiveAuthorized")
    void = {one.name: one.reason for one in bot.promotion.void_approvals}
    assert "used" in void[bot.approvals[0]["metadata"]["name"]]
    assert "older than the last demotion" in void["spare"]
    bot.later(seconds=1).approve("ann")
    bot.later(seconds=1).look()
    assert bot.status.grant is not None
    assert (bot.status.grant.epoch, bot.status.demotion, bot.promotion.grants) == (2, None, 2)


def test_a_gate_that_is_taken_away_and_named_again_makes_no_approval_good_twice() -> None:
    bot = demoted(withdrawal=withdrawal(ordersCancelledAt=CANCELLED)).settle(3)
    bot.report.clear()
    bot.spec(gateRef=None, mode="paper").settle(2)
    assert (bot.promotion.verdict.value, bot.promotion.grants, bot.promotion.checklist) == ("Pending", 1, [])
    bot.spec(gateRef={"name": "standard"}, mode="live").settle(2)
    assert bot.status.grant is None
    assert [one.approver for one in bot.promotion.used_approvals] == ["ann"]


# ---------------------------------------------------------------- stages


def staged(**stage: Any) -> Candidate:
    stages = [STAGES[0] | stage, *STAGES[1:]]
    return Candidate(gate=a_gate(stages=stages)).live().later(seconds=1)


def test_clean_live_sessions_lead_to_the_next_stage_without_a_new_pod() -> None:
    bot = staged()
    before = copy.deepcopy(bot.stateful_set)
    bot.session(20, live=True)
    bot.look()
    assert bot.status.grant is not None
    assert (bot.status.grant.stage, bot.status.grant.stage_sessions, bot.plan.confirm) == (0, 1, False)
    bot.session(21, live=True)
    bot.look()
    grant = bot.status.grant
    assert (grant.stage, str(grant.max_capital), grant.stage_sessions) == (1, "5000", 0)
    assert (bot.plan.confirm, bot.notes) == (True, ["StageAdvanced"])
    assert bot.stateful_set is not None
    assert before is not None
    assert (bot.stateful_set["spec"], grant.epoch) == (before["spec"], 1)
    bot.later(seconds=1).settle(2)
    assert bot.status.grant.stage == 1, "the sessions of the stage before do not count again"
    bot.session(22, live=True)
    bot.look()
    assert (bot.status.grant.stage, str(bot.status.grant.max_capital)) == (2, "9000")
    bot.session(23, live=True)
    bot.settle(2)
    assert bot.status.grant.stage == 2


@pytest.mark.parametrize(
    "flaw",
    [
        {"coveragePercent": "90"},
        {"reconciliations": {"clean": 3, "mismatch": 1}},
        {"closedNormally": False},
        {"audit": "Unknown"},
        {"beganAt": "2026-11-21T11:00:00Z"},
        {"beganAt": ""},
    ],
)
def test_a_session_that_is_not_clean_or_not_of_the_stage_does_not_count(flaw: dict[str, Any]) -> None:
    bot = staged()
    bot.session(20, live=True)
    bot.session(21, live=True, **flaw)
    bot.look()
    assert bot.status.grant is not None
    assert (bot.status.grant.stage, bot.status.grant.stage_sessions) == (0, 1)


def test_a_stage_may_need_a_persons_word() -> None:
    bot = staged(approval=True)
    for number in (20, 21):
        bot.session(number, live=True)
    bot.look()
    assert bot.status.grant is not None
    assert bot.status.grant.stage == 0
    assert "AdvanceStage" in bot.message("LiveAuthorized")
    wrong = {"action": "AdvanceStage", "verdict": None}
    bot.approve("ann", **wrong, stage=2)
    bot.approve("bob", **wrong, stage=1, subjectDigest="0" * 64)
    bot.approve("cyd", **wrong, stage=1, botRef={"name": "momentum", "uid": "another"})
    early = bot.approve("dan", **wrong, stage=1)
    early["metadata"]["creationTimestamp"] = stamp(NOW - timedelta(days=1))  # type: ignore[index]
    bot.look()
    assert bot.status.grant.stage == 0
    bot.approve("eve", **wrong, stage=1)
    bot.look()
    assert bot.status.grant.stage == 1


def test_no_stage_is_widened_while_the_policies_are_unknown() -> None:
    bot = staged()
    for number in (20, 21):
        bot.session(number, live=True)
    bot.policies = unknown("PolicyEnforced", "NotReadable")
    bot.look()
    assert bot.status.grant is not None
    assert bot.status.grant.stage == 0


# ---------------------------------------------------------------- deletion


def test_a_deleted_live_bot_keeps_its_live_pod_and_its_grant() -> None:
    bot = Candidate().live().later(seconds=1)
    metadata = {**bot.bot["metadata"], "deletionTimestamp": stamp(bot.now)}
    bot.bot = {**bot.bot, "metadata": metadata | {"finalizers": ["tradingbots.dev/cancel-on-delete"]}}
    bot.look()
    assert {one.kind for one in bot.plan.apply} == {"StatefulSet"}, "what is there, as it is"
    assert LIVE_LABEL in bot.stateful_set["metadata"]["labels"]  # type: ignore[index]
    assert bot.status.grant is not None
    assert bot.status.effective_mode is not None
    assert bot.status.effective_mode.value == "live"


def test_a_deleted_live_bot_whose_spec_changed_is_not_made_anew() -> None:
    bot = Candidate().live().later(seconds=1).spec(capital="99999")
    metadata = {**bot.bot["metadata"], "deletionTimestamp": stamp(bot.now)}
    bot.bot = {**bot.bot, "metadata": metadata | {"finalizers": ["tradingbots.dev/cancel-on-delete"]}}
    bot.look()
    assert bot.plan.apply == ()


# ---------------------------------------------------------------- whatever happens

STEPS = [
    *(lambda bot, change=change: change(bot) for _, change in OBSTACLES.values()),
    *(lambda bot, change=change: change(bot) for _, change in CAUSES.values()),
    lambda bot: bot.spec(mode="live"),
    lambda bot: bot.approve(),
    lambda bot: bot.later(minutes=3),
    lambda bot: bot.preflight(),
    lambda bot: bot.report.clear(),
    lambda bot: bot.report.update(withdrawal=withdrawal(ordersCancelledAt=CANCELLED)),
    lambda bot: setattr(bot, "reported", None),
    lambda bot: setattr(bot, "gate", a_gate()),
    lambda bot: setattr(bot, "live_account", a_live_account()),
    lambda bot: bot.changes.clear(),
    lambda bot: bot.annotate("other", "x"),
]


@settings(max_examples=30, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.booleans()), max_size=10))
def test_no_step_makes_a_live_pod_without_a_grant_or_a_grant_without_an_approval(
    is_live: bool, steps: list[tuple[int, bool]]
) -> None:
    bot = Candidate().live() if is_live else Candidate().judged()
    epochs = [bot.promotion.grants]
    for step, follows in steps:
        STEPS[step](bot)
        had_grant, was_live = bot.status.grant, not is_paper(bot)
        bot.look()
        granted = bot.status.grant
        if not is_paper(bot) and not was_live:
            assert had_grant is not None, "a live pod is made only by a grant that was stored before"
        if granted is not None and (had_grant is None or granted.epoch != had_grant.epoch):
            assert bot.plan.confirm
            assert granted.approvals
            assert granted.epoch == epochs[-1] + 1
        if bot.status.promotion is not None:
            epochs.append(bot.status.promotion.grants)
            assert epochs[-1] >= epochs[-2]
        if follows and bot.stateful_set is not None:
            bot.follow()
        bot.later(seconds=1)


def test_a_bot_on_paper_without_a_gate_has_no_promotion() -> None:
    bot = Candidate(bot=a_bot(), gate=None).settle(2)
    assert (bot.status.promotion, bot.status.subject_digest, bot.status.grant) == (None, None, None)
