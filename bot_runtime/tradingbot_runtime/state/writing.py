"""What one journal line changes in the tables, inside the transaction that the caller has begun."""

import sqlite3
from typing import Final

from tradingbot_runtime.core.commands import Change
from tradingbot_runtime.state.cells import Row
from tradingbot_runtime.state.journal import Gone, Line, Put, Write, digest
from tradingbot_runtime.state.reading import LINE_COLUMNS, dicts
from tradingbot_runtime.state.record_rows import tied
from tradingbot_runtime.state.retention import surplus
from tradingbot_runtime.state.rows import KEYS, NUMBERED, WRITTEN_ONCE, row_of

_INSERT_LINE: Final = f"INSERT INTO journal ({LINE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (constants)


def put_change(connection: sqlite3.Connection, change: Change, seq: int, last_hash: str) -> list[Write]:
    """Writes a change, and takes away what its table then has too much of. `seq` is the journal's last line.

    Raises sqlite3.IntegrityError when the change contradicts what is recorded.
    """
    table, row = row_of(change)
    if table == "sessions":
        row = tied(row, seq, last_hash)
    return [put_row(connection, table, row), *(drop_row(connection, table, old) for old in surplus(connection, table))]


def put_row(connection: sqlite3.Connection, table: str, row: Row) -> Put:
    """Writes a row in the place of the one with its key, or as a new one at the end."""
    keys = KEYS[table]
    where = " AND ".join(f"{column} = ?" for column in keys)
    key = tuple(row[column] for column in keys)
    found = list(dicts(connection.execute(f"SELECT * FROM {table} WHERE {where}", key)))  # noqa: S608 (names are ours)
    if found and table not in WRITTEN_ONCE:
        if table in NUMBERED:
            row = {**row, "position": found[0]["position"]}
        news = ", ".join(f"{column} = ?" for column in row)
        statement = f"UPDATE {table} SET {news} WHERE {where}"  # noqa: S608 (names are ours)
        connection.execute(statement, (*row.values(), *key))
        return Put(table, row, digest(table, found[0]))
    if table in NUMBERED:
        last = connection.execute(f"SELECT max(position) FROM {table}").fetchone()[0]  # noqa: S608 (names are ours)
        row = {**row, "position": (last or 0) + 1}
    columns, values = ", ".join(row), ", ".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", tuple(row.values()))  # noqa: S608 (ours)
    return Put(table, row, None)


def drop_row(connection: sqlite3.Connection, table: str, row: Row) -> Gone:
    """Takes a row away."""
    key = {column: row[column] for column in KEYS[table]}
    where = " AND ".join(f"{column} = ?" for column in key)
    connection.execute(f"DELETE FROM {table} WHERE {where}", tuple(key.values()))  # noqa: S608 (names are ours)
    return Gone(table, key, digest(table, row))


def append_line(connection: sqlite3.Connection, line: Line) -> None:
    """Adds the line at the journal's end."""
    content = (line.seq, line.at_machine, line.at_market, line.kind, line.detail, line.changes)
    connection.execute(_INSERT_LINE, (*content, line.prev_hash, line.hash))


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Keeps a word about the file itself."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
