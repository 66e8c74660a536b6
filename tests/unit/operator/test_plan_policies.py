"""PolicyEnforced is True only where every fence was read, is as shipped, and lets this very operator through."""

import base64
import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_operator.cluster.policies import user_of
from tradingbot_operator.plan.conditions import Verdict
from tradingbot_operator.plan.objects import Raw
from tradingbot_operator.plan.policies import NOT_READ, SHIPPED, PolicyName, digest, policy_enforced, unreadable
from unit.operator.world import plan, said

ROOT = Path(__file__).parents[3]
US = "system:serviceaccount:tradingbot-system:tradingbot-operator"
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"


def read_manifests() -> dict[PolicyName, Any]:
    files = (ROOT / "manifests/base/policies").glob("*.yaml")
    documents = [entry for file in files for entry in yaml.safe_load_all(file.read_text())]
    return {PolicyName(entry["kind"], entry["metadata"]["name"]): entry for entry in documents}


# Read once: a property looks at them hundreds of times.
MANIFESTS = read_manifests()


def shipped() -> dict[PolicyName, Any]:
    return copy.deepcopy(MANIFESTS)


def judged(found: dict[PolicyName, Raw], operator: str = US) -> tuple[str, str]:
    verdict = policy_enforced(found, operator)
    assert verdict.type == "PolicyEnforced"
    return verdict.status.value, verdict.reason


def test_the_digests_are_those_of_the_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "hack"))
    sys.modules.pop("policies", None)
    import policies

    assert policies.TARGET.read_text() == policies.content(), "run `make generate`"


def test_every_policy_has_a_binding_that_denies_and_the_operator_may_read_both() -> None:
    rules = yaml.safe_load((ROOT / "manifests/base/cluster-role.yaml").read_text())["rules"]
    (readable,) = [rule for rule in rules if "validatingadmissionpolicies" in rule["resources"]]
    assert readable["verbs"] == ["get"]
    names = {name.name for name in SHIPPED}
    assert names == set(readable["resourceNames"])
    for name in names:
        binding = shipped()[PolicyName(BINDING, name)]["spec"]
        assert (binding["policyName"], binding["validationActions"]) == (name, ["Deny"])
        # The one that only narrows a role's right to stop lets an error through, or an error could refuse a kill.
        failing = "Ignore" if name == "tradingbots-duty" else "Fail"
        assert shipped()[PolicyName(POLICY, name)]["spec"]["failurePolicy"] == failing


def test_no_policy_is_about_a_delete_but_of_a_kill() -> None:
    # To delete a bot, its pod or an account stops something; to delete the record of a kill would let a bot trade.
    for name, document in shipped().items():
        if name.kind == POLICY:
            for rule in document["spec"]["matchConstraints"]["resourceRules"]:
                stops = {"DELETE"} if rule["resources"] == ["killrecords"] else set()
                assert set(rule["operations"]) - stops <= {"CREATE", "UPDATE", "CONNECT"}, name


def test_all_as_shipped_is_in_place() -> None:
    assert judged(shipped()) == ("True", "InPlace")


@pytest.mark.parametrize("name", SHIPPED, ids=str)
def test_each_one_counts(name: PolicyName) -> None:
    found = shipped()
    del found[name]
    verdict = policy_enforced(found, US)
    assert (verdict.status.value, verdict.reason) == ("False", "PolicyMissing")
    assert str(name) in verdict.message


def weaker(path: str, value: Any) -> Any:
    def change(document: Any) -> None:
        *parents, last = path.split(".")
        node = document["spec"]
        for part in parents:
            node = node[int(part)] if part.isdecimal() else node[part]
        node[last] = value

    return change


CHANGES = {
    "it fails open": (POLICY, "tradingbots-status", weaker("failurePolicy", "Ignore")),
    "it says yes": (POLICY, "tradingbots-status", weaker("validations.0.expression", "true")),
    "it asks nothing": (POLICY, "tradingbots-pods", weaker("validations", [])),
    "another variable": (POLICY, "tradingbots-pods", weaker("variables.0.expression", "'other'")),
    "a way round": (POLICY, "tradingbots-scale", weaker("matchConditions", [{"name": "a", "expression": "false"}])),
    "fewer namespaces": (
        POLICY,
        "tradingbots-scale",
        weaker("matchConstraints.namespaceSelector", {"matchLabels": {"a": "b"}}),
    ),
    "an exception": (
        POLICY,
        "tradingbots-scale",
        weaker("matchConstraints.excludeResourceRules", [{"resources": ["*"]}]),
    ),
    "it only warns": (BINDING, "tradingbots-operator", weaker("validationActions", ["Warn"])),
    "another policy": (BINDING, "tradingbots-operator", weaker("policyName", "harmless")),
    "bound to less": (BINDING, "tradingbots-operator", weaker("matchResources", {"objectSelector": {"a": "b"}})),
}


@pytest.mark.parametrize(("kind", "name", "change"), CHANGES.values(), ids=CHANGES)
def test_any_change_is_seen(kind: str, name: str, change: Any) -> None:
    found = shipped()
    change(found[PolicyName(kind, name)])
    verdict = policy_enforced(found, US)
    assert (verdict.status.value, verdict.reason) == ("False", "PolicyChanged")
    assert f"{kind} {name}" in verdict.message
    assert "apply manifests/base/policies" in verdict.message


def test_what_the_api_server_fills_in_is_no_change() -> None:
    found = shipped()
    for name, document in found.items():
        document["metadata"]["uid"] = "u"
        document["status"] = {"observedGeneration": 1}
        if name.kind == POLICY:
            constraints = document["spec"]["matchConstraints"]
            filled_in = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
            document["spec"]["matchConstraints"] = filled_in | constraints
            for rule in constraints["resourceRules"]:
                rule["scope"] = "*"
    assert judged(found) == ("True", "InPlace")


def test_an_installation_in_another_namespace_names_its_own_operator() -> None:
    theirs = "system:serviceaccount:trading:operator"
    found = json.loads(json.dumps([[*name, document] for name, document in shipped().items()]).replace(US, theirs))
    moved = {PolicyName(kind, name): document for kind, name, document in found}
    assert judged(moved, theirs) == ("True", "InPlace")
    assert judged(moved, US) == ("False", "OtherOperatorNamed")
    assert judged(shipped(), "") == ("False", "OtherOperatorNamed")


def test_an_operator_named_by_a_trick_is_a_change() -> None:
    found = shipped()
    trick = "request.userInfo.username"
    found[PolicyName(POLICY, "tradingbots-status")]["spec"]["variables"][0]["expression"] = trick
    assert judged(found) == ("False", "PolicyChanged")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_field_of_any_policy_can_be_dropped_unseen(data: st.DataObject) -> None:
    found = shipped()
    name = data.draw(st.sampled_from(SHIPPED))
    node: Any = found[name]["spec"]
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[key], dict | list) and data.draw(st.booleans()):
            node = node[key]
            continue
        del node[key]
        break
    assert judged(found)[0] == "False"


def test_until_it_was_read_nobody_knows() -> None:
    assert said(plan(), "PolicyEnforced") == ("Unknown", "NotRead")
    assert said(plan(policies=policy_enforced(shipped(), US)), "PolicyEnforced") == ("True", "InPlace")
    assert unreadable("forbidden").reason == "NotReadable"
    assert isinstance(NOT_READ, Verdict)


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
@settings(max_examples=25, deadline=None)
def test_a_digest_is_blind_to_order(spec: dict[str, int]) -> None:
    assert digest(spec) == digest(dict(reversed(spec.items())))


def token(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"Bearer head.{payload}.signature"


def test_a_tokens_own_words_name_its_user() -> None:
    assert user_of(token({"sub": US})) == US
    for header in ("", "Basic abc", "Bearer opaque", "Bearer a.b.c", "Bearer a.é.c", token([US]), token({"sub": 3})):
        assert user_of(header) == "", header
