"""`status`, `gate`, `evidence`: read and shown; nothing is changed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
import yaml
from rich.console import RenderableType

from kubectl_tradingbot.bots import Bot, every, find
from kubectl_tradingbot.errors import NotFoundError, PluginError, UsageError
from kubectl_tradingbot.evidence_view import counts, evidence_table, piece_view, pieces_of
from kubectl_tradingbot.gate_view import gate_view, next_steps
from kubectl_tradingbot.kubectl import EVIDENCE, Kubectl, Raw
from kubectl_tradingbot.options import (
    AsGroup,
    AsUser,
    BotName,
    Context,
    Everywhere,
    Kubeconfig,
    MaybeBotName,
    Namespace,
    Output,
    OutputOption,
    check_name,
    connect,
)
from kubectl_tradingbot.status_view import Seen, bots_table, status_view
from kubectl_tradingbot.terminal import console, print_whole


def status(
    bot: MaybeBotName = None,
    output: OutputOption = Output.TABLE,
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Show what a bot is and does: summary, kill, checklist, positions, orders, sessions, conditions, events.

    Without BOT: a table of all bots. A part that is empty says so; one that you
    may not read says which right is missing. Needs ClusterRole view, or
    tradingbots-view (then without events).

    With -o json or yaml: the objects themselves, as {bot, sessions, events} or
    {bots}.

    Try it:  kubectl tradingbot status -A
             kubectl tradingbot status momentum -n demo -o wide
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group, everywhere=everywhere)
    if bot is not None and everywhere:
        raise UsageError("one bot is in one namespace: give --namespace with its name")
    now = datetime.now(UTC)
    if bot is None:
        found = every(kubectl, all_namespaces=everywhere)
        if output in (Output.JSON, Output.YAML):
            _print_document({"bots": [dict(one.raw) for one in found]}, output)
        else:
            print_whole(bots_table(found, now=now, wide=output is Output.WIDE, namespaces=everywhere))
        return
    one = find(kubectl, bot)
    sessions, no_sessions = _evidence(kubectl)
    events, no_events = _events(kubectl, bot)
    if output in (Output.JSON, Output.YAML):
        mine = [dict(raw) for raw in sessions if raw.get("spec", {}).get("botRef", {}).get("uid") == one.uid]
        _print_document({"bot": dict(one.raw), "sessions": mine, "events": [dict(raw) for raw in events]}, output)
        return
    pieces = tuple(piece for piece in pieces_of(one, sessions) if piece.spec is not None and piece.spec.session)
    seen = Seen(one, pieces, tuple(events), no_sessions, no_events)
    _print(status_view(seen, now=now, wide=output is Output.WIDE))


def gate(
    bot: BotName,
    output: OutputOption = Output.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Say why a bot is not live, and what a person can do next: the exact command.

    The verdict with each check that does not pass, what was observed and what
    it has to be; the sessions to go and the earliest date; whose approvals
    stand, and why others do not. All of it is the operator's word from the
    bot's status.

    With -o json or yaml: {gate, promotion, liveAuthorized, next}.
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    one = find(kubectl, bot)
    scope = kubectl.scope.cluster_arguments
    if output in (Output.JSON, Output.YAML):
        live = one.condition("LiveAuthorized")
        document = {
            "gate": one.gate,
            "promotion": one.raw.get("status", {}).get("promotion"),
            "liveAuthorized": {"status": live.status, "reason": live.reason, "message": live.message} if live else None,
            "next": [{"text": step.text, "command": step.command} for step in next_steps(one, scope=scope)],
        }
        _print_document(document, output)
        return
    _print(gate_view(one, scope=scope))


def evidence(
    bot: BotName,
    name: Annotated[str | None, typer.Argument(callback=check_name, help="One PromotionEvidence, whole.")] = None,
    output: OutputOption = Output.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """List what is known of a bot by evidence: sessions, drills, validations, preflights; whether each counts.

    With the NAME of one: all of it, with both sides of each difference that the
    audit found.
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    one = find(kubectl, bot)
    if name is not None:
        _print_evidence(kubectl, one, name, output)
        return
    found = kubectl.list(EVIDENCE)
    pieces = pieces_of(one, found)
    if output in (Output.JSON, Output.YAML):
        objects = {str(raw.get("metadata", {}).get("name")): dict(raw) for raw in found}
        lines = []
        for piece in pieces:
            does, why = counts(one, piece)
            lines.append({"name": piece.name, "counts": does, "why": why, "evidence": objects[piece.name]})
        _print_document({"evidence": lines}, output)
        return
    _print(evidence_table(one, pieces))


def _print_evidence(kubectl: Kubectl, bot: Bot, name: str, output: Output) -> None:
    try:
        raw = kubectl.get(EVIDENCE, name)
    except NotFoundError:
        hint = f"`kubectl tradingbot evidence {bot.name}` lists what there is"
        raise NotFoundError(f"there is no evidence {name}; {hint}") from None
    pieces = pieces_of(bot, [raw])
    if not pieces:
        about = raw.get("spec", {}).get("botRef", {}).get("name")
        raise NotFoundError(f"the evidence {name} is about the bot {about}, not about {bot.name}")
    if output in (Output.JSON, Output.YAML):
        _print_document(raw, output)
        return
    _print(piece_view(bot, pieces[0]))


def _evidence(kubectl: Kubectl) -> tuple[list[Raw], str]:
    try:
        return list(kubectl.list(EVIDENCE)), ""
    except PluginError as error:
        return [], str(error)


def _events(kubectl: Kubectl, bot: str) -> tuple[list[Raw], str]:
    selector = f"--field-selector=involvedObject.kind=TradingBot,involvedObject.name={bot}"
    try:
        return list(kubectl.list("events", selector)), ""
    except PluginError as error:
        return [], str(error)


def _print(what: RenderableType) -> None:
    # A command that is shown is never broken into lines: it is there to be pasted.
    console().print(what, soft_wrap=True)


def _print_document(document: Mapping[str, Any], output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(yaml.safe_dump(dict(document), sort_keys=False), nl=False)
