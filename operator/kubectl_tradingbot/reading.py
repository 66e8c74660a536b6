"""`logs` and `report`: what a bot's programs wrote, read here or sent to somebody who can help."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from kubectl_tradingbot.bots import find
from kubectl_tradingbot.bug_report import gather
from kubectl_tradingbot.errors import NotFoundError, UsageError
from kubectl_tradingbot.log_lines import pretty
from kubectl_tradingbot.options import AsGroup, AsUser, BotName, Context, Kubeconfig, MaybeBotName, Namespace, connect
from kubectl_tradingbot.terminal import console, nothing, plain


def logs(
    bot: BotName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it writes.")] = False,
    tail: Annotated[int, typer.Option("--tail", min=-1, help="The last so many lines; -1 is all.")] = 200,
    since: Annotated[str | None, typer.Option("--since", help="Only what is newer, such as 30s, 5m or 2h.")] = None,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the container's run before this one.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The lines as they are: JSON.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Show the log of a bot's pod, a line for each event. Needs `get` on pods/log, as ClusterRole view gives it.

    Try it:  kubectl tradingbot logs momentum -n demo -f
             kubectl tradingbot logs momentum -n demo --tail -1 --raw | jq 'select(.level == "error")'
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    pod = f"{bot}-bot-0"
    arguments = ["logs", pod, "--container=bot", f"--tail={tail}"]
    arguments += ["--follow"] if follow else []
    arguments += [f"--since={since}"] if since else []
    arguments += ["--previous"] if previous else []
    try:
        _show(kubectl.stream(*arguments), raw=raw)
    except NotFoundError:
        said = find(kubectl, bot).condition("Ready")
        why = f": {said.reason}: {said.message}" if said is not None else ""
        raise NotFoundError(f"{bot} has no pod{why}") from None


def _show(lines: Iterable[str], *, raw: bool) -> None:
    out = console()
    try:
        for line in lines:
            if raw:
                typer.echo(line, nl=False)
            else:
                out.print(pretty(line), soft_wrap=True)
    except KeyboardInterrupt:
        return  # the usual end of --follow


def report(
    bot: MaybeBotName = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Where to write it; tradingbot-report-TIME.tar.gz unless given.")
    ] = None,
    operator_namespace: Annotated[
        str, typer.Option("--operator-namespace", help="Namespace of the operator.")
    ] = "tradingbot-system",
    tail: Annotated[int, typer.Option("--tail", min=1, max=100_000, help="The last so many lines of each log.")] = 5000,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Put what a bug report needs into one .tar.gz: objects, events, logs of bots and operator, versions.

    Of one bot, or of all in the namespace. Secrets are never read. Values in
    environments are taken out, and wherever they would stand, what looks like a
    key, a token or a password, and the paths of addresses. Positions, orders
    and money stay in: look through it before you send it on. CONTENTS.txt in it
    lists what is there, and what you may not read.
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    now = datetime.now(UTC)
    folder = f"tradingbot-report-{now.strftime('%Y%m%dT%H%M%SZ')}"
    path = file if file is not None else Path(f"{folder}.tar.gz")
    if path.exists():
        raise UsageError(f"{path} is there already: name another file")
    found = gather(kubectl, bot, operator_namespace=operator_namespace, lines=tail, now=now)
    _write(path, found.archive(folder, now))
    out = console()
    out.print(Text(plain(found.files["CONTENTS.txt"].decode())))
    out.print(nothing(f"written to {path}, {path.stat().st_size} bytes"))


def _write(path: Path, content: bytes) -> None:
    """For the person alone to read, and never over something else."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
