"""Waits for what the API server says, for so long and no longer, and shows what it waits for."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from rich.console import Console
from rich.text import Text

from kubectl_tradingbot.errors import Code, PluginError, UnreachableError
from kubectl_tradingbot.terminal import plain

POLL_SECONDS: Final = 0.3
_MOST_SHOWN: Final = 160


class StoppedWaitingError(PluginError):
    """The person has had enough; what was asked for stays asked for."""

    code = Code.INTERRUPTED


def wait(look: Callable[[], tuple[bool, str]], out: Console, *, seconds: float, asked: str) -> bool:
    """Looks until it is done, and says whether it was in time; `asked`: what goes on when nobody waits any more.

    `look` gives whether it is done, and what it waits for. An API server that cannot be reached for a while is waited
    for, too.
    """
    deadline, shown = time.monotonic() + seconds, ""
    spinner = out.status("waiting") if out.is_terminal else None
    context: AbstractContextManager[object] = spinner or nullcontext()
    try:
        with context:
            while True:
                try:
                    done, says = look()
                except UnreachableError as error:
                    done, says = False, str(error)
                if done:
                    return True
                if time.monotonic() >= deadline:
                    return False
                says = plain(says).replace("\n", " ")[:_MOST_SHOWN]
                if spinner is not None:
                    spinner.update(Text(says))
                elif says != shown:
                    out.print(Text(f"  {says}", style="dim"))
                shown = says
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        raise StoppedWaitingError(f"stopped waiting; {asked}") from None
