"""Versions and locks in one SQLite file, for the processes of one host.

Durable: a version or grant that was returned was synced (WAL, `synchronous=FULL`). Renewals, releases and places in
the queue are not synced by themselves: a power cut that forgets one ends the processes it was about, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import apsw

from targets.locking import sqlite_dump, sqlite_locks
from targets.locking.backend import (
    REMEMBERED_REQUESTS,
    TIMEOUT_S,
    UNCHANGED,
    Bell,
    Blocked,
    Change,
    EpochKeeper,
    Granted,
    Holder,
    Presumption,
    Status,
    Versioned,
    Wish,
    check_key,
)
from targets.locking.bell import LocalBell, ring
from targets.locking.database import Database, Layout, Session
from targets.locking.migration import Dump
from targets.locking.sqlite_locks import Bells, View
from targets.locking.values import check_expected, conflict, decode, encode

T = TypeVar("T")

_SCHEMA = (
    """
CREATE TABLE entries (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT NOT NULL, writer TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE requests (
    key TEXT NOT NULL, request TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (key, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_version ON requests (key, version);
"""
    + sqlite_locks.SCHEMA
)
LAYOUT = Layout(name="lock database", application_id=0x0B165C0C, version=1, schema=_SCHEMA)

_NOBODY: Bells = ()
_GET = "SELECT value, version, writer, at FROM entries WHERE key = ?"
_INSERT = "INSERT INTO entries (value, version, writer, at, key) VALUES (?, ?, ?, ?, ?)"
_UPDATE = "UPDATE entries SET value = ?, version = ?, writer = ?, at = ? WHERE key = ?"
_GET_REQUEST = "SELECT version FROM requests WHERE key = ? AND request = ?"
_PUT_REQUEST = "INSERT INTO requests (key, request, version) VALUES (?, ?, ?)"
_FORGET_REQUESTS = "DELETE FROM requests WHERE key = ? AND version <= ?"


class SqliteBackend:
    """The backend in the file at `path`, which is made at the first use (not in a folder that is missing).

    With `create=False` a missing file is `CannotOpen`. Beside it SQLite keeps `-wal` and `-shm`, and we keep `.gate`.
    `accept_vulnerable` allows a SQLite with the WAL-reset bug, which can lose acknowledged data. The file must be on
    a disk of this host: SQLite's WAL does not work over a network.
    """

    def __init__(self, path: str | Path, *, create: bool = True, accept_vulnerable: bool = False) -> None:
        self.path = Path(path).absolute()
        self._database = Database(self.path, LAYOUT, create=create, accept_vulnerable=accept_vulnerable)

    def read(self, key: str, *, timeout_s: float = TIMEOUT_S) -> Versioned:
        """See `Versions.read`."""
        check_key(key)
        return self._database.read(lambda connection: _get(connection, key), timeout_s)

    def write(
        self,
        key: str,
        value: object,
        *,
        expected: int | None = None,
        writer: str = "",
        request: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Versioned:
        """See `Versions.write`."""
        check_expected(expected)
        encode(value)  # refused before anybody waits

        def change(current: Versioned) -> object:
            if expected is not None and current.version != expected:
                raise conflict(key, expected, current)
            return value

        return self.update(key, change, writer=writer, request=request, timeout_s=timeout_s)

    def update(
        self,
        key: str,
        change: Change,
        *,
        writer: str = "",
        request: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Versioned:
        """See `Versions.update`. Never meets another writer: all queue."""
        check_key(key)

        def step(connection: apsw.Connection) -> Versioned:
            current = _get(connection, key)
            if request is not None and (seen := connection.execute(_GET_REQUEST, (key, request)).get) is not None:
                return _as_first_answered(current, seen, writer)
            value = change(current)
            if value is UNCHANGED:
                return current
            new = Versioned(value, current.version + 1, writer or None, time.time())
            _put(connection, key, new)
            if request is not None:
                connection.execute(_PUT_REQUEST, (key, request, new.version))
                connection.execute(_FORGET_REQUESTS, (key, new.version - REMEMBERED_REQUESTS))
            return new

        return self._database.transact(step, timeout_s)

    def begin(self, keeper: EpochKeeper, *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.begin`."""
        incarnation, epoch = self._database.read(sqlite_locks.incarnation, timeout_s)
        if epoch is None:
            chosen = keeper.epoch_of(incarnation)
            self._database.transact(lambda c: sqlite_locks.begin(c, incarnation, chosen), timeout_s)

    def attempt(
        self, wish: Wish, ticket: int | None, presumption: Presumption, *, waited_s: float, timeout_s: float
    ) -> Granted | Blocked:
        """See `Locks.attempt`. Only a grant is synced."""

        def work(session: Session, deadline: float) -> tuple[Granted | Blocked, Bells]:
            def decide(connection: apsw.Connection) -> tuple[View, tuple[Granted, Bells] | None]:
                view = View(connection, wish, ticket, presumption)
                may = view.is_free or view.granted
                return view, sqlite_locks.grant(connection, wish, ticket, view, waited_s) if may else None

            view, granted = session.transact(decide, deadline)
            if granted is not None:
                return granted
            standing, bells = ticket, _NOBODY
            if wish.patient and not view.is_current:
                standing, bells = session.transact(
                    lambda connection: sqlite_locks.enqueue(connection, wish, ticket, view), deadline, durable=False
                )
            return Blocked(standing, view.in_the_way, view.ahead), bells

        return self._ringing(work, timeout_s)

    def withdraw(self, ticket: int, *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.withdraw`."""
        self._quick(lambda connection: (None, sqlite_locks.withdraw(connection, ticket)), timeout_s)

    def renew(self, owner: str, tokens: Mapping[str, int], *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.renew`."""
        self._quick(lambda connection: (None, sqlite_locks.renew(connection, owner, tokens)), timeout_s)

    def release(self, owner: str, tokens: Mapping[str, int], *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.release`."""
        self._quick(lambda connection: (None, sqlite_locks.release(connection, owner, tokens)), timeout_s)

    def force_release(self, key: str, *, timeout_s: float = TIMEOUT_S) -> list[Holder]:
        """See `Locks.force_release`."""
        check_key(key)
        return self._quick(lambda connection: sqlite_locks.force_release(connection, key), timeout_s)

    def status(self, *, timeout_s: float = TIMEOUT_S) -> Status:
        """See `Locks.status`. `alive` says whether the process lives, as far as this process can see."""
        return self._database.read(sqlite_locks.status, timeout_s)

    def dump(self) -> Dump:
        """See `Movable.dump`."""
        return self._database.read(sqlite_dump.dump, TIMEOUT_S)

    def load(self, dump: Dump) -> None:
        """See `Movable.load`. In one transaction."""
        self._database.transact(lambda connection: sqlite_dump.load(connection, dump), TIMEOUT_S)

    def bell(self) -> Bell:
        """See `Locks.bell`."""
        return LocalBell()

    def close(self) -> None:
        """See `Backend.close`."""
        self._database.close()

    def _quick(self, step: Callable[[apsw.Connection], tuple[T, Bells]], timeout_s: float) -> T:
        return self._ringing(lambda session, deadline: session.transact(step, deadline, durable=False), timeout_s)

    def _ringing(self, work: Callable[[Session, float], tuple[T, Bells]], timeout_s: float) -> T:
        """Do `work`, ring who is next, return its result."""

        def rung(session: Session, deadline: float) -> T:
            result, bells = work(session, deadline)
            for waiting in bells:
                ring(waiting)
            return result

        return self._database.write(rung, timeout_s)


def _get(connection: apsw.Connection, key: str) -> Versioned:
    row = connection.execute(_GET, (key,)).fetchone()
    return Versioned(decode(row[0]), row[1], row[2] or None, row[3]) if row else Versioned()


def _put(connection: apsw.Connection, key: str, new: Versioned) -> None:
    statement = _INSERT if new.version == 1 else _UPDATE
    connection.execute(statement, (encode(new.value), new.version, new.writer or "", new.at, key))


def _as_first_answered(current: Versioned, version: int, writer: str) -> Versioned:
    """Return the answer to a repeated request: its version; its value only if that is still the newest."""
    return current if current.version == version else Versioned(None, version, writer or None)
