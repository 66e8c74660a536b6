"""Which stretch of an account's history a request asks for, cut into windows by the calendar.

Reads parameters and the calendar; what the account was worth is worked out elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from alpaca_simulator.api.equity_curve import Window
from alpaca_simulator.api.messages import Request
from alpaca_simulator.api.parameters import date_parameter, instant_parameter
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.activities import ActivityType
from alpaca_simulator.market.calendar import LAST_DAY, Session, TradingCalendar
from alpaca_simulator.values.instants import NEW_YORK, epoch_floor, from_epoch

DAILY = "1D"
INTRADAY_AT_MOST = timedelta(days=30)

_MINUTES = {"1Min": 1, "5Min": 5, "15Min": 15, "1H": 60, DAILY: 24 * 60}
_PERIOD = re.compile(r"([0-9]{1,4})([DWMA])", re.ASCII)
_DEFAULT_PERIOD = "1M"
_REPORTING = {"market_hours", "extended_hours", "continuous"}
_RESETS = {"per_day", "no_reset"}


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked for: windows of `timeframe` that begin from `start` to `end` (UTC, both included).

    `reporting` says which hours count, `resets_daily` whether each day's profit starts from the close
    before it. `flows` are the kinds of cash flow to report, None for no report at all.
    """

    start: datetime
    end: datetime
    timeframe: str
    reporting: str
    resets_daily: bool
    flows: tuple[ActivityType, ...] | None

    @property
    def is_daily(self) -> bool:
        """Whether a window is a whole session."""
        return self.timeframe == DAILY


def read_history_query(request: Request, calendar: TradingCalendar, now: datetime) -> HistoryQuery:
    """The query in a request's parameters at market time `now`; raises Refusal."""
    wanted = request.parameters
    start, end = _span(request, calendar, now)
    timeframe = wanted.get("timeframe") or _usual_timeframe(request, end - start)
    if timeframe not in _MINUTES:
        raise refusals.unprocessable(f"invalid timeframe: {timeframe[:40]}")
    if timeframe != DAILY and end - start > INTRADAY_AT_MOST:
        raise refusals.unprocessable(f"invalid timeframe: only {DAILY} is allowed for more than 30 days")
    extended = _choice(request, "extended_hours", {"true", "false"}, "false") == "true"
    return HistoryQuery(
        start=start,
        end=min(end, now),
        timeframe=timeframe,
        reporting=_choice(request, "intraday_reporting", _REPORTING, "extended_hours" if extended else "market_hours"),
        resets_daily=_choice(request, "pnl_reset", _RESETS, "per_day") == "per_day",
        flows=_flows(wanted.get("cashflow_types") or "NONE"),
    )


def history_windows(query: HistoryQuery, calendar: TradingCalendar, now: datetime) -> list[Window]:
    """The windows of `query` in order, as far as they have begun at `now`; the last may still run."""
    if query.is_daily:
        return list(_daily_windows(query, calendar, now))
    found = _continuous_windows(query, calendar) if query.reporting == "continuous" else _hours(query, calendar)
    step = timedelta(minutes=_MINUTES[query.timeframe])
    return [
        Window(begins, min(begins + step, until, now), session_base if query.resets_daily else None)
        for begins, until, session_base in found
        if query.start < begins + step and begins <= query.end
    ]


def _daily_windows(query: HistoryQuery, calendar: TradingCalendar, now: datetime) -> Iterator[Window]:
    first = query.start.astimezone(NEW_YORK).date()
    for session in calendar.between(first, query.end.astimezone(NEW_YORK).date()):
        if session.closes_at <= now:
            yield Window(session.opens_at, session.closes_at)
        elif session.opens_at <= now or _begun_for(query.reporting, session, now):
            yield Window(session.opens_at, now)


def _begun_for(reporting: str, session: Session, now: datetime) -> bool:
    """Whether the running day is shown already before its open."""
    return reporting != "market_hours" and now >= from_epoch(session.pre_market_epoch)


def _hours(query: HistoryQuery, calendar: TradingCalendar) -> Iterator[tuple[datetime, datetime, datetime | None]]:
    """Where each window of the sessions begins, the end of its hours, and the close before its day."""
    extended = query.reporting == "extended_hours"
    first = query.start.astimezone(NEW_YORK).date()
    for session in calendar.between(first, query.end.astimezone(NEW_YORK).date()):
        opens = session.pre_market_epoch if extended else session.open_epoch
        closes = session.after_hours_epoch if extended else session.close_epoch
        for epoch in range(opens, closes, 60 * _MINUTES[query.timeframe]):
            yield from_epoch(epoch), from_epoch(closes), _close_before(calendar, session)


def _continuous_windows(
    query: HistoryQuery, calendar: TradingCalendar
) -> Iterator[tuple[datetime, datetime, datetime | None]]:
    """The same around the clock, on the timeframe's grid."""
    step = 60 * _MINUTES[query.timeframe]
    begin = epoch_floor(query.start) // step * step
    for epoch in range(begin, epoch_floor(query.end) + 1, step):
        at = from_epoch(epoch)
        midnight = datetime.combine(at.astimezone(NEW_YORK).date(), time(), NEW_YORK).astimezone(UTC)
        before = calendar.last_opened(midnight)
        yield at, from_epoch(epoch + step), None if before is None else before.closes_at


def _close_before(calendar: TradingCalendar, session: Session) -> datetime | None:
    return calendar.sessions[session.number - 1].closes_at if session.number else None


def _span(request: Request, calendar: TradingCalendar, now: datetime) -> tuple[datetime, datetime]:
    """From when to when is asked for; raises Refusal."""
    start, end = instant_parameter(request, "start"), instant_parameter(request, "end")
    day = date_parameter(request, "date_end")
    period = request.parameters.get("period") or None
    if end is not None and day is not None:
        raise refusals.unprocessable("only one of end and date_end can be specified")
    if day is not None:
        end = _end_of(day)
    if start is not None and end is not None and period is not None:
        raise refusals.unprocessable("only two of start, end and period can be specified at the same time")
    if start is not None and end is None:
        end = now if period is None else _moved(calendar, start, period, back=False)
    end = now if end is None else end
    start = start or _moved(calendar, min(end, now), period or _DEFAULT_PERIOD, back=True)
    if start > end:
        raise refusals.unprocessable("start must not be after end")
    return start, end


def _moved(calendar: TradingCalendar, at: datetime, period: str, *, back: bool) -> datetime:
    """`at` moved by a period such as 5D (sessions), 2W, 1M or 1A; raises Refusal."""
    found = _PERIOD.fullmatch(period)
    if found is None or int(found[1]) < 1:
        raise refusals.unprocessable(f"invalid period: {period[:40]}")
    amount, unit = int(found[1]), found[2]
    if unit == "D":
        return _sessions_away(calendar, at, amount, back=back)
    local, signed = at.astimezone(NEW_YORK), -amount if back else amount
    try:
        if unit == "W":
            moved_day = local.date() + timedelta(weeks=signed)
        else:
            moved_day = _months_away(local.date(), signed if unit == "M" else 12 * signed)
        return datetime.combine(moved_day, local.timetz()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise refusals.unprocessable(f"invalid period: {period} leads beyond the calendar") from error


def _sessions_away(calendar: TradingCalendar, at: datetime, amount: int, *, back: bool) -> datetime:
    """The first moment of the day `amount` sessions back, the newest counted; forwards the last moment."""
    if back:
        newest = calendar.last_opened(at)
        number = (0 if newest is None else newest.number) - (amount - 1)
        return from_epoch(calendar.sessions[max(number, 0)].pre_market_epoch)
    following = calendar.between(at.astimezone(NEW_YORK).date(), LAST_DAY)
    number = min(amount, len(following)) - 1
    return at if number < 0 else from_epoch(following[number].after_hours_epoch)


def _months_away(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    length = (date(year + month // 11, (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, length))


def _end_of(day: date) -> datetime:
    """The last second of a day in New York."""
    return datetime.combine(min(day, LAST_DAY), time(23, 59, 59), NEW_YORK).astimezone(UTC)


def _usual_timeframe(request: Request, span: timedelta) -> str:
    names_months = (request.parameters.get("period") or _DEFAULT_PERIOD)[-1] in "MA"
    if names_months and not request.parameters.get("start"):
        return DAILY
    if span < timedelta(days=7):
        return "1Min"
    return "15Min" if span < INTRADAY_AT_MOST else DAILY


def _flows(text: str) -> tuple[ActivityType, ...] | None:
    """The kinds of cash flow that ALL, NONE or a list of kinds name; raises Refusal."""
    if text == "NONE":
        return None
    possible = {kind.value: kind for kind in ActivityType if kind is not ActivityType.FILL}
    if text == "ALL":
        return tuple(possible.values())
    named = [one for one in text.split(",") if one]
    unknown = [one for one in named if one not in possible]
    if unknown or not named:
        raise refusals.unprocessable(f"invalid cashflow_types: {','.join(unknown)[:40]}")
    return tuple(possible[one] for one in dict.fromkeys(named))


def _choice(request: Request, name: str, choices: set[str], otherwise: str) -> str:
    given = request.parameters.get(name) or otherwise
    if given.lower() not in choices:
        raise refusals.unprocessable(f"invalid {name}: {given[:40]}")
    return given.lower()
