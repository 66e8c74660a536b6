"""Options that every command has, by the names that kubectl gives them, and the check that a name is one."""

import re
from enum import StrEnum
from typing import Annotated

import typer

from kubectl_tradingbot.errors import UsageError
from kubectl_tradingbot.kubectl import Kubectl, Scope

_PANEL = "Cluster"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def check_name(value: str | None) -> str | None:
    """Refuses what is no object's name: kubectl could take it for an option."""
    if value is not None and not _NAME.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no name: lower case letters, digits, dashes")
    return value


BotName = Annotated[str, typer.Argument(metavar="BOT", callback=check_name, help="Name of the TradingBot.")]
MaybeBotName = Annotated[
    str | None,
    typer.Argument(metavar="BOT", callback=check_name, help="Name of the TradingBot."),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace; the context's unless given.", rich_help_panel=_PANEL),
]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.", rich_help_panel=_PANEL)]
Context = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig; the current one unless given.", rich_help_panel=_PANEL),
]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="The kubeconfig file.", rich_help_panel=_PANEL)]
AsUser = Annotated[str | None, typer.Option("--as", help="User to impersonate.", rich_help_panel=_PANEL)]
AsGroup = Annotated[
    list[str] | None,
    typer.Option("--as-group", help="Group to impersonate; may be repeated.", rich_help_panel=_PANEL),
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where nobody sits at the terminal.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the answer.")]
Timeout = Annotated[float, typer.Option("--timeout", min=1, max=86400, help="Seconds to wait for the answer.")]


class Output(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print it.")]


def connect(
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    as_user: str | None,
    as_groups: list[str] | None,
    *,
    everywhere: bool = False,
) -> Kubectl:
    """kubectl as these options ask for it."""
    if everywhere and namespace is not None:
        raise UsageError("give either --namespace or --all-namespaces")
    return Kubectl(Scope(namespace, context, kubeconfig, as_user, tuple(as_groups or ())))
