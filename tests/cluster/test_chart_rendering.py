"""What Helm makes of the chart: the same as the manifests, with every example, in any namespace; bad values refused."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from chart_tools import CHART, EXAMPLES, ROOT, Failed, Json, helm, kustomized, only, rendered

from tradingbot_operator.plan.names import labels
from tradingbot_operator.plan.objects import name_of
from tradingbot_operator.plan.policies import POLICY, PolicyName, policy_enforced

VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
CHARTS_LABELS = {
    "app.kubernetes.io/instance": "tradingbot-operator",
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/version": VERSION,
    "helm.sh/chart": f"tradingbot-operator-{VERSION}",
}
KEPT = {"helm.sh/resource-policy": "keep"}
POLICIES = (POLICY, f"{POLICY}Binding")


def by_name(objects: list[Json]) -> dict[tuple[str, str], Json]:
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(named) == len(objects)
    return named


# What may differ is taken away here, each with its reason; everything else has to be equal.


@pytest.fixture(scope="module")
def from_chart() -> dict[tuple[str, str], Json]:
    objects = by_name(rendered())
    for key, one in objects.items():
        # A release is known by its labels.
        there = one["metadata"]["labels"]
        assert {name: there.pop(name) for name in CHARTS_LABELS} == CHARTS_LABELS, key
        # What outlives a release says so; `kubectl delete -k` asks nobody.
        if key[0] in ("CustomResourceDefinition", *POLICIES) or key[1].startswith("tradingbots-"):
            assert one["metadata"].pop("annotations") == KEPT, key
        assert "annotations" not in one["metadata"], key
    container = objects["Deployment", "tradingbot-operator"]["spec"]["template"]["spec"]["containers"][0]
    # A chart names the images of its release, the manifests those that are built here.
    runtime = next(one for one in container["env"] if one["name"] == "TRADINGBOT_OPERATOR_RUNTIME_IMAGE")
    assert (container["image"], runtime["value"]) == (f"tradingbot-operator:{VERSION}", f"tradingbot-runtime:{VERSION}")
    container["image"], runtime["value"] = "tradingbot-operator:dev", "tradingbot-runtime:dev"
    return objects


@pytest.fixture(scope="module")
def from_manifests() -> dict[tuple[str, str], Json]:
    objects = by_name(kustomized(ROOT / "manifests/base"))
    # A chart is installed into a namespace that is there, and does not own it.
    del objects["Namespace", "tradingbot-system"]
    for kind, name in objects:
        if kind in POLICIES:
            # Kustomize does not know that they are of no namespace; the API server does, and drops it.
            assert objects[kind, name]["metadata"].pop("namespace") == "tradingbot-system"
    return objects


class TestTheSameAsTheManifests:
    def test_the_objects_are_the_same(
        self, from_chart: dict[tuple[str, str], Json], from_manifests: dict[tuple[str, str], Json]
    ) -> None:
        assert sorted(from_chart) == sorted(from_manifests)

    def test_each_object_says_the_same(
        self, from_chart: dict[tuple[str, str], Json], from_manifests: dict[tuple[str, str], Json]
    ) -> None:
        differing = [key for key in from_manifests if from_chart[key] != from_manifests[key]]
        assert differing == [], [(from_chart[key], from_manifests[key]) for key in differing[:1]]


class TestExamples:
    def test_there_are_examples(self) -> None:
        assert len(EXAMPLES) >= 7

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
    def test_an_example_passes_the_linter_and_renders(self, example: Path) -> None:
        helm("lint", "--strict", str(CHART), "--values", str(example))
        objects = rendered("--values", str(example))
        for one in objects:
            assert one["apiVersion"] and one["metadata"]["name"]
        by_name([one for one in objects if one["kind"] != "RoleBinding"])
        assert only("Deployment", objects)["spec"]["template"]["spec"]["serviceAccountName"] == "tradingbot-operator"

    def test_existing_schemas_and_fences_are_left_out(self) -> None:
        kinds = {one["kind"] for one in rendered("--values", str(CHART / "ci/existing-crds-values.yaml"))}
        assert not kinds & {"CustomResourceDefinition", *POLICIES}
        assert "ClusterRole" in kinds

    def test_what_is_not_to_be_kept_is_not(self) -> None:
        keep = ("crds", "policies", "userRoles")
        objects = rendered(*(part for name in keep for part in ("--set", f"{name}.keep=false")))
        assert [one["metadata"]["name"] for one in objects if "annotations" in one["metadata"]] == []

    def test_images_go_by_digest_and_are_pulled_with_secrets(self) -> None:
        pod = only("Deployment", rendered("--values", str(CHART / "ci/pull-secrets-values.yaml")))["spec"]["template"]
        container = pod["spec"]["containers"][0]
        assert container["image"].startswith("registry.example.com/trading/tradingbot-operator@sha256:0123")
        assert container["env"][0]["value"] == "registry.example.com:5000/trading/tradingbot-runtime:0.1.0-rc.1"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]

    def test_where_states_are_streamed_to_reaches_the_operator(self) -> None:
        def told(*arguments: str) -> dict[str, str]:
            (container,) = only("Deployment", rendered(*arguments))["spec"]["template"]["spec"]["containers"]
            prefix = "TRADINGBOT_OPERATOR_LITESTREAM_"
            found = {one["name"].removeprefix(prefix): one for one in container["env"] if prefix in one["name"]}
            return {name: one["value"] for name, one in found.items()}

        assert told() == {}
        given = told("--values", str(CHART / "ci/litestream-values.yaml"))
        assert json.loads(given.pop("RESOURCES"))["limits"] == {"cpu": 1, "memory": "512Mi"}
        assert given.pop("IMAGE").startswith("litestream/litestream@sha256:0123")
        assert given == {
            "URL": "s3://trading-state/production",
            "ENDPOINT": "https://s3.example.com:9000",
            "REGION": "eu-central-1",
            "CREDENTIALS_SECRET": "litestream",
        }

    def test_replicas_spread_over_zones_by_their_own_labels(self) -> None:
        deployment = only("Deployment", rendered("--values", str(CHART / "ci/two-replicas-values.yaml")))
        pod = deployment["spec"]["template"]["spec"]
        (spread,) = pod["topologySpreadConstraints"]
        assert spread["labelSelector"] == deployment["spec"]["selector"]
        assert "requiredDuringSchedulingIgnoredDuringExecution" in pod["affinity"]["podAntiAffinity"]
        given = {
            one["name"].removeprefix("TRADINGBOT_OPERATOR_"): one.get("value") for one in pod["containers"][0]["env"]
        }
        assert given["WRITES_PER_SECOND"] == "100" and given["REPORT_POLL_SECONDS"] == "10"

    def test_two_namespaces_get_the_rules_and_the_cluster_only_the_fences(self) -> None:
        objects = rendered("--values", str(CHART / "ci/namespaces-values.yaml"), namespace="trading")
        bound = [one for one in objects if one["kind"] == "RoleBinding" and one["roleRef"]["kind"] == "ClusterRole"]
        assert [one["metadata"]["namespace"] for one in bound] == ["bots-paper", "bots-live"]
        assert {one["roleRef"]["name"] for one in bound} == {"tradingbot-operator"}
        assert only("ClusterRoleBinding", objects)["roleRef"]["name"] == "tradingbot-operator-fences"
        fences = only("ClusterRole", objects, "tradingbot-operator-fences")["rules"]
        assert {verb for rule in fences for verb in rule["verbs"]} == {"get"}
        assert all(rule["resourceNames"] for rule in fences)
        arguments = only("Deployment", objects)["spec"]["template"]["spec"]["containers"][0]["args"]
        assert arguments == ["run", "--namespace=bots-paper", "--namespace=bots-live", "--leader-elect"]

    def test_alerts_name_published_runbooks_and_can_be_left_out(self) -> None:
        objects = rendered("--values", str(CHART / "ci/monitoring-values.yaml"))
        rules = [rule for group in only("PrometheusRule", objects)["spec"]["groups"] for rule in group["rules"]]
        urls = {rule["annotations"]["runbook_url"] for rule in rules}
        assert "https://docs.example.com/tradingbots/runbooks/killed.md" in urls
        assert "TradingbotStreamLost" not in {rule["alert"] for rule in rules}
        assert "TradingbotKilled" in {rule["alert"] for rule in rules}

    def test_a_bots_figures_are_found_and_carry_its_name(self) -> None:
        objects = rendered("--values", str(CHART / "ci/monitoring-values.yaml"))
        bots = only("ServiceMonitor", objects, "tradingbots")["spec"]
        assert bots["endpoints"][0]["relabelings"][0]["targetLabel"] == "bot"
        assert bots["namespaceSelector"] == {"any": True}
        assert labels("momentum", "bot").items() >= bots["selector"]["matchLabels"].items()
        some = [*("--values", str(CHART / "ci/monitoring-values.yaml")), "--set", "watchNamespaces={bots-live}"]
        only_some = only("ServiceMonitor", rendered(*some), "tradingbots")["spec"]
        assert only_some["namespaceSelector"] == {"matchNames": ["bots-live"]}

    def test_dashboards_are_whole_and_found_by_the_sidecar(self) -> None:
        objects = rendered("--values", str(CHART / "ci/monitoring-values.yaml"))
        for name in ("fleet", "bot"):
            found = only("ConfigMap", objects, f"tradingbot-operator-dashboard-{name}")
            assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
            shipped = json.loads((CHART / f"files/dashboards/{name}.json").read_text(encoding="utf-8"))
            assert json.loads(found["data"][f"tradingbots-{name}.json"]) == shipped


class TestAnotherNamespace:
    def test_nothing_is_said_of_the_manifests_namespace(self) -> None:
        assert "tradingbot-system" not in yaml.safe_dump_all(rendered(namespace="my-own"))

    @pytest.mark.parametrize("namespace", ["tradingbot-system", "my-own"])
    def test_the_operator_takes_the_fences_for_those_of_its_release(self, namespace: str) -> None:
        found = {PolicyName(one["kind"], name_of(one)): one for one in rendered(namespace=namespace) if is_fence(one)}
        us = f"system:serviceaccount:{namespace}:tradingbot-operator"
        verdict = policy_enforced(found, us)
        assert verdict.reason == "InPlace", verdict.message
        assert policy_enforced(found, "system:serviceaccount:other:tradingbot-operator").reason == "OtherOperatorNamed"


def is_fence(one: Json) -> bool:
    return one["kind"] in POLICIES


REFUSED = {
    "replicas=0": "replicas",
    "replicas=two": "replicas",
    "replica=2": "replica",
    "watchNamespaces={Not_A_Name}": "watchNamespaces",
    "watchNamespaces=everything": "watchNamespaces",
    "image.tag=with space": "image.tag|image/tag",
    "image.digest=sha256:short": "image.digest|image/digest",
    "image.pullPolicy=Sometimes": "pullPolicy",
    "image.registry=example.com": "registry",
    "imagePullSecrets={registry}": "imagePullSecrets",
    "operator.logLevel=loud": "logLevel",
    "operator.reportPollSeconds=51": "reportPollSeconds",
    "operator.resyncSeconds=0": "resyncSeconds",
    "operator.dryRun=true": "dryRun",
    "crds.enabled=perhaps": "crds",
    "crds.install=true": "install",
    "policies.validationActions={Warn}": "validationActions",
    "networkPolicy.apiServerPorts={}": "apiServerPorts",
    "networkPolicy.apiServerPorts={70000}": "apiServerPorts",
    "podLabels.app\\.kubernetes\\.io/name=other": "app.kubernetes.io/name",
    "topologySpreadConstraints[0].maxSkew=1": "topologySpreadConstraints",
    "tolerations[0].effect=NoEntry": "tolerations",
    "affinity.podAffinities.x=y": "podAffinities",
    "monitoring.serviceMonitor.interval=often": "interval",
    "monitoring.serviceMonitor.enabled=1": "enabled",
    "monitoring.prometheusRule.disabled={tradingbot_killed}": "disabled",
    "litestream.enabled=true": "litestream",
    "litestream.enabled=true,litestream.url=s3://states": "litestream.credentialsSecret|litestream/credentialsSecret",
    "litestream.enabled=true,litestream.credentialsSecret=litestream": "litestream.url|litestream/url",
    "litestream.url=file:///states": "litestream.url|litestream/url",
    "litestream.endpoint=s3.example.com": "litestream.endpoint|litestream/endpoint",
    "litestream.bucket=states": "bucket",
}


class TestBadValues:
    @pytest.mark.parametrize("given", REFUSED, ids=str)
    def test_a_bad_value_is_refused_with_its_name(self, given: str) -> None:
        with pytest.raises(Failed, match=REFUSED[given]) as refused:
            rendered("--set", given)
        assert "values don't meet the specifications of the schema" in str(refused.value)

    def test_an_alert_that_is_not_there_cannot_be_left_out(self) -> None:
        with pytest.raises(Failed, match="there is no alert TradingbotSleeps"):
            rendered(
                "--set", "monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.disabled={TradingbotSleeps}"
            )

    def test_a_cluster_without_stable_fences_is_refused(self) -> None:
        with pytest.raises(Failed, match="requires kubeVersion"):
            rendered("--kube-version", "1.29.0")

    def test_as_a_part_of_another_chart_it_takes_what_helm_adds(self, tmp_path: Path) -> None:
        umbrella = tmp_path / "umbrella"
        (umbrella / "charts").mkdir(parents=True)
        needed = [{"name": "tradingbot-operator", "version": VERSION}]
        chart = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": needed}
        (umbrella / "Chart.yaml").write_text(yaml.safe_dump(chart))
        (umbrella / "values.yaml").write_text("tradingbot-operator: {replicas: 1}\n")
        (umbrella / "charts/tradingbot-operator").symlink_to(CHART)
        assert only("Deployment", rendered(chart=umbrella))["spec"]["replicas"] == 1


def objects_in(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    if schema.get("type") == "object":
        yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from objects_in(child, f"{path}.{name}")
    if "items" in schema:
        yield from objects_in(schema["items"], f"{path}[]")


def test_the_schema_lets_nothing_pass_that_it_does_not_know() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    loose = {path for path, one in objects_in(copy.deepcopy(schema)) if "additionalProperties" not in one}
    # Kubernetes' own types, which the API server checks; and what Helm adds to a part of another chart.
    assert loose == {
        ".global",
        ".affinity.nodeAffinity",
        ".affinity.podAffinity",
        ".affinity.podAntiAffinity",
        ".topologySpreadConstraints[].labelSelector",
    }
