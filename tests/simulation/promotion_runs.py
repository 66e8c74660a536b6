"""A paper bot from its first session to a gate's verdict, in virtual time, with nothing made up on the way.

The real runtime trades on the simulator and closes its sessions, the real `tradingbot audit` judges them over HTTP
against the simulator's own record, the real `evaluate` gives the verdict. What stands in for the operator and the
cluster is how a report and its audit become one PromotionEvidence, and the names of image and pod. A validation is the
real command's, too, on the bars of the same simulator.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
import yaml
from typer.testing import CliRunner, Result

from builders import UID
from contract.conftest import LIVE, PAPER, served
from simulation.world import World
from tradingbot_api import (
    AuditReport,
    AuditReports,
    AuditResult,
    BrokerAccountSpec,
    ClosedSession,
    ClosedSessions,
    EvidenceType,
    PreflightReport,
    PromotionEvidenceSpec,
    PromotionGateSpec,
    SessionReport,
    TradingBotSpec,
    ValidationEvidence,
)
from tradingbot_operator.promotion.evaluate import Assessment, Facts, evaluate
from tradingbot_operator.promotion.ledger import Evidence
from tradingbot_operator.promotion.subject import Subject, subject_of
from tradingbot_runtime.cli import app
from tradingbot_runtime.ops.sessions import closed_sessions

IMAGE = "registry.example/runtime@sha256:" + "a" * 64
HALF_AN_HOUR = timedelta(minutes=30)
AUDITED_AT_ONCE = 20
"""Sessions that one audit judges, as the operator asks for them."""

LIVE_ACCOUNT = BrokerAccountSpec.model_validate(
    {
        "provider": "simulator",
        "environment": "live",
        "baseURL": "http://simulator:8080",
        "credentialsSecretRef": {"name": "live-keys"},
    }
)

Meanwhile = Callable[["PaperRun", int], Awaitable[None]]


@contextmanager
def strategies_installed(directory: Path) -> Iterator[None]:
    """The strategies of `paper_strategies` are found as those of an installed package are: by their entry points."""
    package = directory / "paper_strategies-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: paper-strategies\nVersion: 1\n")
    lines = [
        f"{name.lower()} = simulation.paper_strategies:{name}"
        for name in ("Tilting", "Holding", "Guessing", "Foreseeing")
    ]
    (package / "entry_points.txt").write_text("\n".join(["[tradingbot.strategies]", *lines, ""]))
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))


@dataclass(frozen=True)
class Traded:
    """What a bot has left behind, and what the broker's record says of it."""

    run: "PaperRun"
    closed: ClosedSessions
    audits: AuditReports

    @property
    def reports(self) -> list[SessionReport]:
        """The bot's own word, oldest first."""
        return [one.report for one in self.closed.sessions]

    def first(self, sessions: int) -> "Traded":
        """The same without the later sessions."""
        kept = ClosedSessions(sessions=self.closed.sessions[:sessions])
        audits = self.audits.model_copy(update={"audits": self.audits.audits[:sessions]})
        return replace(self, closed=kept, audits=audits)

    def as_if_they_matched(self) -> "Traded":
        """The same with every audit overruled."""
        return self._with_result(AuditResult.MATCH, len(self.audits.audits))

    def with_audits_lost(self, last: int) -> "Traded":
        """The same, where the audit of the last so many sessions came to no end."""
        return self._with_result(AuditResult.UNKNOWN, last)

    def _with_result(self, result: AuditResult, last: int) -> "Traded":
        kept, changed = self.audits.audits[:-last], self.audits.audits[-last:]
        audits = [*kept, *(AuditReport(session=one.session, result=result) for one in changed)]
        return replace(self, audits=self.audits.model_copy(update={"audits": audits}))

    def judged(self, gate: PromotionGateSpec, as_if: Mapping[str, Any] | None = None) -> Assessment:
        """What the gate says of the bot now; `as_if`: of one whose spec differs from the one that traded."""
        return self.run.judged(gate, self.closed, self.audits, as_if or {})


class PaperRun:
    """One bot on paper, with the keys of its live account at hand for the preflight."""

    def __init__(self, directory: Path, **config: Any) -> None:
        self.directory = directory
        defaults: dict[str, Any] = {"capital": "20000", "timeframe": "1Day", "risk": {"maxPositionPercent": "100"}}
        self.world = World(directory / "state", **(defaults | config))
        self._preflights: dict[datetime, PreflightReport] = {}
        self.validation: ValidationEvidence | None = None
        """What `validate` found, if it was asked."""

    def trade(self, sessions: int, meanwhile: Meanwhile | None = None) -> None:
        """Trades so many sessions; `meanwhile` happens at noon of each, told the session's number from 0."""
        asyncio.run(self._trade(sessions, meanwhile))

    async def _trade(self, sessions: int, meanwhile: Meanwhile | None) -> None:
        world = self.world
        await world.begin()
        await world.step(timedelta(seconds=1))
        for number in range(sessions):
            session = world.simulator.exchange.calendar.next_closing(world.simulator.clock.now())
            await self._wait_until(session.opens_at - timedelta(minutes=5))
            await self._step_until(session.opens_at + timedelta(hours=2, minutes=25))
            if meanwhile is not None:
                await meanwhile(self, number)
            await self._step_until(session.closes_at + timedelta(minutes=5))

    async def _wait_until(self, moment: datetime) -> None:
        if (now := self.world.simulator.clock.now()) < moment:
            await self.world.step(moment - now)

    async def _step_until(self, moment: datetime) -> None:
        while (now := self.world.simulator.clock.now()) < moment:
            await self.world.step(min(HALF_AN_HOUR, moment - now))

    async def be_away(self, market: timedelta) -> None:
        """The process dies without a word; so much later there is another."""
        self.world.simulator.step(market)
        await self.world.wait(market.total_seconds())
        await self.world.restart()

    # ------------------------------------------------------------------ from sessions to evidence

    def closed(self) -> ClosedSessions:
        """What the bot serves at /sessions."""
        return closed_sessions(self.world.database.records, 400)

    def audited(self, change: Callable[[SessionReport], SessionReport] = lambda report: report) -> Traded:
        """The closed sessions, changed on their way to the audit, and what it finds."""
        sessions = [one.model_copy(update={"report": change(one.report)}) for one in self.closed().sessions]
        closed = ClosedSessions(sessions=sessions)
        path = self.directory / "sessions.json"
        path.write_text(closed.model_dump_json(by_alias=True))
        days = [one.report.session for one in sessions]
        found: list[AuditReport] = []
        with served(self.world.simulator) as url:
            for first in range(0, len(days), AUDITED_AT_ONCE):
                asked = [part for day in days[first : first + AUDITED_AT_ONCE] for part in ("--session", day)]
                said = AuditReports.model_validate_json(
                    self._command(url, PAPER, "audit", "--report", str(path), *asked)
                )
                assert (said.uid, said.mode) == (UID, "paper")
                found += said.audits
        return Traded(self, closed, AuditReports(uid=UID, mode="paper", audits=found))

    def validate(self, days: int, seed: int = 1) -> ValidationEvidence:
        """Validates the strategy on the broker's bars of the last so many sessions; from here on it is evidence."""
        asked = ("--from-broker", "--no-cache", "--days", str(days), "--seed", str(seed))
        with served(self.world.simulator) as url:
            how = ("--processes", "1", "--image", IMAGE, "--out", str(self.directory / "results"))
            said = self._command(url, PAPER, "validate", *asked, *how)
        self.validation = ValidationEvidence.model_validate_json(said)
        return self.validation

    def _command(self, url: str, keys: tuple[str, str], name: str, *options: str, **broker: str) -> str:
        """Runs one of the runtime's commands; gives its termination message, which is all that an operator sees."""
        document = json.loads(self.world.config.model_dump_json(by_alias=True))
        document["broker"] |= {"baseURL": url, "dataURL": url} | broker
        config, last_words = self.directory / "bot.yaml", self.directory / "termination-log"
        config.write_text(yaml.safe_dump(document))
        last_words.unlink(missing_ok=True)
        environment = {
            "APCA_API_KEY_ID": keys[0],
            "APCA_API_SECRET_KEY": keys[1],
            "TERMINATION_MESSAGE_PATH": str(last_words),
        }
        result: Result = CliRunner().invoke(app, [name, "--config", str(config), *options], env=environment)
        structlog.reset_defaults()  # the simulator of this process logs, too, and the command's stderr is gone
        assert last_words.exists(), result.output
        return last_words.read_text()

    # ------------------------------------------------------------------ from evidence to a verdict

    @property
    def spec(self) -> TradingBotSpec:
        """The TradingBot that the operator would have made this bot's config of; it asks to go live."""
        config = json.loads(self.world.config.model_dump_json(by_alias=True))
        same = {name: config[name] for name in ("strategy", "symbols", "timeframe", "capital", "risk", "execution")}
        others = {"mode": "live", "accounts": {"paper": "paper", "live": "live"}, "gateRef": {"name": "gate"}}
        return TradingBotSpec.model_validate(same | others)

    def judged(
        self, gate: PromotionGateSpec, closed: ClosedSessions, audits: AuditReports, as_if: Mapping[str, Any]
    ) -> Assessment:
        """The verdict of the gate on these sessions, with what the bot itself says of incidents and kills."""
        traded = subject_of(UID, self.spec, gate, LIVE_ACCOUNT, image=IMAGE, kill_epoch=0)
        spec = TradingBotSpec.model_validate(
            self.spec.model_dump(mode="json", by_alias=True, exclude_none=True) | dict(as_if)
        )
        subject = subject_of(UID, spec, gate, LIVE_ACCOUNT, image=IMAGE, kill_epoch=0)
        now = self.world.simulator.clock.now()
        report = self.world.engine.report(self.world.decisions.now(), version="test", started_at=now)
        facts = Facts(
            spec=spec,
            gate_name="gate",
            gate=gate,
            subject=subject,
            evidence=[
                *_sessions(traded, closed.sessions, audits.audits),
                self._preflight(subject, now),
                *self._validations(traded, now),
            ],
            incidents=tuple(one.id for one in report.incidents),
            killed=report.kill is not None,
        )
        return evaluate(facts, now)

    def _preflight(self, subject: Subject, now: datetime) -> Evidence:
        if now not in self._preflights:
            with served(self.world.simulator) as url:
                said = self._command(url, LIVE, "preflight", account="live", environment="live")
            self._preflights[now] = PreflightReport.model_validate_json(said)
        checks = [json.loads(one.model_dump_json(by_alias=True)) for one in self._preflights[now].checks]
        return _evidence("preflight", EvidenceType.PREFLIGHT, subject, now, "live", checks)

    def _validations(self, subject: Subject, now: datetime) -> list[Evidence]:
        if self.validation is None:
            return []
        part = json.loads(self.validation.model_dump_json(by_alias=True))
        return [_evidence("validation", EvidenceType.VALIDATION, subject, now, "paper", part)]


def _sessions(subject: Subject, closed: Sequence[ClosedSession], audits: Sequence[AuditReport]) -> list[Evidence]:
    by_day: Mapping[str, AuditReport] = {audit.session: audit for audit in audits}
    assert set(by_day) == {one.report.session for one in closed}
    return [_session(subject, one, by_day[one.report.session]) for one in closed]


def _session(subject: Subject, one: ClosedSession, audit: AuditReport) -> Evidence:
    report = one.report
    part = {
        "report": json.loads(report.model_dump_json(by_alias=True)),
        "journalHash": one.journal_hash,
        "audit": json.loads(audit.model_dump_json(by_alias=True)),
    }
    source = one.model_dump_json(by_alias=True)
    at = datetime.fromisoformat(report.closes_at)
    return _evidence(f"session-{report.session}", EvidenceType.SESSION, subject, at, report.account, part, source)


def _evidence(
    name: str, kind: EvidenceType, subject: Subject, at: datetime, account: str, part: Any, source: str = ""
) -> Evidence:
    fields: dict[str, Any] = {
        "type": kind.value,
        "botRef": {"name": "momentum", "uid": UID},
        "podUID": "pod-1",
        "subjectDigest": subject.digest,
        "observedGeneration": 1,
        "account": account,
        "provider": "simulator",
        "image": IMAGE,
        "sourceDigest": hashlib.sha256((source or json.dumps(part)).encode()).hexdigest(),
        "observedAt": at.isoformat(),
        kind.value.lower(): {"checks": part} if kind is EvidenceType.PREFLIGHT else part,
    }
    return Evidence(name, PromotionEvidenceSpec.model_validate(fields), at)
