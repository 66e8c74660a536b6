"""A live account lists who is live on it, and believes only reports of bots that trade there."""

from typing import Any

from tradingbot_operator.plan import AccountSnapshot, Plan, plan_account
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.store import BOT, Store
from unit.operator.candidate import a_live_account, promotable
from unit.operator.world import NOW, answered, said


def account_plan(*bots: Any, **reports: Any) -> Plan:
    return plan_account(AccountSnapshot(account=a_live_account(), now=NOW, bots=bots, reports=reports))


def test_only_bots_that_are_live_own_symbols_and_capital_of_a_live_account() -> None:
    live = promotable("a", status={"grant": {"epoch": 1}}, symbols=["AAPL"])
    leaving = promotable("b", status={"effectiveMode": "live"}, symbols=["MSFT"], capital="500")
    asking = promotable("c", symbols=["TSLA"])
    planned = account_plan(live, leaving, asking)
    assert planned.status is not None
    assert planned.status["bots"] == ["a", "b", "c"]
    assert {one["symbol"]: one["bot"] for one in planned.status["symbols"]} == {"AAPL": "a", "MSFT": "b"}
    assert planned.status["committedCapital"] == "10500"


def test_a_paper_bots_report_says_nothing_of_its_live_account() -> None:
    assert said(account_plan(promotable("a"), a=answered()), "Connected") == ("Unknown", "NoReport")
    assert said(account_plan(promotable("a"), a=answered(mode="live")), "Connected") == ("True", "Connected")


def test_what_other_bots_see_of_one_says_whether_it_is_live() -> None:
    store = Store()
    store.put(BOT, promotable("a", status={"grant": {"epoch": 1}, "effectiveMode": "live", "image": "x"}))
    found = store.claimant(ObjectKey(BOT, "demo", "a"))
    assert found is not None
    assert (found["spec"]["mode"], found["status"]) == ("live", {"grant": {"epoch": 1}, "effectiveMode": "live"})
