"""A runtime that dies, however it dies, comes back with its orders: none twice, none lost."""

import signal
from collections import Counter
from decimal import Decimal

from e2e.lab import Json, Lab, eventually, signal_runtime


def _held_at_broker(lab: Lab, account: str) -> dict[str, Decimal]:
    return {position["symbol"]: Decimal(position["qty"]) for position in lab.at_broker(account)["positions"]}


def _held_by_bot(report: Json) -> dict[str, Decimal]:
    return {position["symbol"]: Decimal(position["qty"]) for position in report["positions"]}


def _books_agree(lab: Lab, bot: str, account: str) -> bool:
    """Read broker, bot, broker: a fill in between must not look like a difference."""
    before, report, after = _held_at_broker(lab, account), lab.report(bot), _held_at_broker(lab, account)
    return before == after == _held_by_bot(report) and report["ready"]


def _assert_nothing_was_sent_twice(lab: Lab, account: str) -> None:
    sent = Counter(request["client_order_id"] for request in lab.requests(account))
    assert [order_id for order_id, times in sent.items() if times > 1] == []
    assert all(order_id.startswith("tb-") for order_id in sent)


def test_a_deleted_pod_comes_back_with_the_same_orders(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("phoenix", account)
    eventually(lambda: lab.filled(account), "a filled order", 300)
    before = {order["client_order_id"] for order in lab.orders(account)}
    started = lab.report(bot)["startedAt"]
    lab.kubectl("delete", "pod", lab.pod(bot))
    eventually(lambda: (r := lab.report(bot))["ready"] and r["startedAt"] > started, "the bot is ready again", 300)
    eventually(lambda: _books_agree(lab, bot, account), "the books agree")
    assert before <= {order["client_order_id"] for order in lab.orders(account)}
    _assert_nothing_was_sent_twice(lab, account)
    lab.wait_for_condition(bot, "Reconciled", "True")


def test_kill_minus_nine_again_and_again_in_mid_session(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("survivor", account, timeframe="1Min", risk={"maxOrdersPerMinute": 200})
    for _ in range(3):
        sent = len(lab.requests(account))
        eventually(lambda sent=sent: len(lab.requests(account)) > sent, "another order", 300)
        started = lab.report(bot)["startedAt"]
        signal_runtime(lab, bot, signal.SIGKILL)
        eventually(
            lambda started=started: (r := lab.report(bot))["ready"] and r["startedAt"] > started,
            "the bot is ready again",
            300,
        )
    eventually(lambda: _books_agree(lab, bot, account), "the books agree")
    _assert_nothing_was_sent_twice(lab, account)
    restarts = lab.get("pod", lab.pod(bot))["status"]["containerStatuses"][0]["restartCount"]
    assert restarts == 3
