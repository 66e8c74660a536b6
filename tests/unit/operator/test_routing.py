"""Whoever depends on a change is looked at, and nobody else is."""

from typing import Any

import pytest

from tradingbot_operator.plan.objects import ObjectKey, Raw
from tradingbot_operator.routing import affected, is_urgent, patience_seconds
from tradingbot_operator.store import ACCOUNT, BOT, POD, Store
from unit.operator.world import a_bot, a_pod, a_stateful_set, an_account


def a_store(*bots: Raw) -> Store:
    store = Store()
    for bot in bots:
        store.put(BOT, bot)
    return store


def looks(store: Store, kind: str, before: Raw | None, after: Raw | None) -> set[str]:
    return {f"{key.kind}/{key.name}" for key in affected(store, kind, before, after)}


def changed(raw: Raw, **metadata: Any) -> Raw:
    return {**raw, "metadata": {**raw["metadata"], **metadata}}


def test_a_new_bot_concerns_its_accounts_and_whoever_wants_its_symbols() -> None:
    bot = a_bot(accounts={"paper": "sim", "live": "real"})
    store = a_store(bot, a_bot("rival", symbols=["MSFT"]), a_bot("stranger", symbols=["TSLA"]))
    assert looks(store, BOT, None, bot) == {
        "TradingBot/momentum",
        "TradingBot/rival",
        "BrokerAccount/sim",
        "BrokerAccount/real",
    }


def test_letting_go_of_a_symbol_concerns_who_waits_for_it() -> None:
    before, after = a_bot(symbols=["AAPL", "MSFT"]), changed(a_bot(symbols=["AAPL"]), generation=4)
    store = a_store(after, a_bot("rival", symbols=["MSFT"]))
    assert "TradingBot/rival" in looks(store, BOT, before, after)
    assert "TradingBot/rival" in looks(store, BOT, before, None)


def test_a_status_concerns_only_the_bot_itself() -> None:
    bot = a_bot()
    store = a_store(bot, a_bot("rival"))
    assert looks(store, BOT, bot, {**bot, "status": {"image": "x"}}) == {"TradingBot/momentum"}


def test_who_becomes_live_or_leaves_concerns_whoever_wants_its_symbols_live() -> None:
    live = {"paper": "own", "live": "real"}
    rivals = a_bot("rival", accounts=live, symbols=["MSFT"]), a_bot("stranger", accounts=live, symbols=["TSLA"])
    before = a_bot(accounts={"paper": "sim", "live": "real"})
    granted = {**before, "status": {"grant": {"epoch": 1}}}
    store = a_store(granted, *rivals)
    assert looks(store, BOT, before, granted) >= {"TradingBot/momentum", "TradingBot/rival"}
    assert "TradingBot/rival" in looks(store, BOT, granted, before)
    assert "TradingBot/stranger" not in looks(store, BOT, before, granted) | looks(store, BOT, granted, before)
    pod = a_pod("leaver", symbols=["MSFT"])
    pod["metadata"]["annotations"]["tradingbots.dev/account"] = "real"  # type: ignore[index]
    assert "TradingBot/rival" in looks(store, POD, pod, None)


@pytest.mark.parametrize("accounts", [{"paper": "sim"}, {"paper": "other", "live": "sim"}])
def test_what_a_kill_is_asked_for_is_urgent(accounts: dict[str, str]) -> None:
    bot, account = ObjectKey(BOT, "demo", "momentum"), ObjectKey(ACCOUNT, "demo", "sim")
    store = a_store(a_bot(accounts=accounts))
    store.put(ACCOUNT, an_account())
    assert not is_urgent(store, bot) and not is_urgent(store, account)
    store = a_store(a_bot(accounts=accounts, annotations={"tradingbots.dev/kill": ""}))
    assert is_urgent(store, bot) and not is_urgent(store, account)
    store = a_store(a_bot(accounts=accounts))
    store.put(ACCOUNT, an_account(annotations={"tradingbots.dev/kill": "now"}))
    assert is_urgent(store, bot) and is_urgent(store, account)


def test_an_account_concerns_its_bots_but_its_status_does_not() -> None:
    account = an_account()
    store = a_store(a_bot(), a_bot("stranger", accounts={"paper": "other"}))
    assert looks(store, ACCOUNT, None, account) == {"BrokerAccount/sim", "TradingBot/momentum"}
    assert looks(store, ACCOUNT, account, None) == {"BrokerAccount/sim", "TradingBot/momentum"}
    assert looks(store, ACCOUNT, account, {**account, "status": {}}) == {"BrokerAccount/sim"}
    killed = an_account(annotations={"tradingbots.dev/kill": "now"})
    assert looks(store, ACCOUNT, account, killed) == {"BrokerAccount/sim", "TradingBot/momentum"}


def test_a_child_concerns_its_bot_even_when_its_label_was_taken() -> None:
    labelled = a_stateful_set()
    bare = changed(labelled, labels={})
    assert looks(a_store(), "StatefulSet", labelled, bare) == {"TradingBot/momentum"}
    assert looks(a_store(), "StatefulSet", None, bare) == set()


def test_a_pod_that_is_gone_concerns_who_waits_for_its_symbols() -> None:
    store = a_store(a_bot("waiting", symbols=["AAPL"]))
    pod = a_pod("leaver", symbols=["AAPL"])
    assert "TradingBot/waiting" in looks(store, POD, pod, None)
    assert "TradingBot/waiting" in looks(store, POD, pod, a_pod("leaver", phase="Failed"))
    assert "TradingBot/waiting" not in looks(store, POD, pod, pod)


def test_nothing_concerns_nobody() -> None:
    assert looks(a_store(), BOT, None, None) == set()


def test_an_account_is_told_of_its_bots_now_and_then_and_of_its_own_changes_at_once() -> None:
    account = ObjectKey(ACCOUNT, "demo", "paper")
    assert patience_seconds(account, ACCOUNT) == 0
    assert patience_seconds(account, BOT) > 0
    assert patience_seconds(ObjectKey(BOT, "demo", "momentum"), ACCOUNT) == 0
