"""`/v2/account/portfolio/history`: what the account was worth, told afterwards as it was told then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.simulator.floor import MONDAY_BEFORE_OPEN, MONDAY_NOON, SATURDAY, Answer, Floor


def history(floor: Floor, **query: object) -> Any:
    answer = floor.get("/v2/account/portfolio/history", **query)
    assert answer.status == 200, answer
    columns = {name: answer.body[name] for name in ("timestamp", "equity", "profit_loss", "profit_loss_pct")}
    assert len({len(column) for column in columns.values()}) == 1
    return answer.body


def times(body: Any) -> list[datetime]:
    return [datetime.fromtimestamp(epoch, tz=UTC) for epoch in body["timestamp"]]


def refused(**query: object) -> Answer:
    answer = Floor().get("/v2/account/portfolio/history", **query)
    assert answer.status == 422, answer
    return answer


def equity(floor: Floor) -> float:
    return float(floor.account()["equity"])


def invested(at: datetime = MONDAY_BEFORE_OPEN, **config: Any) -> Floor:
    """A floor whose account holds shares of two symbols since the open of its first day."""
    floor = Floor(at, **config)
    floor.buy("SPY", 50)
    floor.buy("TLT", 100)
    floor.step_until("open")
    floor.step(1)
    return floor


def days_later(floor: Floor, days: int) -> Floor:
    for _ in range(days):
        floor.step_until("close")
    return floor


# -- daily ----------------------------------------------------------------------------------


def test_each_day_is_worth_what_the_account_said_at_its_close() -> None:
    floor, said = invested(), []
    for _ in range(5):
        floor.step_until("close")
        said.append(equity(floor))
    body = history(floor, timeframe="1D")
    assert body["equity"] == said
    assert body["timeframe"] == "1D"
    assert [at.isoformat() for at in times(body)][:2] == ["2026-03-02T14:30:00+00:00", "2026-03-03T14:30:00+00:00"]


def test_daily_profit_is_counted_from_the_first_day() -> None:
    body = history(days_later(invested(), 5), timeframe="1D")
    base = body["equity"][0]
    assert body["base_value"] == base
    assert "base_value_asof" not in body
    assert body["profit_loss"] == pytest.approx([value - base for value in body["equity"]])
    assert body["profit_loss_pct"] == pytest.approx([value / base - 1 for value in body["equity"]])


def test_the_running_day_ends_with_what_the_account_is_worth_now() -> None:
    floor = days_later(invested(), 2)
    floor.step_until("open")
    floor.step(7_777)
    body = history(floor)
    assert body["equity"][-1] == equity(floor)
    assert len(body["equity"]) == 3


def test_before_the_open_the_day_is_shown_to_who_asks_for_extended_hours() -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    assert history(floor, timeframe="1D")["equity"] == []
    assert history(floor, timeframe="1D", intraday_reporting="extended_hours")["equity"] == [100_000]


def test_days_before_the_account_was_opened_are_left_out() -> None:
    body = history(days_later(invested(), 3), period="1A", timeframe="1D")
    assert len(body["equity"]) == 3


def test_money_and_shares_from_outside_count_from_when_they_came() -> None:
    floor = days_later(invested(), 1)
    account = next(iter(floor.exchange.accounts.values()))
    before = equity(floor)
    floor.step(1)
    floor.exchange.adjust_cash(account, Decimal(5_000))
    floor.step_until("close")
    body = history(floor, timeframe="1D", cashflow_types="ALL")
    assert body["equity"] == [before, equity(floor)]
    assert body["cashflow"]["JNLC"] == [0, 5_000]


def test_a_split_leaves_the_days_before_it_as_they_were() -> None:
    split = {"type": "split", "symbol": "SPY", "ex_date": "2026-03-04", "new": "2"}
    floor, said = invested(corporate_actions=[split]), []
    for _ in range(4):
        floor.step_until("close")
        said.append(equity(floor))
    assert history(floor, timeframe="1D")["equity"] == said


def test_a_renamed_symbol_keeps_its_history() -> None:
    change = {"type": "symbol_change", "symbol": "SPY", "ex_date": "2026-03-04", "new_symbol": "NEWS"}
    floor, said = invested(corporate_actions=[change]), []
    for _ in range(4):
        floor.step_until("close")
        said.append(equity(floor))
    assert floor.get("/v2/positions/NEWS").status == 200
    assert history(floor, timeframe="1D")["equity"] == said


# -- intraday -------------------------------------------------------------------------------


def test_every_point_is_what_the_account_said_at_the_end_of_its_window() -> None:
    floor, said = invested(), []
    floor.step(899)
    for hour in range(6):
        said.append(equity(floor))
        floor.sell("SPY", 5) if hour % 2 else floor.buy("TLT", 3)
        floor.step(900)
    body = history(floor, period="1D", timeframe="15Min")
    assert body["equity"][:6] == said
    assert times(body)[1] - times(body)[0] == timedelta(minutes=15)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["SPY", "TLT"]), st.sampled_from(["buy", "sell"]), st.integers(1, 50)), max_size=10
    )
)
def test_history_is_what_the_account_said_whatever_was_traded(trades: list[tuple[str, str, int]]) -> None:
    floor = Floor(MONDAY_BEFORE_OPEN)
    floor.step_until("open")
    said = []
    for symbol, side, quantity in trades:
        floor.order(symbol=symbol, side=side, qty=quantity, type="market", time_in_force="day")
        floor.step(300)
        said.append(equity(floor))
    assert history(floor, period="1D", timeframe="5Min")["equity"][: len(said)] == said


def test_a_days_profit_is_counted_from_the_close_before_it() -> None:
    floor = days_later(invested(), 2)
    floor.step_until("open")
    floor.step(3600)
    days = history(floor, timeframe="1D")["equity"]
    body = history(floor, period="2D", timeframe="1H")
    points = list(zip(times(body), body["equity"], body["profit_loss"], strict=True))
    assert body["base_value"] == days[0]
    assert body["base_value_asof"] == "2026-03-02"
    for at, value, gain in points:
        before = days[0] if at.day == 3 else days[1]
        assert gain == pytest.approx(value - before)


def test_without_a_reset_profit_is_counted_from_the_first_close_throughout() -> None:
    floor = days_later(invested(), 3)
    body = history(floor, period="2D", timeframe="1H", pnl_reset="no_reset")
    assert body["profit_loss"] == pytest.approx([value - body["base_value"] for value in body["equity"]])


def test_on_the_first_day_profit_is_counted_from_the_first_point() -> None:
    body = history(days_later(invested(), 1), period="1D", timeframe="1Min")
    assert len(body["equity"]) == 390
    assert (body["base_value"], body["profit_loss"][0]) == (body["equity"][0], 0)
    assert "base_value_asof" not in body


@pytest.mark.parametrize(
    ("query", "points", "first"),
    [
        ({}, 26, "14:30"),
        ({"intraday_reporting": "extended_hours"}, 64, "09:00"),
        ({"extended_hours": "true"}, 64, "09:00"),
        (
            {"intraday_reporting": "continuous", "start": "2026-03-03T05:00:00Z", "end": "2026-03-04T04:59:59Z"},
            96,
            "05:00",
        ),
    ],
)
def test_the_hours_shown_are_those_asked_for(query: dict[str, str], points: int, first: str) -> None:
    floor = days_later(invested(), 2)
    floor.step(10 * 3600)
    span = {"start": "2026-03-03T05:00:00Z", "end": "2026-03-04T02:00:00Z"}
    body = history(floor, timeframe="15Min", **{**span, **query})
    assert (len(body["equity"]), f"{times(body)[0]:%H:%M}") == (points, first)


def test_a_half_day_ends_early() -> None:
    floor = Floor(datetime(2026, 11, 27, 12, 0, tzinfo=UTC))
    floor.step_until("close")
    assert len(history(floor, period="1D", timeframe="15Min")["equity"]) == 14


def test_nothing_shows_the_future() -> None:
    floor = invested()
    floor.step(600)
    body = history(floor, timeframe="1Min", start="2026-03-02", end="2026-03-09")
    assert times(body)[-1] <= floor.now
    assert body["equity"][-1] == equity(floor)


@pytest.mark.parametrize(
    ("query", "timeframe"),
    [
        ({}, "1D"),
        ({"period": "1D"}, "1Min"),
        ({"period": "1W"}, "15Min"),
        ({"period": "3M"}, "1D"),
        ({"period": "2A"}, "1D"),
    ],
)
def test_the_usual_timeframe_follows_from_the_period(query: dict[str, str], timeframe: str) -> None:
    assert history(days_later(invested(), 1), **query)["timeframe"] == timeframe


def test_the_end_may_be_a_date() -> None:
    floor = days_later(invested(), 5)
    body = history(floor, timeframe="1D", date_end="2026-03-04", period="2D")
    assert [f"{at:%d}" for at in times(body)] == ["03", "04"]


def test_a_start_and_a_period_say_where_it_ends() -> None:
    floor = days_later(invested(), 5)
    body = history(floor, timeframe="1D", start="2026-03-03", period="2D")
    assert f"{times(body)[0]:%d}" == "03"
    assert len(body["equity"]) == 2


def test_on_a_weekend_the_newest_day_is_fridays() -> None:
    body = history(Floor(SATURDAY), period="1D", timeframe="1D")
    assert body["equity"] == []
    floor = invested(datetime(2026, 3, 6, 14, 0, tzinfo=UTC))
    floor.step(86_400)
    assert f"{times(history(floor, period='1D', timeframe='1D'))[-1]:%d}" == "06"


# -- what was forgotten ---------------------------------------------------------------------


def test_days_whose_activities_are_forgotten_are_told_from_their_closes() -> None:
    floor, said = Floor(MONDAY_BEFORE_OPEN), []
    account = next(iter(floor.exchange.accounts.values()))
    for day in range(4):
        floor.step_until("open")
        floor.buy("SPY", day + 1)
        floor.step_until("close")
        said.append(equity(floor))
    # As after many more trades: only the newest is left.
    for _ in range(3):
        account.activities.popleft()
    assert history(floor, timeframe="1D")["equity"] == said
    points = times(history(floor, timeframe="15Min", period="4D"))
    assert [f"{at:%d %H:%M}" for at in points if at.day < 5] == ["02 20:45", "03 20:45", "04 20:45"]
    assert len([at for at in points if at.day == 5]) == 26


# -- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"timeframe": "2Min"},
        {"timeframe": "1Min", "period": "2M"},
        {"period": "0D"},
        {"period": "1Y"},
        {"period": "9999A"},
        {"start": "2026-03-01", "end": "2026-03-02", "period": "1D"},
        {"end": "2026-03-02", "date_end": "2026-03-02"},
        {"start": "2026-03-02", "end": "2026-03-01"},
        {"start": "soon"},
        {"start": "9999-12-31", "period": "9999W"},
        {"intraday_reporting": "always"},
        {"pnl_reset": "never"},
        {"extended_hours": "maybe"},
        {"cashflow_types": "FILL"},
        {"cashflow_types": "NOPE"},
    ],
)
def test_what_cannot_be_asked_for_is_refused(query: dict[str, str]) -> None:
    assert refused(**query).message


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "9999-12-31"])
def test_far_away_dates_are_answered(day: str) -> None:
    for query in ({"date_end": day}, {"start": day, "timeframe": "1D"}, {"date_end": day, "period": "1A"}):
        assert Floor(MONDAY_NOON).get("/v2/account/portfolio/history", **query).status in {200, 422}
