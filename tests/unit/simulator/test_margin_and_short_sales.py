"""Accounts that borrow and sell short: what they may buy, what they owe, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from alpaca_simulator.exchange.configuration import AccountConfiguration
from alpaca_simulator.exchange.margin import Valued, maintenance_margin, valuation
from unit.simulator.floor import Answer, Floor

ASSETS = [
    {"symbol": "HARD", "price": 40, "easy_to_borrow": False},
    {"symbol": "NEVER", "price": 40, "shortable": False},
]


def margin_floor(multiplier: int = 2, *, shorting: bool = True, cash: int = 100_000, **config: Any) -> Floor:
    account = {"name": "paper", "key_id": "PKDEMOPAPER", "secret_key": "demo-paper-secret", "cash": cash}
    terms = {"margin_multiplier": multiplier, "shorting": shorting}
    return Floor(accounts=[{**account, **terms}], assets=ASSETS, **config)


def money(floor: Floor, name: str = "buying_power") -> Decimal:
    return Decimal(floor.account()[name])


def position(floor: Floor, symbol: str = "SPY") -> Any:
    return floor.get(f"/v2/positions/{symbol}").body


def short(floor: Floor, quantity: int = 10, symbol: str = "SPY") -> Floor:
    assert floor.sell(symbol, quantity).status == 200
    floor.step(1)
    floor.updates()
    return floor


@pytest.mark.parametrize("multiplier", [1, 2, 4])
def test_buying_power_is_the_multiple_of_equity_that_is_not_used(multiplier: int) -> None:
    floor = margin_floor(multiplier, shorting=False)
    assert money(floor) == 100_000 * multiplier
    floor.holding("SPY", 100)
    assert floor.account()["multiplier"] == str(multiplier)
    value, equity = money(floor, "long_market_value"), money(floor, "equity")
    assert equity == money(floor, "cash") + value
    assert money(floor) == equity * multiplier - value
    order = floor.buy("TLT", 10, limit=50)
    assert money(floor) == equity * multiplier - value - 500
    floor.delete(f"/v2/orders/{order.body['id']}")
    assert money(floor) == equity * multiplier - value


def test_on_margin_an_account_buys_for_more_than_its_cash_and_no_more_than_its_buying_power() -> None:
    floor = margin_floor(2)
    assert floor.buy("TLT", 2_001, limit=100).message == "insufficient buying power"
    _, ask = floor.quote("TLT")
    quantity = int(150_000 / ask)
    floor.holding("TLT", quantity)
    assert money(floor, "cash") < 0
    assert floor.buy("SPY", 10**4, limit=10).status == 403


def test_a_small_account_trades_without_margin() -> None:
    floor = margin_floor(4, cash=1_999)
    assert (money(floor), floor.account()["multiplier"]) == (1_999, "1")
    assert floor.sell("SPY", 1).message == "account is not allowed to short"


def test_the_owner_can_lower_the_multiplier_and_forbid_short_sales() -> None:
    floor = margin_floor(4)
    account = next(iter(floor.exchange.accounts.values()))
    floor.exchange.configure(account, AccountConfiguration(max_margin_multiplier=Decimal(2), no_shorting=True))
    assert money(floor) == 200_000
    assert floor.sell("SPY", 1).message == "account is not allowed to short"
    assert floor.account()["shorting_enabled"] is False


def test_a_suspended_account_takes_no_orders_and_shows_it() -> None:
    floor = margin_floor()
    order = floor.buy("SPY", 1, limit=10)
    account = next(iter(floor.exchange.accounts.values()))
    floor.exchange.configure(account, AccountConfiguration(suspend_trade=True))
    answer = floor.buy("SPY", 1)
    assert (answer.status, answer.code, answer.message) == (403, 40310000, "new orders are rejected by user request")
    assert floor.account()["trade_suspended_by_user"] is True
    assert floor.delete(f"/v2/orders/{order.body['id']}").status == 204


def test_fractional_trading_can_be_switched_off() -> None:
    floor = margin_floor()
    account = next(iter(floor.exchange.accounts.values()))
    floor.exchange.configure(account, AccountConfiguration(fractional_trading=False))
    assert floor.buy("SPY", "0.5").message == "fractional trading is disabled for this account"
    assert floor.buy("SPY", 1).status == 200


def test_a_short_sale_makes_a_negative_position_that_is_bought_back() -> None:
    floor = margin_floor()
    order = floor.sell("SPY", 10)
    assert order.body["position_intent"] == "sell_to_open"
    floor.step(1)
    seen = position(floor)
    assert (seen["qty"], seen["side"], seen["qty_available"]) == ("-10", "short", "-10")
    assert Decimal(seen["cost_basis"]) < 0
    assert Decimal(seen["avg_entry_price"]) > 0
    assert Decimal(seen["market_value"]) == -10 * Decimal(seen["current_price"])
    assert money(floor, "short_market_value") == Decimal(seen["market_value"])
    assert money(floor, "cash") > 100_000
    cover = floor.buy("SPY", 4, limit=10)
    assert cover.body["position_intent"] == "buy_to_close"
    assert position(floor)["qty_available"] == "-6"
    closing = floor.delete("/v2/positions/SPY", qty="6")
    assert (closing.body["side"], closing.body["qty"]) == ("buy", "6")
    floor.step(1)
    assert position(floor)["qty"] == "-4"
    floor.delete("/v2/orders")
    assert floor.delete("/v2/positions").body[0]["body"]["qty"] == "4"
    floor.step(1)
    assert floor.get("/v2/positions").body == []
    assert money(floor, "cash") == money(floor, "equity")


def test_a_short_sale_holds_back_three_percent_over_the_ask() -> None:
    floor = margin_floor()
    _, ask = floor.quote("SPY")
    floor.sell("SPY", 10, limit="900")
    assert money(floor) == 200_000 - 9_000
    floor.delete("/v2/orders")
    floor.sell("SPY", 10, limit=f"{ask + 1:.2f}")
    assert money(floor) == 200_000 - 10 * Decimal(str(ask)) * Decimal("1.03")


def test_a_short_sale_can_cost_no_more_than_there_is() -> None:
    floor = margin_floor()
    assert floor.sell("SPY", 1_000).message == "insufficient buying power"


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"symbol": "SPY", "qty": "1.5"}, 422, "fractional orders cannot be sold short"),
        ({"symbol": "SPY", "qty": None, "notional": "500"}, 422, "fractional orders cannot be sold short"),
        ({"symbol": "NEVER"}, 422, "asset NEVER cannot be sold short"),
        ({"symbol": "HARD", "time_in_force": "gtc"}, 422, "only day orders are allowed for hard-to-borrow asset HARD"),
        ({"symbol": "HARD"}, 200, ""),
    ],
)
def test_what_cannot_be_borrowed_cannot_be_sold_short(fields: dict[str, object], status: int, message: str) -> None:
    order = {"qty": "10", "side": "sell", "type": "market", "time_in_force": "day", **fields}
    answer = margin_floor().order(**order)
    assert answer.status == status
    assert status == 200 or answer.message == message


def test_one_order_cannot_turn_a_position_the_other_way_round() -> None:
    floor = margin_floor().holding("SPY", 10)
    answer = floor.sell("SPY", 15)
    assert (answer.status, answer.message) == (
        403,
        "insufficient qty available for order (requested: 15, available: 10)",
    )
    floor.delete("/v2/positions/SPY")
    floor.step(1)
    short(floor)
    assert floor.buy("SPY", 11).message.startswith("insufficient qty available for order (requested: 11")


def test_opening_orders_of_both_sides_cannot_wait_together() -> None:
    floor = margin_floor()
    floor.buy("SPY", 1, limit=10)
    assert floor.sell("SPY", 1, limit=900).message == "cannot open a short sell while a long buy order is open"
    floor.delete("/v2/orders")
    floor.sell("SPY", 1, limit=900)
    assert floor.buy("SPY", 1, limit=10).message == "cannot open a long buy while a short sell order is open"


def test_a_position_that_was_turned_behind_its_back_is_not_closed_the_wrong_way() -> None:
    floor = margin_floor().holding("SPY", 10)
    account = next(iter(floor.exchange.accounts.values()))
    asset = floor.exchange.catalogue.find("SPY")
    assert asset is not None
    sale = floor.sell("SPY", 10, limit=10)
    floor.exchange.adjust_position(account, asset, Decimal(-4), Decimal(500), floor.now)
    floor.step(1)
    assert floor.status(sale) == "rejected"
    assert position(floor)["qty"] == "6"


def test_margin_asks_for_more_where_a_share_is_cheap_or_owed() -> None:
    def asked(quantity: int, price: str) -> Decimal:
        return maintenance_margin(Valued(Decimal(quantity), Decimal(price)))

    assert asked(10, "100") == 300
    assert asked(10, "2") == 20
    assert asked(-10, "100") == 300
    assert asked(-10, "10") == 50
    assert asked(-10, "1") == 25


def test_a_valuation_adds_long_and_short_up() -> None:
    worth = valuation(Decimal(1000), [Valued(Decimal(10), Decimal(20)), Valued(Decimal(-5), Decimal(30))])
    assert (worth.long_value, worth.short_value, worth.equity, worth.exposure) == (200, -150, 1050, 350)
    assert worth.buying_power(2, Decimal(100)) == 2 * 1050 - 350 - 100


def test_shorting_without_margin_is_no_account() -> None:
    with pytest.raises(ValueError, match="shorting needs a margin_multiplier"):
        margin_floor(1, shorting=True)


def answered(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.message


def test_a_cash_account_never_goes_short() -> None:
    floor = Floor()
    floor.buy("SPY", 1, limit=10)
    assert answered(floor.sell("SPY", 1)) == (403, "account is not allowed to short")
