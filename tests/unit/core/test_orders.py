"""The order's table, and fills from cumulative quantities however the broker's words arrive."""

import warnings
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import OPEN, UID, a_word, an_order
from tradingbot_runtime.core.orders import (
    EVENT_STATES,
    TERMINAL,
    TRANSITIONS,
    OrderState,
    advance,
    client_order_id,
    client_order_id_prefix,
    event_defect,
    sequence_of,
)
from tradingbot_runtime.core.values import Side

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.trading.enums import OrderStatus, TradeEvent

# What the broker says of one order of 10 that is filled in three parts.
LIFE = [
    ("pending_new", "0", None),
    ("new", "0", None),
    ("partially_filled", "3", "100"),
    ("partially_filled", "7", "101"),
    ("filled", "10", "101.5"),
]


def told(words: list[tuple[str, str, str | None]]) -> tuple[OrderState, Decimal, Decimal]:
    order, shares, paid, fills = an_order(), Decimal(0), Decimal(0), 0
    for status, filled, price in words:
        step = advance(order, a_word(order, status, filled, price), OPEN, fills)
        assert step.blocked is None
        order = step.order
        if step.fill:
            fills += 1
            assert step.fill.sequence == fills
            shares += step.fill.signed_qty
            paid += step.fill.signed_qty * step.fill.price
    return order.state, shares, paid


def test_every_state_has_a_row() -> None:
    assert set(TRANSITIONS) == set(OrderState)


def test_a_terminal_order_never_moves_but_for_one_thought_never_sent() -> None:
    assert all(TRANSITIONS[state] == frozenset() for state in TERMINAL - {OrderState.NOT_SENT})


@given(st.lists(st.sampled_from(LIFE), min_size=1, max_size=30))
def test_doubled_reordered_and_missing_updates_add_nothing_twice(words: list[tuple[str, str, str | None]]) -> None:
    state, shares, paid = told([*words, LIFE[-1]])
    assert (state, shares) == (OrderState.FILLED, Decimal(10))
    assert paid == pytest.approx(Decimal("1015"))


def test_the_price_of_a_fill_is_what_the_new_shares_cost() -> None:
    order = advance(an_order(), a_word(an_order(), "partially_filled", "3", "100"), OPEN, 0).order
    fill = advance(order, a_word(order, "filled", "10", "107"), OPEN, 1).fill
    assert fill is not None
    assert (fill.signed_qty, fill.price) == (Decimal(7), Decimal(110))


def test_a_sell_is_a_negative_fill() -> None:
    order = an_order(side=Side.SELL)
    fill = advance(order, a_word(order, "filled", "10", "100"), OPEN, 0).fill
    assert fill is not None and fill.signed_qty == Decimal(-10)


def test_an_old_word_after_the_end_changes_nothing() -> None:
    order = advance(an_order(), a_word(an_order(), "filled", "10", "100"), OPEN, 0).order
    step = advance(order, a_word(order, "pending_new"), OPEN, 1)
    assert (step.order, step.fill, step.blocked) == (order, None, None)


def test_shares_filled_after_a_cancel_are_counted_and_reported() -> None:
    order = advance(an_order(), a_word(an_order(), "canceled"), OPEN, 0).order
    step = advance(order, a_word(order, "filled", "10", "100"), OPEN, 0)
    assert step.fill is not None and step.fill.signed_qty == 10
    assert step.blocked == "canceled cannot become filled"


def test_an_unknown_status_is_reported_and_its_fills_are_kept() -> None:
    step = advance(an_order(), a_word(an_order(), "quantum", "4", "100"), OPEN, 0)
    assert "quantum" in (step.blocked or "") and step.order.filled_qty == 4


def test_an_order_believed_unsent_is_adopted_when_it_turns_up() -> None:
    order = an_order(state=OrderState.NOT_SENT)
    assert advance(order, a_word(order, "new"), OPEN, 0).order.state is OrderState.NEW


def test_what_remains_is_nothing_once_the_order_ended() -> None:
    order = advance(an_order(), a_word(an_order(), "partially_filled", "3", "100"), OPEN, 0).order
    assert order.remaining_qty == 7
    assert advance(order, a_word(order, "canceled", "3", "100"), OPEN, 1).order.remaining_qty == 0


@given(st.integers(0, 10**6), st.integers(0, 10**8 - 1))
def test_an_id_tells_its_sequence_and_only_to_its_bot(epoch: int, sequence: int) -> None:
    order_id = client_order_id(UID, "paper", epoch, sequence)
    assert sequence_of(order_id, UID, "paper") == sequence
    assert sequence_of(order_id, UID, "live") is None
    assert sequence_of(order_id, "another", "paper") is None
    assert len(order_id) <= 128


def test_an_id_with_our_prefix_and_no_number_is_nobody_s() -> None:
    assert sequence_of(client_order_id_prefix(UID, "paper") + "0-x", UID, "paper") is None


def test_a_fill_without_a_price_is_not_lost_but_counted_when_the_price_comes() -> None:
    early = advance(an_order(), a_word(an_order(), "filled", "10", None), OPEN, 0)
    assert early.fill is None and early.order.filled_qty == 0
    late = advance(early.order, a_word(early.order, "filled", "10", "100"), OPEN, 0)
    assert late.fill is not None and late.fill.signed_qty == 10 and late.blocked is None


def test_every_status_and_event_of_alpaca_is_in_the_tables() -> None:
    assert {status.value for status in OrderStatus} <= {state.value for state in OrderState}
    assert {event.value for event in TradeEvent} <= set(EVENT_STATES)


def test_an_event_that_nobody_knows_or_that_contradicts_its_status_is_named() -> None:
    assert event_defect("fill", "filled") is None
    assert "do not know" in (event_defect("quantum", "filled") or "")
    assert "came with status" in (event_defect("fill", "canceled") or "")
