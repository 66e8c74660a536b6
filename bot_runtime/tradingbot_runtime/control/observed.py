"""From what is written on a TradingBot or BrokerAccount to control events: only what has changed is said again.

A kill counts with any value, even an empty one. Nothing in an odd object may keep a kill from being seen, and nothing
odd is ever a grant.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from tradingbot_api import (
    ACCEPT_POSITIONS_ANNOTATION,
    ACKNOWLEDGE_ANNOTATION,
    KILL_ANNOTATION,
    PAUSE_ANNOTATION,
    RESET_BREAKER_ANNOTATION,
    RUN_NOW_ANNOTATION,
    GrantRef,
    Mode,
)
from tradingbot_runtime.control.port import ControlEvent
from tradingbot_runtime.core.events import (
    BotDeleted,
    BreakerResetAsked,
    EvaluationAsked,
    GrantSeen,
    IncidentAcknowledged,
    KillSeen,
    PauseSeen,
    PositionsAccepted,
)

Manifest = Mapping[str, Any]

MAX_REQUEST_LENGTH: Final = 256
"""Characters of a reason or a request that are kept."""
_MONEY: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


class Observed:
    """What was last said, so that a relist or an unrelated change says nothing."""

    def __init__(self, grant: GrantRef | None = None) -> None:
        """`grant`: what a live bot was started under; None on paper, where no grant is looked for."""
        self._grant = grant
        self._grant_seen: GrantSeen | None = None
        self._kills: dict[str, str | None] = {}
        self._paused: bool | None = None
        self._requests: dict[str, str | None] = {}
        self._deleted = False

    def kill(self, scope: str, reason: str | None) -> list[ControlEvent]:
        """A kill at a scope, or None where there is none."""
        if reason == self._kills.get(scope):
            return []
        self._kills[scope] = reason
        return [] if reason is None else [KillSeen(reason=reason, scope=scope)]

    def paused(self, paused: bool) -> list[ControlEvent]:
        """Whether a pause is asked for."""
        if paused == self._paused:
            return []
        self._paused = paused
        return [PauseSeen(paused)]

    def breaker_reset(self, request: str | None) -> list[ControlEvent]:
        """A request to close the circuit breaker, or None where there is none."""
        return [BreakerResetAsked(request)] if self._is_new("breaker reset", request) and request else []

    def evaluation(self, request: str | None) -> list[ControlEvent]:
        """A request for one evaluation, or None where there is none."""
        return [EvaluationAsked(request)] if self._is_new("evaluation", request) and request else []

    def acknowledged(self, incident: str | None) -> list[ControlEvent]:
        """An incident that a person has seen, or None where there is none."""
        return [IncidentAcknowledged(incident)] if self._is_new("acknowledged", incident) and incident else []

    def accepted(self, request: str | None) -> list[ControlEvent]:
        """A person's word that the account is right as it is, or None where there is none."""
        return [PositionsAccepted(request)] if self._is_new("accepted", request) and request else []

    def _is_new(self, what: str, request: str | None) -> bool:
        known = self._requests.get(what)
        self._requests[what] = request
        return request != known

    def grant(self, manifest: Manifest) -> list[ControlEvent]:
        """Whether the TradingBot grants what the bot was started under."""
        if self._grant is None:
            return []
        seen = grant_in(manifest, self._grant)
        if seen == self._grant_seen:
            return []
        self._grant_seen = seen
        return [seen]

    def deleted(self) -> list[ControlEvent]:
        """The bot is being deleted, or is gone."""
        if self._deleted:
            return []
        self._deleted = True
        return [BotDeleted()]

    def bot(self, manifest: Manifest, uid: str) -> list[ControlEvent]:
        """A TradingBot of our name. One with another UID is another bot: ours is gone. One without says only a kill."""
        metadata = _mapping(manifest.get("metadata"))
        events = self.kill("TradingBot", kill_reason(manifest))
        if not is_an_object(manifest):
            return events
        if metadata.get("uid") != uid or metadata.get("deletionTimestamp"):
            return events + self.deleted()
        spec, annotations = _mapping(manifest.get("spec")), _annotations(manifest)
        return [
            *events,
            *self.grant(manifest),
            *self.paused(PAUSE_ANNOTATION in annotations or spec.get("paused") is True),
            *self.breaker_reset(_request(annotations, RESET_BREAKER_ANNOTATION)),
            *self.evaluation(_request(annotations, RUN_NOW_ANNOTATION)),
            *self.acknowledged(_request(annotations, ACKNOWLEDGE_ANNOTATION)),
            *self.accepted(_request(annotations, ACCEPT_POSITIONS_ANNOTATION)),
        ]

    def account(self, manifest: Manifest) -> list[ControlEvent]:
        """The bot's BrokerAccount."""
        return self.kill("BrokerAccount", kill_reason(manifest))


def grant_in(manifest: Manifest, grant: GrantRef) -> GrantSeen:
    """What a TradingBot says of a grant. Granted only where all of it reads as it must; never fails."""
    mode = _mapping(manifest.get("spec")).get("mode")
    found = _mapping(_mapping(manifest.get("status")).get("grant"))
    epoch, cap = found.get("epoch"), found.get("maxCapital")
    why = ""
    if mode != Mode.LIVE.value:
        why = f"spec.mode is {words_of(mode, 32) or 'absent'}"
    elif not found:
        why = "status.grant is absent"
    elif found.get("subjectDigest") != grant.subject_digest:
        why = "status.grant is about another subject"
    elif type(epoch) is not int or epoch != grant.epoch:
        why = f"status.grant is that of epoch {words_of(epoch, 32) or '(none)'}, not {grant.epoch}"
    elif cap is not None and not _is_money(cap):
        why = f"status.grant.maxCapital is no amount: {words_of(cap, 32)}"
    if why:
        return GrantSeen(granted=False, why=why)
    return GrantSeen(granted=True, max_capital=None if cap is None else Decimal(cap))


def _is_money(value: object) -> bool:
    return isinstance(value, str) and _MONEY.fullmatch(value) is not None and Decimal(value) > 0


def words_of(value: object, longest: int = MAX_REQUEST_LENGTH) -> str:
    """What somebody wrote, as one line that can be kept and shown anywhere; never fails. Empty where it says nothing.

    A lone surrogate, which JSON and YAML allow, could not be written to a file; a list could be endless as text.
    """
    if value is None or value is False:
        return ""
    if not isinstance(value, str | int | float | date):
        return f"({type(value).__name__})" if value else ""
    try:
        text = str(value)[: 4 * longest]
    except ValueError:  # Python writes out no number of more than some thousand digits
        return f"({type(value).__name__})"
    shown = "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)
    return " ".join(shown.split())[:longest]


def kill_reason(manifest: Manifest) -> str | None:
    """The kill annotation's value, empty when it has none; None when there is no annotation."""
    annotations = _annotations(manifest)
    return words_of(annotations[KILL_ANNOTATION]) if KILL_ANNOTATION in annotations else None


def _request(annotations: Manifest, name: str) -> str | None:
    # A person's request has a reason, or at least a value that tells it from the last one.
    return words_of(annotations.get(name)) or None


def is_an_object(manifest: Manifest) -> bool:
    """Whether this can be an object of the API server: each has a UID."""
    uid = _mapping(manifest.get("metadata")).get("uid")
    return isinstance(uid, str) and uid != ""


def _annotations(manifest: Manifest) -> Manifest:
    return _mapping(_mapping(manifest.get("metadata")).get("annotations"))


def _mapping(value: object) -> Manifest:
    return value if isinstance(value, Mapping) else {}
