"""What a bot is and does, on one page, and all bots in one table. Pure: a view of objects that were read before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from kubectl_tradingbot.bots import Bot
from kubectl_tradingbot.evidence_view import Piece, sessions_table
from kubectl_tradingbot.gate_view import checklist_table, score
from kubectl_tradingbot.kubectl import Raw
from kubectl_tradingbot.terminal import age, heading, moment, nothing, pairs, state, table, words
from tradingbot_api import CheckState, TradingBotStatus

MOST_SESSIONS: Final = 5
MOST_EVENTS: Final = 10
_DIGEST_SHOWN: Final = 16


@dataclass(frozen=True)
class Seen:
    """A bot and what was read beside it; `no_...` says why that part could not be read."""

    bot: Bot
    sessions: tuple[Piece, ...] = ()
    events: tuple[Raw, ...] = ()
    no_sessions: str = ""
    no_events: str = ""


def bots_table(bots: Sequence[Bot], *, now: datetime, wide: bool, namespaces: bool) -> RenderableType:
    """A line for each bot."""
    if not bots:
        return nothing("There are no bots here. Look everywhere: kubectl tradingbot status -A")
    first = ["NAMESPACE"] if namespaces else []
    short = ["NAME", "ASKS", "IS", "STATE", "READY", "VERDICT", "SESSIONS", "KILLED"]
    more = ["GATE", "SCORE", "OPEN ORDERS", "POSITIONS", "EQUITY", "DAY P&L", "READ", "MESSAGE"] if wide else []
    right = ("SESSIONS", "SCORE", "OPEN ORDERS", "POSITIONS", "EQUITY", "DAY P&L")
    lines = table(*first, *short, "AGE", *more, right=right, unbroken=(*first, *short, "AGE", "GATE"))
    for bot in bots:
        status, said = bot.status, bot.promotion
        ready = bot.condition("Ready")
        row: list[RenderableType] = [words(bot.namespace)] if namespaces else []
        row += [
            words(bot.name),
            words(bot.requested),
            state(status.effective_mode.value if status.effective_mode else "-"),
            state(status.trading_state.value if status.trading_state else "-"),
            state(ready.status if ready is None or ready.status == "True" else ready.reason) if ready else words("-"),
            state(said.verdict.value if said is not None else "-"),
            f"{said.sessions}/{said.required_sessions}" if said is not None else "-",
            _killed_word(bot),
            age(now, str(bot.metadata.get("creationTimestamp", ""))),
        ]
        if wide:
            row += [
                words(bot.gate or "-"),
                score(said.score) if said is not None else "-",
                "-" if status.open_orders is None else str(status.open_orders),
                str(len(status.positions)),
                f"{status.account.equity:f}" if status.account else "-",
                f"{status.account.day_pnl:f}" if status.account else "-",
                words(age(now, status.reported_at) or "-"),
                words(ready.message if ready is not None else ""),
            ]
        lines.add_row(*row)
    return lines


def _killed_word(bot: Bot) -> Text:
    said = bot.condition("Killed")
    if said is not None and said.status == "True":
        return Text(said.reason, style="red")
    return Text("asked for", style="red") if bot.kill_asked is not None else Text("-")


def status_view(seen: Seen, *, now: datetime, wide: bool = False) -> Group:
    """A summary, then each part; what is empty says so."""
    bot, status = seen.bot, seen.bot.status
    parts: list[RenderableType] = [pairs(_summary(bot, status, now))]
    parts += [heading("Kill"), _kill(bot)]
    parts += [heading("Checklist"), _checklist(status, wide=wide)]
    parts += [heading("Positions"), _positions(status)]
    parts += [heading(_orders_title(status)), _orders(status)]
    parts += [heading("Sessions (the last ones)"), _sessions(seen)]
    parts += [heading("Conditions"), _conditions(bot, now)]
    parts += [heading("Events (the last ones)"), _events(seen, now)]
    return Group(*parts)


def _summary(bot: Bot, status: TradingBotStatus, now: datetime) -> list[tuple[str, RenderableType]]:
    spec, said = bot.spec, status.promotion
    rows: list[tuple[str, RenderableType]] = [
        ("Bot", words(f"{bot.namespace}/{bot.name}", style="bold")),
        ("Mode", Text.assemble(_mode(status), f" (spec asks for {bot.requested})")),
        ("State", state(status.trading_state.value if status.trading_state else "not reported yet")),
        ("Ready", _one_condition(bot, "Ready")),
    ]
    strategy = spec.get("strategy", {})
    rows += [
        (
            "Strategy",
            words(f"{strategy.get('name', '?')} {strategy.get('parameters') or ''} on {spec.get('timeframe')}"),
        ),
        ("Symbols", words(" ".join(spec.get("symbols", [])))),
        ("Capital", words(spec.get("capital", ""))),
        ("Accounts", words(", ".join(f"{mode} {name}" for mode, name in bot.accounts.items()))),
        ("On kill", words(spec.get("onKill", "CancelOrders"))),
        ("Image", words(status.image or "not known yet")),
    ]
    if bot.pause_asked is not None or spec.get("paused"):
        rows.append(("Paused", _one_condition(bot, "Paused")))
    if said is not None:
        sessions = f"{said.sessions} of {said.required_sessions} sessions"
        verdict = Text.assemble(state(said.verdict.value), f" at {score(said.score)}, {sessions}, gate {said.gate}")
        rows.append(("Verdict", verdict))
        rows.append(("Subject", words(f"{said.subject.digest[:_DIGEST_SHOWN]}... since {said.subject.since}")))
    else:
        rows.append(("Verdict", words("no gate" if not bot.gate else f"not judged by gate {bot.gate} yet")))
    if bot.requested == "live":
        rows.append(("Live", _one_condition(bot, "LiveAuthorized")))
    if status.grant is not None:
        people = ", ".join(one.approver for one in status.grant.approvals)
        rows.append(("Grant", words(f"{status.grant.epoch}, stage {status.grant.stage}, approved by {people}")))
    if status.demotion is not None:
        rows.append(("Demoted", words(f"{status.demotion.reason} at {status.demotion.at}: {status.demotion.message}")))
    if status.account is not None:
        figures = status.account
        money = f"{figures.equity:f}, cash {figures.cash:f}, today {figures.day_pnl:f}"
        rows.append(("Equity", words(money)))
    last = status.last_reconciliation
    if last is not None:
        rows.append(("Books", Text.assemble(state(last.result), f" {last.at} ", words("; ".join(last.differences)))))
    read = f"{age(now, status.reported_at)} ago" if status.reported_at else "never: the bot has not answered yet"
    rows.append(("Last read", words(read)))
    return rows


def _mode(status: TradingBotStatus) -> Text:
    return state(status.effective_mode.value if status.effective_mode else "not known yet")


def _one_condition(bot: Bot, kind: str) -> Text:
    said = bot.condition(kind)
    if said is None:
        return Text("not known yet", style="yellow")
    return Text.assemble(state(said.status), words(f" {said.reason}{': ' if said.message else ''}{said.message}"))


def _kill(bot: Bot) -> RenderableType:
    if not bot.is_killed:
        return nothing("No kill is asked for or in force.")
    said, kill = bot.condition("Killed"), bot.kill
    rows: list[tuple[str, RenderableType]] = []
    if bot.kill_asked is not None:
        rows.append(("Annotation", words(bot.kill_asked or "(without a reason)", style="red")))
    if kill is not None:
        epoch = f", epoch {bot.kill_epoch}" if bot.kill_epoch is not None else ""
        rows += [
            ("Reason", words(f"{kill.reason or '(none given)'} (on {kill.scope}{epoch})")),
            ("Seen", words(kill.observed_at)),
            ("Orders cancelled", words(kill.orders_cancelled_at or f"not confirmed; open: {_count(kill.open_orders)}")),
            ("Positions closed", words(kill.flat_at or f"not confirmed; held: {_count(kill.open_positions)}")),
        ]
    if said is not None:
        rows.append(("State", words(f"{said.reason}: {said.message}")))
    return pairs(rows)


def _count(number: int | None) -> str:
    return "not known" if number is None else str(number)


def _checklist(status: TradingBotStatus, *, wide: bool) -> RenderableType:
    said = status.promotion
    if said is None:
        return nothing("No gate has judged it.")
    entries = [one for one in said.checklist if wide or one.state is not CheckState.NOT_APPLICABLE]
    if not entries:
        return nothing("The gate has no checks that apply.")
    left_out = len(said.checklist) - len(entries)
    lines = checklist_table(entries, wide=wide)
    return Group(lines, nothing(f"{left_out} more do not apply (-o wide)")) if left_out else lines


def _positions(status: TradingBotStatus) -> RenderableType:
    if not status.positions:
        return nothing("It holds nothing.")
    right = ("QTY", "PAID", "WORTH", "GAIN")
    lines = table("SYMBOL", *right, right=right)
    for one in status.positions:
        gain = "" if one.market_value is None else f"{one.market_value - one.qty * one.average_entry_price:.2f}"
        worth = "" if one.market_value is None else f"{one.market_value:f}"
        lines.add_row(words(one.symbol), f"{one.qty:f}", f"{one.average_entry_price:f}", worth, gain)
    return lines


def _orders_title(status: TradingBotStatus) -> str:
    if status.open_orders is None:
        return "Orders (the last ones)"
    return (
        f"Orders (the last ones; {status.open_orders} open, {status.filled_orders or 0} filled since its state began)"
    )


def _orders(status: TradingBotStatus) -> RenderableType:
    if not status.recent_orders:
        return nothing("It has sent none.")
    right = ("QTY", "LIMIT", "FILLED", "AT")
    lines = table("ORDER", "SYMBOL", "SIDE", "TYPE", *right, "STATUS", "DECIDED", right=right, unbroken=("ORDER",))
    for one in status.recent_orders:
        lines.add_row(
            words(one.client_order_id),
            words(one.symbol),
            words(one.side),
            words(one.type),
            f"{one.qty:f}",
            f"{one.limit_price:f}" if one.limit_price is not None else "",
            f"{one.filled_qty:f}",
            f"{one.filled_average_price:f}" if one.filled_average_price is not None else "",
            state(one.status),
            words(one.created_at),
        )
    return lines


def _sessions(seen: Seen) -> RenderableType:
    if seen.no_sessions:
        return nothing(f"Not shown: {seen.no_sessions}")
    return sessions_table(seen.sessions[:MOST_SESSIONS])


def _conditions(bot: Bot, now: datetime) -> RenderableType:
    if not bot.conditions:
        return nothing("None yet: the operator has not seen it. Does it run?")
    lines = table("TYPE", "STATUS", "REASON", "FOR", "MESSAGE", unbroken=("TYPE", "REASON"))
    for said in bot.conditions:
        lines.add_row(
            words(said.type), words(said.status), words(said.reason), age(now, said.since), words(said.message)
        )
    return lines


def _events(seen: Seen, now: datetime) -> RenderableType:
    if seen.no_events:
        return nothing(f"Not shown: {seen.no_events}")
    if not seen.events:
        return nothing("None. The API server keeps them for an hour.")
    lines = table("AGO", "TYPE", "REASON", "MESSAGE", unbroken=("AGO", "REASON"))
    for event in sorted(seen.events, key=event_time, reverse=True)[:MOST_EVENTS]:
        said = (state(event.get("type", "")), words(event.get("reason", "")), words(event.get("message", "")))
        lines.add_row(age(now, event_time(event)), *said)
    return lines


def event_time(event: Raw) -> str:
    """When a core Event last happened; whichever of its four times is there."""
    series = event.get("series") or {}
    made = event.get("metadata", {}).get("creationTimestamp")
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), made)
    return next((str(time) for time in times if time and moment(str(time)) is not None), "")
