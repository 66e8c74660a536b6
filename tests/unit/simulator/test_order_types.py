"""Stop, stop limit and trailing stop orders; times in force; extended hours; notional orders; halts and sizes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alpaca_simulator.exchange.lifecycle import Event
from alpaca_simulator.exchange.orders import Order
from alpaca_simulator.exchange.updates import TradeUpdate
from alpaca_simulator.market.halts import Halt
from unit.simulator.floor import MONDAY_BEFORE_OPEN, MONDAY_CLOSE, MONDAY_NOON, Answer, Floor

OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def at_new_york(hour: int, minute: int, day: int = 2) -> datetime:
    """A time of day in New York's winter, of a day in March 2026."""
    return datetime(2026, 3, day, tzinfo=UTC) + timedelta(hours=hour + 5, minutes=minute)


def last_cents(floor: Floor, at: datetime) -> int:
    asset = floor.exchange.catalogue.find("SPY")
    assert asset is not None
    return floor.market.quote(asset, at).last


def order_of(floor: Floor, answer: Answer) -> dict[str, object]:
    body: dict[str, object] = floor.get(f"/v2/orders/{answer.body['id']}").body
    return body


def fill_of(floor: Floor) -> TradeUpdate:
    (fill,) = [update for update in floor.updates() if update.event is Event.FILL]
    return fill


def stop(floor: Floor, side: str, stop_price: float, **more: object) -> Answer:
    fields = {"symbol": "SPY", "qty": "2", "time_in_force": "day", "type": "stop", **more}
    return floor.order(side=side, stop_price=f"{stop_price:.2f}", **fields)


def first_second_after(floor: Floor, begin: datetime, reached: Callable[[int], bool]) -> datetime:
    """The first second after `begin` whose last trade is `reached` (a function of cents)."""
    at = begin
    while at < MONDAY_CLOSE - timedelta(seconds=1):
        at += timedelta(seconds=1)
        if reached(last_cents(floor, at)):
            return at
    raise AssertionError("never reached that day")


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_stop_order_trades_at_the_quote_of_the_second_whose_trade_reaches_it(side: str) -> None:
    floor = Floor().holding("SPY", 2)
    later = [last_cents(floor, floor.now + timedelta(minutes=minute)) for minute in range(1, 239)]
    # Wherever the day goes from here: a price that it reaches.
    price = max(later) if side == "buy" else min(later)
    order = stop(floor, side, price / 100)
    assert order.status == 200
    when = first_second_after(floor, floor.now, lambda last: last >= price if side == "buy" else last <= price)
    floor.step_until("close")
    fill = fill_of(floor)
    quote = floor.market.quote(fill.order.asset, when)
    assert (fill.at, fill.price) == (when, Decimal(quote.ask if side == "buy" else quote.bid) / 100)


def test_a_stop_that_is_never_reached_expires() -> None:
    floor = Floor()
    order = stop(floor, "buy", 900)
    floor.step_until("close")
    assert floor.status(order) == "expired"
    assert floor.events() == ["new", "expired"]


def test_a_stop_limit_order_that_was_triggered_rests_as_a_limit_order() -> None:
    floor = Floor().holding("SPY", 2)
    last = last_cents(floor, floor.now)
    order = stop(floor, "sell", (last - 20) / 100, type="stop_limit", limit_price=f"{last / 100 + 90:.2f}")
    floor.step_until("close")
    assert floor.status(order) == "expired"
    account = next(iter(floor.exchange.accounts.values()))
    assert next(account.orders_newest_first()).is_triggered


def test_a_stop_limit_order_fills_at_its_limit_or_better() -> None:
    floor = Floor().holding("SPY", 2)
    last = last_cents(floor, floor.now)
    stop(floor, "sell", (last - 10) / 100, type="stop_limit", limit_price=f"{(last - 12) / 100:.2f}")
    floor.step_until("close")
    fill = fill_of(floor)
    assert fill.price is not None
    assert fill.price >= Decimal(last - 12) / 100


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("trail", [{"trail_price": "0.40"}, {"trail_percent": "0.1"}], ids=str)
def test_a_trailing_stop_follows_the_best_trade_and_triggers_where_it_is_reached(
    side: str, trail: dict[str, str]
) -> None:
    floor = Floor().holding("SPY", 2)
    begin = floor.now
    order = floor.order(symbol="SPY", qty="2", side=side, type="trailing_stop", time_in_force="day", **trail)
    assert order.body["hwm"] == str(Decimal(last_cents(floor, begin)) / 100)
    mark, at, stop_cents = last_cents(floor, begin), begin, Decimal(0)
    sign = 1 if side == "sell" else -1
    while True:
        away = Decimal(40) if "trail_price" in trail else Decimal(mark) * Decimal("0.001")
        stop_cents = (Decimal(mark) - sign * away).quantize(Decimal(1), rounding="ROUND_HALF_UP")
        at += timedelta(seconds=1)
        last = last_cents(floor, at)
        if sign * (last - stop_cents) <= 0:
            break
        mark = max(mark, last) if side == "sell" else min(mark, last)
    floor.step((at - begin).total_seconds() - 1)
    seen = order_of(floor, order)
    assert (seen["hwm"], seen["stop_price"]) == (text(mark), text(stop_cents))
    assert seen["status"] == "new"
    floor.step(1)
    assert fill_of(floor).at == at


def text(cents: Decimal | int) -> str:
    plain = f"{Decimal(cents) / 100:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def test_a_trailing_stop_sleeps_outside_regular_hours_and_goes_on_the_next_day() -> None:
    floor = Floor().holding("SPY", 2)
    fields = {"symbol": "SPY", "qty": "2", "side": "sell", "time_in_force": "gtc"}
    order = floor.order(type="trailing_stop", trail_percent="20", **fields)
    floor.step_until("close")
    at_close = order_of(floor, order)["hwm"]
    floor.step(3 * 3600)
    assert order_of(floor, order)["hwm"] == at_close
    before = floor.now
    floor.step(30 * 3600)
    best = max(last_cents(floor, one) for one in every_minute(before, floor.now))
    assert Decimal(str(order_of(floor, order)["hwm"])) * 100 >= min(best, int(Decimal(str(at_close)) * 100))


def every_minute(begin: datetime, end: datetime) -> list[datetime]:
    tuesday = [at_new_york(9, 30, 3) + timedelta(minutes=minute) for minute in range(390)]
    return [at for at in tuesday if begin <= at <= end]


@pytest.mark.parametrize(
    ("tif", "hour", "minute", "status"),
    [
        ("opg", 9, 27, 200),
        ("opg", 9, 28, 403),
        ("opg", 12, 0, 403),
        ("opg", 18, 59, 403),
        ("opg", 19, 0, 200),
        ("cls", 9, 0, 200),
        ("cls", 15, 49, 200),
        ("cls", 15, 50, 403),
        ("cls", 18, 59, 403),
        ("cls", 19, 0, 200),
    ],
)
def test_auction_orders_are_taken_until_shortly_before_their_auction(
    tif: str, hour: int, minute: int, status: int
) -> None:
    answer = Floor(at_new_york(hour, minute)).buy("SPY", 1, tif=tif)
    assert answer.status == status
    if status == 403:
        assert answer.message.startswith(f"{tif} orders must be submitted after 7:00pm and before")


def test_an_order_on_open_trades_at_the_opening_print_or_expires() -> None:
    floor = Floor(at_new_york(9, 0))
    asset = floor.exchange.catalogue.find("SPY")
    assert asset is not None
    session = floor.exchange.calendar.next_opening(floor.now)
    price = Decimal(floor.market.day(asset, session).open) / 100
    market = floor.buy("SPY", 1, tif="opg")
    met, missed = (floor.buy("SPY", 1, limit=price + extra, tif="opg") for extra in (0, Decimal("-0.01")))
    assert market.body["expires_at"] == "2026-03-02T14:30:00Z"
    floor.step_until("open")
    assert [floor.status(order) for order in (market, met, missed)] == ["filled", "filled", "expired"]
    fills = [update for update in floor.updates() if update.price is not None]
    assert [(fill.at, fill.price) for fill in fills] == [(OPEN, price), (OPEN, price)]


def test_an_order_on_close_trades_at_the_closing_print() -> None:
    floor = Floor()
    asset = floor.exchange.catalogue.find("SPY")
    assert asset is not None
    session = floor.exchange.calendar.next_closing(floor.now)
    order = floor.buy("SPY", 1, tif="cls")
    floor.step(3600)
    assert floor.status(order) == "new"
    floor.step_until("close")
    fill = fill_of(floor)
    assert (fill.at, fill.price) == (MONDAY_CLOSE, Decimal(floor.market.day(asset, session).close) / 100)


def test_a_fill_or_kill_order_is_filled_whole_or_not_at_all() -> None:
    floor = Floor(exchange={"fill_size_limit": True}, accounts=[rich_account()])
    # No quote is for more than 900 shares.
    small, large = floor.buy("SPY", 1, tif="fok"), floor.buy("SPY", 901, tif="fok")
    floor.step(1)
    assert floor.status(small) == "filled"
    body = order_of(floor, large)
    assert (body["status"], body["filled_qty"]) == ("canceled", "0")


def test_with_a_size_limit_orders_of_one_side_share_each_quote() -> None:
    floor = Floor(exchange={"fill_size_limit": True}, accounts=[rich_account()])
    asset = floor.exchange.catalogue.find("SPY")
    assert asset is not None
    for quantity in (700, 700, 700):
        assert floor.buy("SPY", quantity).status == 200
    floor.step(60)
    taken: dict[datetime, Decimal] = {}
    for update in floor.updates():
        taken[update.at] = taken.get(update.at, Decimal(0)) + (update.quantity or 0)
    assert sum(taken.values()) == 2100
    assert len(taken) > 3
    for at, quantity in taken.items():
        assert quantity <= floor.market.quote(asset, at).ask_size


def rich_account() -> dict[str, object]:
    return {"name": "paper", "key_id": "PKDEMOPAPER", "secret_key": "demo-paper-secret", "cash": 10**8}


def test_a_limit_order_with_extended_hours_trades_before_the_open_and_after_the_close() -> None:
    early = Floor(at_new_york(7, 0))
    _, ask = early.quote("SPY")
    order = early.buy("SPY", 1, limit=f"{ask + 1:.2f}", extended_hours=True)
    assert order.body["status"] == "pending_new"
    early.step(900)
    assert early.status(order) == "filled"
    late = Floor(at_new_york(16, 30))
    _, ask = late.quote("SPY")
    order = late.buy("SPY", 1, limit=f"{ask + 1:.2f}", tif="gtc", extended_hours=True)
    late.step(900)
    assert late.status(order) == "filled"


def test_an_order_of_regular_hours_waits_for_them_beside_one_that_does_not() -> None:
    floor = Floor(at_new_york(7, 0))
    _, ask = floor.quote("SPY")
    order = floor.buy("SPY", 1, limit=f"{ask + 5:.2f}")
    assert order.body["status"] == "accepted"
    floor.step(7200)
    assert floor.status(order) == "accepted"
    floor.step_until("open")
    assert floor.status(order) == "filled"


def test_a_day_order_with_extended_hours_lasts_until_they_end() -> None:
    floor = Floor()
    order = floor.buy("SPY", 1, limit=10, extended_hours=True)
    assert order.body["expires_at"] == "2026-03-03T01:00:00Z"
    floor.step_until("close")
    assert floor.status(order) == "new"
    floor.step(4 * 3600)
    assert floor.status(order) == "expired"


def test_a_day_order_of_the_evening_is_for_the_next_day() -> None:
    floor = Floor(at_new_york(21, 0))
    order = floor.buy("SPY", 1, limit=10, extended_hours=True)
    assert order.body["status"] == "accepted"
    assert order.body["expires_at"] == "2026-03-04T01:00:00Z"
    floor.step(7 * 3600)
    assert floor.status(order) == "new"


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"type": "market"}, 422, "extended hours order must be DAY or GTC limit orders"),
        ({"type": "limit", "limit_price": "5", "time_in_force": "ioc"}, 422, "must be DAY or GTC limit orders"),
        ({"type": "stop", "stop_price": "900"}, 422, "stop orders are not eligible for extended hours trading"),
        ({"type": "trailing_stop", "trail_price": "1"}, 422, "stop orders are not eligible"),
        (
            {"order_class": "oto", "type": "limit", "limit_price": "500", "stop_loss": {"stop_price": "4"}},
            403,
            "oto orders do not support extended hours trading",
        ),
    ],
)
def test_what_does_not_trade_in_extended_hours_is_refused(fields: dict[str, object], status: int, message: str) -> None:
    answer = Floor().order(
        **{"symbol": "SPY", "qty": "1", "side": "buy", "time_in_force": "day", "extended_hours": True, **fields}
    )
    assert answer.status == status
    assert message in answer.message


def test_a_notional_order_buys_as_many_shares_as_its_dollars_do() -> None:
    floor = Floor()
    order = floor.order(symbol="SPY", notional="1000", side="buy", type="market", time_in_force="day")
    assert (order.body["qty"], order.body["notional"]) == (None, "1000")
    assert floor.account()["buying_power"] == "99000"
    floor.step(1)
    _, ask = floor.quote("SPY")
    body = order_of(floor, order)
    assert (body["status"], body["qty"], body["notional"]) == ("filled", None, "1000")
    expected = (Decimal(1000) / Decimal(str(ask))).quantize(Decimal("1e-9"), rounding="ROUND_FLOOR")
    assert Decimal(str(body["filled_qty"])) == expected
    account = floor.account()
    assert account["cash"] == account["buying_power"]
    assert Decimal(99000) <= Decimal(account["cash"]) < Decimal("99000.01")


def test_a_notional_sale_never_sells_more_than_is_held() -> None:
    floor = Floor().holding("SPY", 2)
    bid, _ = floor.quote("SPY")
    refused = floor.order(symbol="SPY", notional="99999", side="sell", type="market", time_in_force="day")
    assert (refused.status, refused.code) == (403, 40310000)
    order = floor.order(symbol="SPY", notional=f"{2 * bid - 1:.2f}", side="sell", type="market", time_in_force="day")
    assert floor.get("/v2/positions/SPY").body["qty_available"].startswith("0.00")
    floor.step(1)
    assert floor.status(order) == "filled"
    left = Decimal(floor.get("/v2/positions/SPY").body["qty"])
    assert 0 < left < Decimal("0.02")


@pytest.mark.parametrize("kind", ["limit", "stop", "stop_limit"])
def test_parts_of_a_share_may_wait_for_a_price(kind: str) -> None:
    floor = Floor()
    prices = {"limit": {"limit_price": "900"}, "stop": {"stop_price": "900"}}
    fields = prices.get(kind) or {"limit_price": "901", "stop_price": "900"}
    answer = floor.order(symbol="SPY", qty="0.5", side="buy", type=kind, time_in_force="day", **fields)
    assert answer.status == 200


def test_nothing_trades_while_a_symbol_is_halted() -> None:
    since = int(MONDAY_NOON.timestamp())
    floor = Floor(halts=[{"symbol": "SPY", "from": MONDAY_NOON, "until": MONDAY_NOON + timedelta(seconds=90)}])
    spy, tlt = floor.buy("SPY", 1), floor.buy("TLT", 1)
    immediate = floor.buy("SPY", 1, tif="ioc")
    trigger = stop(floor, "buy", 5)
    floor.step(60)
    assert [floor.status(order) for order in (spy, tlt, immediate)] == ["new", "filled", "canceled"]
    assert floor.status(trigger) == "new"
    floor.step(60)
    fills = [update for update in floor.updates() if update.order.asset.symbol == "SPY" and update.price]
    assert [int(fill.at.timestamp()) - since for fill in fills] == [90, 90]


def test_a_halt_that_is_called_and_lifted_while_it_runs_counts_at_once() -> None:
    floor = Floor()
    _, ask = floor.quote("SPY")
    order = floor.buy("SPY", 1, limit=f"{ask + 1:.2f}")
    since = int(floor.now.timestamp()) + 1
    floor.exchange.halts.add(Halt("SPY", since, None))
    floor.step(600)
    assert floor.status(order) == "new"
    assert floor.exchange.halts.resume("SPY", since + 600)
    floor.step(1)
    assert floor.status(order) == "filled"


class HalfThenNothing:
    """A gate that lets three shares through, and nothing more until it is told so."""

    def __init__(self) -> None:
        self.is_open = False

    def allows(self, order: Order, at: datetime, fills: int) -> Decimal | None:
        return None if self.is_open else Decimal(3 if fills == 0 else 0)


def test_a_gate_may_stall_an_order_after_a_part_of_it() -> None:
    floor = Floor()
    floor.exchange.fill_gate = gate = HalfThenNothing()
    order = floor.buy("SPY", 10)
    floor.step(600)
    assert order_of(floor, order)["filled_qty"] == "3"
    gate.is_open = True
    floor.step(1)
    assert floor.status(order) == "filled"


def test_an_immediate_order_before_the_open_is_refused() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    assert floor.buy("SPY", 1, tif="fok").code == 42210000
