"""`tradingbot replay`: makes the decisions of a recording again, and says where they differ."""

from pathlib import Path
from typing import Annotated, Final

import typer

from tradingbot_runtime.commands.endings import EX_DATA, fail

DIFFERS: Final = 1


def replay(
    file: Annotated[Path, typer.Argument(help="A recording of `tradingbot run --record`.", dir_okay=False)],
) -> None:
    """Make every decision of a recording again, and compare the commands byte for byte. Asks and sends nothing.

    The engine is a function of its events: the same version gives the same commands. A difference is a defect, or
    another version of the runtime, of the strategy or of its libraries than the one that recorded.

    Exit codes: 0 the same; 1 not the same, and the first difference is shown with both sides; 65 the file is no
    recording that this version reads.

    Try it:  tradingbot run --config bot.yaml --state ./state --record day.jsonl
             tradingbot replay day.jsonl
    """
    from tradingbot_runtime import recording

    try:
        found = recording.replay(file)
    except OSError as error:
        fail(EX_DATA, "RecordingUnreadable", f"{file} cannot be read: {error.strerror}")
    except recording.NotARecording as error:
        fail(EX_DATA, "NotARecording", f"{file}: {error}")
    except (ValueError, KeyError, TypeError) as error:
        # A field of a line is not what this version writes there.
        fail(EX_DATA, "NotARecording", f"{file}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    if found.difference is not None:
        fail(DIFFERS, "Differs", f"{file} after {found.events} events: {found.difference[:2000]}")
    typer.echo(f"{file}: {found.events} events lead to the same {found.commands} commands, byte for byte")
