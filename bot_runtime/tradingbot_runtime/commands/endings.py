"""How a command ends: words on stderr for a person, last words as JSON for Kubernetes, an exit code for both."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import typer

EX_TEMPFAIL: Final = 75
"""Exit code where a later try may succeed (sysexits.h): the broker does not answer, or it is too early."""
EX_DATA: Final = 65
"""Exit code where a file that was given is not what it should be (sysexits.h)."""
EX_INTERRUPTED: Final = 143
"""Exit code where SIGTERM came before the command could end by itself."""
MAX_LAST_WORDS_BYTES: Final = 4096
"""What Kubernetes keeps of a container's termination message."""

_DEFAULT_TERMINATION_LOG = Path("/dev/termination-log")


class WrongConfig(Exception):
    """What the bot was told is wrong: a restart does not help."""

    def __init__(self, reason: str, message: str) -> None:
        """`reason`: one CamelCase word for programs."""
        super().__init__(message)
        self.reason = reason


def end(code: int, reason: str, message: str) -> NoReturn:
    """Last words for the operator, then the end."""
    from tradingbot_api import TerminationMessage

    last_words = TerminationMessage(reason=reason[:128], message=message[:1024])
    leave_last_words(last_words.model_dump_json(by_alias=True))
    fail(code, reason, message)


def fail(code: int, reason: str, message: str) -> NoReturn:
    """The end, with words on stderr alone."""
    typer.echo(f"{reason}: {message}", err=True)
    raise typer.Exit(code)


def leave_last_words(document: str) -> None:
    """Writes the termination message, where there is a place for one. Never fails: the exit code is what counts."""
    path = Path(os.environ.get("TERMINATION_MESSAGE_PATH") or _DEFAULT_TERMINATION_LOG)
    if "TERMINATION_MESSAGE_PATH" in os.environ or path.exists():
        try:
            path.write_text(document)
        except OSError as error:
            typer.echo(f"cannot write {path}: {error.strerror}", err=True)


@contextlib.contextmanager
def refusals(*, last_words: bool = False) -> Iterator[None]:
    """Ends the command with the right words and code where the config is wrong or the state cannot be used."""
    from tradingbot_api import EX_CONFIG, EX_STATE
    from tradingbot_runtime.state.failures import StateFailure

    stop = end if last_words else fail
    try:
        yield
    except WrongConfig as error:
        stop(EX_CONFIG, error.reason, str(error))
    except StateFailure as error:
        stop(EX_STATE, error.reason, str(error))
