"""Lists of versions: read alike in both forms, never a part for the whole."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_operator.cluster.version_lists import ListedVersion, VersionPage, read_page

_TEXT = st.text(max_size=12) | st.just("long" * 60)
_ITEMS = st.lists(st.builds(ListedVersion, _TEXT, _TEXT.filter(bool), _TEXT.filter(bool)), max_size=3)
_PAGES = st.builds(VersionPage, _TEXT.filter(bool), _TEXT, _ITEMS)


def varint(number: int) -> bytes:
    """As protobuf writes a number."""
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def field(number: int, value: bytes | int) -> bytes:
    """A field that holds bytes, or a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def item(one: ListedVersion) -> bytes:
    """An object's metadata as the API server writes it: empty texts, too, and much that is not asked for."""
    parts = [(1, one.name), (2, ""), (3, one.namespace), (4, ""), (5, "a-uid"), (6, one.version)]
    metadata = b"".join(field(number, text.encode()) for number, text in parts)
    metadata += field(7, 12) + field(8, field(1, 1_760_000_000)) + field(17, b"managed" * 60)
    return field(1, metadata)


def protobuf(page: VersionPage, kind: str = "PartialObjectMetadataList") -> bytes:
    """A page in the envelope that the API server puts around protobuf."""
    metadata = field(1, b"") + field(2, page.version.encode()) + field(3, page.next_page.encode()) + field(4, 1_000)
    raw = field(1, metadata) + b"".join(field(2, item(one)) for one in page.items)
    envelope = field(1, field(1, b"meta.k8s.io/v1") + field(2, kind.encode())) + field(2, raw)
    return b"k8s\0" + envelope + field(3, b"") + field(4, b"")


def as_json(page: VersionPage) -> bytes:
    """The same page as JSON."""
    items = [
        {"metadata": {"namespace": one.namespace, "name": one.name, "resourceVersion": one.version, "labels": {}}}
        for one in page.items
    ]
    return json.dumps(
        {"metadata": {"resourceVersion": page.version, "continue": page.next_page}, "items": items}
    ).encode()


@given(_PAGES)
@settings(max_examples=40, deadline=None)
def test_a_page_is_read_alike_in_both_forms(page: VersionPage) -> None:
    assert read_page(protobuf(page)) == read_page(as_json(page)) == page


@given(_PAGES, st.data())
@settings(max_examples=60, deadline=None)
def test_half_a_page_is_never_taken_for_a_page(page: VersionPage, data: st.DataObject) -> None:
    whole = protobuf(page)
    # What follows the list itself are two empty fields of two bytes each.
    part = whole[: data.draw(st.integers(0, len(whole) - 5))]
    with pytest.raises(ValueError):
        read_page(part)


@given(_PAGES, st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_broken_is_an_error_or_a_page_and_nothing_else(page: VersionPage, data: st.DataObject) -> None:
    broken = bytearray(protobuf(page))
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(4, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_page(bytes(broken))
    except ValueError:
        return


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"not json",
        b'{"items": [{"metadata": {"name": "x"}}]}',
        b'{"items": [7]}',
        b"k8s\0",
        protobuf(VersionPage("1", "", []), kind="Status"),
        protobuf(VersionPage("1", "", [ListedVersion("demo", "", "7")])),
        protobuf(VersionPage("1", "", [ListedVersion("demo", "x", "")])),
        b"k8s\0" + b"\xff" * 12,
        b"k8s\0" + field(1, field(2, b"PartialObjectMetadataList")) + field(2, b"\x0b"),
    ],
)
def test_what_is_no_list_of_versions_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        read_page(content)


@pytest.mark.parametrize("content", [b"{}", b'{"kind":"Status","metadata":{}}', protobuf(VersionPage("", "", []))])
def test_what_names_no_version_is_no_empty_list(content: bytes) -> None:
    with pytest.raises(ValueError, match="without a version"):
        read_page(content)
