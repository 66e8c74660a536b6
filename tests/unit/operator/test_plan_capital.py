"""The capitals of an account's bots stay within its limit: the eldest bots first, whoever is looked at first."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingbot_api import BrokerAccountSpec
from tradingbot_operator.plan import AccountSnapshot, plan_account
from tradingbot_operator.plan.capital import capital_of, shortage
from tradingbot_operator.plan.objects import Raw
from unit.operator.world import NOW, a_bot, an_account, child, condition, plan, said

LIMITED = an_account(limits={"maxCapital": "15000"})


def replicas(planned: Any) -> int:
    count: int = child(planned, "StatefulSet")["spec"]["replicas"]
    return count


def types(planned: Any) -> set[str]:
    return {entry["type"] for entry in planned.status["conditions"]}


def test_the_youngest_waits_where_the_sum_is_over_the_limit() -> None:
    elder, younger = a_bot("elder", age_minutes=60), a_bot("younger", age_minutes=5, symbols=["NVDA"])
    both = (elder, younger)
    waiting = plan(younger, account=LIMITED, account_bots=both)
    assert said(waiting, "CapitalExceeded") == ("True", "AccountCapital")
    message = condition(waiting, "CapitalExceeded")["message"]
    assert "allows 15000 in all" in message and "elder bots have 10000" in message and "asks for 10000" in message
    assert said(waiting) == ("False", "CapitalExceeded")
    assert replicas(waiting) == 0
    kept = plan(elder, account=LIMITED, account_bots=both)
    assert said(kept, "CapitalExceeded") == ("False", "WithinLimit")
    assert replicas(kept) == 1


def test_what_fits_exactly_fits() -> None:
    elder, younger = a_bot("elder", age_minutes=60), a_bot("younger", capital="5000")
    assert replicas(plan(younger, account=LIMITED, account_bots=(elder, younger))) == 1


def test_without_a_limit_nothing_is_said() -> None:
    assert "CapitalExceeded" not in types(plan(account_bots=(a_bot("elder", age_minutes=90),)))
    assert "CapitalExceeded" not in types(plan(account=None))


def test_a_bot_that_does_not_fit_keeps_younger_ones_waiting_even_where_they_would_fit() -> None:
    bots = (a_bot("big", age_minutes=60, capital="20000"), a_bot("small", age_minutes=5, capital="1"))
    assert replicas(plan(bots[1], account=LIMITED, account_bots=bots)) == 0


def test_bots_of_the_same_second_come_by_uid() -> None:
    one, two = a_bot("b", uid="1"), a_bot("a", uid="2")
    assert replicas(plan(one, account=LIMITED, account_bots=(two, one))) == 1
    assert replicas(plan(two, account=LIMITED, account_bots=(two, one))) == 0


def test_a_bot_that_only_names_the_account_for_live_takes_nothing_of_it() -> None:
    elsewhere = a_bot("elder", age_minutes=90, accounts={"paper": "other", "live": "sim"})
    assert replicas(plan(account=LIMITED, account_bots=(elsewhere,))) == 1


def test_the_limit_itself_restarts_no_bot() -> None:
    def config(account: Raw) -> str:
        text: str = child(plan(account=account), "ConfigMap")["data"]["bot.yaml"]
        return text

    assert config(LIMITED) == config(an_account())


@pytest.mark.parametrize("capital", [None, "", "much", "-5", "NaN", "Infinity", 5])
def test_a_capital_that_cannot_be_read_counts_nothing(capital: Any) -> None:
    assert capital_of(a_bot(capital=capital)) == 0


def test_the_account_says_what_is_committed() -> None:
    def committed(*capitals: str) -> Any:
        bots = tuple(a_bot(f"bot-{number}", capital=capital) for number, capital in enumerate(capitals))
        status = plan_account(AccountSnapshot(account=LIMITED, now=NOW, bots=bots)).status
        assert status is not None
        return status["committedCapital"]

    assert committed("10000", "2500.50") == "12500.50"
    assert committed() == "0"
    assert committed("999999999999", "999999999999") == "999999999999"


BOTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20000)), min_size=1, max_size=6, unique_by=lambda bot: bot)


@given(bots=BOTS, order=st.randoms(use_true_random=False), limit=st.integers(1, 40000))
def test_who_runs_depends_on_age_alone_and_is_never_too_much(bots: Any, order: Any, limit: int) -> None:
    made = [a_bot(f"bot-{i}", age_minutes=age, capital=str(capital)) for i, (age, capital) in enumerate(bots)]
    account = BrokerAccountSpec.model_validate(an_account(limits={"maxCapital": str(limit)})["spec"])

    def running(seen: list[Raw]) -> set[str]:
        return {bot["metadata"]["name"] for bot in seen if shortage(bot, seen, account) is None}

    first = running(made)
    shuffled = list(made)
    order.shuffle(shuffled)
    assert running(shuffled) == first
    assert sum(Decimal(bot["spec"]["capital"]) for bot in made if bot["metadata"]["name"] in first) <= limit


def test_an_account_without_a_limit_lacks_nothing() -> None:
    account = BrokerAccountSpec.model_validate(an_account()["spec"])
    assert shortage(a_bot(), (a_bot("elder", age_minutes=90),), account) is None
