"""Which objects a list holds and of which version: all that a sweep compares, read without making objects of it.

The API server is asked for protobuf. Of each object three fields are read and the rest is stepped over: as JSON these
lists were most of what a calm operator did. An API server that answers with JSON is understood as well.
Must never take a part of a list for the whole of it: what cannot be read is an error.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

PROTOBUF: Final = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
JSON: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
ACCEPTED: Final = f"{PROTOBUF},{JSON}"
_MAGIC: Final = b"k8s\0"
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
# The numbers of fields, from k8s.io/apimachinery: runtime.Unknown and TypeMeta, PartialObjectMetadataList, ListMeta,
# PartialObjectMetadata, ObjectMeta.
_UNKNOWN_TYPE, _UNKNOWN_RAW, _TYPE_KIND = 1, 2, 2
_LIST_METADATA, _LIST_ITEM, _LIST_VERSION, _LIST_CONTINUE = 1, 2, 2, 3
_ITEM_METADATA = 1
_NAME, _NAMESPACE, _VERSION = 1, 3, 6


class ListedVersion(NamedTuple):
    """One object of a list."""

    namespace: str
    name: str
    version: str


@dataclass(frozen=True)
class VersionPage:
    """One page of a list: the version that all pages are of, and the token that asks for the next, if there is one."""

    version: str
    next_page: str
    items: list[ListedVersion]


def read_page(content: bytes) -> VersionPage:
    """Reads an answer in either form. Raises ValueError where it is not a list of metadata, or not all of one."""
    try:
        page = _from_protobuf(content) if content.startswith(_MAGIC) else _from_json(content)
    except IndexError as error:
        raise ValueError("a list of metadata ends in the middle") from error
    if not page.version:
        raise ValueError("a list without a version: nobody knows what it is a list of")
    return page


def _from_json(content: bytes) -> VersionPage:
    try:
        page = json.loads(content)
        metadata = page.get("metadata") or {}
        items = [
            ListedVersion(one.get("namespace", ""), one["name"], one["resourceVersion"])
            for one in (item["metadata"] for item in page.get("items") or ())
        ]
        return VersionPage(str(metadata.get("resourceVersion", "")), str(metadata.get("continue", "")), items)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no list of metadata: {error!r}") from error


def _from_protobuf(content: bytes) -> VersionPage:
    kind, raw = b"", (0, 0)
    for number, start, end in _fields(content, len(_MAGIC), len(content)):
        if number == _UNKNOWN_TYPE:
            kind = _texts(content, start, end, (_TYPE_KIND,))[0]
        elif number == _UNKNOWN_RAW:
            raw = (start, end)
    if kind != b"PartialObjectMetadataList":
        raise ValueError(f"a {kind.decode(errors='replace') or 'nameless thing'} is no list of metadata")
    version, next_page = b"", b""
    items = []
    for number, start, end in _fields(content, *raw):
        if number == _LIST_ITEM:
            items.append(_listed(content, start, end))
        elif number == _LIST_METADATA:
            version, next_page = _texts(content, start, end, (_LIST_VERSION, _LIST_CONTINUE))
    return VersionPage(version.decode(), next_page.decode(), items)


def _listed(content: bytes, start: int, end: int) -> ListedVersion:
    for number, at, until in _fields(content, start, end):
        if number == _ITEM_METADATA:
            namespace, name, version = _texts(content, at, until, (_NAMESPACE, _NAME, _VERSION))
            if name and version:
                return ListedVersion(namespace.decode(), name.decode(), version.decode())
    raise ValueError("an object of a list has no name or no version")


def _texts(content: bytes, start: int, end: int, wanted: tuple[int, ...]) -> list[bytes]:
    """The fields of these numbers; what comes after the last of them is not looked at."""
    found: dict[int, bytes] = {}
    for number, at, until in _fields(content, start, end):
        if number in wanted:
            found[number] = content[at:until]
            if len(found) == len(wanted):
                break
    return [found.get(number, b"") for number in wanted]


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field that holds bytes. Numbers are stepped over."""
    while at < end:
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == _BYTES:
            length, at = _varint(content, at)
            start, at = at, at + length
            if at > end:
                break
            yield tag >> 3, start, at
        elif kind == _VARINT:
            _, at = _varint(content, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of an unknown kind {kind}")
    if at != end:
        raise ValueError("a list of metadata ends in the middle")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    byte = content[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number that does not end")
