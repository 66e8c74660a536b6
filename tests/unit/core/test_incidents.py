"""Incidents: opened by a breach, seen by a person, resolved by its end, handed on when nobody looks."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from builders import a_clock, a_config, a_snapshot, at
from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.records import IncidentRecord, IncidentState, NoticeRecord, PutIncident, PutNotice
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.slo import OBJECTIVES
from tradingbot_runtime.strategies.momentum import Momentum

HOOK = {"webhook": {"url": "http://127.0.0.1:9/hook"}}


class Bot:
    """A bot with a webhook, and what its volume keeps of incidents and notices."""

    def __init__(self, recovered: Recovered | None = None, notices: dict[str, Any] | None = None) -> None:
        config = a_config(notices=HOOK if notices is None else notices)
        self.engine = Engine(config, Momentum.from_parameters({"lookback": 2}), recovered or Recovered())
        self.second = 0.0
        self.incidents: dict[str, IncidentRecord] = {}
        self.notices: dict[str, NoticeRecord] = {}
        self.tell(seen.ClockRead(a_clock()))
        self.tell(seen.StreamConnected())
        self.tell(seen.SnapshotTaken(a_snapshot()))

    def tell(self, event: seen.Event, seconds: float = 1) -> list[do.Command]:
        self.second += seconds
        commands = self.engine.handle(event, at(self.second))
        for command in commands:
            for change in command.changes if isinstance(command, do.Journal) else ():
                if isinstance(change, PutIncident):
                    self.incidents[change.incident.incident_id] = change.incident
                if isinstance(change, PutNotice):
                    self.notices[change.notice.notice_id] = change.notice
        return commands

    def tick(self, seconds: float = 5) -> list[do.Command]:
        return self.tell(seen.Tick(), seconds)

    def lose_the_stream(self) -> IncidentRecord:
        self.tell(seen.StreamLost("reset"))
        self.tick()
        self.tick(61)
        return self.only()

    def only(self) -> IncidentRecord:
        (incident,) = self.incidents.values()
        return incident

    def due(self) -> Sequence[NoticeRecord]:
        return self.engine.notices_due(at(self.second))

    def volume(self) -> Recovered:
        waiting = [one for one in self.notices.values() if one.next_attempt_at]
        return Recovered(incidents=tuple(self.incidents.values()), notices=tuple(waiting))


def kinds(commands: Sequence[do.Command]) -> list[str]:
    return [command.kind for command in commands if isinstance(command, do.Journal)]


def test_a_healthy_bot_has_none() -> None:
    bot = Bot()
    assert kinds(bot.tick()) == []
    assert bot.incidents == {}


def test_a_breach_opens_one_incident_however_long_it_lasts() -> None:
    bot = Bot()
    incident = bot.lose_the_stream()
    assert (incident.name, incident.state, incident.severity) == ("trade_updates_lost", IncidentState.OPEN, "error")
    payload = json.loads(incident.payload)
    assert payload["value"] > payload["threshold"] == 60
    assert payload["context"]["bot"] == "momentum"
    bot.tick(30)
    assert len(bot.incidents) == 1


def test_its_end_resolves_it_and_the_next_breach_is_another() -> None:
    bot = Bot()
    first = bot.lose_the_stream()
    bot.tell(seen.StreamConnected())
    bot.tick()
    assert bot.only().state is IncidentState.RESOLVED
    bot.tell(seen.StreamLost("reset"))
    bot.tick()
    bot.tick(61)
    assert len(bot.incidents) == 2
    assert {one.state for one in bot.incidents.values()} == {IncidentState.RESOLVED, IncidentState.OPEN}
    assert first.incident_id in bot.incidents


def test_a_person_acknowledges_it_and_it_is_not_handed_on() -> None:
    bot = Bot()
    incident = bot.lose_the_stream()
    bot.tell(seen.IncidentAcknowledged(incident.incident_id, "on call"))
    assert bot.only().state is IncidentState.ACKNOWLEDGED
    bot.tick(3600)
    assert bot.only().escalated_at is None
    assert kinds(bot.tell(seen.IncidentAcknowledged(incident.incident_id))) == []
    assert kinds(bot.tell(seen.IncidentAcknowledged(incident.name))) == []


def test_one_that_nobody_acknowledges_becomes_a_ticket_once() -> None:
    bot = Bot()
    incident = bot.lose_the_stream()
    bot.tick(15 * 60 - 10)
    assert bot.only().escalated_at is None
    bot.tick(60)
    assert bot.only().escalated_at is not None
    bot.tick(3600)
    tickets = [one for one in bot.notices.values() if json.loads(one.payload)["kind"] == "ticket"]
    assert [one.idempotency_key for one in tickets] == [f"{incident.incident_id}:ticket"]


def test_a_deadline_runs_on_over_a_restart() -> None:
    bot = Bot()
    bot.lose_the_stream()
    again = Bot(bot.volume())
    again.second = bot.second
    again.tell(seen.StreamLost("still"))
    again.tick(0.5)
    again.tick(16 * 60)
    assert again.only().escalated_at is not None


def test_a_notice_is_due_until_it_is_delivered() -> None:
    bot = Bot()
    bot.lose_the_stream()
    (notice,) = bot.due()
    assert json.loads(notice.payload)["name"] == "trade_updates_lost"
    bot.tell(seen.NoticeDelivered(notice.notice_id))
    assert bot.due() == []
    assert bot.notices[notice.notice_id].delivered_at is not None


def test_a_notice_is_tried_three_times_and_then_is_a_dead_letter() -> None:
    bot = Bot()
    bot.lose_the_stream()
    for wait in (29.0, 119.0):
        (notice,) = bot.due()
        bot.tell(seen.NoticeUndelivered(notice.notice_id, "503"), 0.5)
        bot.second += wait
        assert bot.due() == []
        bot.second += 1
    (notice,) = bot.due()
    bot.tell(seen.NoticeUndelivered(notice.notice_id, "503"))
    kept = bot.notices[notice.notice_id]
    assert (kept.dead, kept.attempts, kept.next_attempt_at, kept.last_error) == (True, 3, None, "503")
    assert bot.due() == []


def test_notices_on_their_way_survive_a_restart_with_their_key() -> None:
    bot = Bot()
    bot.lose_the_stream()
    again = Bot(bot.volume())
    again.second = bot.second
    assert [one.idempotency_key for one in again.due()] == [one.idempotency_key for one in bot.due()]


@pytest.mark.parametrize(
    ("dead", "names"), [(9, []), (10, ["dead_letters"]), (25, ["dead_letters", "dead_letters_critical"])]
)
def test_many_dead_letters_are_an_incident_of_their_own(dead: int, names: list[str]) -> None:
    bot = Bot(Recovered(dead_letters=dead))
    bot.tick()
    assert [one.name for one in bot.incidents.values()] == names


def test_what_matters_less_than_asked_for_is_not_sent() -> None:
    bot = Bot(notices=HOOK | {"minSeverity": "critical"})
    bot.lose_the_stream()
    assert bot.due() == []
    bot.tell(seen.KillSeen("enough", "TradingBot"))
    bot.tick()
    assert [json.loads(one.payload)["name"] for one in bot.due()] == ["killed"]


def test_without_a_channel_nothing_waits() -> None:
    bot = Bot(notices={})
    bot.lose_the_stream()
    assert bot.notices == {}
    assert bot.only().state is IncidentState.OPEN


def test_the_longer_kept_incident_is_resolved_after_a_restart_when_its_cause_is_gone() -> None:
    bot = Bot()
    bot.lose_the_stream()
    again = Bot(replace(bot.volume(), notices=()))
    again.second = bot.second
    again.tick()
    assert again.only().state is IncidentState.RESOLVED


def test_every_objective_has_a_name_and_a_known_severity() -> None:
    assert len({one.name for one in OBJECTIVES}) == len(OBJECTIVES)
    assert {one.severity for one in OBJECTIVES} <= {"warning", "error", "critical"}
