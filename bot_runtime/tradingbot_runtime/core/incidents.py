"""Incidents: a breach opens one, a person acknowledges it, its end resolves it; unacknowledged in time it is handed on.

Also every notice on its way to a person: journaled first, sent by whoever runs the engine, tried again, and at last
kept as a dead letter. Times are machine time: a fast market does not shorten a person's night.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from tradingbot_runtime.core import commands as do
from tradingbot_runtime.core.books import Books
from tradingbot_runtime.core.records import (
    IncidentRecord,
    IncidentState,
    NoticeRecord,
    PutIncident,
    PutNotice,
)
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.core.report import instant, text
from tradingbot_runtime.core.situation import Situation
from tradingbot_runtime.core.slo import Breach, Measured, Outages, breaches
from tradingbot_runtime.core.values import Now

CHECK_EVERY: Final = timedelta(seconds=5)
OVERDUE_CHECK_EVERY: Final = timedelta(minutes=1)
ATTEMPTS: Final = 3
"""One and two retries, 30 s and 2 min after."""
_RETRY_AFTER: Final = (timedelta(seconds=30), timedelta(minutes=2))
WAITING_AT_MOST: Final = 500
"""Notices on their way: more are counted and dropped, for the incident itself is kept."""
_SEVERITIES: Final = ("info", "warning", "error", "critical")


class Incidents:
    """Opens, resolves and escalates incidents, and follows each notice to its end."""

    def __init__(self, situation: Situation, books: Books, recovered: Recovered) -> None:
        self._known = situation
        self._books = books
        self._outages = Outages()
        self._open = {one.name: one for one in recovered.incidents if one.state is not IncidentState.RESOLVED}
        self._waiting = {one.notice_id: one for one in recovered.notices}
        self.dead_letters = recovered.dead_letters
        self._checked_at: datetime | None = None
        self._overdue_checked_at: datetime | None = None

    @property
    def unresolved(self) -> tuple[IncidentRecord, ...]:
        """Incidents that are open or acknowledged, oldest first."""
        return tuple(sorted(self._open.values(), key=lambda one: one.opened_at))

    # ------------------------------------------------------------------ breaches

    def on_tick(self, now: Now) -> list[do.Command]:
        """Looks at every objective, every few seconds, and at what is overdue, every minute."""
        self._outages = self._outages.after(self._known, self._books, now)
        if self._checked_at is not None and now.machine - self._checked_at < CHECK_EVERY:
            return []
        self._checked_at = now.machine
        before = frozenset(self._open)
        measured = Measured(self._known, self._books, self._outages, self.dead_letters, now, before)
        broken = {breach.name: breach for breach in breaches(measured)}
        commands: list[do.Command] = []
        for name, breach in broken.items():
            if name not in self._open:
                commands += self._opened(breach, now)
        for name, incident in list(self._open.items()):
            if name not in broken:
                commands += self._resolved(incident, now)
        return commands + self._escalate_overdue(now)

    def _opened(self, breach: Breach, now: Now) -> list[do.Command]:
        bot = self._known.config.bot
        opened = instant(now.machine)
        payload = {
            "name": breach.name,
            "severity": breach.severity,
            "message": breach.message,
            "value": breach.value,
            "threshold": breach.threshold,
            "runbook": breach.runbook,
            "context": {
                "namespace": bot.namespace,
                "bot": bot.name,
                "mode": self._known.config.mode.value,
                "trading_state": self._known.standing()[0].value,
                "market_time": instant(self._known.market) if self._known.market else None,
            },
        }
        incident = IncidentRecord(
            incident_id=hashlib.sha256(f"{bot.uid} {breach.name} {opened}".encode()).hexdigest()[:16],
            name=breach.name,
            severity=breach.severity,
            state=IncidentState.OPEN,
            opened_at=now.machine,
            acknowledge_by=now.machine + timedelta(minutes=self._known.config.notices.acknowledge_minutes),
            payload=json.dumps(payload, sort_keys=True),
        )
        self._open[breach.name] = incident
        self._known.counters["incidents", "opened"] += 1
        return [
            do.Journal("slo_breach", {"name": breach.name, "message": text(breach.message)}, (PutIncident(incident),)),
            do.Notice(breach.severity, "slo_breach", f"{breach.name}: {breach.message}"),
            *self.send("incident_opened", breach.severity, incident.incident_id, payload, now),
        ]

    def _resolved(self, incident: IncidentRecord, now: Now) -> list[do.Command]:
        del self._open[incident.name]
        resolved = replace(incident, state=IncidentState.RESOLVED, resolved_at=now.machine)
        self._known.counters["incidents", "resolved"] += 1
        lasted = (now.machine - incident.opened_at).total_seconds()
        payload = {"name": incident.name, "incident": incident.incident_id, "lasted_seconds": round(lasted, 1)}
        return [
            do.Journal("incident_resolved", {"incident": incident.incident_id}, (PutIncident(resolved),)),
            do.Notice("info", "incident_resolved", f"{incident.name} after {lasted:.0f} s"),
            *self.send("incident_resolved", incident.severity, f"{incident.incident_id}:resolved", payload, now),
        ]

    # ------------------------------------------------------------------ people

    def on_acknowledged(self, incident_id: str, by: str, now: Now) -> list[do.Command]:
        """A person has seen an incident. By its id alone: a name would acknowledge the next one of that name, too."""
        for incident in self._open.values():
            if incident_id == incident.incident_id and incident.state is IncidentState.OPEN:
                seen = replace(incident, state=IncidentState.ACKNOWLEDGED, acknowledged_at=now.machine)
                self._open[incident.name] = seen
                self._known.counters["incidents", "acknowledged"] += 1
                detail = {"incident": incident.incident_id, "by": text(by)}
                return [do.Journal("incident_acknowledged", detail, (PutIncident(seen),))]
        return []

    def _escalate_overdue(self, now: Now) -> list[do.Command]:
        last = self._overdue_checked_at
        if last is not None and now.machine - last < OVERDUE_CHECK_EVERY:
            return []
        self._overdue_checked_at = now.machine
        commands: list[do.Command] = []
        for incident in list(self._open.values()):
            waits = incident.state is IncidentState.OPEN and incident.escalated_at is None
            if waits and now.machine >= incident.acknowledge_by:
                commands += self._escalated(incident, now)
        return commands

    def _escalated(self, incident: IncidentRecord, now: Now) -> list[do.Command]:
        handed_on = replace(incident, escalated_at=now.machine)
        self._open[incident.name] = handed_on
        self._known.counters["incidents", "escalated"] += 1
        payload = {**json.loads(incident.payload), "incident": incident.incident_id, "overdue": True}
        detail = {"incident": incident.incident_id}
        return [
            do.Journal("incident_escalated", detail, (PutIncident(handed_on),)),
            do.Notice("critical", "incident_overdue", f"{incident.name} was not acknowledged in time"),
            *self.send("ticket", "critical", f"{incident.incident_id}:ticket", payload, now),
        ]

    # ------------------------------------------------------------------ notices

    def send(self, kind: str, severity: str, key: str, payload: Mapping[str, Any], now: Now) -> list[do.Command]:
        """A notice to every channel that wants this severity; the same key is the same notice for ever."""
        spec = self._known.config.notices
        if _SEVERITIES.index(severity) < _SEVERITIES.index(spec.min_severity.value):
            return []
        commands: list[do.Command] = []
        for channel in spec.channels:
            notice_id = f"{key}:{channel}"
            if notice_id in self._waiting:
                continue
            if len(self._waiting) >= WAITING_AT_MOST:
                self._known.counters["notices", "dropped"] += 1
                continue
            notice = NoticeRecord(
                notice_id=notice_id,
                idempotency_key=key,
                channel=channel,
                severity=severity,
                payload=json.dumps({"kind": kind, **payload}, sort_keys=True),
                created_at=now.machine,
                next_attempt_at=now.machine,
            )
            self._waiting[notice_id] = notice
            commands.append(do.Journal("notice", {"notice": notice_id}, (PutNotice(notice),)))
        return commands

    def due(self, now: Now) -> Sequence[NoticeRecord]:
        """Notices whose next attempt is due, those that wait longest first."""
        return sorted(
            (one for one in self._waiting.values() if one.next_attempt_at and one.next_attempt_at <= now.machine),
            key=lambda one: (one.next_attempt_at or now.machine, one.notice_id),
        )

    def on_delivered(self, notice_id: str, now: Now) -> list[do.Command]:
        """The receiver has taken a notice."""
        notice = self._waiting.pop(notice_id, None)
        if notice is None:
            return []
        self._known.counters["notices", "delivered"] += 1
        taken = replace(
            notice, attempts=notice.attempts + 1, next_attempt_at=None, delivered_at=now.machine, last_error=""
        )
        return [do.Journal("notice_delivered", {"notice": notice_id}, (PutNotice(taken),))]

    def on_undelivered(self, notice_id: str, error: str, now: Now) -> list[do.Command]:
        """An attempt failed: another one later, or a dead letter."""
        notice = self._waiting.get(notice_id)
        if notice is None:
            return []
        attempts = notice.attempts + 1
        dead = attempts >= ATTEMPTS
        later = None if dead else now.machine + _RETRY_AFTER[attempts - 1]
        failed = replace(notice, attempts=attempts, next_attempt_at=later, dead=dead, last_error=text(error))
        if dead:
            del self._waiting[notice_id]
            self.dead_letters += 1
            self._known.counters["notices", "dead"] += 1
        else:
            self._waiting[notice_id] = failed
            self._known.counters["notices", "retried"] += 1
        kind = "notice_dead" if dead else "notice_failed"
        return [do.Journal(kind, {"notice": notice_id, "error": text(error)}, (PutNotice(failed),))]
