"""A SQLite backend as plain data, and back."""

from __future__ import annotations

from dataclasses import fields, replace

import apsw

from targets.locking import sqlite_locks
from targets.locking.backend import Statistics, Versioned
from targets.locking.migration import Dump
from targets.locking.values import decode, encode

_META = ["id", "epoch", "tickets", *(each.name for each in fields(Statistics))]


def dump(connection: apsw.Connection) -> Dump:
    """Return everything, as of this transaction."""
    meta: sqlite_locks.Row = next(connection.execute(f"SELECT {', '.join(_META)} FROM backend"))  # noqa: S608  names of our own
    entries: list[sqlite_locks.Row] = connection.execute(
        "SELECT key, value, version, writer, at FROM entries"
    ).fetchall()
    requests: list[sqlite_locks.Row] = connection.execute("SELECT key, request, version FROM requests").fetchall()
    return Dump(
        meta={name: str(value) for name, value in zip(_META, meta, strict=True) if value is not None},
        entries={row[0]: Versioned(decode(row[1]), row[2], row[3] or None, row[4]) for row in entries},
        requests={(row[0], row[1]): row[2] for row in requests},
        holders=[(replace(holder, alive=True), wish) for holder, wish in sqlite_locks.all_holders(connection)],
    )


def load(connection: apsw.Connection, content: Dump) -> None:
    """Take everything, into an empty file."""
    for name in content.meta.keys() & set(_META):
        connection.execute(f"UPDATE backend SET {name} = ?", (content.meta[name],))  # noqa: S608  names of our own
    connection.executemany(
        "INSERT INTO entries (key, value, version, writer, at) VALUES (?, ?, ?, ?, ?)",
        [(key, encode(e.value), e.version, e.writer or "", e.at) for key, e in content.entries.items()],
    )
    connection.executemany(
        "INSERT INTO requests (key, request, version) VALUES (?, ?, ?)",
        [(*which, version) for which, version in content.requests.items()],
    )
    for holder, wish in content.holders:
        sqlite_locks.put_holder(connection, holder, wish)
