"""The page on a bot: what it says, what it says of what is empty, and that no text of the cluster plays tricks."""

import pytest
from rich.console import Console

from kubectl_tradingbot.errors import RefusedError
from kubectl_tradingbot.evidence_view import pieces_of
from kubectl_tradingbot.status_view import Seen, bots_table, event_time, status_view
from kubectl_tradingbot.terminal import age, confirm, plain, print_whole
from unit.plugin.sample import (
    NOW,
    STAMP,
    a_bot,
    a_check,
    a_condition,
    a_promotion,
    a_session,
    a_status,
    judged,
    killed,
    text_of,
)

POSITION = {"symbol": "AAPL", "qty": "10", "average_entry_price": "150", "market_value": "1550"}
ORDER = {
    "client_order_id": "tb-1",
    "symbol": "AAPL",
    "side": "buy",
    "type": "limit",
    "qty": "10",
    "limit_price": "151.5",
    "filled_qty": "4",
    "status": "partially_filled",
    "created_at": STAMP,
}


def page(bot: object, **parts: object) -> str:
    return text_of(status_view(Seen(bot, **parts), now=NOW))  # type: ignore[arg-type]


def test_a_bot_that_nobody_has_seen_yet_says_so_in_every_part() -> None:
    shown = page(a_bot())
    for part in (
        "No kill is asked for or in force.",
        "No gate has judged it.",
        "It holds nothing.",
        "It has sent none.",
        "No session is closed and audited yet.",
        "None yet: the operator has not seen it. Does it run?",
        "None. The API server keeps them for an hour.",
        "never: the bot has not answered yet",
    ):
        assert part in shown


def test_a_bot_at_work_is_on_one_page() -> None:
    status = a_status(
        effective_mode="paper",
        trading_state="Active",
        account={"equity": "10100.50", "cash": "5000", "day_pnl": "-3"},
        positions=[POSITION],
        recent_orders=[ORDER],
        open_orders=1,
        filled_orders=7,
        last_reconciliation={"at": STAMP, "result": "Mismatch", "differences": ["AAPL: 10 here, 9 there"]},
        reported_at="2026-11-21T11:59:30Z",
        conditions=[a_condition("Ready", "True", "Trading")],
        promotion=a_promotion("NO-GO", a_check("PaperTrades"), a_check("FillRate", "NotApplicable"), score=9_550),
    )
    bot = a_bot(status=status, gateRef={"name": "standard"})
    event = {"type": "Warning", "reason": "BreakerOpen", "message": "too many errors", "eventTime": STAMP}
    shown = page(bot, sessions=tuple(pieces_of(bot, [a_session()])), events=(event,))
    for part in (
        "10100.50, cash 5000, today -3",
        "AAPL     10   150   1550  50.00",
        "partially_filled",
        "1 open, 7 filled",
        "AAPL: 10 here, 9 there",
        "30s ago",
        "NO-GO at 95.5 %, 30 of 30 sessions, gate standard",
        "1 more do not apply",
        "2026-11-20  paper  Match",
        "9 clean, 1 mismatch",
        "BreakerOpen  too many errors",
    ):
        assert part in shown, part


def test_what_could_not_be_read_says_why() -> None:
    shown = page(a_bot(), no_events="eve may not list events", no_sessions="eve may not list evidence")
    assert "Not shown: eve may not list events" in shown
    assert "Not shown: eve may not list evidence" in shown


def test_a_kill_shows_what_is_confirmed_and_what_is_not() -> None:
    shown = page(killed(orders_cancelled_at=STAMP, open_positions=2))
    assert "fat finger (on TradingBot, epoch 3)" in shown
    assert "Positions closed:  not confirmed; held: 2" in shown


def test_the_table_of_bots_has_a_line_for_each_and_wide_has_more() -> None:
    bots = [judged("GO", a_check("PaperTrades")), killed(), a_bot("new")]
    narrow = text_of(bots_table(bots, now=NOW, wide=False, namespaces=True))
    assert [line.split()[:2] for line in narrow.splitlines()[1:]] == [["demo", "momentum"]] * 2 + [["demo", "new"]]
    assert "30/30" in narrow
    assert "KillRequested" in narrow
    assert "SCORE" not in narrow
    assert "100 %" in text_of(bots_table(bots, now=NOW, wide=True, namespaces=False))
    assert "There are no bots here" in text_of(bots_table([], now=NOW, wide=False, namespaces=False))


def test_the_table_of_bots_loses_nothing_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_whole(bots_table([killed()], now=NOW, wide=True, namespaces=True))
    head, line = capsys.readouterr().out.splitlines()
    assert "MESSAGE" in head
    assert line.split()[:3] == ["demo", "momentum", "paper"]
    assert "KillRequested" in line


def test_a_status_of_a_newer_operator_is_an_error_that_says_so() -> None:
    with pytest.raises(RefusedError, match=r"effectiveMode .*newer release than this plugin"):
        page(a_bot(status={"effectiveMode": "sideways"}))
    assert page(a_bot(status={"somethingNew": 1}))


def test_no_text_of_the_cluster_moves_the_cursor_colours_anything_or_turns_its_direction() -> None:
    nasty = "ok\x1b[2J\x1b[31m\u202egnihton\r\nand [red]markup[/red]"
    bot = killed(annotation=nasty)
    for width in (60, 220):
        shown = text_of(status_view(Seen(bot), now=NOW), width)
        assert not {"\x1b", "\r", "\u202e"} & set(shown)
        assert "[red]" in shown
    assert plain("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        ("2026-11-21T11:59:01Z", "59s"),
        ("2026-11-21T11:30:00Z", "30m"),
        ("2026-11-20T12:00:00Z", "24h"),
        ("2026-11-01T12:00:00Z", "20d"),
        ("2026-11-21T12:00:05Z", "0s"),
        ("2026-11-21T11:00:00", ""),
        ("x", ""),
        (None, ""),
    ],
)
def test_ages_are_as_kubectl_tells_them(stamp: str | None, said: str) -> None:
    assert age(NOW, stamp) == said


def test_an_events_time_is_the_last_one_that_is_known() -> None:
    assert event_time({"eventTime": STAMP, "lastTimestamp": None}) == STAMP
    assert event_time({"series": {"lastObservedTime": "2026-11-21T11:30:00Z"}, "eventTime": STAMP}).endswith("30:00Z")
    assert event_time({"metadata": {"creationTimestamp": STAMP}}) == STAMP
    assert event_time({}) == ""


def test_yes_is_enough_where_nobody_is_there_to_be_asked() -> None:
    confirm(Console(quiet=True), "Sure?", "momentum", yes=True)
