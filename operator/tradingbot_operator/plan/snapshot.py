"""Everything one decision depends on, frozen: the object, what is around it, what it reported, and the time.

Must never hold a client, a clock or a reference into the store that could change under the decision.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from pydantic import ValidationError

from tradingbot_api import BrokerAccountSpec, ClosedSession, PromotionGateSpec, RuntimeReport, TradingBotSpec
from tradingbot_operator.plan.conditions import Verdict
from tradingbot_operator.plan.objects import Raw, mapping, text
from tradingbot_operator.plan.pods import is_answering, newest
from tradingbot_operator.plan.policies import NOT_READ
from tradingbot_operator.settings import Litestream

REPORT_LIFETIME: Final = timedelta(seconds=60)
"""A report older than this says nothing of now."""

FIGURES_INTERVAL: Final = timedelta(seconds=15)
"""Figures (equity, prices) are written to the API server at most this often; states at once."""


@dataclass(frozen=True)
class PlanSettings:
    """What the operator was started with and decisions depend on."""

    runtime_image: str
    operator_namespace: str = "tradingbot-system"
    """Where the operator's own pods are."""
    litestream: Litestream | None = None
    """Where bots' states are streamed to; None leaves every pod without it."""


@dataclass(frozen=True)
class ReportAnswer:
    """What the bot's pod answered, and when."""

    report: RuntimeReport
    read_at: datetime


@dataclass(frozen=True)
class ReportFailure:
    """The bot's pod was asked and gave no usable answer."""

    reason: str
    message: str
    failed_at: datetime
    last_answer: ReportAnswer | None = None


@dataclass(frozen=True)
class ReportPending:
    """The bot's pod was not asked yet by this process: what is in the status still holds."""


Reported = ReportAnswer | ReportFailure | ReportPending


def last_answer(reported: Reported) -> ReportAnswer | None:
    """The last usable answer, however old."""
    last = reported.last_answer if isinstance(reported, ReportFailure) else reported
    return last if isinstance(last, ReportAnswer) else None


@dataclass(frozen=True)
class CollectedSessions:
    """The closed sessions that a pod gave at `/sessions`, as they came."""

    pod_uid: str
    mode: str
    """paper or live: what the pod's report says it is."""
    sessions: tuple[ClosedSession, ...]
    """Oldest first."""
    problem: str = ""
    """Why the pod's last answer was not believed; empty where it was."""


@dataclass(frozen=True)
class Refusal:
    """A child that the API server did not accept, and why. It is tried again."""

    child: str
    message: str


@dataclass(frozen=True)
class InvalidSpec:
    """A stored spec that this release cannot read."""

    message: str


@dataclass(frozen=True)
class BotSnapshot:
    """What is known of one bot and of everything it depends on."""

    bot: Raw
    now: datetime
    settings: PlanSettings
    account: Raw | None = None
    """The BrokerAccount it trades on."""
    gate: Raw | None = None
    """The PromotionGate it names."""
    policies: Verdict = NOT_READ
    """Whether the admission policies are in place, as last read."""
    rivals: tuple[Raw, ...] = ()
    """Other bots of its namespace that ask for a symbol it asks for, on the same account: what they claim of them."""
    account_bots: tuple[Raw, ...] = ()
    """Every bot on the account, where its capital is limited: what they claim of it."""
    account_pods: tuple[Raw, ...] = ()
    """Pods of any bot that trade a symbol it asks for, on the same account."""
    children: Mapping[str, Raw] | None = None
    """Its children as observed, by kind: each kind has at most one."""
    pods: tuple[Raw, ...] = ()
    claim: Raw | None = None
    """Its volume claim."""
    live_account: Raw | None = None
    """The BrokerAccount it would trade on live."""
    live_rivals: tuple[Raw, ...] = ()
    """Other bots that ask for a symbol it asks for, for live trading on the same live account."""
    live_account_bots: tuple[Raw, ...] = ()
    """Every bot that names its live account, where that one's capital is limited: what they claim of it."""
    live_pods: tuple[Raw, ...] = ()
    """Pods of any bot that trade a symbol it asks for, on its live account."""
    evidence: tuple[Raw, ...] = ()
    """Every PromotionEvidence that names it."""
    approvals: tuple[Raw, ...] = ()
    """Every Approval that names it."""
    attestations: tuple[Raw, ...] = ()
    """Every Attestation to the gate it names."""
    kill_records: tuple[Raw, ...] = ()
    """Every KillRecord of its name, of former bots of that name as well."""
    validation_runs: tuple[Raw, ...] = ()
    """Every ValidationRun that names it, or a former bot of its name."""
    flattening: tuple[Raw, ...] = ()
    """Flatten Jobs of ours that carry out a kill, their NetworkPolicies and their pods."""
    producers: tuple[Raw, ...] = ()
    """Jobs of ours that make evidence about it, the ConfigMaps they read, and their pods."""
    sessions: CollectedSessions | None = None
    """What the newest pod last gave at `/sessions`; None where this process has not asked it."""
    reported: Reported = ReportPending()
    refusals: tuple[Refusal, ...] = ()

    @property
    def is_being_asked(self) -> bool:
        """Whether only this process is new: the bot's pod runs, and what it says will be known in a moment."""
        pod = newest(self.pods)
        return isinstance(self.reported, ReportPending) and pod is not None and is_answering(pod)

    def child(self, kind: str) -> Raw | None:
        """The observed child of a kind."""
        return (self.children or {}).get(kind)


@dataclass(frozen=True)
class AccountSnapshot:
    """What is known of one BrokerAccount and the bots that use it."""

    account: Raw
    now: datetime
    bots: tuple[Raw, ...] = ()
    """What its bots claim of it."""
    reports: Mapping[str, ReportAnswer] | None = None
    """The last answers, by bot name."""
    pending: bool = False
    """Whether a bot's pod was not asked yet by this process."""


@dataclass(frozen=True)
class GateSnapshot:
    """What is known of one PromotionGate and the bots that name it."""

    gate: Raw
    now: datetime
    bots: tuple[Raw, ...] = ()


def gate_of(bot: Raw) -> str:
    """The PromotionGate the bot names, or an empty string."""
    return text(bot, "spec", "gateRef", "name")


def parse_bot_spec(bot: Raw) -> TradingBotSpec | InvalidSpec:
    """The bot's spec as a model, or why it is none."""
    try:
        return TradingBotSpec.model_validate(mapping(bot, "spec"))
    except ValidationError as error:
        return InvalidSpec(_first_errors(error))


def parse_account_spec(account: Raw) -> BrokerAccountSpec | InvalidSpec:
    """The account's spec as a model, or why it is none."""
    try:
        return BrokerAccountSpec.model_validate(mapping(account, "spec"))
    except ValidationError as error:
        return InvalidSpec(_first_errors(error))


def parse_gate_spec(gate: Raw) -> PromotionGateSpec | InvalidSpec:
    """The gate's spec as a model, or why it is none."""
    return _gate_spec(json.dumps(mapping(gate, "spec"), sort_keys=True))


@lru_cache(maxsize=64)
def _gate_spec(document: str) -> PromotionGateSpec | InvalidSpec:
    # A few gates, read again for every bot that names one: filling in their defaults was a tenth of a bot's judgement.
    try:
        return PromotionGateSpec.model_validate(json.loads(document))
    except ValidationError as error:
        return InvalidSpec(_first_errors(error))


def _first_errors(error: ValidationError, limit: int = 3) -> str:
    details = error.errors(include_url=False, include_input=False)
    lines = [f"spec.{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details[:limit]]
    if len(details) > limit:
        lines.append(f"and {len(details) - limit} more")
    return "; ".join(lines)
