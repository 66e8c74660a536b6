"""Over random days of every kind of order: books balance, fills are fair, ended orders rest, time may be cut anyhow."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpaca_simulator.exchange.exchange import TradeUpdate
from alpaca_simulator.exchange.lifecycle import TERMINAL, Event
from alpaca_simulator.exchange.orders import Side, TimeInForce
from alpaca_simulator.exchange.phases import phase_at
from alpaca_simulator.values.quantities import dollars
from unit.simulator.order_scripts import History, Rules, Wait, actions, rules

LATE = {Event.ORDER_CANCEL_REJECTED, Event.ORDER_REPLACE_REJECTED}
random_days = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@settings(random_days, max_examples=50)
@given(actions, rules)
def test_books_balance_at_every_moment_and_no_family_has_two_live_exits(script: list[object], how: Rules) -> None:
    # History checks every account after every action: money, shares, what is held back, families.
    history = History(how).play([*script, Wait(400_000)])
    assert len(history.floor.exchange.accounts) == 2


@settings(random_days, max_examples=40)
@given(actions, rules)
def test_every_fill_is_at_its_quote_or_auction_within_its_limit(script: list[object], how: Rules) -> None:
    history = History(how).play(script)
    for update in history.updates:
        if update.price is not None:
            must_be_fair(history, update)


def must_be_fair(history: History, update: TradeUpdate) -> None:
    market, order = history.floor.market, update.order
    assert update.price is not None
    assert update.quantity is not None
    assert 0 < update.quantity <= order.filled_quantity
    cents = update.price * 100
    session = next(one for one in market.calendar.extended_between(update.at, update.at))
    if order.order_type.has_limit and order.limit_price is not None:
        assert cents <= order.limit_price * 100 if order.side is Side.BUY else cents >= order.limit_price * 100
    assert history.floor.exchange.halts.covering(order.asset.symbol, int(update.at.timestamp())) is None
    if order.time_in_force is TimeInForce.OPG:
        assert (update.price, update.at) == (dollars(market.day(order.asset, session).open), session.opens_at)
    elif order.time_in_force is TimeInForce.CLS:
        assert (update.price, update.at) == (dollars(market.day(order.asset, session).close), session.closes_at)
    else:
        must_be_in_the_market(history, update)


def must_be_in_the_market(history: History, update: TradeUpdate) -> None:
    market, order = history.floor.market, update.order
    phase = phase_at(market.calendar, update.at)
    assert phase is not None
    assert order.extended_hours or not phase.is_extended
    quote = market.quote(order.asset, update.at)
    assert update.price == dollars(quote.ask if order.side is Side.BUY else quote.bid)
    assert update.at > order.created_at
    if not phase.is_extended:
        bars = market.minutes(order.asset, phase.session)
        minute = (int(update.at.timestamp()) - bars.start_epoch) // 60
        assert bars.low[minute] <= quote.bid <= quote.ask <= bars.high[minute]
        if history.how.size_limit and update.quantity is not None:
            assert update.quantity <= (quote.ask_size if order.side is Side.BUY else quote.bid_size)


@settings(random_days, max_examples=40)
@given(actions, rules)
def test_an_ended_order_never_moves_and_updates_come_in_order(script: list[object], how: Rules) -> None:
    history = History(how).play([*script, Wait(400_000)])
    last: dict[object, TradeUpdate] = {}
    for update in history.updates:
        before = last.get(update.order.order_id)
        if before is not None:
            assert before.at <= update.at
            assert before.order.filled_quantity <= update.order.filled_quantity <= update.order.quantity
            if before.order.status in TERMINAL:
                assert update.event in LATE
                assert update.order.status is before.order.status
        last[update.order.order_id] = update
    times = [update.at for update in history.updates]
    assert times == sorted(times)
    for account in history.floor.exchange.accounts.values():
        for order in account.orders_newest_first():
            if order.order_id in last and not order.is_open:
                assert last[order.order_id].order == order


@settings(random_days, max_examples=25)
@given(actions, rules, st.integers(2, 7))
def test_how_finely_time_passes_makes_no_difference(script: list[object], how: Rules, pieces: int) -> None:
    coarse = History(how).play(script)
    fine = History(how, pieces).play(script)
    assert coarse.statuses == fine.statuses
    assert coarse.updates == fine.updates
    assert coarse.floor.exchange.state() == fine.floor.exchange.state()


@settings(random_days, max_examples=25)
@given(actions, actions, rules)
def test_a_restart_in_the_middle_changes_nothing_that_follows(
    before: list[object], after: list[object], how: Rules
) -> None:
    straight = History(how).play(before)
    restarted = straight.restarted()
    assert restarted.floor.exchange.state() == straight.floor.exchange.state()
    straight.play(after)
    restarted.play(after)
    assert restarted.statuses == straight.statuses
    assert restarted.updates == straight.updates
    assert restarted.floor.exchange.state() == straight.floor.exchange.state()
