"""Takes out of a bug report what no one may read: keys, tokens, passwords, values of the environment. Pure.

Takes out too much rather than too little. A Secret must never get here in the first place.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

GONE: Final = "[taken out]"
_MOST_DEPTH: Final = 60

_TELLING_KEY: Final = re.compile(
    r"secret(?!s?Ref|s?Name)|token(?!Expir)|passw|passphrase|credential(?!sSecretRef)|api[-_]?key|key[-_]?id|private[-_]?key"
    r"|^auth|bearer|^apca|cookie|dsn$",
    re.IGNORECASE,
)
_HARMLESS_KEYS: Final = frozenset(
    {
        "automountServiceAccountToken",
        "imagePullSecrets",
        "credentialsSecretRef",
        "secretKeyRef",
        "secretRef",
        "secretName",
    }
    | {"secret", "serviceAccountToken"}  # kinds of volumes: they hold names
)
_TELLING_TEXT: Final = (
    re.compile(r"\b(?:PK|AK|CK)[A-Z0-9]{16,24}\b"),  # Alpaca's key ids
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # tokens that are signed JSON
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(
        r"(?i)(?<![a-z0-9_-])([a-z0-9_-]*(?:secret|token|passw(?:or)?d|passphrase|(?:api|secret|access|private)[-_]?key"
        r"|key[-_]?id)\\*[\"']?\s*[:=]\s*)"
        r"(?:\"[^\"]*\"|'[^']*'|\\+[\"'][^\"'\\]*|[^\s\"',;&)}\\]+)"
    ),
)
_URL: Final = re.compile(r"https?://[^\s\"'<>]+")
_DROPPED_ANNOTATIONS: Final = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})


def redacted_object(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An object of the API server without what must not leave it."""
    kind = raw.get("kind")
    if kind == "Secret":
        raise ValueError("a Secret has no place in a report")
    found = _mapping(raw, 0)
    metadata = found.get("metadata", {})
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
        annotations = metadata.get("annotations")
        if isinstance(annotations, dict):
            metadata["annotations"] = {k: v for k, v in annotations.items() if k not in _DROPPED_ANNOTATIONS}
    if kind == "ConfigMap":
        found["data"] = {name: _config(text) for name, text in (raw.get("data") or {}).items()}
        found.pop("binaryData", None)
    return found


def redacted_text(text: str) -> str:
    """A log without what looks like a key, a token or a password."""
    for pattern in _TELLING_TEXT:
        text = pattern.sub(lambda found: f"{found[1] if found.re.groups else ''}{GONE}", text)
    return _URL.sub(lambda found: _address(found[0]), text)


def _value(key: str, value: Any, depth: int) -> Any:
    if depth > _MOST_DEPTH:
        return GONE
    if key not in _HARMLESS_KEYS and _TELLING_KEY.search(key) and value not in (None, "", [], {}, True, False):
        return GONE
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list):
        if key == "env":
            return [_environment(one) for one in value]
        return [_value(key, one, depth + 1) for one in value]
    return redacted_text(value) if isinstance(value, str) else value


def _mapping(raw: Mapping[str, Any], depth: int) -> dict[str, Any]:
    return {str(key): _value(str(key), value, depth + 1) for key, value in raw.items()}


def _environment(variable: Any) -> Any:
    """Names stay, and where a value comes from; a value that stands there never does."""
    if not isinstance(variable, Mapping):
        return GONE
    return {key: GONE if key == "value" and value else value for key, value in variable.items()}


def _config(text: str) -> str:
    """A ConfigMap's file: as a document where it is one, so that its keys are known, else as text."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return redacted_text(text)
    if not isinstance(document, dict):
        return redacted_text(text)
    return yaml.safe_dump(_mapping(document, 0), sort_keys=False)


def _address(url: str) -> str:
    """An address without user, path and query, where webhooks have their secret; a broker's needs no path."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return GONE
    rest = f"/{GONE}" if parts.path.strip("/") or parts.query else parts.path
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{rest}"
