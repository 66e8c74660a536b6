"""What a bot's pod, its container and its volume claim say is in the way: one named cause, the first that matters.

Reads only what the API server stores; the kubelet's own words are passed on. Must never guess a cause.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from tradingbot_api import EX_CONFIG, TerminationMessage
from tradingbot_operator.plan.names import CONTAINER
from tradingbot_operator.plan.objects import (
    Raw,
    created_at,
    entries,
    is_being_deleted,
    mapping,
    name_of,
    number,
    text,
)

POD_CREATION_LIMIT: Final = timedelta(seconds=30)
"""A StatefulSet that has no pod for this long has been refused one."""

_NEVER_BEGAN: Final = frozenset({EX_CONFIG, 126, 127, 128})
"""Exit codes of a bot that refused its config, and of a container whose program could not be started."""

_IMAGE_REASONS: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_VOLUME_WORDS: Final = ("persistentvolumeclaim", "volume", "storageclass")


@dataclass(frozen=True)
class Cause:
    """Why a bot is not ready: one CamelCase word, and what a person needs to know."""

    reason: str
    message: str


STARTING: Final = Cause("Starting", "the bot's pod is starting")


def newest(pods: Iterable[Raw]) -> Raw | None:
    """The pod that counts: one that is not being deleted before one that is, then the youngest."""
    ordered = sorted(pods, key=lambda pod: (not is_being_deleted(pod), created_at(pod), name_of(pod)))
    return ordered[-1] if ordered else None


def is_over(pod: Raw) -> bool:
    """Whether all that ran in the pod has ended for good."""
    return text(pod, "status", "phase") in ("Succeeded", "Failed")


def has_run(pod: Raw) -> bool:
    """Whether the bot's program ever came so far in this pod that it could have traded."""
    container = _container(pod)
    if container is None:
        return False
    if mapping(container, "state", "running") or (text(pod, "status", "phase") == "Running" and container.get("ready")):
        return True
    ended = [mapping(container, state, "terminated") for state in ("state", "lastState")]
    return any(end and number(end, "exitCode") not in _NEVER_BEGAN for end in ended)


def is_answering(pod: Raw) -> bool:
    """Whether the bot runs and has an address, so that it can be asked for a report.

    The pod as a whole is Pending for as long as another container beside the bot was never started.
    """
    runs = bool(mapping(_container(pod) or {}, "state", "running")) and text(pod, "status", "phase") == "Pending"
    return (runs or text(pod, "status", "phase") == "Running") and bool(text(pod, "status", "podIP"))


def pod_cause(
    stateful_set: Raw | None,
    pod: Raw | None,
    claim: Raw | None,
    *,
    waited: timedelta,
) -> Cause | None:
    """What is in the pod's way, or None where its container runs and only its report can say more.

    `waited` is how long there has been a StatefulSet and no readiness.
    """
    if pod is None:
        return _no_pod(stateful_set, waited)
    if is_being_deleted(pod):
        return Cause("Starting", f"pod {name_of(pod)} is stopping; a new one follows")
    if text(pod, "status", "phase") in ("", "Pending") and not _is_scheduled(pod):
        return _not_scheduled(pod, claim)
    container = _container(pod)
    if container is None:
        return _evicted(pod) or STARTING
    return _container_cause(container, name_of(claim) if claim is not None else "of this bot")


def _no_pod(stateful_set: Raw | None, waited: timedelta) -> Cause:
    if stateful_set is not None and waited > POD_CREATION_LIMIT:
        name = name_of(stateful_set)
        return Cause("PodNotCreated", f"no pod was created; `kubectl describe statefulset {name}` says why")
    return Cause("Starting", "waiting for the bot's pod to be created")


def _is_scheduled(pod: Raw) -> bool:
    return bool(text(pod, "spec", "nodeName")) or any(
        text(entry, "type") == "PodScheduled" and text(entry, "status") == "True"
        for entry in entries(pod, "status", "conditions")
    )


def _not_scheduled(pod: Raw, claim: Raw | None) -> Cause:
    said = next(
        (
            text(entry, "message")
            for entry in entries(pod, "status", "conditions")
            if text(entry, "type") == "PodScheduled" and text(entry, "status") == "False"
        ),
        "",
    )
    about_volume = any(word in said.lower() for word in _VOLUME_WORDS)
    unbound = claim is not None and text(claim, "status", "phase") != "Bound"
    if unbound and (about_volume or not said):
        return _volume_pending(claim or {}, said)
    if said:
        return Cause("Unschedulable", f"no node takes the bot's pod: {said}")
    return Cause("Starting", "waiting for the bot's pod to be scheduled")


def _volume_pending(claim: Raw, said: str) -> Cause:
    storage_class = text(claim, "spec", "storageClassName")
    wanted = f"StorageClass {storage_class}" if storage_class else "the cluster's default StorageClass"
    phase = text(claim, "status", "phase") or "Pending"
    tail = f": {said}" if said else ""
    return Cause("VolumePending", f"volume claim {name_of(claim)} ({wanted}) is {phase}{tail}")


def _evicted(pod: Raw) -> Cause | None:
    if text(pod, "status", "phase") != "Failed":
        return None
    reason = text(pod, "status", "reason") or "PodFailed"
    return Cause(reason, text(pod, "status", "message") or "the bot's pod failed")


def _container(pod: Raw) -> Raw | None:
    statuses = entries(pod, "status", "containerStatuses")
    return next((entry for entry in statuses if text(entry, "name") == CONTAINER), None)


def _container_cause(container: Raw, claim: str) -> Cause | None:
    waiting = mapping(container, "state", "waiting")
    reason, message = text(waiting, "reason"), text(waiting, "message")
    if reason in _IMAGE_REASONS:
        return Cause("ImagePullFailed", _sentence(f"image {text(container, 'image')}: {reason}", message))
    if reason in _CONFIG_REASONS:
        return _config_cause(reason, message)
    ended = mapping(container, "state", "terminated") or mapping(container, "lastState", "terminated")
    # While the container is not ready again, its last words are still the reason; a restart is no cure yet.
    if ended and container.get("ready") is not True:
        return _ended(ended, number(container, "restartCount"), claim, restarting=reason == "CrashLoopBackOff")
    # `started` is false until the startup probe was answered once: a bot that cannot answer yet is no silent bot.
    return STARTING if waiting or container.get("started") is False else None


def _config_cause(reason: str, message: str) -> Cause:
    lowered = message.lower()
    if "secret" in lowered and "not found" in lowered:
        return Cause("SecretNotFound", f"{message}: create the Secret that the BrokerAccount names")
    if "couldn't find key" in lowered and "secret" in lowered:
        return Cause(
            "SecretKeyMissing",
            f"{message}: the Secret needs the keys APCA_API_KEY_ID and APCA_API_SECRET_KEY",
        )
    return Cause("ContainerConfigError", _sentence(reason, message))


def _ended(ended: Raw, restarts: int, claim: str, *, restarting: bool) -> Cause | None:
    last_words = _last_words(text(ended, "message"))
    if last_words is not None:
        return Cause(last_words.reason, _sentence(last_words.message, _cure(last_words.reason, claim)))
    code = number(ended, "exitCode")
    if code == 0 and not restarting:
        return STARTING
    why = text(ended, "reason") or "Error"
    tail = text(ended, "message").strip()[-512:]
    return Cause("CrashLooping", _sentence(f"the bot ended with exit code {code} ({why}), {restarts} restarts", tail))


def _cure(reason: str, claim: str) -> str:
    """What the runtime cannot say, because it does not know what its volume is called here."""
    if reason != "StateOfAnotherBot":
        return ""
    return f"to begin anew, delete the persistentvolumeclaim {claim} and then the pod; its journal goes with it"


def _last_words(message: str) -> TerminationMessage | None:
    try:
        return TerminationMessage.model_validate(json.loads(message))
    except (ValueError, ValidationError):
        return None


def _sentence(head: str, tail: str) -> str:
    return f"{head}: {tail}" if tail else head
