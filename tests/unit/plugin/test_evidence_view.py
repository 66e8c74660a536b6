"""Evidence as a list and one by one, and what the status says of whether it counts."""

import pytest

from kubectl_tradingbot.evidence_view import Piece, counts, evidence_table, piece_view, pieces_of
from unit.plugin.sample import UID, a_bot, a_session, judged, text_of

BOT = judged("GO")


def a_preflight(passed: bool) -> dict[str, object]:
    raw = a_session(name="momentum-preflight", type="Preflight", session=None)
    checks = [{"name": "Keys", "passed": passed, "message": "refused"}]
    spec = {key: value for key, value in raw["spec"].items() if key != "session"} | {"preflight": {"checks": checks}}
    return raw | {"spec": spec}


def test_the_newest_comes_first_and_only_what_is_about_the_bot() -> None:
    other = a_session("2026-11-20", botRef={"name": "other", "uid": "x"}, name="other")
    pieces = pieces_of(BOT, [a_session("2026-11-18"), a_session("2026-11-19"), other])
    assert [piece.date for piece in pieces] == ["2026-11-19", "2026-11-18"]


@pytest.mark.parametrize(
    ("raw", "does", "why"),
    [
        (a_session(), "yes", ""),
        (a_session(subjectDigest="0" * 64), "no", "of another subject"),
        (a_session(botRef={"name": "momentum", "uid": "former"}), "no", "of a former bot of that name"),
        (a_session(result="Mismatch"), "no", "it fails BrokerAudit"),
        (a_session(name="aside"), "no", "covered 80 % only"),
        ({"metadata": {"name": "new"}, "spec": {"type": "Sixth", "botRef": {"name": "momentum"}}}, "unknown", "older"),
    ],
)
def test_whether_it_counts_is_read_from_the_status(raw: dict[str, object], does: str, why: str) -> None:
    bot = judged("GO", set_aside=[{"name": "aside", "reason": "covered 80 % only"}])
    said, reason = counts(bot, Piece.of(raw))
    assert said == does
    assert why in reason


def test_where_the_status_names_only_the_last_ones_nobody_claims_that_it_counts() -> None:
    bot = judged("GO", set_aside=[{"name": f"e-{number}", "reason": "short"} for number in range(10)])
    assert counts(bot, Piece.of(a_session()))[0] == "unknown"
    assert counts(a_bot(), Piece.of(a_session())) == ("no", "the bot has no gate")


def test_the_list_says_what_was_found() -> None:
    shown = text_of(evidence_table(BOT, pieces_of(BOT, [a_session(), a_preflight(False), a_preflight(True)])))
    assert "3 of 4 orders filled, P&L -12.50, 9 clean, 1 mismatch" in shown
    assert "Keys: refused" in shown
    assert "1 checks on account sim" in shown
    assert "There is no evidence of momentum yet" in text_of(evidence_table(BOT, []))


def test_one_piece_shows_both_sides_of_each_difference() -> None:
    shown = text_of(piece_view(BOT, Piece.of(a_session(result="Mismatch"))))
    assert "profit  -12.50        -13.00" in shown
    assert UID in shown
    assert "Bot and broker agree on every figure." in text_of(piece_view(BOT, Piece.of(a_session())))
    assert "Keys   no      refused" in text_of(piece_view(BOT, Piece.of(a_preflight(False))))
