"""A bot trades on paper in a real pod, and `kubectl` says so."""

from decimal import Decimal

from e2e.lab import Lab, eventually


def test_a_bot_trades_and_its_status_agrees_with_the_broker(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("trader", account)
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)
    eventually(lambda: lab.filled(account), "a filled order at the broker", 300)
    status = eventually(
        lambda: (s := lab.status(bot)).get("filledOrders") and s.get("account") and s,
        "fills and figures in status",
    )
    assert status["effectiveMode"] == "paper"
    assert Decimal(status["account"]["equity"]) > 0
    assert {order["client_order_id"] for order in lab.filled(account)} >= {
        order["clientOrderId"] for order in status["recentOrders"] if order["status"] == "filled"
    }
    lab.wait_for_condition(bot, "Reconciled", "True")


def test_get_bots_reads_well(lab: Lab) -> None:
    bot = lab.bot("reader", lab.account())
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)
    header, row = lab.kubectl("get", "bots", bot).splitlines()
    columns = dict(zip(header.split(), row.split(), strict=False))
    assert columns["NAME"] == bot
    assert (columns["REQUESTED"], columns["EFFECTIVE"], columns["STATE"], columns["READY"]) == (
        "paper",
        "paper",
        "Active",
        "True",
    )


def test_a_request_for_live_stays_on_paper_and_says_why(lab: Lab) -> None:
    bot = lab.bot("eager", lab.account(), mode="live", gateRef={"name": "standard"}, accounts={
        "paper": lab.account(), "live": "alpaca-live"})  # fmt: skip
    condition = lab.wait_for_condition(bot, "LiveAuthorized", "False")
    assert "paper" in condition["message"]
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)
    assert lab.status(bot)["effectiveMode"] == "paper"
    assert lab.report(bot)["mode"] == "paper"


def test_a_paused_bot_opens_nothing_and_resumes(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("patient", account, paused=True)
    lab.wait_for_condition(bot, "Paused", "True")
    eventually(lambda: lab.report(bot)["lastBarAt"], "a bar seen while paused", 300)
    assert lab.requests(account) == []
    lab.kubectl("patch", "bot", bot, "--type=merge", "-p", '{"spec":{"paused":false}}')
    eventually(lambda: lab.requests(account), "an order after the pause", 300)
