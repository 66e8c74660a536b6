"""What a healthy bot keeps to, as a table: each objective with its threshold and what breaks it.

Judges and remembers nothing: whoever asks opens and resolves the incidents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.values import Now


@dataclass(frozen=True)
class Breach:
    """An objective that is not kept now: what was measured, and what was allowed."""

    name: str
    severity: str
    message: str
    value: float
    threshold: float
    runbook: str
    """Page of the runbook, below docs/runbooks."""


@dataclass(frozen=True)
class Outages:
    """Since when what is lost is lost, in machine time; None while it is there."""

    broker: datetime | None = None
    stream: datetime | None = None
    strategy: datetime | None = None
    answers: datetime | None = None
    """There has been an order without an answer ever since."""

    def after(self, known: Situation, books: Books, now: Now) -> "Outages":
        """The outages as of now."""
        return Outages(
            broker=_since(self.broker, not known.broker_connected, now),
            stream=_since(self.stream, not known.stream_connected, now),
            strategy=_since(self.strategy, known.strategy_error is not None, now),
            answers=_since(self.answers, bool(books.unanswered()), now),
        )


@dataclass(frozen=True)
class Measured:
    """All that the objectives look at."""

    known: Situation
    books: Books
    outages: Outages
    dead_letters: int
    now: Now
    broken_before: frozenset[str] = frozenset()
    """Names of the objectives that were broken when last looked at, be it by an earlier process."""


Measure = Callable[[Measured], float]


@dataclass(frozen=True)
class Objective:
    """Kept while the measure is at most the threshold; once broken, until it is at most `clears_at`."""

    name: str
    severity: str
    threshold: float
    measure: Measure
    message: str
    clears_at: float = 0.0

    def breach(self, measured: Measured) -> Breach | None:
        """How it is broken now, or None."""
        value = self.measure(measured)
        if value <= (self.clears_at if self.name in measured.broken_before else self.threshold):
            return None
        words = self.message.format(value=value, threshold=self.threshold)
        return Breach(self.name, self.severity, words, value, self.threshold, f"{self.name}.md")


def breaches(measured: Measured) -> tuple[Breach, ...]:
    """Every objective that is broken now, in the table's order."""
    found = (objective.breach(measured) for objective in OBJECTIVES)
    return tuple(breach for breach in found if breach is not None)


def _since(before: datetime | None, lost: bool, now: Now) -> datetime | None:
    return (before or now.machine) if lost else None


def _seconds(since: datetime | None, now: Now) -> float:
    # Just lost is already more than there: an incident that was open does not end in its first moment.
    return 0.0 if since is None else max((now.machine - since) / timedelta(seconds=1), 0.001)


def _flag(holds: object) -> float:
    return 1.0 if holds else 0.0


OBJECTIVES: Final = (
    Objective(
        "broker_unreachable",
        "error",
        60.0,
        lambda one: _seconds(one.outages.broker, one.now),
        "the broker has not answered for {value:.0f} s; {threshold:.0f} s are allowed",
    ),
    Objective(
        "trade_updates_lost",
        "error",
        60.0,
        lambda one: _seconds(one.outages.stream, one.now),
        "no trade updates for {value:.0f} s; {threshold:.0f} s are allowed",
    ),
    Objective(
        "order_in_doubt",
        "critical",
        60.0,
        lambda one: _seconds(one.outages.answers, one.now),
        "the broker has not answered about an order for {value:.0f} s; {threshold:.0f} s are allowed",
    ),
    Objective(
        "reconciliation_failed",
        "critical",
        0.0,
        lambda one: _flag(one.known.halted_by_reconciliation),
        "the books differ from the broker's three times in a row: nothing is sent until they agree twice",
    ),
    Objective(
        "data_untrusted",
        "error",
        0.0,
        lambda one: _flag(one.known.data_failure),
        "too many symbols have data that cannot be trusted: nothing is sent until one good cycle",
    ),
    Objective(
        "breaker_tripped",
        "critical",
        0.0,
        lambda one: _flag(one.known.risk.tripped),
        "the circuit breaker is open: only exits are sent",
    ),
    Objective(
        "strategy_failing",
        "error",
        0.0,
        lambda one: _flag(one.outages.strategy),
        "the strategy raises an error: nothing is traded until it answers again",
    ),
    Objective(
        "control_plane_lost",
        "critical",
        0.0,
        lambda one: _flag(one.known.control_plane_lost),
        "the bot's own TradingBot cannot be read: a kill could not be seen",
    ),
    Objective(
        "killed",
        "critical",
        0.0,
        lambda one: _flag(one.known.kill),
        "a kill is in force",
    ),
    Objective(
        "grant_withdrawn",
        "error",
        0.0,
        lambda one: _flag(one.known.withdrawal),
        "the bot may no longer trade live: it opens nothing, and leaves as onDelete says",
    ),
    Objective(
        "dead_letters",
        "warning",
        9.0,
        lambda one: float(one.dead_letters),
        "{value:.0f} notices could not be delivered; {threshold:.0f} are allowed",
        clears_at=9.0,
    ),
    Objective(
        "dead_letters_critical",
        "critical",
        24.0,
        lambda one: float(one.dead_letters),
        "{value:.0f} notices could not be delivered; {threshold:.0f} are allowed",
        clears_at=24.0,
    ),
)
