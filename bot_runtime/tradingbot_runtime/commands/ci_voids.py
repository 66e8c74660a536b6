"""What a change of a bot's manifests would void: evidence, approvals, a grant. Pure.

Says it by the same inputs that the operator's digest is made of. Must never call something kept that it cannot see.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tradingbot_api import Mode
from tradingbot_api.subject_inputs import digest_of_input, gate_input, live_account_input, spec_inputs
from tradingbot_runtime.commands.ci_manifests import Bot, Manifests

MOST_DIFFERENCES: Final = 20
"""Differences of one input that are listed."""
_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}$")


class Void(StrEnum):
    """What is lost."""

    EVIDENCE = "evidence"
    """Sessions, validations, drills and the preflight: the count begins at 0."""
    APPROVALS = "approvals"
    """What people have approved, for a promotion or a stage."""
    GRANT = "grant"
    """The permission to trade real money: a live bot goes back to paper."""


EVERYTHING: Final = tuple(Void)


@dataclass(frozen=True)
class Change:
    """One thing that differs, and what it voids."""

    input: str
    """As `status.promotion.subject.inputs` names it, or the field where it is none of these."""
    differences: tuple[str, ...]
    voids: tuple[Void, ...]


@dataclass(frozen=True)
class Compared:
    """A bot now beside the same bot before."""

    bot: str
    against: str
    """What it was compared with."""
    changes: tuple[Change, ...] = ()
    unknown: tuple[str, ...] = ()
    """What these files do not say, and why."""
    is_new: bool = False

    @property
    def voids(self) -> tuple[Void, ...]:
        """All that is lost."""
        return tuple(one for one in Void if any(one in change.voids for change in self.changes))


def compared(before: Manifests, now: Manifests, against: str, sources: Sequence[str]) -> tuple[Compared, ...]:
    """Every bot of either side, by name. `sources`: files of the image that have changed."""
    found = []
    unread = "; ".join(f"{source} {why}" for source, why in before.problems)
    for bot in now.bots:
        old = before.bot(bot.key)
        if old is None and unread:
            found.append(Compared(bot.name, against, (Change("all", (unread,), EVERYTHING),)))
        elif old is None:
            found.append(Compared(bot.name, against, is_new=True))
        elif bot.spec is None or old.spec is None:
            why = "; ".join(bot.problems if bot.spec is None else (f"at {against}: {one}" for one in old.problems))
            found.append(Compared(bot.name, against, (Change("all", (f"cannot be read: {why}",), EVERYTHING),)))
        else:
            changes = tuple(_changes(old, bot, before, now, sources))
            found.append(Compared(bot.name, against, changes, tuple(_unknown(old, bot, before, now))))
    gone = "it is no longer in these files: a bot that is deleted loses all, and one of another name is another bot"
    if now.problems:
        gone = "it is not found now: " + "; ".join(f"{source} {why}" for source, why in now.problems)
    for old in before.bots:
        if now.bot(old.key) is None:
            found.append(Compared(old.name, against, (Change("metadata", (gone,), EVERYTHING),)))
    return tuple(sorted(found, key=lambda one: one.bot))


def _changes(old: Bot, bot: Bot, before: Manifests, now: Manifests, sources: Sequence[str]) -> Iterator[Change]:
    assert old.spec is not None and bot.spec is not None  # noqa: S101 - compared() has looked
    image = _image(old.spec.image, bot.spec.image, sources)
    if image:
        yield Change("image", image, EVERYTHING)
    parts, parts_now = spec_inputs(old.spec), spec_inputs(bot.spec)
    pairs: dict[str, tuple[object, object]] = {name: (part, parts_now[name]) for name, part in parts.items()}
    accounts = before.live_account_of(old), now.live_account_of(bot)
    known = accounts if None not in accounts else (None, None)  # one side alone says nothing of a change
    pairs["accounts.live"] = (
        live_account_input(old.spec.accounts.live or "", known[0]),
        live_account_input(bot.spec.accounts.live or "", known[1]),
    )
    gates = before.gate_of(old), now.gate_of(bot)
    was, is_now = (spec.gate_ref.name if spec.gate_ref is not None else "none" for spec in (old.spec, bot.spec))
    if gates[0] is not None and gates[1] is not None:
        pairs["gate"] = (gate_input(gates[0]), gate_input(gates[1]))
    elif was != is_now:
        pairs["gate"] = (was, is_now)
    for name, (one, other) in pairs.items():
        if digest_of_input(one) != digest_of_input(other):
            yield Change(name, _listed(one, other), EVERYTHING)
    if was != is_now:
        yield Change("gateRef", _listed(was, is_now), (Void.APPROVALS,))
    if old.spec.accounts.paper != bot.spec.accounts.paper:
        listed = _listed(old.spec.accounts.paper, bot.spec.accounts.paper)
        yield Change("accounts.paper", listed, (Void.EVIDENCE,))
    if old.spec.mode is not bot.spec.mode:
        lost = () if bot.spec.mode is Mode.LIVE else (Void.APPROVALS, Void.GRANT)
        yield Change("mode", _listed(old.spec.mode.value, bot.spec.mode.value), lost)


def _image(old: str | None, new: str | None, sources: Sequence[str]) -> tuple[str, ...]:
    """Why the image that runs would be another one; empty where it would not."""
    pinned = [_DIGEST.search(one or "") for one in (old, new)]
    if pinned[0] is not None and pinned[1] is not None:
        return _listed(pinned[0][0], pinned[1][0]) if pinned[0][0] != pinned[1][0] else ()
    if old != new:
        return _listed(old or "the operator's own", new or "the operator's own")
    if pinned[1] is not None:
        return ()
    return _few([f"{one} has changed, and another build has another digest" for one in sources])


def _unknown(old: Bot, bot: Bot, before: Manifests, now: Manifests) -> Iterator[str]:
    assert old.spec is not None and bot.spec is not None  # noqa: S101 - compared() has looked
    if not _DIGEST.search(bot.spec.image or ""):
        yield "image: it counts by its digest as the kubelet reports it, and a new build of the same tag has another"
    elif old.spec.image == bot.spec.image:
        yield "image: spec.image names a digest, so what has changed in its sources does not run yet"
    if bot.spec.gate_ref is not None and (before.gate_of(old) is None or now.gate_of(bot) is None):
        yield f"gate: PromotionGate {bot.spec.gate_ref.name} is not in these files, then and now"
    if bot.spec.accounts.live is not None and None in (before.live_account_of(old), now.live_account_of(bot)):
        yield f"accounts.live: BrokerAccount {bot.spec.accounts.live} is not in these files, then and now"
    yield "killEpoch: only the cluster knows how often the bot was killed"


def _listed(old: object, new: object) -> tuple[str, ...]:
    return _few(list(_differences("", old, new)))


def _few(found: Sequence[str]) -> tuple[str, ...]:
    more = len(found) - MOST_DIFFERENCES
    return (*found[:MOST_DIFFERENCES], f"and {more} more") if more > 0 else tuple(found)


def _differences(path: str, old: object, new: object) -> Iterator[str]:
    """PATH: OLD -> NEW for each value that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}, key=str):
            yield from _differences(f"{path}.{name}" if path else str(name), old.get(name), new.get(name))
    elif old != new:
        yield f"{path}: {_value(old)} -> {_value(new)}" if path else f"{_value(old)} -> {_value(new)}"


def _value(value: object) -> str:
    return "absent" if value is None else str(value)
