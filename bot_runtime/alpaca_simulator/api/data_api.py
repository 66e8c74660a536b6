"""The market data API v2 for stocks: bars, quotes, trades, snapshots, auctions and their dictionaries.

Symbols that are not listed are left out of an answer, as Alpaca does; nothing shows the future.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from alpaca_simulator.api.corporate_actions_api import CorporateActionsApi
from alpaca_simulator.api.data_parameters import (
    adjustments_of,
    check_feed_and_currency,
    limit_of,
    page_token_of,
    series_of,
    span_of,
    symbols_in,
    timeframe_of,
)
from alpaca_simulator.api.data_rendering import (
    CONDITIONS,
    EXCHANGES,
    Json,
    auction_json,
    bar_json,
    quote_json,
    snapshot_json,
    tape_of,
    trade_json,
)
from alpaca_simulator.api.messages import Request, Response, json_response
from alpaca_simulator.exchange import refusals
from alpaca_simulator.exchange.exchange import Exchange
from alpaca_simulator.market.adjustments import adjustment_of
from alpaca_simulator.market.bars import Bar, bars_of, latest_days, latest_minute
from alpaca_simulator.market.calendar import Session
from alpaca_simulator.market.data_faults import MarketDataFaults, NoMarketDataFaults
from alpaca_simulator.market.paging import Series, Span, Stamped, page_of
from alpaca_simulator.market.tape import Tape
from alpaca_simulator.market.timeframes import midnight_in_new_york
from alpaca_simulator.market.within_minute import Trade
from alpaca_simulator.values.instants import NEW_YORK

_HISTORIES = ("bars", "quotes", "trades", "auctions")
_LATEST = {"bars": "bar", "quotes": "quote", "trades": "trade"}
_TAPES = {"A", "B", "C", "O"}

Item = TypeVar("Item", bound=Stamped)


@dataclass(frozen=True, slots=True)
class _Auctions:
    """One session's opening and closing trade; None while they are still to come."""

    at: datetime
    session: Session
    opening: Trade | None
    closing: Trade | None


class DataApi:
    """Answers requests below `/v2/stocks` and `/v1/corporate-actions` from one exchange's market and time.

    `faults` sees everything of a symbol that is about to be told.
    """

    def __init__(self, exchange: Exchange, faults: MarketDataFaults | None = None) -> None:
        self._exchange = exchange
        self._faults = faults or NoMarketDataFaults()
        self._corporate_actions = CorporateActionsApi(exchange)

    def answer(self, request: Request) -> Response:
        """Answer a request; raises Refusal. The path starts with `v2/stocks` or `v1/corporate-actions`."""
        if request.segments[0] == "v1":
            return self._corporate_actions.answer(request)
        if request.method != "GET":
            raise refusals.Refusal(404, None, "endpoint not found.")
        match request.segments[2:]:
            case ("meta", "exchanges"):
                return json_response(200, EXCHANGES)
            case ("meta", "conditions", kind):
                return _conditions(request, kind)
            case (str(what),) if what in _HISTORIES:
                return self._history(request, what, None)
            case (str(what), "latest") if what in _LATEST:
                return self._latest(request, what, None)
            case ("snapshots",):
                return self._snapshots(request)
            case (symbol, str(what)) if what in _HISTORIES:
                return self._history(request, what, symbol)
            case (symbol, str(what), "latest") if what in _LATEST:
                return self._latest(request, what, symbol)
            case (symbol, "snapshot"):
                return self._snapshot(request, symbol)
        raise refusals.Refusal(404, None, "endpoint not found.")

    # -- histories ----------------------------------------------------------------------------

    def _history(self, request: Request, what: str, symbol: str | None) -> Response:
        """Pages of what happened, of one symbol when it is in the path."""
        check_feed_and_currency(request)
        series = self._series(request, symbol, request.parameters.get("asof", ""))
        render = {
            "bars": self._bars,
            "quotes": self._quotes,
            "trades": self._trades,
            "auctions": self._auctions,
        }[what]
        found, token = render(request, series)
        if symbol is None:
            return json_response(200, {what: found, "next_page_token": token})
        return json_response(200, {what: found.get(symbol, []), "symbol": symbol, "next_page_token": token})

    def _bars(self, request: Request, series: tuple[Series, ...]) -> tuple[dict[str, list[Json]], str | None]:
        timeframe, adjustments = timeframe_of(request), adjustments_of(request)
        tape, now = self._tape, self._exchange.now

        def bars(one: Series, span: Span) -> Iterator[Bar]:
            adjustment = adjustment_of(tape.market, one.asset, adjustments, now.astimezone(NEW_YORK).date())
            return bars_of(tape, one, timeframe, span, now, adjustment)

        def told(one: Series, found: list[Bar]) -> list[Json]:
            shown = self._faults.bars(one.label, timeframe.nominal_minutes, found)
            return [bar_json(bar) for bar in shown]

        return self._page(request, series, bars, told)

    def _quotes(self, request: Request, series: tuple[Series, ...]) -> tuple[dict[str, list[Json]], str | None]:
        return self._page(
            request,
            series,
            self._tape.quotes,
            lambda one, found: [
                quote_json(self._faults.quote(one.label, quote), tape_of(one.asset)) for quote in found
            ],
        )

    def _trades(self, request: Request, series: tuple[Series, ...]) -> tuple[dict[str, list[Json]], str | None]:
        return self._page(
            request,
            series,
            self._tape.trades,
            lambda one, found: [
                trade_json(self._faults.trade(one.label, trade), tape_of(one.asset)) for trade in found
            ],
        )

    def _auctions(self, request: Request, series: tuple[Series, ...]) -> tuple[dict[str, list[Json]], str | None]:
        return self._page(request, series, self._auctions_of, lambda _, found: [_auctions_json(day) for day in found])

    def _page(
        self,
        request: Request,
        series: tuple[Series, ...],
        items: Callable[[Series, Span], Iterator[Item]],
        told: Callable[[Series, list[Item]], list[Json]],
    ) -> tuple[dict[str, list[Json]], str | None]:
        span = span_of(request, self._exchange.now)
        page = page_of(series, span, limit_of(request), page_token_of(request), items)
        by_label = {one.label: one for one in series}
        return {label: told(by_label[label], found) for label, found in page.found.items()}, page.next_token

    def _auctions_of(self, one: Series, span: Span) -> Iterator[_Auctions]:
        """The auctions of each session that begins in the span, as far as they are over."""
        tape, now = self._tape, self._exchange.now
        first, last = (at.astimezone(NEW_YORK).date() for at in (span.start, span.end))
        sessions = tape.market.calendar.between(first, last)
        for session in reversed(sessions) if span.descending else sessions:
            if now < session.opens_at or not one.covers(session) or not tape.market.trades_in(one.asset, session):
                continue
            opening = next(tape.trades(one, Span(session.opens_at, min(now, session.closes_at))), None)
            closing = next(tape.trades(one, Span(session.opens_at, session.closes_at, descending=True)), None)
            at = midnight_in_new_york(session.day)
            if span.start <= at <= span.end:
                yield _Auctions(at, session, opening, closing if now >= session.closes_at else None)

    # -- the latest ---------------------------------------------------------------------------

    def _latest(self, request: Request, what: str, symbol: str | None) -> Response:
        """The newest of each symbol, or of the one in the path."""
        check_feed_and_currency(request)
        show = {"bars": self._latest_bar, "quotes": self._latest_quote, "trades": self._latest_trade}[what]
        shown = {one.label: told for one in self._series(request, symbol, "") if (told := show(one)) is not None}
        if symbol is None:
            return json_response(200, {what: shown})
        if symbol not in shown:
            raise refusals.Refusal(404, None, f"no {_LATEST[what]} found for {symbol}")
        return json_response(200, {_LATEST[what]: shown[symbol], "symbol": symbol})

    def _latest_bar(self, one: Series) -> Json | None:
        bar = latest_minute(self._tape, one, self._exchange.now)
        shown = [] if bar is None else self._faults.bars(one.label, 1, [bar])
        return bar_json(shown[-1]) if shown else None

    def _latest_quote(self, one: Series) -> Json | None:
        quote = self._tape.latest_quote(one, self._exchange.now)
        return None if quote is None else quote_json(self._faults.quote(one.label, quote), tape_of(one.asset))

    def _latest_trade(self, one: Series) -> Json | None:
        trade = self._tape.latest_trade(one, self._exchange.now)
        return None if trade is None else trade_json(self._faults.trade(one.label, trade), tape_of(one.asset))

    def _snapshots(self, request: Request) -> Response:
        check_feed_and_currency(request)
        return json_response(200, {one.label: self._snapshot_of(one) for one in self._series(request, None, "")})

    def _snapshot(self, request: Request, symbol: str) -> Response:
        check_feed_and_currency(request)
        found = self._series(request, symbol, "")
        if not found:
            raise refusals.Refusal(404, None, f"no snapshot found for {symbol}")
        return json_response(200, {"symbol": symbol, **self._snapshot_of(found[0])})

    def _snapshot_of(self, one: Series) -> Json:
        tape, now = self._tape, self._exchange.now
        trade, quote, minute = tape.latest_trade(one, now), tape.latest_quote(one, now), latest_minute(tape, one, now)
        days = [self._faults.bars(one.label, 1440, [bar]) for bar in latest_days(tape, one, now)]
        minutes = [] if minute is None else self._faults.bars(one.label, 1, [minute])
        return snapshot_json(
            one.asset,
            None if trade is None else self._faults.trade(one.label, trade),
            None if quote is None else self._faults.quote(one.label, quote),
            minutes[-1] if minutes else None,
            [shown[-1] for shown in days if shown],
        )

    # -- what is asked for --------------------------------------------------------------------

    @property
    def _tape(self) -> Tape:
        return Tape(self._exchange.market, self._exchange.halts)

    def _series(self, request: Request, symbol: str | None, asof: str) -> tuple[Series, ...]:
        symbols = symbols_in(request.parameters.get("symbols", "") if symbol is None else symbol)
        today = self._exchange.now.astimezone(NEW_YORK).date()
        return series_of(symbols, self._exchange.catalogue, self._exchange.market.actions, asof, today)


def _auctions_json(day: _Auctions) -> Json:
    return {
        "d": day.session.day.isoformat(),
        "o": [] if day.opening is None else auction_json(day.opening, ("O", "Q")),
        "c": [] if day.closing is None else auction_json(day.closing, ("6", "M")),
    }


def _conditions(request: Request, kind: str) -> Response:
    if kind not in CONDITIONS:
        raise refusals.bad_data_parameter("invalid ticktype: must be trade or quote")
    if request.parameters.get("tape", "") not in _TAPES:
        raise refusals.bad_data_parameter("invalid tape: must be A, B, C or O")
    return json_response(200, CONDITIONS[kind])
