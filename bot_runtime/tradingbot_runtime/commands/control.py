"""`tradingbot run-now, pause, resume, kill` and their like: what a person asks of a running bot.

With a control file, writes it. With Kubernetes, only prints the kubectl line: who may do what is RBAC's to say there.
"""

import os
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from tradingbot_runtime.control.editing import Body

FAILED: Final = 1

Control = Annotated[
    str | None,
    typer.Option(help="file:PATH, as given to `run --control`: the file is changed, its other fields stay."),
]
Bot = Annotated[
    str | None,
    typer.Option(help="[NAMESPACE/]NAME of a TradingBot: prints the kubectl line that asks the same of it."),
]
Reason = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]
OptionalReason = Annotated[str, typer.Option(help="Why, for whoever reads it later; kept in the file's last-change.")]


def run_now(control: Control = None, bot: Bot = None, reason: OptionalReason = "") -> None:
    """Ask a bot for one evaluation at once, whether or not a bar has closed; while the market is closed, at its open.

    Exit codes: 0 done, or the line is printed; 1 the file could not be changed, and is as it was; 2 wrong options.

    Try it:  tradingbot run-now --control file:control.yaml
             tradingbot run-now --bot demo/momentum
    """
    from tradingbot_api import RUN_NOW_ANNOTATION

    at = _now()
    _ask("run-now", control, bot, f"{RUN_NOW_ANNOTATION}={at}", lambda body: body | {"run-now": at}, reason)


def pause(control: Control = None, bot: Bot = None, reason: OptionalReason = "") -> None:
    """Pause a bot: no new exposure, exits go on, entries that rest at the broker are cancelled.

    Exit codes: 0 done, or the line is printed; 1 the file could not be changed, and is as it was; 2 wrong options.

    Try it:  tradingbot pause --control file:control.yaml --reason "earnings tonight"
    """
    from tradingbot_api import PAUSE_ANNOTATION

    value = f"{PAUSE_ANNOTATION}={reason or _now()}"
    _ask("pause", control, bot, value, lambda body: body | {"paused": True}, reason)


def resume(control: Control = None, bot: Bot = None, reason: OptionalReason = "") -> None:
    """End a pause. A kill stays: it is released, never resumed.

    Exit codes: 0 done, or the line is printed; 1 the file could not be changed, and is as it was; 2 wrong options.

    Try it:  tradingbot resume --control file:control.yaml
    """
    from tradingbot_api import PAUSE_ANNOTATION

    def without_pause(body: "Body") -> "Body":
        return {key: value for key, value in body.items() if key != "paused"}

    _ask("resume", control, bot, f"{PAUSE_ANNOTATION}-", without_pause, reason)


def kill(reason: Reason, control: Control = None, bot: Bot = None) -> None:
    """Kill a bot: open orders are cancelled, nothing is opened any more, and with `onKill: Flatten` positions closed.

    The bot keeps the kill over restarts; taking the field out of the file does not release it. Written whatever the
    file holds: what was no YAML is kept in the field `was-unreadable`.

    Exit codes: 0 done, or the line is printed; 1 the file could not be changed, and is as it was; 2 wrong options.

    Try it:  tradingbot kill --control file:control.yaml --reason "wrong symbols"
    """
    from tradingbot_api import KILL_ANNOTATION

    words = _shortened(reason)
    _ask("kill", control, bot, f"{KILL_ANNOTATION}={words}", lambda body: body | {"kill": words}, reason)


def acknowledge(
    incident: Annotated[str, typer.Argument(help="The incident's id, as its notice and /status give it.")],
    control: Control = None,
    bot: Bot = None,
    reason: OptionalReason = "",
) -> None:
    """Say that somebody has seen an incident, so that it is not handed on. It stays open until its cause is gone.

    Exit codes: 0 done, or the line is printed; 1 the file could not be changed, and is as it was; 2 wrong options.

    Try it:  tradingbot acknowledge INCIDENT-ID --control file:control.yaml
    """
    from tradingbot_api import ACKNOWLEDGE_ANNOTATION

    words = _shortened(incident)
    value = f"{ACKNOWLEDGE_ANNOTATION}={words}"
    _ask("acknowledge", control, bot, value, lambda body: body | {"acknowledge-incident": words}, reason)


def accept_positions(reason: Reason, control: Control = None, bot: Bot = None) -> None:
    """Say that the account is right as it is: the bot takes over what it holds of its symbols, differences and all.

    For a bot that found more at the broker than its own orders explain: until a person says so, that is somebody
    else's and is left alone.

    Exit codes: 0 done, or the line is printed; 1 the file could not be changed, and is as it was; 2 wrong options.

    Try it:  tradingbot accept-positions --control file:control.yaml --reason "the old bot's shares"
    """
    from tradingbot_api import ACCEPT_POSITIONS_ANNOTATION

    # Carried out once for each new value, like the next one.
    words = _shortened(f"{_now()} {reason}")
    value = f"{ACCEPT_POSITIONS_ANNOTATION}={words}"
    _ask("accept-positions", control, bot, value, lambda body: body | {"accept-positions": words}, reason)


def reset_breaker(reason: Reason, control: Control = None, bot: Bot = None) -> None:
    """Close a circuit breaker that has tripped. Refused by the bot during its cool-down, and said in its log.

    Exit codes: 0 done, or the line is printed; 1 the file could not be changed, and is as it was; 2 wrong options.

    Try it:  tradingbot reset-breaker --control file:control.yaml --reason "the data was wrong, positions checked"
    """
    from tradingbot_api import RESET_BREAKER_ANNOTATION

    # The bot carries each request out once, and tells one from another by its words.
    words = _shortened(f"{_now()} {reason}")
    value = f"{RESET_BREAKER_ANNOTATION}={words}"
    _ask("reset-breaker", control, bot, value, lambda body: body | {"reset-breaker": words}, reason)


def _ask(
    what: str,
    control: str | None,
    bot: str | None,
    annotation: str,
    change: "Callable[[Body], Body]",
    reason: str,
) -> None:
    if (control is None) == (bot is None):
        raise typer.BadParameter("give --control file:PATH, or --bot NAMESPACE/NAME for a bot in Kubernetes")
    if bot is not None:
        typer.echo(_kubectl(bot, annotation))
        return
    from tradingbot_runtime.control.editing import ControlFileError, edit

    path = _path(control or "")

    def signed(body: "Body") -> "Body":
        return change(body) | {"last-change": _signature(what, reason)}

    try:
        edit(path, signed, whatever_it_holds=what == "kill")
    except ControlFileError as error:
        typer.echo(f"ControlFile: {error}", err=True)
        raise typer.Exit(FAILED) from error
    typer.echo(f"{what}: written to {path}; a running bot reads it within a second")


def _path(control: str) -> Path:
    path = control.removeprefix("file:")
    if path == control or not path:
        raise typer.BadParameter(f"--control {control}: write file:PATH, as given to `run`")
    return Path(path)


def _kubectl(bot: str, annotation: str) -> str:
    namespace, _, name = bot.rpartition("/")
    words = ["kubectl", "annotate", "tradingbot", name, annotation, "--overwrite"]
    if namespace:
        words += ["--namespace", namespace]
    return shlex.join(words)


def _signature(what: str, reason: str) -> dict[str, Any]:
    by = os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"
    return {"command": what, "at": _now(), "by": by} | ({"reason": _shortened(reason)} if reason else {})


def _shortened(text: str) -> str:
    from tradingbot_runtime.control.editing import shortened

    return shortened(text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
