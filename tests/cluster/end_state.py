"""What a namespace holds, without what differs from run to run: two runs that came to the same end compare equal."""

import json
import re
from typing import Final

from api_server import CLUSTER_WIDE, PATHS, ApiServer, Json

_LEFT_OUT: Final = CLUSTER_WIDE | {"Event", "Secret", "Pod", "Lease"}
_OWN_KINDS: Final = frozenset({"TradingBot", "BrokerAccount"})
_OWN_METADATA: Final = frozenset(
    {"name", "labels", "annotations", "ownerReferences", "finalizers", "deletionTimestamp"}
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ADDRESS: Final = re.compile(r"127\.77\.\d+\.\d+")
_UID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

State = dict[str, Json]


def objects_in(api: ApiServer, namespace: str) -> list[Json]:
    """Every object that a person, the operator or Kubernetes made there for bots."""
    found: list[Json] = []
    for kind in PATHS.keys() - _LEFT_OUT:
        found += ({**item, "kind": kind} for item in api.list(kind, namespace) if not _is_of_the_namespace(item))
    return found


def state_of(api: ApiServer, namespace: str) -> State:
    """The objects by kind and name, normalised."""
    return normalised(objects_in(api, namespace), namespace)


def normalised(objects: list[Json], namespace: str) -> State:
    """Uids by what they name, no times, no digests, nothing that Kubernetes counts."""
    names = {item["metadata"]["uid"]: _title(item) for item in objects}

    def uid(match: re.Match[str]) -> str:
        return f"<uid of {names.get(match[0], 'something gone')}>"

    state: State = {}
    for item in objects:
        document = json.dumps(_without_counts(item))
        for pattern, replacement in ((_TIME, "<time>"), (_DIGEST, "<digest>"), (_ADDRESS, "<address>"), (_UID, uid)):
            document = re.sub(pattern, replacement, document)
        state[_title(item)] = json.loads(document.replace(namespace, "<namespace>"))
    return state


def difference(expected: State, found: State) -> str:
    """The first few places where two states differ; empty where they do not."""
    lines = [f"{name} is missing" for name in expected.keys() - found.keys()]
    lines += [f"{name} should not be there" for name in found.keys() - expected.keys()]
    for name in sorted(expected.keys() & found.keys()):
        lines += _differences(name, expected[name], found[name])
    return "\n".join(lines[:8])


def _differences(path: str, expected: object, found: object) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted(expected.keys() | found.keys())
        return [line for key in keys for line in _differences(f"{path}.{key}", expected.get(key), found.get(key))]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for index, (one, other) in pairs for line in _differences(f"{path}[{index}]", one, other)]
    return [] if expected == found else [f"{path}: expected {expected!r}, found {found!r}"]


def _title(item: Json) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def _is_of_the_namespace(item: Json) -> bool:
    return item["metadata"]["name"] in ("default", "kube-root-ca.crt")


def _without_counts(item: Json) -> Json:
    metadata = {key: value for key, value in item["metadata"].items() if key in _OWN_METADATA}
    kept = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    if item["kind"] == "KillRecord":
        # Who asked is read once, when the record is made, and left out where that cannot be read: no kill waits for it.
        kept["spec"] = {key: value for key, value in kept["spec"].items() if key not in ("requestedBy", "requestedAt")}
    # The status of a child is Kubernetes' own.
    status = item.get("status", {}) if item["kind"] in _OWN_KINDS else {}
    return {**kept, "metadata": metadata, "status": status}
