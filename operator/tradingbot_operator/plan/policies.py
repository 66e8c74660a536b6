"""Whether the admission policies that fence live trading are in place and unchanged, and name this very operator.

Must never call a policy enforced that was not read: a fence that nobody looked at is no fence.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tradingbot_operator.plan.conditions import Verdict, false, true, unknown
from tradingbot_operator.plan.objects import Raw, entries, mapping, text
from tradingbot_operator.plan.policy_digests import DIGESTS

POLICY_ENFORCED: Final = "PolicyEnforced"
POLICY: Final = "ValidatingAdmissionPolicy"
BINDING: Final = "ValidatingAdmissionPolicyBinding"

_OPERATOR_VARIABLE: Final = "operator"
_ANY_OPERATOR: Final = ("some ServiceAccount",)
"""No text, so that nothing that is stored can be taken for it."""
_OPERATOR_EXPRESSION: Final = re.compile(r"'(system:serviceaccount:[^:']+:[^:']+)'")
# What the API server fills in where a manifest says nothing.
_DEFAULTS: Final = {"matchPolicy": "Equivalent", "scope": "*"}
_REMEDY: Final = "apply manifests/base/policies of this release; live trading is not granted until then"

NOT_READ: Final = unknown(POLICY_ENFORCED, "NotRead", "the admission policies were not read yet")


class PolicyName(NamedTuple):
    """Names one object: a policy or a binding."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


SHIPPED: Final = tuple(PolicyName(kind, name) for kind, digests in sorted(DIGESTS.items()) for name in sorted(digests))
"""Every object that has to be there."""


def policy_enforced(found: Mapping[PolicyName, Raw], operator: str) -> Verdict:
    """PolicyEnforced: whether everything that was shipped is there as shipped. `operator` is our own user name."""
    missing = [name for name in SHIPPED if name not in found]
    if missing:
        return false(POLICY_ENFORCED, "PolicyMissing", f"there is no {_listed(missing)}: {_REMEDY}")
    changed = [name for name in SHIPPED if digest(mapping(found[name], "spec")) != DIGESTS[name.kind][name.name]]
    if changed:
        return false(POLICY_ENFORCED, "PolicyChanged", f"not as this release ships it: {_listed(changed)}: {_REMEDY}")
    others = sorted({named for raw in found.values() if (named := _operator_in(raw)) not in (None, operator)})
    if others:
        message = f"the policies let {', '.join(map(str, others))} write, and this operator is {operator or 'unknown'}"
        return false(POLICY_ENFORCED, "OtherOperatorNamed", f"{message}: name the operator's ServiceAccount in them")
    return true(POLICY_ENFORCED, "InPlace", "the admission policies are in place as this release ships them")


def unreadable(message: str) -> Verdict:
    """PolicyEnforced where the API server does not let the operator look."""
    return unknown(POLICY_ENFORCED, "NotReadable", f"{message}: apply manifests/base/cluster-role.yaml")


def digest(spec: Raw) -> str:
    """sha256 over a policy's or binding's spec, whoever it names as operator and whatever was filled in."""
    canonical = json.dumps(_normal(_without_operator(spec)), sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _operator_in(raw: Raw) -> str | None:
    for variable in entries(raw, "spec", "variables"):
        if text(variable, "name") == _OPERATOR_VARIABLE:
            match = _OPERATOR_EXPRESSION.fullmatch(text(variable, "expression"))
            return match[1] if match else None
    return None


def _without_operator(spec: Raw) -> dict[str, Any]:
    # An installation in another namespace names another ServiceAccount; that is compared by itself.
    variables = [
        {"name": _OPERATOR_VARIABLE, "expression": _ANY_OPERATOR}
        if text(entry, "name") == _OPERATOR_VARIABLE and _OPERATOR_EXPRESSION.fullmatch(text(entry, "expression"))
        else entry
        for entry in entries(spec, "variables")
    ]
    return {**spec, "variables": variables}


def _normal(value: Any) -> Any:
    """Without what is empty or a default, so that what the API server stores equals what was shipped."""
    if isinstance(value, Mapping):
        normal = {key: _normal(child) for key, child in value.items()}
        return {key: child for key, child in normal.items() if not _is_nothing(child) and _DEFAULTS.get(key) != child}
    if isinstance(value, list | tuple):
        return [_normal(child) for child in value]
    return value


def _is_nothing(value: object) -> bool:
    return value is None or value in ("", [], {})


def _listed(names: list[PolicyName]) -> str:
    return ", ".join(map(str, names))
