"""The objects that make up a bot, as full manifests: what the operator asks for, nothing that Kubernetes fills in.

Deterministic: the same bot and account give the same bytes. Must never hold or read a key: the pod's environment
refers to the Secret, and the kubelet resolves it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import yaml

from tradingbot_api import (
    API_VERSION,
    GROUP,
    BotIdentity,
    BrokerAccountSpec,
    BrokerEndpoint,
    BrokerEnvironment,
    BrokerProvider,
    GrantRef,
    KillRef,
    Mode,
    RuntimeConfig,
    StorageReclaim,
    TradingBotSpec,
)
from tradingbot_api.group import (
    ACCOUNT_ANNOTATION,
    BOT_UID_ANNOTATION,
    CONFIG_DIGEST_ANNOTATION,
    CONFIG_DIGEST_VARIABLE,
    LIVE_LABEL,
    MANIFEST_DIGEST_ANNOTATION,
    SYMBOLS_ANNOTATION,
)
from tradingbot_operator.plan.litestream import litestream_container, litestream_volumes
from tradingbot_operator.plan.names import (
    CONFIG_DIRECTORY,
    CONFIG_FILE,
    CONTAINER,
    PORT,
    STATE_DIRECTORY,
    VOLUME,
    child_name,
    labels,
    selector,
)
from tradingbot_operator.plan.network import network_policy_spec
from tradingbot_operator.plan.objects import Raw, mapping, name_of, namespace_of, uid_of
from tradingbot_operator.plan.restricted import (
    KEYS,
    NOBODY,
    NOTICE_KEYS,
    TOLD,
    config_mount,
    config_volumes,
    container_security,
    from_secret,
    pod_security,
    tmp_mount,
)
from tradingbot_operator.plan.snapshot import PlanSettings
from tradingbot_operator.settings import Litestream

Manifest = dict[str, Any]

CHILD_KINDS: Final = ("ServiceAccount", "Role", "RoleBinding", "Service", "NetworkPolicy", "ConfigMap", "StatefulSet")
"""In the order they are applied: a pod needs everything before it."""

_TRADING_API: Final = {
    BrokerEnvironment.PAPER: "https://paper-api.alpaca.markets",
    BrokerEnvironment.LIVE: "https://api.alpaca.markets",
}
_DATA_API: Final = "https://data.alpaca.markets"
_SIMULATOR_CLOCK_POLL_SECONDS: Final = 0.5
# The simulator's clock may run a thousand times faster than ours.
# With Python's own writer the config was a tenth of all the time that a new bot took. For odd strings the two differ in
# their bytes, never in their meaning: an image must not lose libyaml, or every such bot's pod is restarted once.
_DUMPER: Final = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper
_DEFAULT_REQUESTS: Final = {"cpu": "50m", "memory": "192Mi"}
_DEFAULT_LIMITS: Final = {"memory": "512Mi"}
# A user's label can never make another object's selector find the pod, or ours miss it.
_KUBERNETES_DOMAINS: Final = ("kubernetes.io", "k8s.io")
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Child:
    """One object to have, as a manifest for server-side apply."""

    manifest: Manifest

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        """The object's name."""
        return name_of(self.manifest)

    @property
    def digest(self) -> str:
        """Digest of what is asked for, as in its annotation."""
        return str(self.manifest["metadata"]["annotations"][MANIFEST_DIGEST_ANNOTATION])


@dataclass(frozen=True)
class Bot:
    """What the children are made from: a bot with a spec that was read, on an account that exists."""

    raw: Raw
    spec: TradingBotSpec

    @property
    def name(self) -> str:
        """metadata.name."""
        return name_of(self.raw)


@dataclass(frozen=True)
class LiveRun:
    """What makes a bot's pod a live one. Only a grant that stands in the stored status may become one of these."""

    account: str
    """Name of the live BrokerAccount."""
    grant: GrantRef
    """What the runtime has to find in its own TradingBot before it trades."""
    image: str
    """The approved image by its digest, as the kubelet reported it: `repository@sha256:...`, or a bare `sha256:...`
    where the image was never in a registry. A tag that is moved changes nothing."""


@dataclass(frozen=True)
class KillNotice:
    """What a bot is told of kills by its config."""

    epoch: int = 0
    """Number of the last one that was released."""
    killed: KillRef | None = None
    """The one in force."""
    insist: bool = False
    """Whether a pod that runs well with a config that does not speak of it has to be told, by being restarted."""


_NO_KILL: Final = KillNotice()


def runtime_config(
    bot: Bot,
    account_name: str,
    account: BrokerAccountSpec,
    grant: GrantRef | None = None,
    *,
    epoch: int = 0,
    killed: KillRef | None = None,
) -> RuntimeConfig:
    """The bot's config file: paper, unless it is made under a grant."""
    # Every field that a spec and a config share by name, so that a new one cannot be forgotten here.
    shared = RuntimeConfig.model_fields.keys() & TradingBotSpec.model_fields.keys() - {"mode"}
    return RuntimeConfig(
        bot=BotIdentity(namespace=namespace_of(bot.raw), name=bot.name, uid=uid_of(bot.raw)),
        mode=Mode.PAPER if grant is None else Mode.LIVE,
        grant=grant,
        epoch=epoch,
        killed=killed,
        broker=_endpoint(account_name, account),
        # Whether a bot may run beside its elders is decided before it has a pod.
        account_limits=account.limits.model_copy(update={"max_capital": None}),
        **{name: getattr(bot.spec, name) for name in shared},
    )


def _endpoint(name: str, account: BrokerAccountSpec) -> BrokerEndpoint:
    base_url = account.base_url or _TRADING_API[account.environment]
    endpoint = BrokerEndpoint(
        account=name,
        provider=account.provider,
        environment=account.environment,
        base_url=base_url,
        data_url=account.data_url or _DATA_API,
        data_feed=account.data_feed,
    )
    if account.provider is not BrokerProvider.SIMULATOR:
        return endpoint
    return endpoint.model_copy(
        update={"data_url": account.data_url or base_url, "clock_poll_seconds": _SIMULATOR_CLOCK_POLL_SECONDS}
    )


def config_text(config: RuntimeConfig) -> str:
    """The config as YAML, the same bytes for the same config."""
    document = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    # Escaped: as plain text YAML folds some characters (U+0085) into others.
    return yaml.dump(document, Dumper=_DUMPER, sort_keys=True, width=110, allow_unicode=False)


def identity_children(bot: Bot, live_account: str | None = None) -> tuple[Child, ...]:
    """What a bot has whatever its account: who it is, what it may read, and the name its pod answers to.

    `live_account` is the BrokerAccount that a live pod watches for a kill; None while there is none.
    """
    return (_service_account(bot), _role(bot, live_account), _role_binding(bot), _service(bot))


def workload_children(
    bot: Bot,
    account: BrokerAccountSpec,
    *,
    settings: PlanSettings,
    replicas: int,
    observed: Raw | None,
    live: LiveRun | None = None,
    kills: KillNotice = _NO_KILL,
) -> tuple[Child, ...]:
    """The config and the pod that runs with it; `account` is the one it trades on, the live one where `live` is."""
    venue = _Venue(
        name=bot.spec.accounts.paper if live is None else live.account,
        account=account,
        image=bot.spec.image or settings.runtime_image if live is None else live.image,
        live=live,
        litestream=settings.litestream,
    )
    config = _config(bot, venue, kills, observed)
    return (
        _network_policy(bot, account, settings),
        _config_map(bot, config),
        _stateful_set(bot, venue, config, replicas, observed),
    )


def _config(bot: Bot, venue: "_Venue", kills: KillNotice, observed: Raw | None) -> str:
    """The config's text. A kill is part of it only where the pod has to be told: a kill must not restart the pod that
    is carrying it out.
    """
    grant = venue.live.grant if venue.live is not None else None
    config = runtime_config(bot, venue.name, venue.account, grant, epoch=kills.epoch)
    text = config_text(config)
    if kills.killed is None:
        return text
    runs_with = mapping(observed or {}, "spec", "template", "metadata", "annotations").get(CONFIG_DIGEST_ANNOTATION)
    if runs_with == _config_digest(text) and not kills.insist:
        return text
    return config_text(config.model_copy(update={"killed": kills.killed}))


def _config_digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class _Venue:
    """Where a bot's pod trades, and with what."""

    name: str
    account: BrokerAccountSpec
    image: str
    live: LiveRun | None
    litestream: Litestream | None

    @property
    def mode(self) -> Mode:
        """Whose money it is."""
        return Mode.PAPER if self.live is None else Mode.LIVE

    @property
    def labels(self) -> dict[str, str]:
        """What a live StatefulSet and its pods carry beside their other labels."""
        return {LIVE_LABEL: "true"} if self.live is not None else {}

    def pull_policy(self, spec: TradingBotSpec) -> str:
        # By digest there is nothing newer to pull, and an image that was never in a registry cannot be pulled at all.
        return spec.image_pull_policy if self.live is None else "IfNotPresent"


def _child(
    bot: Bot,
    api_version: str,
    kind: str,
    component: str,
    body: Manifest,
    more_labels: Mapping[str, str] = _NO_LABELS,
) -> Child:
    manifest: Manifest = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": child_name(bot.name),
            "namespace": namespace_of(bot.raw),
            "labels": {**labels(bot.name, component), **more_labels},
            "annotations": {BOT_UID_ANNOTATION: uid_of(bot.raw)},
            "ownerReferences": [_owner(bot)],
        },
        **body,
    }
    manifest["metadata"]["annotations"][MANIFEST_DIGEST_ANNOTATION] = _digest(manifest)
    return Child(manifest)


def _owner(bot: Bot) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "TradingBot",
        "name": bot.name,
        "uid": uid_of(bot.raw),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _digest(value: object) -> str:
    encoded = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def _service_account(bot: Bot) -> Child:
    return _child(bot, "v1", "ServiceAccount", "access", {})


def _role(bot: Bot, live_account: str | None) -> Child:
    def readable(plural: str, name: str) -> Manifest:
        # By name, so that a list or watch is allowed only with a field selector for this very object.
        return {
            "apiGroups": [GROUP],
            "resources": [plural],
            "resourceNames": [name],
            "verbs": ["get", "list", "watch"],
        }

    rules = [readable("tradingbots", bot.name), readable("brokeraccounts", bot.spec.accounts.paper)]
    if live_account is not None:
        rules.append(readable("brokeraccounts", live_account))
    return _child(bot, "rbac.authorization.k8s.io/v1", "Role", "access", {"rules": rules})


def _role_binding(bot: Bot) -> Child:
    name = child_name(bot.name)
    body = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace_of(bot.raw)}],
    }
    return _child(bot, "rbac.authorization.k8s.io/v1", "RoleBinding", "access", body)


def _service(bot: Bot) -> Child:
    spec = {
        "clusterIP": "None",
        # A bot that is not ready is the one whose status is wanted most.
        "publishNotReadyAddresses": True,
        "selector": selector(bot.name),
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP", "targetPort": "http"}],
    }
    return _child(bot, "v1", "Service", "bot", {"spec": spec})


def _network_policy(bot: Bot, account: BrokerAccountSpec, settings: PlanSettings) -> Child:
    bucket = settings.litestream.endpoint if settings.litestream is not None else ""
    body = {"spec": network_policy_spec(bot.name, bot.spec, account, settings.operator_namespace, bucket)}
    return _child(bot, "networking.k8s.io/v1", "NetworkPolicy", "network", body)


def _config_map(bot: Bot, config: str) -> Child:
    return _child(bot, "v1", "ConfigMap", "config", {"data": {CONFIG_FILE: config}})


def _stateful_set(bot: Bot, venue: _Venue, config: str, replicas: int, observed: Raw | None) -> Child:
    when_deleted = "Delete" if bot.spec.storage.reclaim is StorageReclaim.DELETE else "Retain"
    spec = {
        "replicas": replicas,
        "serviceName": child_name(bot.name),
        # With the default, OrderedReady, a pod that never gets ready is never replaced by a repaired template.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": selector(bot.name)},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted, "whenScaled": "Retain"},
        "volumeClaimTemplates": [_claim_template(bot, observed)],
        "template": _pod_template(bot, venue, config),
    }
    return _child(bot, "apps/v1", "StatefulSet", "bot", {"spec": spec}, venue.labels)


def _claim_template(bot: Bot, observed: Raw | None) -> Manifest:
    storage = bot.spec.storage
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": _stored_size(observed) or storage.size}},
    }
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": VOLUME, "labels": labels(bot.name, "state")},
        "spec": spec,
    }


def _stored_size(stateful_set: Raw | None) -> str | None:
    # A StatefulSet's claim templates can never change: asking for another size would be refused for ever.
    for template in mapping(stateful_set or {}, "spec").get("volumeClaimTemplates") or ():
        size = mapping(template, "spec", "resources", "requests").get("storage")
        return str(size) if size is not None else None
    return None


def _pod_template(bot: Bot, venue: _Venue, config: str) -> Manifest:
    spec = bot.spec
    annotations = {
        **_theirs(spec.pod_annotations, (GROUP,)),
        CONFIG_DIGEST_ANNOTATION: _config_digest(config),
        ACCOUNT_ANNOTATION: venue.name,
        SYMBOLS_ANNOTATION: ",".join(spec.symbols),
    }
    return {
        "metadata": {
            "labels": {
                **_theirs(spec.pod_labels, (GROUP, *_KUBERNETES_DOMAINS)),
                **labels(bot.name, "bot"),
                **venue.labels,
            },
            "annotations": annotations,
        },
        "spec": _pod_spec(bot, venue, _config_digest(config)),
    }


def _theirs(given: Mapping[str, str], reserved: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, value in given.items() if not _is_in(key, reserved)}


def _is_in(key: str, domains: tuple[str, ...]) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    return any(domain == reserved or domain.endswith(f".{reserved}") for reserved in domains)


def _pod_spec(bot: Bot, venue: _Venue, digest: str) -> Manifest:
    spec = bot.spec
    pod: Manifest = {
        "serviceAccountName": child_name(bot.name),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {**pod_security(), "fsGroup": NOBODY, "fsGroupChangePolicy": "OnRootMismatch"},
        "containers": [_container(spec, venue, digest)],
        "volumes": config_volumes(child_name(bot.name)),
    }
    optional: Manifest = {
        "nodeSelector": dict(spec.node_selector),
        "tolerations": [entry.model_dump(by_alias=True, exclude_none=True) for entry in spec.tolerations],
        "affinity": dict(spec.affinity),
        "imagePullSecrets": [{"name": secret.name} for secret in spec.image_pull_secrets],
    }
    if venue.litestream is not None:
        # The bot stays first: it is started before its companion's image is even asked for.
        pod["containers"].append(litestream_container(venue.litestream, namespace_of(bot.raw), bot.name, venue.mode))
        pod["volumes"] += litestream_volumes()
    return {**pod, **{key: value for key, value in optional.items() if value}}


def _container(spec: TradingBotSpec, venue: _Venue, digest: str) -> Manifest:
    return {
        "name": CONTAINER,
        "image": venue.image,
        "imagePullPolicy": venue.pull_policy(spec),
        "command": ["tradingbot"],
        "args": [
            "run",
            "--config",
            f"{CONFIG_DIRECTORY}/{CONFIG_FILE}",
            "--state",
            STATE_DIRECTORY,
            "--control",
            "kubernetes",
            "--listen",
            f"0.0.0.0:{PORT}",
        ],
        "env": [
            *_environment(venue.account.credentials_secret_ref.name),
            {"name": CONFIG_DIGEST_VARIABLE, "value": digest},
        ],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(spec),
        "securityContext": container_security(),
        "startupProbe": _probe("/healthz", period_seconds=2, failures=60),
        "livenessProbe": _probe("/healthz", period_seconds=10, failures=6),
        "readinessProbe": _probe("/readyz", period_seconds=5, failures=2),
        "terminationMessagePath": TOLD,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            config_mount(CONFIG_DIRECTORY),
            {"name": VOLUME, "mountPath": STATE_DIRECTORY},
            tmp_mount(),
        ],
    }


def _environment(secret: str) -> list[Manifest]:
    def from_pod(name: str, path: str) -> Manifest:
        return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}

    return [
        *(from_secret(secret, name) for name in KEYS),
        *(from_secret(secret, name, optional=True) for name in NOTICE_KEYS),
        from_pod("POD_NAME", "metadata.name"),
        from_pod("POD_UID", "metadata.uid"),
        from_pod("POD_NAMESPACE", "metadata.namespace"),
    ]


def _resources(spec: TradingBotSpec) -> Manifest:
    given = spec.resources
    # A default beside a user's figure could contradict it (a request above the limit), so it is left out.
    asked = given.requests.keys() | given.limits.keys()

    def quantities(defaults: Mapping[str, str], own: Mapping[str, int | str]) -> dict[str, str]:
        kept = {name: value for name, value in defaults.items() if name not in asked}
        return {**kept, **{name: str(value) for name, value in sorted(own.items())}}

    parts = {
        "requests": quantities(_DEFAULT_REQUESTS, given.requests),
        "limits": quantities(_DEFAULT_LIMITS, given.limits),
    }
    return {name: part for name, part in parts.items() if part}


def _probe(path: str, *, period_seconds: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
