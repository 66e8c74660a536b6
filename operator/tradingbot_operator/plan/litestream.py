"""What a bot's pod has beside the bot where its state is streamed to S3: a container and two empty volumes.

Must never give that container a broker's key or the pod's token, nor stand in the way of the bot: it is an ordinary
container and no native sidecar, so that the bot starts, trades and ends whether or not this one can.
"""

import json
from typing import Any, Final

from tradingbot_api import Mode
from tradingbot_operator.plan.names import LITESTREAM_CONTAINER, STATE_DIRECTORY, VOLUME
from tradingbot_operator.plan.restricted import TOLD, container_security, from_secret
from tradingbot_operator.settings import Litestream

Manifest = dict[str, Any]

S3_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""What the Secret has to hold; in the environment of this one container."""
CONFIG_VARIABLE: Final = "CONFIG"
"""With the whole config: nobody changes a pod's environment, and a ConfigMap's namesake can be made by others."""
# On an emptyDir of the container's own.
CONFIG_PATH: Final = "/tmp/litestream.yml"  # noqa: S108
SOCKET: Final = "/tmp/litestream.sock"  # noqa: S108
_RUN: Final = (
    f'printf %s "${CONFIG_VARIABLE}" >{CONFIG_PATH} && exec litestream replicate -no-expand-env -config {CONFIG_PATH}'
)
_TOKEN_DIRECTORY: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - where none is to be
_TMP_VOLUME: Final = "litestream-tmp"
_NO_TOKEN_VOLUME: Final = "litestream-no-token"  # noqa: S105 - the name of an empty volume
_TRUNCATE_PAGES: Final = 16_384
"""64 MiB of log, as much as the bot itself lets the file keep; Litestream's own limit is 500 MB."""
_SYNC_SECONDS: Final = 10
_PROBE_SECONDS: Final = 300
_PROBE_FAILURES: Final = 2
"""After 10 to 15 minutes without an upload Litestream is started anew. What it has not uploaded it stages on the bot's
volume; started anew, it stages nothing until it has reached the bucket, and lets go of the bot's write-ahead log."""


def destination(litestream: Litestream, namespace: str, bot: str, mode: Mode) -> str:
    """Where in the bucket this bot's state of this mode is."""
    return f"{litestream.url}/{namespace}/{bot}/{mode.value}"


def database(mode: Mode) -> str:
    """The file that is streamed."""
    return f"{STATE_DIRECTORY}/{mode.value}/state.db"


def litestream_config(litestream: Litestream, namespace: str, bot: str, mode: Mode) -> str:
    """Litestream's config file, the same bytes for the same bot."""
    replica: Manifest = {
        "url": destination(litestream, namespace, bot, mode),
        "sync-interval": f"{_SYNC_SECONDS}s",
    }
    if litestream.region:
        replica["region"] = litestream.region
    if litestream.endpoint:
        replica |= {"endpoint": litestream.endpoint, "force-path-style": True}
    document = {
        "dbs": [{"path": database(mode), "truncate-page-n": _TRUNCATE_PAGES, "replica": replica}],
        # Each day one whole copy, and between two of them a piece for every 30 s of writing.
        "snapshot": {"interval": "24h", "retention": "168h"},
        # Litestream's own 15 s would list a week's pieces, a thousand a request, 240 times an hour.
        "l0-retention-check-interval": "1h",
        "socket": {"enabled": True, "path": SOCKET, "permissions": 0o600},
        "logging": {"level": "info", "type": "json", "stderr": True},
        # A pod has 10 s to end, and a bot that starts anew waits for it.
        "shutdown-timeout": "5s",
        "shutdown-sync-timeout": "3s",
    }
    # JSON is YAML, and written in a tenth of the time.
    return json.dumps(document, sort_keys=True)


def litestream_container(litestream: Litestream, namespace: str, bot: str, mode: Mode) -> Manifest:
    """The container. No port, no readiness probe, nothing of the bot's but its volume."""
    return {
        "name": LITESTREAM_CONTAINER,
        "image": litestream.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _RUN],
        "env": [
            {"name": CONFIG_VARIABLE, "value": litestream_config(litestream, namespace, bot, mode)},
            *(from_secret(litestream.credentials_secret, name) for name in S3_KEYS),
        ],
        "resources": _resources(litestream),
        "securityContext": container_security(),
        "livenessProbe": {
            "exec": {
                "command": [
                    "litestream", "sync", "-wait", "-timeout", "10", "-socket", SOCKET, database(mode)
                ]
            },
            "initialDelaySeconds": _PROBE_SECONDS,
            "periodSeconds": _PROBE_SECONDS,
            "timeoutSeconds": 15,
            "failureThreshold": _PROBE_FAILURES,
        },
        "terminationMessagePath": TOLD,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": VOLUME, "mountPath": STATE_DIRECTORY},
            {"name": _TMP_VOLUME, "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the container's own
            # Kubernetes mounts the pod's token into every container that has nothing in this place.
            {"name": _NO_TOKEN_VOLUME, "mountPath": _TOKEN_DIRECTORY, "readOnly": True},
        ],
    }  # fmt: skip


def litestream_volumes() -> list[Manifest]:
    """What the container needs beside the bot's own volumes."""
    return [
        {"name": _TMP_VOLUME, "emptyDir": {"sizeLimit": "64Mi"}},
        {"name": _NO_TOKEN_VOLUME, "emptyDir": {"sizeLimit": "1Mi"}},
    ]


def _resources(litestream: Litestream) -> Manifest:
    parts = {"requests": dict(litestream.requests), "limits": dict(litestream.limits)}
    return {name: part for name, part in parts.items() if part}
