"""What the operator is started with. Holds values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

LITESTREAM_REQUESTS: Final[Mapping[str, str]] = MappingProxyType({"cpu": "20m", "memory": "64Mi"})
LITESTREAM_LIMITS: Final[Mapping[str, str]] = MappingProxyType({"memory": "256Mi"})


@dataclass(frozen=True)
class Election:
    """The Lease that says which of several replicas may write, and this replica's name in it."""

    namespace: str
    name: str
    identity: str


@dataclass(frozen=True)
class Litestream:
    """Where the state of every bot is streamed to, and by what."""

    image: str
    url: str
    """`s3://bucket/prefix`, without a slash at its end."""
    credentials_secret: str
    """Name of a Secret in each bot's namespace; the operator never reads it."""
    endpoint: str = ""
    """`http(s)://host:port` of an S3 that is not Amazon's."""
    region: str = ""
    requests: Mapping[str, str] = field(default_factory=lambda: LITESTREAM_REQUESTS)
    limits: Mapping[str, str] = field(default_factory=lambda: LITESTREAM_LIMITS)


@dataclass(frozen=True)
class Settings:
    """One operator process."""

    runtime_image: str
    operator_namespace: str = "tradingbot-system"
    """Where the operator's own pods are, which bots let in."""
    namespaces: tuple[str, ...] | None = None
    """None is the whole cluster."""
    probe_port: int = 8081
    metrics_port: int = 8080
    listen: str = "0.0.0.0"  # noqa: S104 - probes and metrics are for the kubelet and for Prometheus
    resync_seconds: float = 60.0
    report_poll_seconds: float = 15.0
    report_port: int = 8080
    workers: int = 24
    """Most of a look is waiting: for a Role alone a fifth of a second."""
    writes_per_second: float = 500.0
    """To the API server, on average and at once; kills are not counted."""
    litestream: Litestream | None = None
    """None where no state is streamed."""
    election: Election | None = None
    """None where this is the only replica."""
    log_level: str = "INFO"
    instance: str = "tradingbot-operator"
    """Names this process in Events: the pod's name."""
