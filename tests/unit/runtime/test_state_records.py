"""Sessions, incidents and notices: kept with the journal, read back as they were, and no more of them than needed."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import OPEN, an_order, at
from tradingbot_runtime.core.records import (
    IncidentRecord,
    IncidentState,
    NoticeRecord,
    PutIncident,
    PutNotice,
    SessionRecord,
    WrongPayload,
)
from tradingbot_runtime.state import StateCorrupt, retention, verify
from tradingbot_runtime.state.record_rows import incident_from, notice_from
from tradingbot_runtime.state.rows import row_of
from volumes import MONDAY, a_notice, an_incident, closing, decided, opened, recovered, tampered, told, trade


def test_a_closed_session_is_tied_to_the_journal(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        trade(state, 1, 1)
        head = verify(tmp_path, "paper")
        state.commit([closing(MONDAY, '{"trades": 1}')], at(9))
        session = state.records.session(MONDAY)
        assert session is not None
        assert json.loads(session.record.payload) == {"trades": 1}
        assert (session.journal_seq, session.journal_hash) == (2, head.last_hash)
        content = [MONDAY.isoformat(), at().machine.isoformat(timespec="microseconds"), '{"trades": 1}', 2]
        text = json.dumps([*content, head.last_hash], separators=(",", ":"))
        assert session.digest == hashlib.sha256(text.encode()).hexdigest()
    assert verify(tmp_path, "paper").sessions == 1


def test_a_session_closes_once(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.commit([closing(MONDAY)], at())
        with pytest.raises(StateCorrupt, match="contradicts what is recorded"):
            state.commit([closing(MONDAY, '{"trades": 2}')], at())


def test_a_sessions_figures_cannot_be_improved_afterwards(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.commit([closing(MONDAY, '{"profit": "-5"}')], at())
    tampered(tmp_path, """UPDATE sessions SET payload = '{"profit": "50"}'""")
    with pytest.raises(StateCorrupt, match="table sessions, row 2026-03-02: payload is"):
        recovered(tmp_path)


def test_sessions_are_read_newest_first_and_page_by_page(tmp_path: Path) -> None:
    days = [MONDAY + timedelta(days=number) for number in range(5)]
    with opened(tmp_path) as state:
        for day in days:
            state.commit([closing(day)], at())
        first = [one.record.day for one in state.records.sessions(limit=2)]
        then = [one.record.day for one in state.records.sessions(limit=9, before=first[-1])]
    assert first + then == days[::-1]


def test_the_trades_of_a_session_are_found_without_loading_all(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.commit([decided(an_order(1, created_at=OPEN - timedelta(days=1)))], at())
        trade(state, 2, 4)
        end = OPEN + timedelta(hours=6.5)
        assert [order.client_order_id[-1] for order in state.records.orders_between(OPEN, end)] == ["2", "3", "4"]
        assert len(state.records.fills_between(OPEN, end)) == 3
        assert state.records.fills_between(end, end + timedelta(days=1)) == ()
        assert state.records.order(an_order(1).client_order_id) is not None
        assert state.records.order("nobody") is None


def test_an_incident_is_followed_from_open_to_resolved(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        for states in (IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED):
            state.commit([told(an_incident(1, states), an_incident(2))], at())
            assert state.records.incident("incident-1") == an_incident(1, states)
        assert [one.incident_id for one in state.records.incidents()] == ["incident-2"]
        assert len(state.records.incidents(tuple(IncidentState))) == 2


def test_notices_wait_for_their_time_and_then_count_as_dead(tmp_path: Path) -> None:
    soon, later = at(60).machine, at(120).machine
    with opened(tmp_path) as state:
        state.commit([told(a_notice(1, due=later), a_notice(2, due=soon), a_notice(3))], at())
        assert state.records.notices_due(at(59).machine) == ()
        assert [one.notice_id for one in state.records.notices_due(later)] == ["notice-2", "notice-1"]
        state.commit([told(a_notice(2, dead=True))], at())
        assert [one.notice_id for one in state.records.notices_due(later)] == ["notice-1"]
        assert state.records.dead_letters() == (a_notice(2, dead=True),)
        assert state.records.count_dead_letters() == 1
        assert state.records.notice_by_key("key-3") == a_notice(3)
        assert state.records.notice_by_key("key-9") is None


def test_finished_records_are_bounded_and_open_ones_are_never_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = {table: tuple((query, 3) for query, _ in rules) for table, rules in retention._SURPLUS.items()}
    monkeypatch.setattr(retention, "_SURPLUS", bounded)
    with opened(tmp_path) as state:
        state.commit([told(an_incident(99), a_notice(99, due=at().machine))], at())
        for number in range(10):
            resolved = an_incident(number, IncidentState.RESOLVED)
            state.commit([told(resolved, a_notice(number), a_notice(100 + number, dead=True))], at(number))
            state.commit([closing(MONDAY + timedelta(days=number))], at(number))
        assert len(state.records.sessions()) == 3
        kept = [one.incident_id for one in state.records.incidents(tuple(IncidentState))]
        assert kept == ["incident-9", "incident-8", "incident-7", "incident-99"]
        assert state.records.count_dead_letters() == 3
        assert [one.notice_id for one in state.records.notices_due(at(99).machine)] == ["notice-99"]
    assert verify(tmp_path, "paper").sessions == 3
    recovered(tmp_path)


@pytest.mark.parametrize("payload", ["", "{", "x" * 300_000])
def test_a_payload_is_a_json_document_of_bounded_length(payload: str) -> None:
    with pytest.raises(WrongPayload):
        SessionRecord(MONDAY, at().machine, payload)


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
TIMES = st.datetimes().map(lambda moment: moment.replace(tzinfo=OPEN.tzinfo))
PAYLOADS = st.dictionaries(TEXT, TEXT, max_size=3).map(json.dumps)


@given(
    st.builds(
        IncidentRecord, TEXT, TEXT, TEXT, st.sampled_from(IncidentState), TIMES, TIMES,
        st.none() | TIMES, st.none() | TIMES, st.none() | TIMES, PAYLOADS,
    )
)  # fmt: skip
def test_an_incident_reads_back_as_it_was_written(incident: IncidentRecord) -> None:
    assert incident_from(row_of(PutIncident(incident))[1]) == incident


@given(
    st.builds(
        NoticeRecord, TEXT, TEXT, TEXT, TEXT, PAYLOADS, TIMES,
        st.integers(0, 99), st.none() | TIMES, st.none() | TIMES, st.booleans(), TEXT,
    )
)  # fmt: skip
def test_a_notice_reads_back_as_it_was_written(notice: NoticeRecord) -> None:
    assert notice_from(row_of(PutNotice(notice))[1]) == notice
