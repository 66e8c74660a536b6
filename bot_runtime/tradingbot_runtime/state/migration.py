"""Makes a new state file, and brings an older one to today's schema, forward only.

Each step is one transaction with a verified backup before it: it happens wholly, or the file stays what it was.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from tradingbot_runtime.state.schema import MIGRATIONS, Migration


def create(connection: sqlite3.Connection, bot_uid: str, mode: str) -> None:
    """Makes all tables of an empty file, and writes whose it is."""
    with transaction(connection):
        for migration in MIGRATIONS:
            migration.apply(connection)
        connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", (("bot_uid", bot_uid), ("mode", mode)))
        connection.execute(f"PRAGMA user_version = {MIGRATIONS[-1].version}")


def migrate(
    connection: sqlite3.Connection,
    version: int,
    before_each: Callable[[Migration], None],
    migrations: Sequence[Migration] = MIGRATIONS,
) -> None:
    """Takes each step from `version` to the newest; what `before_each` raises stops it before that step."""
    for migration in migrations:
        if migration.version <= version:
            continue
        before_each(migration)
        with transaction(connection):
            migration.apply(connection)
            connection.execute(f"PRAGMA user_version = {migration.version}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits what happens inside, durably, or takes all of it back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
