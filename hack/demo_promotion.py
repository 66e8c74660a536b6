"""The demo's second half: thirty sessions on paper, a verdict, a named person's word, live orders, and a kill.

Every step waits for what the cluster itself says, so that each may be found done already. Must never write a status,
and approves only as the person that the demo's manifests name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import yaml
from rich.table import Table

from tradingbot_api import (
    API_VERSION,
    KILL_ANNOTATION,
    ApprovalAction,
    CheckState,
    Condition,
    Mode,
    PromotionStatus,
    TradingBotStatus,
)

APPROVER = "alice"
"""manifests/demo/approver.yaml lets this user approve."""
SESSIONS_SECONDS = 900
GRANT_SECONDS = 180
KILL_SECONDS = 120
WITHDRAWAL_SECONDS = 120
_REASON = "It traded thirty sessions on paper as its shadow did; I have looked at every line of the checklist."

Json = dict[str, Any]
Wait = Callable[[Callable[[], str | None], float, str], None]


class Kubectl(Protocol):
    """kubectl on the demo's cluster."""

    def __call__(self, *arguments: str, document: str | None = None) -> str:
        """Its output."""

    def get(self, *arguments: str) -> Json:
        """An object as JSON; empty where it is not there."""


@dataclass(frozen=True)
class Sight:
    """The bot, as its status has it."""

    uid: str
    status: TradingBotStatus

    @classmethod
    def of(cls, bot: Mapping[str, Any]) -> Sight:
        """From the object as kubectl prints it."""
        return cls(
            uid=str(bot.get("metadata", {}).get("uid", "")),
            status=TradingBotStatus.model_validate(bot.get("status") or {}),
        )

    @property
    def promotion(self) -> PromotionStatus | None:
        """What the gate says."""
        return self.status.promotion

    @property
    def is_approvable(self) -> bool:
        """Whether the verdict is one that a person may approve."""
        return self.promotion is not None and self.promotion.verdict.is_approvable

    @property
    def has_traded(self) -> bool:
        """Whether an order of the bot was filled."""
        return bool(self.status.filled_orders)

    @property
    def is_ready(self) -> bool:
        """Whether the bot works as it should."""
        return self._is_true("Ready")

    @property
    def is_killed(self) -> bool:
        """Whether a kill is in force."""
        return self._is_true("Killed")

    @property
    def is_live(self) -> bool:
        """Whether it trades on the live account, by its grant."""
        return self.status.effective_mode is Mode.LIVE and self.status.grant is not None

    @property
    def is_back_on_paper(self) -> bool:
        """Whether the live pod and its grant are gone."""
        return self.status.effective_mode is Mode.PAPER and self.status.grant is None

    def condition(self, kind: str) -> Condition | None:
        """One condition, if it is set."""
        return next((found for found in self.status.conditions if found.type == kind), None)

    def _is_true(self, kind: str) -> bool:
        found = self.condition(kind)
        return found is not None and found.status == "True"

    @property
    def state(self) -> str:
        """Ready with its reason and message, in one line; what is awaited where there is none."""
        ready = self.condition("Ready")
        if ready is None:
            return "waiting for the operator's first look"
        if self.is_ready and not self.has_traded:
            return "it is ready and waits for a signal on a closed bar"
        return f"{ready.reason}: {ready.message}" if ready.message else ready.reason

    @property
    def progress(self) -> str:
        """How far the sessions are, in a line."""
        said = self.promotion
        if said is None:
            return "waiting for the operator's first verdict"
        open_checks = f"; not passed yet: {', '.join(said.blockers)}" if said.blockers else ""
        return f"{said.verdict.value}, {said.sessions} of {said.required_sessions} sessions count{open_checks}"


def checklist_table(said: PromotionStatus) -> Table:
    """The gate's checklist; what the gate leaves out is left out."""
    title = f"Gate {said.gate}: {said.verdict.value}, score {said.score / 100:g} %"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("check", "kind", "state", "observed", "asked for"):
        table.add_column(heading)
    for entry in said.checklist:
        if entry.state is not CheckState.NOT_APPLICABLE:
            colour = "green" if entry.state is CheckState.PASS else "red"
            state = f"[{colour}]{entry.state.value}[/]"
            table.add_row(entry.name, entry.kind.value, state, entry.observed, entry.threshold)
    return table


def approval_of(seen: Sight, bot: str, namespace: str) -> Json:
    """Alice's word on this very verdict and subject: any change of either makes it void."""
    said = seen.promotion
    if said is None:
        raise ValueError("there is no verdict to approve")
    failed = [entry.name for entry in said.checklist if entry.state not in (CheckState.PASS, CheckState.NOT_APPLICABLE)]
    reason = _REASON if not failed else f"{_REASON} Not passed, and accepted on the simulator: {', '.join(failed)}."
    return {
        "apiVersion": API_VERSION,
        "kind": "Approval",
        "metadata": {"generateName": f"{bot}-", "namespace": namespace},
        "spec": {
            "action": ApprovalAction.PROMOTE.value,
            "botRef": {"name": bot, "uid": seen.uid},
            "gate": said.gate,
            "subjectDigest": said.subject.digest,
            "verdict": said.verdict.value,
            "approver": APPROVER,
            "reason": reason,
        },
    }


class Promotion:
    """The steps, on one bot."""

    def __init__(self, kubectl: Kubectl, wait: Wait, tell: Callable[[str], None], *, bot: str, namespace: str) -> None:
        """Changes nothing yet. `wait(look, seconds, what)` waits until `look` returns None."""
        self._kubectl = kubectl
        self._wait = wait
        self._tell = tell
        self._bot = bot
        self._namespace = namespace

    def seen(self) -> Sight:
        """The bot now."""
        return Sight.of(self._kubectl.get("tradingbots.tradingbots.dev", self._bot, "-n", self._namespace))

    def earn(self) -> PromotionStatus:
        """Until the gate says GO or REVIEW."""

        def look() -> str | None:
            seen = self.seen()
            return None if seen.is_approvable or seen.is_live else seen.progress

        self._wait(look, SESSIONS_SECONDS, "a verdict that can be approved")
        said = self.seen().promotion
        if said is None:
            raise ValueError("the verdict is gone again")
        return said

    def ask(self) -> str:
        """Asks for live trading, and waits until the bot says why it stays on paper."""
        patch = json.dumps({"spec": {"mode": Mode.LIVE.value}})
        self._kubectl("patch", "bot", self._bot, "-n", self._namespace, "--type=merge", f"--patch={patch}")
        said = ""

        def look() -> str | None:
            nonlocal said
            found = self.seen().condition("LiveAuthorized")
            if found is None or found.reason == "NotRequested":
                return "waiting for the operator to see it"
            said = found.message
            return None

        self._wait(look, GRANT_SECONDS, "an answer to the request")
        return said

    def approve(self) -> str:
        """Writes Alice's Approval; returns it as YAML."""
        document = yaml.safe_dump(approval_of(self.seen(), self._bot, self._namespace), sort_keys=False)
        self._kubectl("create", "--filename=-", f"--as={APPROVER}", document=document)
        return document

    def go_live(self) -> Sight:
        """Until the bot has traded on the live account."""

        def look() -> str | None:
            seen = self.seen()
            if seen.is_live and seen.has_traded:
                return None
            if seen.is_live:
                return seen.state
            found = seen.condition("LiveAuthorized")
            return f"{found.reason}: {found.message}" if found is not None else "waiting for the operator"

        self._wait(look, GRANT_SECONDS, "a filled order on the live account")
        return self.seen()

    def kill(self, reason: str) -> float:
        """Kills the bot, and waits until the broker itself says that it is flat; returns how long that took, in s."""
        began = time.time()
        annotation = f"{KILL_ANNOTATION}={reason}"
        self._kubectl("annotate", "bot", self._bot, "-n", self._namespace, annotation, "--overwrite")

        def look() -> str | None:
            kill = self.seen().status.kill
            if kill is not None and kill.flat_at is not None:
                return None
            found = self.seen().condition("Killed")
            return found.message if found is not None else "waiting for the bot"

        self._wait(look, KILL_SECONDS, "the broker's word that nothing is open and nothing is held")
        kill = self.seen().status.kill
        if kill is None or kill.flat_at is None:
            raise ValueError("the kill is gone again")
        return datetime.fromisoformat(kill.flat_at).timestamp() - began

    def back_on_paper(self) -> None:
        """Until the grant and the live pod of a killed bot are gone."""

        def look() -> str | None:
            seen = self.seen()
            if seen.is_killed and seen.is_back_on_paper and not seen.is_ready:
                return None
            found = seen.condition("Withdrawing")
            return found.message if found is not None and found.message else "waiting for the operator"

        self._wait(look, WITHDRAWAL_SECONDS, "the end of its live trading")
