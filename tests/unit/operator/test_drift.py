"""What the API server fills in is no drift; what a person would call drift always is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingbot_operator.cluster.drift import drift
from tradingbot_operator.plan.quantities import quantity

SAME: list[tuple[Any, Any]] = [
    ({"a": 1}, {"a": 1, "filled": "in"}),
    ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "d": 3}]}}),
    ({"labels": {}}, {}),
    ({"items": []}, {}),
    ({"flag": False}, {}),
    (
        {"resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}},
        {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
    ),
    ({"emptyDir": {"sizeLimit": "0.5Gi"}}, {"emptyDir": {"sizeLimit": "512Mi"}}),
]
DIFFERENT: list[tuple[Any, Any, str]] = [
    ({"a": 1}, {}, "a"),
    ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
    ({"a": {"b": 1}}, {"a": "text"}, "a"),
    ({"a": [1]}, {"a": [1, 2]}, "a"),
    ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "a[0].b"),
    ({"a": [1]}, {"a": None}, "a"),
    ({"flag": True}, {}, "flag"),
    ({"data": {"limit": "1"}}, {"data": {"limit": "1000m"}}, "data.limit"),
    ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "limits.cpu"),
    ({"limits": {"cpu": "1"}}, {"limits": {}}, "limits.cpu"),
]


@pytest.mark.parametrize(("wanted", "stored"), SAME)
def test_is_as_asked_for(wanted: Any, stored: Any) -> None:
    assert drift(wanted, stored) is None


@pytest.mark.parametrize(("wanted", "stored", "path"), DIFFERENT)
def test_the_first_difference_is_named(wanted: Any, stored: Any, path: str) -> None:
    assert drift(wanted, stored) == path


documents = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(documents)
def test_a_document_never_drifts_from_itself(document: Any) -> None:
    assert drift(document, document) is None


@given(st.dictionaries(st.text("ab", min_size=1), documents, max_size=3), documents)
def test_a_field_that_was_not_asked_for_is_no_drift(document: Any, extra: Any) -> None:
    assert drift(document, {**document, "extra": extra}) is None


@pytest.mark.parametrize("text", ["", "x", "1x", "Gi", None])
def test_what_is_no_quantity_has_no_number(text: Any) -> None:
    assert quantity(text) is None
