"""When the bot's books are compared with the broker's, and what follows from it: corrections, halting, resuming.

The comparison itself is a function (reconcile.py). The broker wins; what differs is journaled with both sides.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from tradingbot_api import ReconciliationReport
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.corporate_actions import CorporateActions
from tradingbot_runtime.core.desk import Desk
from tradingbot_runtime.core.reconcile import (
    Difference,
    OrderFindings,
    PositionDifference,
    order_findings,
    position_differences,
)
from tradingbot_runtime.core.report import reconciliation_report
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import BrokerSnapshot, Now

ORDERS_CHECK_EVERY: Final = timedelta(minutes=2)
"""Market time between two reconciliations (design: orders every 2 min, positions every 5; one snapshot does both)."""
CLOSED_MARKET_CHECK_EVERY: Final = timedelta(seconds=60)
"""Machine time between two reconciliations, so that neither a closed market nor a fast clock sets the pace alone."""
ACTIVITIES_CHECK_EVERY: Final = timedelta(minutes=30)
"""Market time between two looks at what happened without an order."""
RECONCILE_AT_MOST_EVERY: Final = timedelta(seconds=2)
CHANGES_TO_CALL_IT_A_MISMATCH: Final = 5
SAME_LINE_AGAIN_AFTER: Final = timedelta(minutes=10)
CHECKPOINT: Final = "reconciliation"
UNCLEAN_RUNS_TO_HALT: Final = 3
CLEAN_RUNS_TO_RESUME: Final = 2
MOST_SYMBOLS_ASKED_FOR: Final = 50
"""They are a part of an address, which has an end."""


class Reconciliation:
    """Keeps the books equal to the broker's."""

    def __init__(
        self,
        situation: Situation,
        books: Books,
        desk: Desk,
        corporate: CorporateActions,
        checkpoint: str | None = None,
    ) -> None:
        """`checkpoint` is the document of that name on the volume: a halt outlives a restart."""
        data = json.loads(checkpoint) if checkpoint else {}
        situation.halted_by_reconciliation = data.get("halted", False)
        self._last_accepted = data.get("accepted", "")
        self._known = situation
        self._books = books
        self._desk = desk
        self._corporate = corporate
        self._symbols = frozenset(situation.config.symbols)
        self._under_way = False
        self._was_answered = False
        """Whether the last question was; the first one is about all symbols."""
        self._asked_at: datetime | None = None
        self._answered_at: datetime | None = None
        self.last_took = timedelta(0)
        """How long the last answer took (machine time)."""
        self._asked_at_market: datetime | None = None
        self._activities_asked_at: datetime | None = None  # market time
        self._suspected: tuple[object, ...] = ()  # differences seen once: only what is seen twice is one
        self._suspected_moves: tuple[int, ...] = ()  # how often their holdings had changed by then
        self._suspected_at: datetime | None = None  # machine time of that comparison
        self._changes = 0
        self._accepted: str | None = None
        self._last_line: tuple[str, tuple[str, ...], bool] | None = None
        self._journaled_at: datetime | None = None
        self._journaled_at_market: datetime | None = None
        self._unclean_runs = 0
        self._clean_runs = 0
        self.last: ReconciliationReport | None = None

    # ------------------------------------------------------------------ when

    def when_due(self, now: Now) -> list[do.Command]:
        """Asks for a snapshot when it is time for one."""
        return self.ask("scheduled", now) if self._is_due(now) else []

    def ask(self, reason: str, now: Now, *, force: bool = False) -> list[do.Command]:
        """Asks for a snapshot, unless one is under way already."""
        if self._under_way and not force:
            return []
        self._under_way = True
        self._known.counters["operations", "snapshot"] += 1
        self._asked_at = now.machine
        self._asked_at_market = self._known.market
        activities_since = self._corporate.ask_since() if self._wants_activities() else None
        prefix, since = self._books.prefix, self._books.oldest_of_interest()
        urgent = self._known.is_closing
        symbols = self._symbols_asked_for() if urgent and self._was_answered else ()
        return [do.TakeSnapshot(reason, prefix, since, activities_since, urgent=urgent, symbols=symbols)]

    def _symbols_asked_for(self) -> tuple[str, ...]:
        """Whose ended orders a kill reads: the bot's own. What is open is listed whatever its symbol, and what ended
        otherwise is asked for by its id; without this, fifty bots that are killed at once each read everybody's orders.

        Not before the books of this process were compared with all that the broker has, for an order of a symbol that
        left the config may not be in them; nor after a failure, which may be about one of the symbols.
        """
        symbols = self._symbols | {order.symbol for order in self._books.orders.values() if not order.is_terminal}
        return tuple(sorted(symbols)) if len(symbols) <= MOST_SYMBOLS_ASKED_FOR else ()

    def _wants_activities(self) -> bool:
        """To explain a difference, and now and then for dividends; a kill waits for neither."""
        market = self._known.market
        if self._known.is_closing or market is None:
            return False
        if not self._suspected and _elapsed(self._activities_asked_at, market) < ACTIVITIES_CHECK_EVERY:
            return False
        self._activities_asked_at = market
        return True

    def _answered(self, now: Now) -> None:
        self._under_way = False
        self._answered_at = now.machine
        if self._asked_at is not None:
            self.last_took = now.machine - self._asked_at

    def since_asked(self, now: Now) -> timedelta:
        """Machine time since a snapshot was last asked for."""
        return _elapsed(self._asked_at, now.machine)

    def since_answered(self, now: Now) -> timedelta:
        """Machine time since the last answer, or failure to get one."""
        return _elapsed(self._answered_at, now.machine)

    def _is_due(self, now: Now) -> bool:
        waited = self.since_asked(now)
        if not self._known.stream_connected or waited < RECONCILE_AT_MOST_EVERY:
            return False
        if not self._known.books_current or self._suspected or waited >= CLOSED_MARKET_CHECK_EVERY:
            return True
        market = self._known.market
        return (
            market is not None
            and self._known.market_is_open
            and _elapsed(self._asked_at_market, market) >= ORDERS_CHECK_EVERY
        )

    # ------------------------------------------------------------------ what came of it

    def on_failed(self, reason: str, now: Now) -> list[do.Command]:
        """The broker's books could not be read: counts as unclean."""
        self._answered(now)
        self._was_answered = False
        self._known.broker_connected = False
        self._known.counters["operational_errors", "snapshot"] += 1
        commands = self._conclude("Failed", (Difference("fetch_failed", "broker", "", reason),), now)
        return [*commands, do.Notice("warning", "reconciliation_failed", reason)]

    def on_snapshot(self, snapshot: BrokerSnapshot, asked_at: datetime | None, now: Now) -> list[do.Command]:
        """Applies what the broker says of each order, then compares orders and positions.

        `asked_at`: machine time at which the reading began; None: nobody knows.
        """
        self._answered(now)
        self._was_answered = True
        commands: list[do.Command] = []
        for word in snapshot.orders:
            commands += self._desk.broker_says(word, now, "snapshot")
        findings = order_findings(self._books.orders, snapshot, self._symbols, self._books.is_ours)
        self._known.strangers = findings.strangers_sides
        for order_id in findings.to_ask:
            commands += self._desk.doubt.ask(order_id, now)
        commands += self._desk.doubt.about_recovered(now)
        for stranger in findings.strangers:
            self._known.counters["reconciliation", stranger.kind] += 1
        return commands + self._compare(findings, snapshot, asked_at, now)

    def on_accepted(self, request: str, now: Now) -> list[do.Command]:
        """A person says that the account is right as it is: the next comparison takes it over, differences and all."""
        if request == self._last_accepted:
            return []  # an annotation stays where it is: it is carried out once, not at every start
        self._accepted = self._last_accepted = request
        return [
            do.Journal("positions_accepted", {"request": request}, (self._checkpoint(),)),
            do.Notice("warning", "positions_accepted", request),
            *self.ask("positions accepted", now, force=True),
        ]

    def _compare(
        self, findings: OrderFindings, snapshot: BrokerSnapshot, asked_at: datetime | None, now: Now
    ) -> list[do.Command]:
        gap = position_differences(self._books.portfolio, snapshot.positions, self._symbols)
        explained, gap = self._corporate.explain(gap, snapshot.activities, now)
        self._known.differing = frozenset(difference.symbol for difference in gap)
        missing = tuple(
            Difference("missing_from_broker", order_id, words, "unknown")
            for order_id, words in sorted(self._known.missing_orders.items())
        )
        suspected = (*findings.differences, *missing, *gap)
        confirmed = self._is_seen_again(suspected, gap, asked_at, now)
        if self._accepted is not None:
            return explained + self._take_over(gap, now)
        if confirmed:
            return explained + self._differ(findings, missing, gap, now)
        if not suspected and not self._books.unanswered():
            return explained + self._conclude("Clean", (), now)
        return explained + self._changing_too_long(suspected, now)

    def _is_seen_again(
        self, suspected: tuple[object, ...], gap: tuple[PositionDifference, ...], asked_at: datetime | None, now: Now
    ) -> bool:
        """Whether the last comparison found the very same. Trade updates may fall between the reading of orders and of
        positions, and an answer may be older than an update that came before it: a second look counts only if it was
        begun after the first comparison, and no share of the symbols has moved in between.
        """
        moves = tuple(self._books.moves_of(difference.symbol) for difference in gap)
        is_later = asked_at is None or self._suspected_at is None or asked_at >= self._suspected_at
        confirmed = suspected != () and is_later and (suspected, moves) == (self._suspected, self._suspected_moves)
        self._suspected, self._suspected_moves, self._suspected_at = suspected, moves, now.machine
        return confirmed

    def _differ(
        self,
        findings: OrderFindings,
        missing: tuple[Difference, ...],
        gap: tuple[PositionDifference, ...],
        now: Now,
    ) -> list[do.Command]:
        """Something was seen twice: what can be put right without taking what is not ours is, all of it is named."""
        commands: list[do.Command] = []
        for word in findings.open_there:
            commands += self._desk.reopen(self._books.orders[word.client_order_id], word, now)
        # Less than we think is a fact: we cannot sell what is not there. More is somebody else's until a person
        # says otherwise: selling it would be selling the owner's shares.
        commands += [self._corrected(difference, now) for difference in gap if not difference.is_excess]
        if findings.open_there or any(not difference.is_excess for difference in gap):
            self._suspected = ()  # what was put right has to be seen again before it counts again
        described = (*findings.differences, *missing, *(difference.described() for difference in gap))
        return commands + self._conclude("Mismatch", described, now)

    def _changing_too_long(self, suspected: Sequence[object], now: Now) -> list[do.Command]:
        """Differences that are others every time are differences, too."""
        self._changes = self._changes + 1 if suspected else 0
        if self._changes < CHANGES_TO_CALL_IT_A_MISMATCH:
            return []
        self._changes = 0
        named = tuple(
            one.described() if isinstance(one, PositionDifference) else Difference("changing", str(one), "", "")
            for one in suspected
        )
        return self._conclude("Mismatch", named, now)

    def _take_over(self, gap: Sequence[PositionDifference], now: Now) -> list[do.Command]:
        self._accepted, self._suspected = None, ()
        self._known.halted_by_reconciliation, self._unclean_runs = False, 0
        commands: list[do.Command] = [self._corrected(difference, now) for difference in gap]
        for order_id in list(self._known.missing_orders):
            commands.append(self._books.give_up(order_id))
            del self._known.missing_orders[order_id]
        self._known.differing = frozenset()
        return commands + self._conclude("Clean", (), now)

    def _corrected(self, difference: PositionDifference, now: Now) -> do.Journal:
        price = self._known.prices.get(difference.symbol)
        return self._books.correct(difference, price, now.market or now.machine)

    def _conclude(self, result: str, differences: tuple[Difference, ...], now: Now) -> list[do.Command]:
        self._known.counters["reconciliation", result.lower()] += 1
        clean = result == "Clean"
        self._changes = 0 if clean else self._changes
        self._clean_runs = self._clean_runs + 1 if clean else 0
        self._unclean_runs = 0 if clean else self._unclean_runs + 1
        halted = self._known.halted_by_reconciliation
        if self._unclean_runs >= UNCLEAN_RUNS_TO_HALT:
            self._known.halted_by_reconciliation = True
        if self._clean_runs >= CLEAN_RUNS_TO_RESUME:
            self._known.halted_by_reconciliation = False
        if result != "Failed":
            self._known.books_current = True
            self._books.are_complete(now.market)
        self._known.difference = "; ".join(str(one) for one in differences)
        self.last = reconciliation_report(result, differences, now.machine)
        return self._journaled(result, halted, now)

    def _journaled(self, result: str, halted: bool, now: Now) -> list[do.Command]:
        """A line for each run that says something new, and for every one of an open market; a broker that is away for
        hours says nothing new."""
        assert self.last is not None  # noqa: S101  (_conclude has just set it)
        line = (result, tuple(self.last.differences), self._known.halted_by_reconciliation)
        market = self._known.market if self._known.market_is_open else None
        is_due = market is not None and _elapsed(self._journaled_at_market, market) >= ORDERS_CHECK_EVERY
        is_old = line == self._last_line and _elapsed(self._journaled_at, now.machine) < SAME_LINE_AGAIN_AFTER
        if is_old and not is_due and halted == self._known.halted_by_reconciliation:
            return []
        self._last_line, self._journaled_at, self._journaled_at_market = line, now.machine, market
        holdings = {symbol: str(one.qty) for symbol, one in sorted(self._books.portfolio.holdings.items())}
        detail = {
            "result": result,
            "differences": json.dumps(self.last.differences),
            "holdings": json.dumps(holdings),
            "open_orders": str(self._books.open_count()),
        }
        return [do.Journal("reconciliation", detail, (self._checkpoint(),))]

    def _checkpoint(self) -> do.PutCheckpoint:
        document = {"halted": self._known.halted_by_reconciliation, "accepted": self._last_accepted}
        return do.PutCheckpoint(CHECKPOINT, json.dumps(document, sort_keys=True))


def _elapsed(since: datetime | None, until: datetime) -> timedelta:
    return timedelta.max if since is None else until - since
