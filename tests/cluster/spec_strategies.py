"""Random TradingBot specs, drawn from the CRD's own schema, and ways to spoil them.

A new field is drawn as soon as it is in the CRD; only what the schema cannot say (quantities, labels, names of accounts
that exist) has a strategy of its own here. Symbols are drawn as letters; `symbols_of_its_own` makes them a bot's.
"""

import copy
import itertools
import re
import string
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tradingbot_api import TradingBotSpec

Spec = dict[str, Any]
Drawn = TypeVar("Drawn")
_CRD = Path(__file__).parents[2] / "crds/tradingbots.dev_tradingbots.yaml"
_TEXT = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])
_NAME = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
_LABEL_VALUE = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?", fullmatch=True)
_LABEL_KEY = st.one_of(
    _NAME, st.builds("{}/{}".format, st.sampled_from(["example.com", "tradingbots.dev", "app.kubernetes.io"]), _NAME)
)
# Never empty: server-side apply makes null of a map that loses its last entry, and the API server refuses that.
_LABELS = st.dictionaries(_LABEL_KEY, _LABEL_VALUE, min_size=1, max_size=3)
_SCALARS = st.one_of(st.booleans(), st.integers(-(10**6), 10**6), st.text(_TEXT, max_size=12))
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(_TEXT, min_size=1, max_size=8), inner, min_size=1)
    ),
    max_leaves=4,
)
_RESOURCES = st.sampled_from(
    [
        {"requests": {"cpu": "100m"}},
        {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": "1500m", "memory": "1024Mi"}},
        {"limits": {"memory": "0.5Gi"}},
        {"requests": {"memory": "100M"}, "limits": {"memory": "1e9"}},
    ]
)
_TOLERATIONS = st.lists(
    st.sampled_from(
        [
            {"operator": "Exists"},
            {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
            {"key": "gone", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
        ]
    ),
    max_size=2,
)
_AFFINITY = st.sampled_from(
    [
        {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "tradingbot"}},
                        },
                    }
                ]
            }
        },
    ]
)
_OWN: dict[str, st.SearchStrategy[Any]] = {
    "accounts": st.fixed_dictionaries({"paper": st.sampled_from(["sim", "spare"])}, optional={"live": st.just("real")}),
    "symbols": st.lists(st.sampled_from(string.ascii_uppercase), min_size=1, max_size=6, unique=True),
    "strategy": st.fixed_dictionaries(
        {"name": st.sampled_from(["momentum", "mine"])},
        optional={
            "parameters": st.dictionaries(st.text(_TEXT, min_size=1, max_size=8), _ANYTHING, min_size=1, max_size=4)
        },
    ),
    "image": st.from_regex(r"[!-~]{1,40}", fullmatch=True),
    "resources": _RESOURCES,
    "tolerations": _TOLERATIONS,
    "affinity": _AFFINITY,
    "nodeSelector": _LABELS,
    "podLabels": _LABELS,
    "podAnnotations": st.dictionaries(_LABEL_KEY, st.text(_TEXT, max_size=20), min_size=1, max_size=3),
    "imagePullSecrets": st.lists(st.builds(lambda name: {"name": name}, _NAME), max_size=2, unique_by=str),
    # The size of a volume remembers its past: it only grows.
    "storage": st.fixed_dictionaries({}, optional={"reclaim": st.sampled_from(["Retain", "Delete"])}),
}


@cache
def specs() -> st.SearchStrategy[Spec]:
    """Specs that everybody accepts: the API server, the models and the children's own validation."""
    schema = yaml.safe_load(_CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return _object(schema["properties"]["spec"], _OWN).map(_with_what_live_needs).filter(is_valid)


def drawn(strategy: st.SearchStrategy[Drawn], count: int) -> list[Drawn]:
    """As many different examples, the same in every run."""
    found: dict[str, Drawn] = {}
    # A few from each seed: later examples of one seed are hypothesis's variations of earlier ones.
    for number in itertools.count():

        @seed(number)
        @settings(
            max_examples=10,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def take(example: Drawn) -> None:
            found.setdefault(repr(example), example)

        take()
        if len(found) >= count:
            return list(found.values())[:count]
    raise AssertionError("seeds never end")


def is_valid(spec: Spec) -> bool:
    """Whether the model takes it."""
    try:
        TradingBotSpec.model_validate(spec)
    except ValidationError:
        return False
    return True


def symbols_of_its_own(spec: Spec, number: int) -> Spec:
    """The spec with symbols that no bot of another number asks for."""
    return {**spec, "symbols": [f"S{number}{letter}" for letter in spec["symbols"]]}


@cache
def detours() -> st.SearchStrategy[Spec]:
    """Specs on the way to another: also such as cannot run."""
    return st.one_of(
        specs(),
        st.builds(lambda spec, name: {**spec, "accounts": {"paper": name}}, specs(), st.sampled_from(["real", "none"])),
        st.builds(lambda spec, how: _spoilt(spec, how), specs(), st.sampled_from(sorted(REFUSED_CHILDREN))),
    )


# What the schema takes and Kubernetes refuses in a StatefulSet.
REFUSED_CHILDREN: dict[str, Spec] = {
    "a request above its limit": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
    "no quantity": {"resources": {"limits": {"memory": "lots"}}},
    "a negative quantity": {"resources": {"requests": {"cpu": "-1"}}},
    "a label key that is none": {"podLabels": {"-bad-": "x"}},
    "a label value that is none": {"podLabels": {"good": "not a label"}},
    "an annotation key that is none": {"podAnnotations": {"a b": "x"}},
    "a node label that is none": {"nodeSelector": {"good": "x" * 64}},
    "an unknown operator": {"tolerations": [{"key": "a", "operator": "Sometimes"}]},
    "an unknown effect": {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoWay"}]},
    "an affinity of another shape": {"affinity": {"nodeAffinity": 7}},
    "an affinity to nothing": {
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}}
    },
}


def _spoilt(spec: Spec, how: str) -> Spec:
    return {**spec, **copy.deepcopy(REFUSED_CHILDREN[how])}


@cache
def spoilt_specs() -> st.SearchStrategy[tuple[str, Spec]]:
    """What was done to a valid spec, and what it is now: nothing that anybody could run."""
    refused = st.builds(lambda spec, how: (how, _spoilt(spec, how)), specs(), st.sampled_from(sorted(REFUSED_CHILDREN)))
    unreadable = _mutations().filter(lambda mutation: not is_valid(mutation[1]))
    return st.one_of(refused, unreadable, unreadable, unreadable)


@st.composite
def _mutations(draw: st.DrawFn) -> tuple[str, Spec]:
    spec = draw(specs())
    spoilt: Spec = copy.deepcopy(spec)
    *parents, last = draw(st.sampled_from(list(_places(spoilt))))
    place: Any = spoilt
    for part in parents:
        place = place[part]
    how = draw(st.sampled_from(["removed", "unknown", "replaced", "too long", "negative"]))
    if how == "removed" and isinstance(place, dict):
        del place[last]
    elif how == "unknown" and isinstance(place, dict):
        place[draw(_NAME) + "X"] = draw(_SCALARS)
    elif how == "too long":
        place[last] = "x" * 5000
    elif how == "negative":
        place[last] = -1
    else:
        place[last] = draw(_ANYTHING)
    return f"{how}: {'.'.join(map(str, (*parents, last)))}", spoilt


def _places(node: Any, path: tuple[Any, ...] = ()) -> Any:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _with_what_live_needs(spec: Spec) -> Spec:
    if spec.get("mode") != "live":
        return spec
    return {**spec, "accounts": {**spec["accounts"], "live": "real"}, "gateRef": {"name": "standard"}}


def _object(schema: Spec, own: dict[str, st.SearchStrategy[Any]] | None = None) -> st.SearchStrategy[Any]:
    own = own or {}
    drawn = {name: own[name] if name in own else _value(part) for name, part in schema["properties"].items()}
    required = {name: drawn[name] for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional={k: v for k, v in drawn.items() if k not in required})


def _value(schema: Spec) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        return _object(schema) if "properties" in schema else _LABELS
    if kind == "array":
        limits = {"min_size": schema.get("minItems", 0), "max_size": min(schema.get("maxItems", 3), 3)}
        return st.lists(_value(schema["items"]), **limits)
    if kind == "integer":
        return st.integers(schema.get("minimum", 0), schema.get("maximum", 10**6))
    if kind == "boolean":
        return st.booleans()
    if kind == "number":
        return st.floats(schema.get("minimum", 0), schema.get("maximum", 10**6), allow_nan=False)
    return _string(schema)


def _string(schema: Spec) -> st.SearchStrategy[str]:
    rules = " ".join(entry["rule"] for entry in schema.get("x-kubernetes-validations", ()))
    if "double(self)" in rules:
        limit = re.search(r"<= ([0-9.]+)", rules)
        return st.decimals(Decimal("0.0001"), Decimal(limit[1] if limit else "999999999"), places=4).map("{:f}".format)
    longest = schema.get("maxLength", 64)
    if "pattern" not in schema:
        return st.text(_TEXT, min_size=schema.get("minLength", 0), max_size=min(longest, 20))
    return st.from_regex(schema["pattern"], fullmatch=True, alphabet=_TEXT).filter(lambda text: len(text) <= longest)
