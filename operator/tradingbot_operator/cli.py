"""The command line: `tradingbot-operator run` and `version`. Reads options and the environment, and decides nothing."""

import asyncio
import os
import re
import secrets
from enum import StrEnum
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from tradingbot_operator.settings import LITESTREAM_LIMITS, LITESTREAM_REQUESTS, Election, Litestream, Settings

_PREFIX = "TRADINGBOT_OPERATOR"
_EX_USAGE = 64
_EX_CONFIG = 78
_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_LITESTREAM_OPTIONS = (
    ("url", r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*/?", "a bucket, as s3://BUCKET/PREFIX"),
    ("image", r"\S+", "an image"),
    ("credentials_secret", _NAME, "the name of a Secret"),
    ("endpoint", r"(https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?)?", "an address, as https://HOST:PORT"),
    ("region", r"[a-z0-9-]*", "the name of a region"),
)
_QUANTITY = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|Ki|M|Mi|G|Gi)?$")]
_RESOURCE = Annotated[str, StringConstraints(pattern=r"^(cpu|memory|ephemeral-storage)$")]
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=(
        "Runs trading bots as Kubernetes resources: turns each TradingBot into a StatefulSet of one with its own"
        " identity, config and volume, and shows in its status what the bot says of itself."
        " Never trades and never reads broker keys."
    ),
)


class _Resources(BaseModel):
    """Requests and limits as they are given in JSON; a part that is not there keeps its default."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    requests: dict[_RESOURCE, _QUANTITY] = dict(LITESTREAM_REQUESTS)
    limits: dict[_RESOURCE, _QUANTITY] = dict(LITESTREAM_LIMITS)


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _env(name: str) -> str:
    return f"{_PREFIX}_{name}"


@cli.command()
def run(
    runtime_image: Annotated[
        str,
        typer.Option(
            envvar=_env("RUNTIME_IMAGE"),
            show_envvar=False,
            help="Image of the bot runtime, for every bot without an image of its own.",
        ),
    ],
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace",
            "-n",
            envvar=_env("NAMESPACE"),
            show_envvar=False,
            help="Namespace to look after; may be repeated.",
        ),
    ] = None,
    all_namespaces: Annotated[
        bool,
        typer.Option(
            "--all-namespaces", "-A", envvar=_env("ALL_NAMESPACES"), show_envvar=False, help="Look after all."
        ),
    ] = False,
    standalone: Annotated[
        bool,
        typer.Option(
            "--standalone",
            envvar=_env("STANDALONE"),
            show_envvar=False,
            help="This is the only replica, now and during a rollout: write without holding a Lease.",
        ),
    ] = False,
    leader_elect: Annotated[
        bool,
        typer.Option(
            "--leader-elect",
            envvar=_env("LEADER_ELECT"),
            show_envvar=False,
            help="Write only while holding the Lease, so that other replicas can stand by.",
        ),
    ] = False,
    lease_namespace: Annotated[
        str | None,
        typer.Option(
            envvar=_env("LEASE_NAMESPACE"), show_envvar=False, help="Namespace of the Lease.  [default: the pod's own]"
        ),
    ] = None,
    lease_name: Annotated[
        str, typer.Option(envvar=_env("LEASE_NAME"), show_envvar=False, help="Name of the Lease.")
    ] = "tradingbot-operator",
    writes_per_second: Annotated[
        float,
        typer.Option(
            min=1,
            envvar=_env("WRITES_PER_SECOND"),
            show_envvar=False,
            help="Most writes to the API server, on average and in one burst; kills are exempt.",
        ),
    ] = 500,
    liveness_port: Annotated[
        int, typer.Option(envvar=_env("LIVENESS_PORT"), show_envvar=False, help="Port of /healthz and /readyz.")
    ] = 8081,
    metrics_port: Annotated[
        int, typer.Option(envvar=_env("METRICS_PORT"), show_envvar=False, help="Port of /metrics.")
    ] = 8080,
    listen: Annotated[
        str, typer.Option(envvar=_env("LISTEN"), show_envvar=False, help="Address that both ports listen on.")
    ] = "0.0.0.0",  # noqa: S104 - they are for the kubelet and for Prometheus
    resync_seconds: Annotated[
        float,
        typer.Option(
            min=1,
            envvar=_env("RESYNC_SECONDS"),
            show_envvar=False,
            help="Between two sweeps for what the watches missed.",
        ),
    ] = 60,
    report_poll_seconds: Annotated[
        float,
        typer.Option(
            min=1, max=50, envvar=_env("REPORT_POLL_SECONDS"), show_envvar=False, help="Between two reports of a bot."
        ),
    ] = 15,
    report_port: Annotated[
        int, typer.Option(hidden=True, envvar=_env("REPORT_PORT"), help="Port that bots answer on; for tests.")
    ] = 8080,
    litestream_url: Annotated[
        str,
        typer.Option(
            envvar=_env("LITESTREAM_URL"),
            show_envvar=False,
            help="Bucket that every bot's state is streamed to, as s3://BUCKET/PREFIX. Empty: none is.",
        ),
    ] = "",
    litestream_image: Annotated[
        str,
        typer.Option(
            envvar=_env("LITESTREAM_IMAGE"), show_envvar=False, help="Image of Litestream, which runs beside each bot."
        ),
    ] = "",
    litestream_credentials_secret: Annotated[
        str,
        typer.Option(
            envvar=_env("LITESTREAM_CREDENTIALS_SECRET"),
            show_envvar=False,
            help="Secret in each bot's namespace with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for that bucket.",
        ),
    ] = "",
    litestream_endpoint: Annotated[
        str,
        typer.Option(
            envvar=_env("LITESTREAM_ENDPOINT"),
            show_envvar=False,
            help="Where the S3 is that is not Amazon's, as https://HOST:PORT.",
        ),
    ] = "",
    litestream_region: Annotated[
        str, typer.Option(envvar=_env("LITESTREAM_REGION"), show_envvar=False, help="Region of the bucket.")
    ] = "",
    litestream_resources: Annotated[
        str,
        typer.Option(
            envvar=_env("LITESTREAM_RESOURCES"),
            show_envvar=False,
            help="Requests and limits of Litestream's container, as JSON.  [default: 20m and 64Mi, at most 256Mi]",
        ),
    ] = "",
    log_level: Annotated[
        LogLevel,
        typer.Option(envvar=_env("LOG_LEVEL"), show_envvar=False, case_sensitive=False, help="How much is logged."),
    ] = LogLevel.INFO,
) -> None:
    """Reconciles TradingBots and BrokerAccounts until SIGTERM.

    Credentials: the pod's ServiceAccount, or KUBECONFIG outside of a cluster. Every option can also be given in the
    environment, as TRADINGBOT_OPERATOR_<OPTION>. Logs are JSON lines on stderr. Ends with code 78 where the cluster's
    CustomResourceDefinitions are newer than this release.
    """
    if standalone == leader_elect:
        _refuse("say whether there are other replicas: either --leader-elect, or --standalone for the only one")
    if all_namespaces == bool(namespace):
        _refuse("say which bots to look after: either -A for all namespaces, or --namespace NAME")
    streaming = {
        "image": litestream_image,
        "url": litestream_url,
        "credentials_secret": litestream_credentials_secret,
        "endpoint": litestream_endpoint,
        "region": litestream_region,
    }
    instance = os.environ.get("POD_NAME", "tradingbot-operator")
    settings = Settings(
        runtime_image=runtime_image,
        operator_namespace=_own_namespace() or Settings.operator_namespace,
        namespaces=None if all_namespaces else tuple(_namespaces(namespace or [])),
        probe_port=liveness_port,
        metrics_port=metrics_port,
        listen=listen,
        resync_seconds=resync_seconds,
        report_poll_seconds=report_poll_seconds,
        report_port=report_port,
        log_level=log_level.value.upper(),
        instance=instance,
        writes_per_second=writes_per_second,
        litestream=_litestream(streaming, litestream_resources),
        election=_election(lease_namespace, lease_name, instance) if leader_elect else None,
    )
    # Imported late: --help and a wrong option answer at once.
    from tradingbot_operator import app, logs
    from tradingbot_operator.cluster.crd_versions import CrdsTooNewError

    logs.configure(settings.log_level)
    try:
        asyncio.run(app.run(settings))
    except CrdsTooNewError:
        raise typer.Exit(_EX_CONFIG) from None


@cli.command()
def version() -> None:
    """Prints the version."""
    typer.echo(distribution_version("tradingbot-operator"))


def _namespaces(given: list[str]) -> list[str]:
    names = [name for entry in given for name in re.split(r"[\s,]+", entry) if name]
    return list(dict.fromkeys(names))


def _litestream(given: dict[str, str], resources: str) -> Litestream | None:
    if not any(given.values()):
        return None
    from tradingbot_operator.plan.quantities import quantity

    for name, pattern, example in _LITESTREAM_OPTIONS:
        if not re.fullmatch(pattern, given[name]):
            option = f"--litestream-{name.replace('_', '-')}"
            said = f"{given[name]!r} is not {example}" if given[name] else f"it has to be {example}"
            _refuse(f"{option}: {said}")
    asked = _resources(resources or "{}")
    for name, limit in asked.limits.items():
        wanted = asked.requests.get(name, "0")
        # The API server would refuse every bot's workload for it.
        if (quantity(wanted) or 0) > (quantity(limit) or 0):
            _refuse(f"--litestream-resources: of {name} {wanted} are requested and {limit} are the limit")
    return Litestream(
        image=given["image"],
        url=given["url"].rstrip("/"),
        credentials_secret=given["credentials_secret"],
        endpoint=given["endpoint"],
        region=given["region"],
        requests=asked.requests,
        limits=asked.limits,
    )


def _resources(text: str) -> _Resources:
    try:
        return _Resources.model_validate_json(text)
    except ValidationError:
        _refuse('--litestream-resources: it has to be JSON like {"requests": {"cpu": "20m"}, "limits": {}}')


def _election(namespace: str | None, name: str, instance: str) -> Election:
    namespace = namespace or _own_namespace()
    if namespace is None:
        _refuse("--lease-namespace is needed outside of a cluster")
    # A process that was started again is not the one that held the Lease: that one may have left a write on its way.
    return Election(namespace, name, identity=f"{instance}_{secrets.token_hex(4)}")


def _own_namespace() -> str | None:
    return _POD_NAMESPACE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE.exists() else None


def _refuse(message: str) -> NoReturn:
    typer.echo(f"tradingbot-operator: {message}", err=True)
    raise typer.Exit(_EX_USAGE)


def main() -> None:
    """The console script."""
    cli(prog_name="tradingbot-operator")


if __name__ == "__main__":
    main()
