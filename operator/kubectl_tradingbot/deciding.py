"""`approve` and `release`: a person's word, in their own name, on exactly what they were shown.

Whether they may is the API server's to say; whether it counts is the operator's. Must never create what was not shown.
"""

from typing import Annotated, Final

import typer
import yaml
from rich.text import Text

from kubectl_tradingbot.approving import (
    Outcome,
    Standing,
    check_reason,
    next_stage,
    outcome,
    proposal_view,
    propose,
    stage_view,
)
from kubectl_tradingbot.bots import Bot, find
from kubectl_tradingbot.errors import NotConfirmedError, RefusedError
from kubectl_tradingbot.killing import check_release, release_document, release_outcome, release_view
from kubectl_tradingbot.kubectl import BOTS, GATES, Kubectl
from kubectl_tradingbot.options import (
    AsGroup,
    AsUser,
    BotName,
    Context,
    Kubeconfig,
    Namespace,
    NoWait,
    Reason,
    Timeout,
    Yes,
    connect,
)
from kubectl_tradingbot.terminal import confirm, console
from kubectl_tradingbot.waiting import wait
from tradingbot_api import KILL_ANNOTATION

_ANSWER_SECONDS: Final = 60.0


def approve(
    bot: BotName,
    reason: Reason = "",
    item: Annotated[
        list[str] | None,
        typer.Option("--item", help="An item of the gate that you have looked at yourself; may be repeated."),
    ] = None,
    next_stage: Annotated[
        bool, typer.Option("--next-stage", help="Of a live bot: approve the next stage of capital.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the Approval as YAML and create nothing.")] = False,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = _ANSWER_SECONDS,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Approve that a bot may trade real money, as it is now and by the verdict it has now.

    Shows what you approve: the subject's digest with all that it is made of,
    the verdict, the checklist, the gate, and who you are to the API server.
    Asks; then writes an Approval in your name, and waits until the operator
    says that it counts, or why it does not.

    A verdict of REVIEW needs a --reason that names every check that did not
    pass. NO-GO cannot be approved. Items that a person has to look at are named
    with --item. Needs ClusterRole tradingbots-approver in the namespace.

    Exit codes: 0 it counts; 1 it cannot be approved, or does not count; 4 no
    answer in time; 5 you may not.

    Try it:  kubectl tradingbot approve momentum -n demo --reason "thirty clean sessions; I read each slippage"
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    if next_stage:
        _approve_stage(kubectl, bot, reason, dry_run=dry_run, yes=yes)
        return
    found = find(kubectl, bot)
    proposal = propose(found, item or ())
    check_reason(proposal, reason)
    approver = kubectl.whoami()
    document = proposal.document(approver, reason)
    if dry_run:
        typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
        return
    out = console()
    out.print(proposal_view(proposal, approver, reason))
    out.print()
    confirm(out, f"This lets {found.namespace}/{bot} trade real money.", bot, yes=yes)
    name, uid = _create(kubectl, found, document)
    out.print(f"approval {name} is written")
    if no_wait:
        return
    last = Outcome(Standing.WAITING, "")

    def look() -> tuple[bool, str]:
        nonlocal last
        last = outcome(Bot(kubectl.get(BOTS, bot)), name, uid)
        return last.standing is not Standing.WAITING, last.message

    if not wait(look, out, seconds=timeout, asked=f"the approval {name} stays"):
        raise NotConfirmedError(
            f"the approval {name} is written, and the operator has said nothing of it within {timeout:g} s:"
            f" is it alive? `kubectl tradingbot gate {bot}` shows what it says later"
        )
    if last.standing is Standing.VOID:
        raise RefusedError(last.message)
    out.print(Text(last.message, style="green"))


def _approve_stage(kubectl: Kubectl, bot: str, reason: str, *, dry_run: bool, yes: bool) -> None:
    found = find(kubectl, bot)
    grant = found.status.grant
    stages = kubectl.get(GATES, grant.gate).get("spec", {}).get("stages", []) if grant is not None else []
    approver = kubectl.whoami()
    document = next_stage(found, stages, approver, reason)
    if grant is None:
        raise RefusedError(f"{bot} is not live")
    if dry_run:
        typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
        return
    out = console()
    out.print(stage_view(found, grant, stages, approver, reason))
    out.print()
    confirm(out, f"This lets {found.namespace}/{bot} hold more real money.", bot, yes=yes)
    name, _ = _create(kubectl, found, document)
    out.print(f"approval {name} is written; the stage begins once its clean sessions are there, too")


def release(
    bot: BotName,
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the Approval as YAML and change nothing.")] = False,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = _ANSWER_SECONDS,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Release a kill: the bot trades again, on paper; its promotions are void.

    Removes the kill annotation from the bot, where it is still there, writes an
    Approval of the kill's epoch in your name, and waits until the bot is not
    killed any more. A kill on an account is taken away there first, by hand: it
    is about every bot on it.

    Needs ClusterRole tradingbots-releaser, and tradingbots-duty where the
    annotation is still there.

    Exit codes: 0 released; 1 there is nothing to release; 4 no answer in time;
    5 you may not.
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    found = find(kubectl, bot)
    epoch = check_release(found, reason)
    approver = kubectl.whoami()
    document = release_document(found, epoch, approver, reason)
    if dry_run:
        typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
        return
    out = console()
    out.print(release_view(found, epoch, approver, reason))
    out.print()
    confirm(out, f"This lets {found.namespace}/{bot} trade again.", bot, yes=yes)
    if found.kill_asked is not None:
        kubectl.run("annotate", BOTS, bot, f"{KILL_ANNOTATION}-")
        out.print("the kill annotation is removed; the kill itself stays until it is released")
    name, _ = _create(kubectl, found, document)
    out.print(f"approval {name} is written")
    if no_wait:
        return

    said = ""

    def look() -> tuple[bool, str]:
        nonlocal said
        done, said = release_outcome(Bot(kubectl.get(BOTS, bot)), epoch, name)
        return done, said

    if not wait(look, out, seconds=timeout, asked=f"the approval {name} stays"):
        raise NotConfirmedError(
            f"the approval {name} is written, and after {timeout:g} s the bot is still killed: {said}"
        )
    out.print(Text(said, style="green"))


def _create(kubectl: Kubectl, bot: Bot, document: dict[str, object]) -> tuple[str, str]:
    """Name and UID of the Approval as the API server has it."""
    made = kubectl.create(document).get("metadata", {})
    return str(made.get("name", "")), str(made.get("uid", ""))
