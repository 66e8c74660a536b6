"""A bot's state as a command reads it: beside the running bot, without its lock, and without writing a byte."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tradingbot_api import SessionReport
from tradingbot_runtime.core.kill import KillState
from tradingbot_runtime.core.recovered import Recovered
from tradingbot_runtime.state import Database, Records, StateFailure, StateOfAnotherBot, StateUnwritable
from tradingbot_runtime.state.reading import check_version, database_path, failures_of, meta_of, read_only, rows_of
from tradingbot_runtime.state.rows import kill_in_force
from tradingbot_runtime.state.schema import SCHEMA_VERSION

MAX_SESSIONS: Final = 400


class StateTooOld(StateFailure):
    """An older runtime wrote the state, and only a start of the bot brings it to this version."""

    reason = "StateTooOld"


@dataclass(frozen=True)
class Volume:
    """The state as it was when the reading began; the bot may have gone on since."""

    directory: Path
    mode: str
    bot_uid: str
    records: Records
    connection: sqlite3.Connection

    def recovered(self) -> Recovered:
        """All that a start of the bot would find, verified as a start does it. Raises StateCorrupt."""
        return Database(self.connection, self.directory, self.bot_uid, self.mode).recover()

    def reports(self) -> list[SessionReport]:
        """The closed sessions, oldest first; of many, the last. Raises StateCorrupt."""
        closed = self.records.sessions(limit=MAX_SESSIONS)
        return [SessionReport.model_validate_json(one.record.payload) for one in reversed(closed)]

    def kill(self) -> KillState | None:
        """The kill in force."""
        return kill_in_force(rows_of(self.connection, "kill"))


@contextlib.contextmanager
def read_volume(directory: Path, mode: str, bot_uid: str | None = None) -> Iterator[Volume]:
    """The state in a directory; with `bot_uid`, only that bot's. Raises StateFailure that says what to do."""
    path = database_path(directory, mode)
    if not path.is_file():
        raise StateUnwritable(f"there is no state {path}: check --state and the mode")
    with failures_of(path), contextlib.closing(read_only(path)) as connection:
        connection.execute("BEGIN")
        version = check_version(connection, path)
        if version < SCHEMA_VERSION:
            raise StateTooOld(
                f"the state {path} has schema {version}, and this runtime reads {SCHEMA_VERSION}:"
                " start the bot with this runtime once, which migrates it"
            )
        meta = meta_of(connection)
        owner = (meta.get("bot_uid", ""), meta.get("mode"))
        if owner != (bot_uid or owner[0], mode):
            raise StateOfAnotherBot(
                f"the state {path} is of bot {owner[0]} in mode {owner[1]}, not of {bot_uid} in mode {mode}:"
                " check --state and --config"
            )
        yield Volume(directory, mode, owner[0], Records(connection, path), connection)
