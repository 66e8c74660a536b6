"""The flatten Job: carries out a kill with the bot's keys where its pod does not answer, and says what the broker said.

Made from what the bot last ran with (its StatefulSet and its ConfigMap), so that an invalid spec or an account that is
gone does not keep a kill from being carried out; with the operator's own image, because a broken image of the bot's is
one of the reasons why no pod answers. Must never run while a pod of the bot answers that it is killed, and never take a
Job for confirmed that did not say so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from tradingbot_api import FlattenReport, OnKill
from tradingbot_api.group import (
    BOT_UID_ANNOTATION,
    CONFIG_DIGEST_VARIABLE,
    GROUP,
    LIVE_LABEL,
    PRODUCER_LABEL,
    SYMBOLS_ANNOTATION,
)
from tradingbot_operator.plan.conditions import parse_timestamp
from tradingbot_operator.plan.evidence import Ended, ended
from tradingbot_operator.plan.jobs import JOB_NAME_LABEL, job_pod, one_attempt, pod_of
from tradingbot_operator.plan.kills import ANSWER_LIMIT, Kill, is_known_to
from tradingbot_operator.plan.names import CONFIG_DIRECTORY, CONFIG_FILE, CONTAINER, child_name
from tradingbot_operator.plan.objects import (
    Raw,
    annotation,
    created_at,
    entries,
    is_being_deleted,
    label,
    mapping,
    name_of,
    text,
    uid_of,
)
from tradingbot_operator.plan.producers import ATTEMPT_ANNOTATION, attempt_of, is_of, owned
from tradingbot_operator.plan.restricted import KEYS
from tradingbot_operator.plan.snapshot import BotSnapshot, last_answer
from tradingbot_operator.plan.symbols import Overlap

Manifest = dict[str, Any]

FLATTEN: Final = "flatten"
"""Value of the producer label, and the command of the runtime."""
EPOCH_ANNOTATION: Final = f"{GROUP}/kill-epoch"
"""On a Job's pod template: the kill that it carries out."""

POWERLESS_LIMIT: Final = timedelta(seconds=60)
"""A pod that has not reached the broker for so long since the kill does not carry it out."""
_TIMEOUT_SECONDS: Final = 240
_DEADLINE_SECONDS: Final = 360
"""Pulling the image included."""
_FIRST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(minutes=5)
_LOST_AFTER: Final = timedelta(seconds=_DEADLINE_SECONDS + 120)


@dataclass(frozen=True)
class Flattening:
    """What to do about the flatten Jobs of a bot."""

    make: tuple[Manifest, ...] = ()
    """NetworkPolicy and Job to create, in this order."""
    discard: tuple[Raw, ...] = ()
    attempts: int = 0
    """Jobs made for the kill so far, this look's included."""
    again_after_seconds: float | None = None
    problem: str = ""
    """Why no Job can be made, as a sentence."""


NOTHING: Final = Flattening()


def last_words(snapshot: BotSnapshot) -> Mapping[int, FlattenReport]:
    """What the last Job of each kill that came to an end said, by the kill's number."""
    found: dict[int, FlattenReport] = {}
    for job in sorted(_jobs(snapshot), key=attempt_of):
        end = _end(snapshot, job)
        report = _report(end) if end is not None else None
        if report is not None:
            found[_epoch_of(job)] = report
    return found


def flattening(snapshot: BotSnapshot, kill: Kill | None, conflicts: tuple[Overlap, ...]) -> Flattening:
    """Whether a Job has to help the kill in force now. `conflicts`: symbols that are another bot's."""
    if kill is None:
        return Flattening(discard=tuple(_no_longer_needed(snapshot, None)))
    jobs = sorted((one for one in _jobs(snapshot) if _epoch_of(one) == kill.spec.epoch), key=attempt_of)
    attempts = max([kill.status.attempts, *map(attempt_of, jobs)])
    if kill.is_done:
        return Flattening(discard=tuple(_no_longer_needed(snapshot, None)), attempts=attempts)
    last = jobs[-1] if jobs else None
    stays = Flattening(discard=tuple(_no_longer_needed(snapshot, last)), attempts=attempts)
    due = _due_at(snapshot, kill, last, attempts)
    if due is None:
        return stays
    if due > snapshot.now:
        return replace(stays, again_after_seconds=max((due - snapshot.now).total_seconds(), 0.5))
    made = _made(snapshot, kill, attempts + 1, conflicts)
    if isinstance(made, str):
        return replace(stays, problem=made)
    # A NetworkPolicy that was made for it before its Job could be is not taken from it.
    names = {name_of(one) for one in made}
    discard = tuple(one for one in stays.discard if name_of(one) not in names)
    again = _LOST_AFTER.total_seconds()
    return replace(stays, make=made, discard=discard, attempts=attempts + 1, again_after_seconds=again)


def answers_for(snapshot: BotSnapshot, kill: Kill) -> datetime | None:
    """Until when the bot's pod counts as one that carries the kill out itself; None where it does not say so."""
    last = last_answer(snapshot.reported)
    if last is None or not is_known_to(last.report, kill):
        return None
    if not last.report.broker_connected and snapshot.now >= kill.seen_at(snapshot.now) + POWERLESS_LIMIT:
        return None  # it answers and can do nothing: its keys may be old, or its way to the broker closed
    return last.read_at + ANSWER_LIMIT


def _due_at(snapshot: BotSnapshot, kill: Kill, last: Raw | None, attempts: int) -> datetime | None:
    """When the next Job is to be made; None while one runs, and before the pod was asked."""
    if snapshot.is_being_asked:
        return None
    seen = kill.seen_at(snapshot.now)
    due = max(seen + ANSWER_LIMIT, answers_for(snapshot, kill) or seen)
    if last is None:
        return due
    end = _end(snapshot, last)
    if end is None:
        made = parse_timestamp(created_at(last)) or snapshot.now
        return made + _LOST_AFTER if snapshot.now >= made + _LOST_AFTER else None
    wait = min(_FIRST_WAIT * (1 << min(attempts - 1, 10)), _LONGEST_WAIT)
    return max(due, end.at + wait)


# ---------------------------------------------------------------- what there is


def _jobs(snapshot: BotSnapshot) -> Iterator[Raw]:
    """The flatten Jobs of this very bot. Nobody but the operator can make one, by a policy."""
    for one in snapshot.flattening:
        if text(one, "kind") == "Job" and is_of(one, uid_of(snapshot.bot)):
            yield one


def _epoch_of(job: Raw) -> int:
    said = annotation(mapping(job, "spec", "template"), EPOCH_ANNOTATION) or ""
    return int(said) if said.isdecimal() else 0


def _end(snapshot: BotSnapshot, job: Raw) -> Ended | None:
    return ended(job, pod_of(job, snapshot.flattening))


def _report(end: Ended) -> FlattenReport | None:
    if end.exit_code not in (0, 1):
        return None
    try:
        return FlattenReport.model_validate_json(end.message)
    except ValidationError:
        return None


def _no_longer_needed(snapshot: BotSnapshot, last: Raw | None) -> Iterator[Raw]:
    """What was made for former attempts, and for kills that are done."""
    for one in snapshot.flattening:
        is_ours = is_of(one, uid_of(snapshot.bot)) and text(one, "kind") in ("Job", "NetworkPolicy")
        if is_ours and not is_being_deleted(one) and (last is None or name_of(one) != name_of(last)):
            yield one


# ---------------------------------------------------------------- what is made


def _made(
    snapshot: BotSnapshot, kill: Kill, attempt: int, conflicts: tuple[Overlap, ...]
) -> tuple[Manifest, ...] | str:
    stateful_set = snapshot.child("StatefulSet")
    template = mapping(stateful_set or {}, "spec", "template")
    container = next((one for one in entries(template, "spec", "containers") if text(one, "name") == CONTAINER), {})
    given = [one for one in entries(container, "env") if text(one, "name") in (*KEYS, CONFIG_DIGEST_VARIABLE)]
    keys = [one for one in given if text(one, "name") in KEYS]
    if stateful_set is None or not is_of(stateful_set, uid_of(snapshot.bot)) or snapshot.child("ConfigMap") is None:
        return "there is nothing that the bot ran with: look at the broker for what is open"
    if len(keys) != len(KEYS):
        return "the bot's StatefulSet names no keys: look at the broker for what is open"
    name = f"{name_of(snapshot.bot)}-{FLATTEN}-{kill.spec.epoch}-{attempt}"
    marks = {PRODUCER_LABEL: FLATTEN}
    metadata = owned(snapshot.bot, FLATTEN, name, extra=marks)
    if label(template, LIVE_LABEL):
        marks |= {LIVE_LABEL: "true"}
    theirs = {symbol for overlap in conflicts for symbol in overlap.symbols}
    traded = set((annotation(template, SYMBOLS_ANNOTATION) or "").split(","))
    # What another bot owns is never sold by this one.
    closes_positions = kill.spec.on_kill is OnKill.FLATTEN and not theirs & traded
    job = one_attempt(
        {**metadata, "labels": metadata["labels"] | marks},
        {
            "metadata": {
                "labels": metadata["labels"] | marks,
                "annotations": {
                    BOT_UID_ANNOTATION: uid_of(snapshot.bot),
                    EPOCH_ANNOTATION: str(kill.spec.epoch),
                    ATTEMPT_ANNOTATION: str(attempt),
                },
            },
            "spec": _pod_spec(snapshot, template, given, closes_positions=closes_positions),
        },
        deadline_seconds=_DEADLINE_SECONDS,
    )
    return (*_network_policy(snapshot, name, metadata), job)


def _network_policy(snapshot: BotSnapshot, name: str, metadata: Manifest) -> tuple[Manifest, ...]:
    """The Job may reach what the bot may. Without one of the bot's there is nothing to be kept from."""
    observed = snapshot.child("NetworkPolicy")
    if observed is None:
        return ()
    spec = {
        **mapping(observed, "spec"),
        "podSelector": {"matchLabels": {JOB_NAME_LABEL: name}},
        "ingress": [],
    }
    return ({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec},)


def _pod_spec(snapshot: BotSnapshot, template: Raw, given: list[Raw], *, closes_positions: bool) -> Manifest:
    pod = job_pod(
        child_name(name_of(snapshot.bot)),
        image=snapshot.settings.runtime_image,
        pull_policy="IfNotPresent",
        arguments=(
            FLATTEN,
            "--config",
            f"{CONFIG_DIRECTORY}/{CONFIG_FILE}",
            "--timeout",
            str(_TIMEOUT_SECONDS),
            # What was asked then is carried out, whatever the config it finds says of kills.
            "--positions" if closes_positions else "--no-positions",
        ),
        environment=given,
    )
    for placed in ("nodeSelector", "tolerations", "affinity", "imagePullSecrets"):
        wanted = mapping(template, "spec").get(placed)
        if wanted:
            pod[placed] = wanted
    return pod
