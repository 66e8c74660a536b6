"""Jobs as manifests, whatever they do: one attempt, one container, nothing it could ask the API server with.

Another attempt is another Job, decided by us: what one attempt said is never mixed with another's.
Must never hold a key, and never carry a token.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tradingbot_operator.plan.names import CONFIG_DIRECTORY
from tradingbot_operator.plan.objects import Raw, controller_uid, text, uid_of
from tradingbot_operator.plan.pods import newest
from tradingbot_operator.plan.restricted import (
    TOLD,
    config_mount,
    config_volumes,
    container_security,
    pod_security,
    tmp_mount,
)

Manifest = dict[str, Any]

CONTAINER: Final = "producer"
JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
"""The Job controller puts it on the pods it makes."""
KEPT_SECONDS: Final = 24 * 3600
"""A finished Job that nobody took away goes after this, far beyond the longest wait for another attempt."""
_RESOURCES: Final = {"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}}


def one_attempt(
    metadata: Mapping[str, Any], template: Mapping[str, Any], *, deadline_seconds: int, kept_seconds: int = KEPT_SECONDS
) -> Manifest:
    """A Job that is tried once; `template` is its pod's."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": dict(metadata),
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline_seconds,
            "ttlSecondsAfterFinished": kept_seconds,
            "template": dict(template),
        },
    }


def job_pod(
    config_map: str, *, image: str, pull_policy: str, arguments: Sequence[str], environment: Iterable[Raw]
) -> Manifest:
    """The spec of a Job's pod, which runs `tradingbot` with a config and leaves its last words."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": pod_security(),
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": pull_policy,
                "command": ["tradingbot"],
                "args": list(arguments),
                "env": [dict(one) for one in environment],
                "resources": _RESOURCES,
                "securityContext": container_security(),
                "terminationMessagePath": TOLD,
                "terminationMessagePolicy": "File",
                "volumeMounts": [config_mount(CONFIG_DIRECTORY), tmp_mount()],
            }
        ],
        "volumes": config_volumes(config_map),
    }


def pod_of(job: Raw, objects: Iterable[Raw]) -> Raw | None:
    """The pod that a Job made, among what was seen of Jobs, and their pods; None where there is none."""
    return newest([one for one in objects if text(one, "kind") == "Pod" and controller_uid(one) == uid_of(job)])
