"""Portfolio, breaker, bars, and the comparison with the broker's books."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from builders import OPEN, UID, a_position, a_snapshot, a_word, an_order
from tradingbot_runtime.core.kill import KillState, confirm, is_open
from tradingbot_runtime.core.orders import Fill, OrderState, client_order_id_prefix
from tradingbot_runtime.core.portfolio import Portfolio
from tradingbot_runtime.core.reconcile import order_findings, position_differences


def a_fill(qty: str, price: str, symbol: str = "AAPL") -> Fill:
    return Fill("id", 1, symbol, Decimal(qty), Decimal(price), OPEN)


@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 500)), max_size=40))
def test_holdings_are_the_sum_of_fills_and_profit_is_what_selling_all_would_bring(
    trades: list[tuple[int, int]],
) -> None:
    portfolio = Portfolio.of(a_fill(str(qty), str(price)) for qty, price in trades)
    held = sum(qty for qty, _ in trades)
    assert portfolio.qty("AAPL") == held
    last = Decimal(77)
    assert portfolio.profit({"AAPL": last}) == sum(qty * (last - price) for qty, price in trades)


def test_the_average_price_is_of_what_is_left() -> None:
    portfolio = Portfolio.of([a_fill("10", "100"), a_fill("10", "110"), a_fill("-5", "200")])
    assert portfolio.holdings["AAPL"].average_entry_price == 105
    turned = portfolio.after(a_fill("-20", "90"))
    assert (turned.qty("AAPL"), turned.holdings["AAPL"].average_entry_price) == (-5, 90)


def test_a_holding_without_a_price_counts_at_cost() -> None:
    assert Portfolio.of([a_fill("10", "100")]).value({}) == 1000


def test_differences_of_positions_by_their_class() -> None:
    ours = Portfolio.of([a_fill("10", "100"), a_fill("5", "50", "MSFT"), a_fill("1", "9", "NVDA")])
    theirs = (a_position("AAPL", "10"), a_position("MSFT", "6"), a_position("TSLA", "2"), a_position("GLD", "9"))
    found = position_differences(ours, theirs, frozenset({"AAPL", "MSFT", "NVDA", "TSLA"}))
    assert [(d.described().kind, d.symbol) for d in found] == [
        ("quantity", "MSFT"),
        ("missing_broker", "NVDA"),
        ("missing_internal", "TSLA"),
    ]
    assert str(found[0].described()) == "quantity MSFT: ours 5, broker's 6"


def test_what_the_broker_s_list_says_of_our_orders() -> None:
    working = an_order(1, state=OrderState.NEW)
    ended = an_order(2, state=OrderState.CANCELED)
    doubtful = an_order(3, state=OrderState.IN_DOUBT)
    orders = {order.client_order_id: order for order in (working, ended, doubtful)}
    stranger = a_word(an_order(9), "new", client_order_id="someone-else")
    far = a_word(an_order(9), "new", client_order_id="far", symbol="GLD")
    snapshot = a_snapshot(orders=[a_word(ended, "new"), stranger, far])
    prefix = client_order_id_prefix(UID, "paper")
    found = order_findings(orders, snapshot, frozenset({"AAPL"}), lambda word: word.client_order_id.startswith(prefix))
    assert [difference.kind for difference in found.differences] == ["terminal_but_open"]
    assert found.to_ask == (working.client_order_id,)
    assert [difference.kind for difference in found.strangers] == ["unknown_at_broker"]


def test_a_kill_is_confirmed_step_by_step_and_never_goes_back() -> None:
    kill = KillState("now", "TradingBot", flatten=True, observed_at=OPEN)
    kill = confirm(kill, 1, 1, OPEN)
    assert (kill.open_orders, kill.open_positions, kill.is_done) == (1, 1, False)
    kill = confirm(kill, 0, 1, OPEN)
    assert kill.orders_cancelled_at == OPEN and not kill.is_done
    kill = confirm(kill, 0, 0, OPEN)
    assert kill.is_done
    assert confirm(kill, 1, 1, OPEN).is_done


def test_a_status_nobody_knows_counts_as_open() -> None:
    assert is_open("quantum") and not is_open("filled")
