"""`kill`, `pause`, `resume`: an annotation is written, and for a kill the broker's word is waited for.

A kill is written before anything else is read, where nobody has to be asked. Must never call a bot flat that the
status does not call so.
"""

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from kubectl_tradingbot.bots import Bot, every, find, on_account, unknown
from kubectl_tradingbot.errors import (
    Code,
    NotAllowedError,
    NotConfirmedError,
    NotFoundError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from kubectl_tradingbot.killing import End, Progress, code_of, progress, summary_table
from kubectl_tradingbot.kubectl import ACCOUNTS, BOTS, Kubectl, error_of
from kubectl_tradingbot.options import (
    AsGroup,
    AsUser,
    BotName,
    Context,
    Everywhere,
    Kubeconfig,
    MaybeBotName,
    Namespace,
    NoWait,
    Timeout,
    Yes,
    check_name,
    connect,
)
from kubectl_tradingbot.terminal import confirm, console, plain
from kubectl_tradingbot.waiting import wait
from tradingbot_api import KILL_ANNOTATION, PAUSE_ANNOTATION

_FLAT_SECONDS: Final = 120.0
_UNSAID: Final = "killed with kubectl tradingbot"
_EACH: Final = 'jsonpath={.metadata.namespace}/{.metadata.name}{"\\n"}'


def kill(
    bot: MaybeBotName = None,
    account: Annotated[
        str | None, typer.Option("--account", callback=check_name, help="Kill every bot on this BrokerAccount.")
    ] = None,
    all_bots: Annotated[bool, typer.Option("--all", help="Kill every bot of the namespace; with -A, of all.")] = False,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept in the annotation.")] = _UNSAID,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = _FLAT_SECONDS,
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Stop a bot, the bots on an account, or all: cancel orders, open nothing, close positions where onKill says so.

    Asks you to type the name (or: kill all), writes the annotation, and shows
    each step as the broker confirms it. The bot acts by itself, also while the
    operator is down; the operator passes on what it says. It stays killed,
    whatever becomes of the annotation, until somebody releases it: `kubectl
    tradingbot release`.

    Needs ClusterRole tradingbots-duty (or edit). --all -A needs it in all
    namespaces.

    Exit codes: 0 flat: the broker says that no order is open and nothing is
    held; 3 no order is open, and positions are kept, as onKill: CancelOrders
    asks; 4 not confirmed in time: it goes on; 1 some could not be killed; 5 you
    may not.

    Try it:  kubectl tradingbot kill momentum -n demo --reason "prices look wrong"
             kubectl tradingbot kill --all -A --yes --reason "broker incident"
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group, everywhere=everywhere)
    if sum((bot is not None, account is not None, all_bots)) != 1:
        raise UsageError("say what to kill: either BOT, or --account NAME, or --all")
    if everywhere and not all_bots:
        raise UsageError("--all-namespaces goes with --all; one bot or account is in one namespace")
    out = console()
    _ask(kubectl, out, bot, account, everywhere=everywhere, yes=yes)
    began = time.monotonic()
    what = [ACCOUNTS, account] if account is not None else [BOTS, bot if bot is not None else "--all"]
    done = kubectl.attempt(
        *("annotate", *what, f"{KILL_ANNOTATION}={reason}", "--overwrite", f"--output={_EACH}"),
        all_namespaces=everywhere,
    )
    written = done.stdout.split()
    if not written and done.code != 0:
        error = error_of(done.stderr)
        raise unknown(kubectl, bot) if bot is not None and isinstance(error, NotFoundError) else error
    for one in written:
        _tell(out, f"{one}: the kill annotation is written", began)
    if done.stderr and done.code != 0:
        console(stderr=True).print(Text(plain(done.stderr), style="red"))
    try:
        names = written
        if account is not None:
            names = [f"{one.namespace}/{one.name}" for one in on_account(every(kubectl), account)]
        if not names:
            raise RefusedError("there is no bot to kill" if account is None else f"no bot is on the account {account}")
        code = Code.DONE if no_wait else _follow(kubectl, out, names, began, timeout, everywhere=everywhere)
    except (NotAllowedError, UnreachableError) as error:
        raise NotConfirmedError(f"the kill is asked for, and how far it is cannot be read: {error}") from None
    if done.code != 0:
        raise RefusedError("some could not be killed: see above")
    if code is not Code.DONE:
        raise typer.Exit(code)


def _ask(kubectl: Kubectl, out: Console, bot: str | None, account: str | None, *, everywhere: bool, yes: bool) -> None:
    if yes:
        return
    if bot is not None:
        found = find(kubectl, bot)
        does = "cancels its orders and closes its positions" if _flattens(found) else "cancels its orders"
        confirm(out, f"This kills {found.namespace}/{bot}: {does}, and it opens nothing more.", bot, yes=yes)
        return
    bots = every(kubectl, all_namespaces=everywhere)
    if account is not None:
        names = ", ".join(one.name for one in on_account(bots, account)) or "none"
        confirm(out, f"This kills every bot on the account {account}: {names}.", account, yes=yes)
        return
    where = "in all namespaces" if everywhere else "in this namespace"
    confirm(out, f"This kills all {len(bots)} bots {where}.", "kill all", yes=yes)


def _flattens(bot: Bot) -> bool:
    return bot.spec.get("onKill") == "Flatten"


def _tell(out: Console, text: str, began: float) -> None:
    out.print(Text(f"{time.monotonic() - began:7.2f} s  {plain(text)}"))


def _follow(
    kubectl: Kubectl, out: Console, names: Sequence[str], began: float, seconds: float, *, everywhere: bool
) -> Code:
    """Shows each bot's steps until all have ended, or the time is over."""
    told: dict[str, int] = {}
    now: dict[str, Progress] = {name: Progress(name, End.UNDERWAY, (), "not read yet") for name in names}
    read = _reader(kubectl, names, everywhere=everywhere)

    def look() -> tuple[bool, str]:
        found = {f"{bot.namespace}/{bot.name}": progress(bot) for bot in read()}
        for name in names:
            gone = Progress(name, End.UNDERWAY, (), "it was deleted meanwhile: look at its KillRecord")
            one = now[name] = found.get(name, gone)
            for step in one.steps[told.get(name, 0) :]:
                _tell(out, f"{name}: {step.what} ({step.at})", began)
            told[name] = max(told.get(name, 0), len(one.steps))
        waiting = [one for one in now.values() if one.end is End.UNDERWAY]
        return not waiting, f"{len(waiting)} not there yet: {waiting[0].bot}: {waiting[0].message}" if waiting else ""

    in_time = wait(look, out, seconds=seconds, asked="the kill stays in force and goes on: kubectl tradingbot status")
    out.print()
    out.print(summary_table(list(now.values())))
    code = code_of(list(now.values()))
    if not in_time:
        console(stderr=True).print(
            Text(
                f"not confirmed within {seconds:g} s. The kill is asked for and goes on: a bot acts by itself, and the"
                " operator passes on what it says. Is the operator alive? See: kubectl tradingbot status, logs",
                style="red",
            )
        )
    return code


def _reader(kubectl: Kubectl, names: Sequence[str], *, everywhere: bool) -> Callable[[], list[Bot]]:
    if len(names) > 1 or everywhere:
        return lambda: every(kubectl, all_namespaces=everywhere)
    name = names[0].partition("/")[2]

    def one() -> list[Bot]:
        try:
            return [Bot(kubectl.get(BOTS, name))]
        except NotFoundError:
            return []

    return one


def pause(
    bot: BotName,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept in the annotation.")] = "",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Pause a bot: it opens nothing more, exits still work. `resume` takes it back. Needs tradingbots-duty or edit."""
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    _annotate(kubectl, bot, f"{PAUSE_ANNOTATION}={reason}", "--overwrite")
    console().print(f"{plain(bot)} is asked to pause: exits only. kubectl tradingbot status {plain(bot)} shows it")


def resume(
    bot: BotName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
) -> None:
    """Take a pause back: removes the annotation. spec.paused is the author's, and is changed where the bot is kept.

    A killed bot stays killed: see `release`. Needs tradingbots-duty or edit.
    Exit code 1: something else pauses it.
    """
    kubectl = connect(namespace, context, kubeconfig, as_user, as_group)
    found = _annotate(kubectl, bot, f"{PAUSE_ANNOTATION}-")
    if found.spec.get("paused") is True:
        raise RefusedError(f"the annotation is gone, and {bot} stays paused by spec.paused: change that in its spec")
    if found.is_killed:
        raise RefusedError(f"the annotation is gone, and {bot} is killed: see kubectl tradingbot release --help")
    console().print(f"{plain(bot)} is not paused any more")


def _annotate(kubectl: Kubectl, bot: str, *annotation: str) -> Bot:
    try:
        kubectl.run("annotate", BOTS, bot, *annotation)
        return Bot(kubectl.get(BOTS, bot))
    except NotFoundError:
        raise unknown(kubectl, bot) from None
