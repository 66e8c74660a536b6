"""What every pod of ours has alike, as Pod Security's level `restricted` asks: no root, no privileges, no writable root
file system, keys only by reference. Must never hold a key's value.
"""

from typing import Any, Final

Manifest = dict[str, Any]

NOBODY: Final = 65532
TOLD: Final = "/dev/termination-log"
KEYS: Final = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
"""The broker's keys: in the environment, and in the Secret that a BrokerAccount names."""
NOTICE_KEYS: Final = ("WEBHOOK_TOKEN", "SMTP_USERNAME", "SMTP_PASSWORD")
"""What a bot proves itself with to whoever takes its notices, where the account's Secret has it."""


def pod_security() -> Manifest:
    """A pod's securityContext."""
    return {
        "runAsNonRoot": True,
        "runAsUser": NOBODY,
        "runAsGroup": NOBODY,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """A container's securityContext."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }


def from_secret(secret: str, name: str, *, optional: bool = False) -> Manifest:
    """An environment variable that the kubelet fills from a Secret's key of the same name."""
    reference = {"name": secret, "key": name} | ({"optional": True} if optional else {})
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def config_volumes(config_map: str) -> list[Manifest]:
    """The config, and the only other place that may be written to."""
    return [
        {"name": "config", "configMap": {"name": config_map}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
    ]


def config_mount(directory: str) -> Manifest:
    """Where the config is seen."""
    return {"name": "config", "mountPath": directory, "readOnly": True}


def tmp_mount() -> Manifest:
    """Where temporary files go."""
    return {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - an emptyDir of the pod's own
