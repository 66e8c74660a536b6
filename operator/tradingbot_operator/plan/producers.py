"""The Jobs that make evidence, as manifests: audits of closed sessions, preflights of the live account, validations.

What a Job reads is one immutable ConfigMap, named by its content, beside the Job of the same name: an edited one is not
what its name says. A NetworkPolicy of that name lets its pod reach the broker, and nobody reach the pod.
Must never hold a key, never carry a token, and never run an image of the bot's author but to validate the strategy that
is in it, with the keys that the same image has on paper anyway.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from tradingbot_api import (
    API_VERSION,
    BrokerAccountSpec,
    ClosedSession,
    ClosedSessions,
    GrantRef,
    Mode,
    RuntimeConfig,
    TradingBotSpec,
    span,
)
from tradingbot_api.group import BOT_UID_ANNOTATION, GROUP, LIVE_LABEL, PRODUCER_LABEL
from tradingbot_operator.plan.children import Bot, config_text, runtime_config
from tradingbot_operator.plan.jobs import JOB_NAME_LABEL, KEPT_SECONDS, job_pod, one_attempt
from tradingbot_operator.plan.names import CONFIG_DIRECTORY, CONFIG_FILE, labels
from tradingbot_operator.plan.network import network_policy_spec
from tradingbot_operator.plan.objects import Raw, annotation, controller_uid, mapping, name_of, namespace_of, uid_of
from tradingbot_operator.plan.restricted import KEYS, NOBODY, NOTICE_KEYS, from_secret
from tradingbot_operator.plan.snapshot import PlanSettings

Manifest = dict[str, Any]

AUDIT: Final = "audit"
PREFLIGHT: Final = "preflight"
VALIDATION: Final = "validation"
SESSIONS_FILE: Final = "sessions.json"
ABOUT_FILE: Final = "about.json"
CONTENT_ANNOTATION: Final = f"{GROUP}/content"
"""On a Job's pod template, which nobody can change: sha256 of the ConfigMap that it was made for."""
ATTEMPT_ANNOTATION: Final = f"{GROUP}/attempt"
"""On a Job's pod template: the number of the attempt, for people and figures."""

DEADLINE_SECONDS: Final = 600
"""Pulling the image included."""
VALIDATION_SECONDS: Final = 2 * 3600
"""Of a validation, which reads years of bars and tries many sets of parameters."""
_NAME: Final = "tradingbot-producer"
"""Not the name of a bot's pods: neither its Service nor its StatefulSet may take a producer's pod for the bot's."""
_VALIDATION_RESOURCES: Final = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
_PROCESSES: Final = 2
"""Of a validation: it is not told how many cores of its node are meant for it."""
_TRIALS: Final = 50
"""Other sets of parameters that a validation draws."""
_RESULTS: Final = "/var/lib/results"
_WORDS: Final = {VALIDATION: "validate"}
"""What the names of Jobs say where the kind itself would make them longer than a label may be."""
_FILLED_IN: Final = frozenset({"dnsPolicy", "schedulerName", "defaultMode", "apiVersion"})
"""What the API server adds to a pod template."""


class RunRef(BaseModel):
    """The ValidationRun that asked for a Job, and what it asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    uid: str
    image: str
    """The bot's image as the kubelet reported it: `repository@sha256:...`, or a bare `sha256:...`."""
    days: int
    seed: int
    before: int
    """Validations of this bot that there was evidence of: whoever tries again and again is judged by all of it."""
    claim: str
    """Where its files are kept; empty where they are not."""
    ttl: str
    """How long the Job is kept after its end."""


class About(BaseModel):
    """What a Job's evidence will be about. It is part of the ConfigMap's content, so it can never be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """audit, preflight or validation."""
    uid: str
    """UID of the TradingBot."""
    mode: str
    """paper or live: of the sessions that are judged."""
    account: str
    """The BrokerAccount whose keys the Job has."""
    provider: str
    """Its provider."""
    image: str
    """Image of the bot, as the subject has it."""
    pod_uid: str
    """The bot's pod that gave the sessions; empty for anything else."""
    subject_digest: str
    generation: int
    """metadata.generation of the TradingBot."""
    attempt: int
    """1, or how often it was tried before and came to no end, and one more."""
    after: str = ""
    """Preflight: the evidence before it, so that the next one is another Job."""
    capital: str = ""
    """Preflight: what the account must be able to buy for."""
    run: RunRef | None = None
    """Validation: who asked for it."""


@dataclass(frozen=True)
class Order:
    """One Job with its ConfigMap and its NetworkPolicy, to be made."""

    about: About
    config_map: Manifest
    network_policy: Manifest
    job: Manifest

    @property
    def name(self) -> str:
        """Name of all."""
        return name_of(self.job)


@dataclass(frozen=True)
class Contents:
    """What an untouched ConfigMap holds."""

    about: About
    sessions: tuple[ClosedSession, ...]
    data: Mapping[str, str]


def audit_order(
    bot: Bot, account: BrokerAccountSpec, settings: PlanSettings, about: About, sessions: Sequence[ClosedSession]
) -> Order:
    """An audit of sessions, oldest first."""
    text = ClosedSessions(sessions=list(sessions)).model_dump_json(by_alias=True, exclude_none=True)
    config = _audit_config(bot, account, about)
    data = {ABOUT_FILE: _canonical(about), CONFIG_FILE: config_text(config), SESSIONS_FILE: text}
    return _order(bot, account, settings, about, data)


def preflight_order(bot: Bot, account: BrokerAccountSpec, settings: PlanSettings, about: About) -> Order:
    """A last look at the live account. Its config is one of mode paper on that account: it trades nothing, and a config
    of mode live names a grant that there is not yet.
    """
    config = runtime_config(bot, about.account, account)
    return _order(bot, account, settings, about, {ABOUT_FILE: _canonical(about), CONFIG_FILE: config_text(config)})


def validation_order(bot: Bot, account: BrokerAccountSpec, settings: PlanSettings, about: About) -> Order:
    """A validation of the bot's strategy, with its own image and its paper keys, whatever it trades with now."""
    config = runtime_config(bot, about.account, account)
    return _order(bot, account, settings, about, {ABOUT_FILE: _canonical(about), CONFIG_FILE: config_text(config)})


def deadline_seconds(about: About) -> int:
    """How long a Job may take."""
    return VALIDATION_SECONDS if about.kind == VALIDATION else DEADLINE_SECONDS


def job_for(bot: Bot, account: BrokerAccountSpec, settings: PlanSettings, contents: Contents) -> Manifest:
    """The Job as it is made for a ConfigMap that is there."""
    return _order(bot, account, settings, contents.about, contents.data).job


def contents_of(config_map: Raw) -> Contents | None:
    """What a ConfigMap of ours holds; None where it is not what its name says."""
    data = {key: value for key, value in mapping(config_map, "data").items() if isinstance(value, str)}
    try:
        about = About.model_validate_json(data.get(ABOUT_FILE, ""))
        sessions = ClosedSessions.model_validate_json(data.get(SESSIONS_FILE, "{}")).sessions
    except ValidationError:
        return None
    if not name_of(config_map).endswith(f"-{_word(about)}-{_content(data)[:12]}"):
        return None
    return Contents(about, tuple(sessions), data)


def source_digest(session: ClosedSession) -> str:
    """sha256 of a closed session as JSON, as it was given to the audit."""
    return hashlib.sha256(session.model_dump_json(by_alias=True, exclude_none=True).encode()).hexdigest()


def attempt_of(job: Raw) -> int:
    """The number of a Job's attempt; 1 where it does not say."""
    number = annotation(mapping(job, "spec", "template"), ATTEMPT_ANNOTATION) or ""
    return int(number) if number.isdecimal() else 1


def is_of(raw: Raw, uid: str) -> bool:
    """Whether an object was made by us for the bot with this UID, and still belongs to it."""
    return annotation(raw, BOT_UID_ANNOTATION) == uid and controller_uid(raw) == uid


def may_remove(raw: Raw, uid: str) -> bool:
    """Whether an object was made by us for the bot with this UID, and belongs to nothing else now."""
    return annotation(raw, BOT_UID_ANNOTATION) == uid and controller_uid(raw) in ("", uid)


def is_as_made(stored: Raw, manifest: Raw) -> bool:
    """Whether a stored object is the one that we make: nothing is missing that matters, and nothing was added to it.

    Of a Job it is what its pod is made from, of anything else its content and its owner.
    """
    if not is_of(stored, annotation(manifest, BOT_UID_ANNOTATION) or ""):
        return False
    if stored.get("kind", manifest["kind"]) == "Job":
        made, there = mapping(manifest, "spec", "template"), mapping(stored, "spec", "template")
        same_labels = _has(mapping(there, "metadata", "labels"), mapping(made, "metadata", "labels"))
        same_notes = mapping(there, "metadata", "annotations") == mapping(made, "metadata", "annotations")
        return same_labels and same_notes and _same(there.get("spec"), made.get("spec"))
    return all(stored.get(part) == manifest[part] for part in ("spec", "data", "immutable") if part in manifest)


def owned(bot: Raw, component: str, name: str, *, extra: Mapping[str, str] | None = None) -> Manifest:
    """The metadata of an object that belongs to a bot and is not one of its children."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": "TradingBot",
        "name": name_of(bot),
        "uid": uid_of(bot),
        "controller": True,
        # Nothing that is written about a bot may keep it from going.
        "blockOwnerDeletion": False,
    }
    return {
        "name": name,
        "namespace": namespace_of(bot),
        "labels": _labels(name_of(bot), component) | dict(extra or {}),
        "annotations": {BOT_UID_ANNOTATION: uid_of(bot)},
        "ownerReferences": [owner],
    }


def _order(
    bot: Bot, account: BrokerAccountSpec, settings: PlanSettings, about: About, data: Mapping[str, str]
) -> Order:
    content = _content(data)
    name = f"{bot.name}-{_word(about)}-{content[:12]}"
    marks = {PRODUCER_LABEL: about.kind}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned(bot.raw, about.kind, name, extra=marks),
        "data": dict(data),
        "immutable": True,
    }
    network_policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owned(bot.raw, about.kind, name, extra=marks),
        "spec": {
            **network_policy_spec(bot.name, bot.spec, account, settings.operator_namespace),
            "podSelector": {"matchLabels": {JOB_NAME_LABEL: name}},
            # Nobody has to reach it, and it has to reach what the bot on that account would.
            "ingress": [],
        },
    }
    if about.kind == PREFLIGHT or about.mode == Mode.LIVE:
        marks = marks | {LIVE_LABEL: "true"}
    sessions = ClosedSessions.model_validate_json(data.get(SESSIONS_FILE, "{}")).sessions
    job = one_attempt(
        owned(bot.raw, about.kind, name, extra=marks),
        {
            "metadata": {
                "labels": _labels(bot.name, about.kind) | marks,
                "annotations": {
                    BOT_UID_ANNOTATION: uid_of(bot.raw),
                    CONTENT_ANNOTATION: content,
                    ATTEMPT_ANNOTATION: str(about.attempt),
                },
            },
            "spec": _pod_spec(bot.spec, account, settings, name, about, _arguments(about, sessions)),
        },
        deadline_seconds=deadline_seconds(about),
        kept_seconds=KEPT_SECONDS if about.run is None else int(span(about.run.ttl).total_seconds()),
    )
    return Order(about, config_map, network_policy, job)


def _audit_config(bot: Bot, account: BrokerAccountSpec, about: About) -> RuntimeConfig:
    if about.mode == Mode.PAPER:
        return runtime_config(bot, about.account, account)
    # The mode decides which orders are the bot's. An audit trades nothing, so any epoch will do.
    return runtime_config(bot, about.account, account, GrantRef(subject_digest=about.subject_digest, epoch=1))


def _arguments(about: About, sessions: Sequence[ClosedSession]) -> list[str]:
    config = ["--config", f"{CONFIG_DIRECTORY}/{CONFIG_FILE}"]
    if about.kind == PREFLIGHT:
        return ["preflight", *config, "--capital", about.capital]
    if about.run is not None:
        read = ["--from-broker", "--days", str(about.run.days), "--seed", str(about.run.seed)]
        counted = (about.run.before + 1) * (_TRIALS + 1)
        tried = ["--trials", str(_TRIALS), "--declared-trials", str(counted), "--processes", str(_PROCESSES)]
        return ["validate", *config, *read, *tried, "--out", _RESULTS, "--image", about.image.rpartition("@")[2]]
    days = [word for one in sessions for word in ("--session", one.report.session)]
    return ["audit", *config, "--report", f"{CONFIG_DIRECTORY}/{SESSIONS_FILE}", *days]


def _pod_spec(
    spec: TradingBotSpec,
    account: BrokerAccountSpec,
    settings: PlanSettings,
    name: str,
    about: About,
    arguments: list[str],
) -> Manifest:
    secret = account.credentials_secret_ref.name
    pod = job_pod(
        name,
        image=settings.runtime_image,
        pull_policy=spec.image_pull_policy,
        arguments=arguments,
        environment=(
            *(from_secret(secret, one) for one in KEYS),
            *(from_secret(secret, one, optional=True) for one in _notice_secrets(arguments)),
        ),
    )
    if about.run is not None:
        _make_it_a_validation(pod, about.run)
    optional: Manifest = {
        "nodeSelector": dict(spec.node_selector),
        "tolerations": [entry.model_dump(by_alias=True, exclude_none=True) for entry in spec.tolerations],
        "imagePullSecrets": [{"name": one.name} for one in spec.image_pull_secrets],
    }
    return {**pod, **{key: value for key, value in optional.items() if value}}


def _make_it_a_validation(pod: Manifest, run: RunRef) -> None:
    """The bot's own image, by its digest, with more room, and a place for its files."""
    (container,) = pod["containers"]
    # By digest there is nothing newer to pull, and an image that was never in a registry cannot be pulled at all.
    container |= {"image": run.image, "imagePullPolicy": "IfNotPresent", "resources": _VALIDATION_RESOURCES}
    container["volumeMounts"] = [*container["volumeMounts"], {"name": "results", "mountPath": _RESULTS}]
    kept: Manifest = {"persistentVolumeClaim": {"claimName": run.claim}}
    volume = kept if run.claim else {"emptyDir": {"sizeLimit": "1Gi"}}
    pod["volumes"] = [*pod["volumes"], {"name": "results", **volume}]
    pod["securityContext"] = {**pod["securityContext"], "fsGroup": NOBODY, "fsGroupChangePolicy": "OnRootMismatch"}


def _notice_secrets(arguments: Sequence[str]) -> tuple[str, ...]:
    # A preflight delivers a test notice, as the bot would.
    return NOTICE_KEYS if arguments[0] == PREFLIGHT else ()


def _labels(bot: str, component: str) -> dict[str, str]:
    return labels(bot, component) | {"app.kubernetes.io/name": _NAME}


def _canonical(about: About) -> str:
    # Without `run` where there is none: what a former release has made keeps its name.
    return json.dumps(about.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":"))


def _word(about: About) -> str:
    return _WORDS.get(about.kind, about.kind)


def _content(data: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(data), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _has(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(there.get(key) == value for key, value in wanted.items())


def _same(there: object, made: object) -> bool:
    """Equal, but for what the API server fills in."""
    if isinstance(there, Mapping) and isinstance(made, Mapping):
        added = there.keys() - made.keys()
        return (
            made.keys() <= there.keys()
            and added <= _FILLED_IN
            and all(_same(there[key], value) for key, value in made.items())
        )
    if isinstance(there, list) and isinstance(made, list):
        return len(there) == len(made) and all(map(_same, there, made))
    return there == made
