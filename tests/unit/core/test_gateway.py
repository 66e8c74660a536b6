"""Each check of the gateway refuses what it is for, with its name; exits pass the checks of exposure."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from builders import OPEN, an_order
from tradingbot_runtime.core.allocator import Execution, Intent, allocate
from tradingbot_runtime.core.gateway import CHECKS, Gate, review
from tradingbot_runtime.core.orders import Fill
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.values import Side

HOLDING = Portfolio.of([Fill("id", 1, "AAPL", Decimal(10), Decimal(100), OPEN)])
OPEN_GATE = Gate(
    killed=False,
    paused=False,
    halted=None,
    reducing=None,
    symbols=frozenset({"AAPL", "MSFT"}),
    known_ids=frozenset({"used"}),
    symbols_with_open_orders=frozenset(),
    market_open=True,
    portfolio=HOLDING,
    prices={"AAPL": Decimal(100)},
    reserved={},
    capital=Decimal(10000),
    buying_power=Decimal(10000),
    max_positions=2,
    max_position_percent=Decimal(25),
    max_orders_per_minute=30,
    price_collar_percent=Decimal(5),
    orders_last_minute=0,
)
BUY = Intent("MSFT", Side.BUY, Decimal(5), Decimal(100), Decimal("100.10"), "target")
SELL = Intent("AAPL", Side.SELL, Decimal(10), Decimal(100), Decimal("99.90"), "target")


def test_a_healthy_gate_lets_both_through() -> None:
    assert review(BUY, "new", OPEN_GATE) is None
    assert review(SELL, "new", OPEN_GATE) is None


@pytest.mark.parametrize(
    ("check", "gate", "intent"),
    [
        ("killed", {"killed": True}, {}),
        ("paused", {"paused": True}, {}),
        ("halted", {"halted": "books differ"}, {}),
        ("reducing", {"reducing": "breaker"}, {}),
        ("symbol_ownership", {"symbols": frozenset({"AAPL"})}, {}),
        ("open_order", {"symbols_with_open_orders": frozenset({"MSFT"})}, {}),
        ("market_hours", {"market_open": False}, {}),
        ("max_positions", {"max_positions": 1}, {}),
        ("position_limit", {}, {"qty": Decimal(26)}),
        ("position_limit", {"reserved": {"MSFT": Decimal(2400)}}, {}),
        ("capital", {"reserved": {"TSLA": Decimal(8600)}, "max_positions": 9}, {}),
        ("buying_power", {"buying_power": Decimal(500)}, {}),
        ("buying_power", {"buying_power": Decimal(900), "unreflected": Decimal(400)}, {}),
        ("data_halted", {"data_halts": {"MSFT": "stale_data"}}, {}),
        ("breaker", {"breaker": "DailyLossLimit"}, {}),
        ("intraday_pause", {"intraday_pause": "paused until 15:00"}, {}),
        ("tradable", {"untradable": {"MSFT": "halted"}}, {}),
        ("account_exposure", {"account_exposure": Decimal(700), "account_exposure_limit": Decimal(1000)}, {}),
        ("wash_trade", {"opposite_orders": {"MSFT": frozenset({Side.SELL})}}, {}),
        ("order_rate", {"orders_last_minute": 30}, {}),
        ("price_collar", {}, {"limit_price": Decimal("105.01")}),
    ],
)
def test_a_buy_is_refused_by_the_check_that_is_for_it(check: str, gate: dict[str, Any], intent: dict[str, Any]) -> None:
    refusal = review(replace(BUY, **intent), "new", replace(OPEN_GATE, **gate))
    assert refusal is not None and refusal.check == check
    assert refusal.reason


def test_an_id_is_never_used_twice_by_exits_either() -> None:
    for intent in (BUY, SELL):
        refusal = review(intent, "used", OPEN_GATE)
        assert refusal is not None and refusal.check == "duplicate_id"


def test_exits_pass_the_checks_of_exposure() -> None:
    tight = replace(
        OPEN_GATE, paused=True, reducing="breaker", max_positions=1, capital=Decimal(1), buying_power=Decimal(0)
    )
    assert review(SELL, "new", tight) is None


@pytest.mark.parametrize("stop", [{"killed": True}, {"halted": "books differ"}, {"market_open": False}])
def test_nothing_at_all_passes_a_kill_a_halt_or_a_closed_market(stop: dict[str, Any]) -> None:
    assert review(SELL, "new", replace(OPEN_GATE, **stop)) is not None


def test_an_exit_is_capped_at_what_is_held() -> None:
    refusal = review(replace(SELL, qty=Decimal(11)), "new", OPEN_GATE)
    assert refusal is not None and refusal.check == "sell_quantity"


def test_a_market_order_has_no_collar() -> None:
    assert review(replace(BUY, limit_price=None), "new", OPEN_GATE) is None


def test_every_check_has_its_own_name() -> None:
    names = [name for name, _, _ in CHECKS]
    assert len(names) == len(set(names))


LIMIT = Execution(use_market_orders=False, limit_offset_bps=10, min_trade_percent=Decimal(1))


def allocated(weights: dict[str, str], orders: dict[str, Any] | None = None, execution: Execution = LIMIT) -> Any:
    return allocate(
        {symbol: Decimal(weight) for symbol, weight in weights.items()},
        {"AAPL": Decimal(100), "MSFT": Decimal(300)},
        HOLDING,
        orders or {},
        Decimal(10000),
        execution,
    )


def test_whole_shares_towards_the_target_and_exits_first() -> None:
    intents = allocated({"AAPL": "0", "MSFT": "0.2"}).intents
    assert [(i.symbol, i.side, i.qty, i.limit_price) for i in intents] == [
        ("AAPL", Side.SELL, Decimal(10), Decimal("99.90")),
        ("MSFT", Side.BUY, Decimal(6), Decimal("300.30")),
    ]
    assert intents[0].reducing and not intents[1].reducing


def test_a_resting_order_waits_behind_the_price() -> None:
    (intent,) = allocated({"MSFT": "0.2"}, execution=replace(LIMIT, limit_offset_bps=-100)).intents
    assert intent.limit_price == Decimal("297.00")


def test_a_market_order_has_no_limit_price() -> None:
    (intent,) = allocated({"MSFT": "0.2"}, execution=replace(LIMIT, use_market_orders=True)).intents
    assert intent.limit_price is None


def test_too_small_a_trade_is_left_out_but_never_a_full_exit() -> None:
    assert allocated({"AAPL": "0.1005"}).intents == ()
    assert len(allocated({"AAPL": "0"}, execution=replace(LIMIT, min_trade_percent=Decimal(100))).intents) == 1


def test_a_symbol_without_a_price_or_a_target_keeps_what_it_has() -> None:
    assert allocated({"TSLA": "0.5"}).intents == ()


def test_a_short_target_means_nothing_held() -> None:
    (intent,) = allocated({"AAPL": "-0.5"}).intents
    assert (intent.side, intent.qty) == (Side.SELL, 10)


def test_an_open_order_is_kept_while_it_goes_the_right_way() -> None:
    buying = an_order(symbol="AAPL", side=Side.BUY)
    assert allocated({"AAPL": "0.2"}, {"AAPL": buying}).obsolete == ()
    assert allocated({"AAPL": "0"}, {"AAPL": buying}).obsolete == (buying,)
    assert allocated({"AAPL": "0.1"}, {"AAPL": buying}).obsolete == (buying,)
