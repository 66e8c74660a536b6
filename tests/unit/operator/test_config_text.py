"""The config is written by libyaml and read by another YAML: nothing may change on the way."""

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.decimals(allow_nan=False, allow_infinity=False).map(str)
)
DOCUMENTS = st.recursive(
    st.one_of(
        SCALARS, st.text(max_size=150), st.lists(st.sampled_from(["https://a.example", "é: #", " "])).map(" ".join)
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1, max_size=12), DOCUMENTS, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_libyaml_writes_is_read_as_it_was(document: dict[str, object]) -> None:
    written = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=True, width=110, allow_unicode=False)
    assert yaml.safe_load(written) == document
