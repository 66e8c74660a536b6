"""What is known of a bot by evidence: a line for each piece, and one piece whole. Pure.

Whether a piece counts is the operator's to say: here its own status is read, and nothing is judged anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.table import Table

from kubectl_tradingbot.bots import Bot
from kubectl_tradingbot.kubectl import Raw
from kubectl_tradingbot.terminal import heading, nothing, pairs, state, table, words
from tradingbot_api import AuditResult, EvidenceType, PromotionEvidenceSpec, SessionReport

_LISTED_AS_SET_ASIDE: Final = 10
"""How many pieces that do not count the status names: the last ones."""


@dataclass(frozen=True)
class Piece:
    """One PromotionEvidence."""

    name: str
    made_at: str
    spec: PromotionEvidenceSpec | None
    """None where this release cannot read it."""

    @classmethod
    def of(cls, raw: Raw) -> "Piece":
        """From the object as it is stored."""
        metadata = raw.get("metadata", {})
        try:
            spec = PromotionEvidenceSpec.model_validate(raw.get("spec", {}))
        except ValidationError:
            spec = None
        return cls(str(metadata.get("name", "")), str(metadata.get("creationTimestamp", "")), spec)

    @property
    def type(self) -> str:
        """Session, Validation, Drill or Preflight."""
        return self.spec.type.value if self.spec is not None else "?"

    @property
    def observed_at(self) -> str:
        """When it came to be."""
        return self.spec.observed_at if self.spec is not None else self.made_at

    @property
    def date(self) -> str:
        """The session's date, else the day it came to be."""
        if self.spec is not None and self.spec.session is not None:
            return self.spec.session.report.session
        return self.observed_at[:10]

    @property
    def result(self) -> str:
        """What was found, in a word."""
        spec = self.spec
        if spec is None:
            return "cannot be read: of a newer release"
        if spec.session is not None:
            return spec.session.audit.result.value
        if spec.drill is not None:
            recovered = spec.drill.recovered_at is not None and spec.drill.detected_at is not None
            return "passed" if recovered and spec.drill.invariants_held else "failed"
        if spec.preflight is not None:
            return "passed" if all(check.passed for check in spec.preflight.checks) else "failed"
        verified = spec.validation is not None and spec.validation.artifacts_verified
        return "stored" if verified else "hashes differ"


def pieces_of(bot: Bot, found: Sequence[Raw]) -> list[Piece]:
    """Those about the bot, or a namesake of it, newest first."""
    mine = (raw for raw in found if raw.get("spec", {}).get("botRef", {}).get("name") == bot.name)
    return sorted((Piece.of(raw) for raw in mine), key=lambda piece: (piece.observed_at, piece.name), reverse=True)


def counts(bot: Bot, piece: Piece) -> tuple[str, str]:
    """Whether it counts (yes, no, unknown), and why not."""
    spec, promotion = piece.spec, bot.promotion
    if spec is None:
        return "unknown", "this plugin is older than what wrote it"
    if spec.bot_ref.uid != bot.uid:
        return "no", "of a former bot of that name"
    if promotion is None:
        return "no", "the bot has no gate" if not bot.gate else "not judged yet"
    aside = {one.name: one.reason for one in promotion.set_aside}
    if piece.name in aside:
        return "no", aside[piece.name]
    if spec.subject_digest != promotion.subject.digest:
        return "no", "of another subject: something that matters has changed since"
    if spec.session is not None and spec.session.report.mode != "paper":
        return "no", "a live session: it counts for the next stage, not for the promotion"
    if spec.session is not None and spec.session.audit.result is AuditResult.MISMATCH:
        return "no", "the broker's record says something else: it fails BrokerAudit"
    if len(aside) >= _LISTED_AS_SET_ASIDE:
        return "unknown", f"the status names only the last {_LISTED_AS_SET_ASIDE} that do not count"
    return "yes", ""


def evidence_table(bot: Bot, pieces: Sequence[Piece]) -> RenderableType:
    """A line for each piece."""
    if not pieces:
        return nothing(
            f"There is no evidence of {bot.name} yet: the first comes with the first session that it closes."
        )
    lines = table("NAME", "TYPE", "DATE", "RESULT", "COUNTS", "WHAT", unbroken=("NAME", "TYPE", "DATE"))
    for piece in pieces:
        does, why = counts(bot, piece)
        what = why or _figures(piece)
        lines.add_row(words(piece.name), piece.type, piece.date, state(piece.result), state(does), words(what))
    return lines


def sessions_table(pieces: Sequence[Piece]) -> RenderableType:
    """Figures of closed sessions, as the bot reported them and the audit found them."""
    right = ("ORDERS", "FILLED", "P&L", "RETURN %", "SHADOW %", "SLIP BPS", "COVERED %")
    lines = table("DATE", "MODE", "AUDIT", *right, "BOOKS", right=right, unbroken=("DATE",))
    for piece in pieces:
        session = piece.spec.session if piece.spec is not None else None
        if session is None:
            continue
        said = session.report
        lines.add_row(
            words(said.session),
            words(said.mode),
            state(session.audit.result.value),
            str(said.orders),
            str(said.filled_orders),
            f"{said.pnl:f}",
            f"{said.return_percent:f}",
            f"{said.shadow_return_percent:f}",
            f"{said.slippage_bps:f}" if said.slippage_bps is not None else "",
            f"{said.coverage_percent:f}",
            words(_books(said)),
        )
    return lines if lines.row_count else nothing("No session is closed and audited yet.")


def piece_view(bot: Bot, piece: Piece) -> Group:
    """One piece, whole."""
    spec = piece.spec
    does, why = counts(bot, piece)
    if spec is None:
        return Group(pairs([("Name", piece.name), ("Counts", why)]))
    head = pairs(
        [
            ("Name", piece.name),
            ("Type", piece.type),
            ("Of", f"{spec.bot_ref.name} (UID {spec.bot_ref.uid})"),
            ("Observed", piece.observed_at),
            ("Result", state(piece.result)),
            ("Counts", state(does)),
            *([("Why not", why)] if why else []),
            ("Subject digest", spec.subject_digest),
            ("Image", spec.image),
            ("Account", f"{spec.account} ({spec.provider})"),
            ("Pod", spec.pod_uid),
            ("Made from", f"sha256 {spec.source_digest}"),
        ]
    )
    return Group(head, *_parts(spec))


def _parts(spec: PromotionEvidenceSpec) -> list[RenderableType]:
    if spec.type is EvidenceType.SESSION and spec.session is not None:
        audit = spec.session.audit
        differences = table("FIGURE", "THE BOT SAYS", "THE BROKER SAYS")
        for one in audit.differences:
            differences.add_row(words(one.what), words(one.reported), words(one.broker))
        left_out = [nothing(f"not compared: {one}") for one in audit.not_compared]
        return [
            heading("Session"),
            _fields(spec.session.report),
            heading("Audit"),
            differences if audit.differences else nothing(audit.message or "Bot and broker agree on every figure."),
            *left_out,
        ]
    if spec.preflight is not None:
        checks = table("CHECK", "PASSED", "MESSAGE", unbroken=("CHECK",))
        for check in spec.preflight.checks:
            checks.add_row(words(check.name), state("yes" if check.passed else "no"), words(check.message))
        return [heading("Checks"), checks]
    part = spec.drill or spec.validation
    return [heading(spec.type.value), _fields(part)] if part is not None else []


def _fields(part: object) -> Table:
    dump = getattr(part, "model_dump", dict)(mode="json", by_alias=True, exclude_none=True)
    return pairs([(name, str(value)) for name, value in dump.items()])


def _books(said: SessionReport) -> str:
    found = said.reconciliations
    parts = ((found.clean, "clean"), (found.mismatch, "mismatch"), (found.failed, "failed"))
    return ", ".join(f"{count} {name}" for count, name in parts if count) or "never compared"


def _figures(piece: Piece) -> str:
    spec = piece.spec
    if spec is None:
        return ""
    if spec.session is not None:
        said = spec.session.report
        return f"{said.filled_orders} of {said.orders} orders filled, P&L {said.pnl:f}, {_books(said)}"
    if spec.drill is not None:
        return f"{spec.drill.drill.value}{': ' if spec.drill.message else ''}{spec.drill.message}"
    if spec.preflight is not None:
        failed = [f"{check.name}: {check.message}" for check in spec.preflight.checks if not check.passed]
        return "; ".join(failed) or f"{len(spec.preflight.checks)} checks on account {spec.account}"
    if spec.validation is not None:
        return f"Sharpe {spec.validation.sharpe:f}, t {spec.validation.t_statistic:f}"
    return ""
