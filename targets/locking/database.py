"""One SQLite file that many processes write: opened, checked, queued for, and its errors translated."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import apsw

from targets.durable import failpoint
from targets.locking.errors import (
    CannotOpen,
    Damaged,
    LockingError,
    OutcomeUnknown,
    Unavailable,
    VulnerableLibrary,
)
from targets.locking.gate import Gate

T = TypeVar("T")

_BUSY_MS = 100  # another process may be recovering after a crash, or closing, which takes moments
_FIRST_VULNERABLE, _FIRST_FIXED = (3, 7, 0), (3, 51, 3)
_BACKPORTS = {(3, 44): 6, (3, 50): 7}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What kind of file it is: `schema` makes an empty one, `application_id` and `version` tell it from others."""

    name: str
    application_id: int
    version: int
    schema: str


def is_vulnerable(version: str) -> bool:
    """Return whether this SQLite has the WAL-reset bug: a checkpoint in one process can undo a commit in another."""
    major, minor, patch = (*map(int, version.split(".")), 0, 0)[:3]
    backport = _BACKPORTS.get((major, minor))
    fixed = (major, minor, patch) >= _FIRST_FIXED or (backport is not None and patch >= backport)
    return (major, minor, patch) >= _FIRST_VULNERABLE and not fixed


def check_library(version: str) -> None:
    """Raise `VulnerableLibrary` for a SQLite that must not be written by several processes."""
    if is_vulnerable(version):
        raise VulnerableLibrary(
            f"SQLite {version} can lose committed data when several processes write (the WAL-reset bug, fixed in "
            "3.51.3, 3.50.7 and 3.44.6): install a current apsw (pip install -U apsw), or accept_vulnerable=True"
        )


class Session:
    """The connections of one thread: `durable` syncs each commit, `quick` leaves it to the next durable one."""

    def __init__(self, path: Path, layout: Layout, *, create: bool) -> None:
        with translated(path):
            self.durable = _connect(path, layout, create=create)
            self.quick = _connect(path, layout, create=False)
            self.durable.execute("PRAGMA synchronous=FULL")
            self.quick.execute("PRAGMA synchronous=NORMAL")
        self._path = path
        self._file = _identity(str(path))
        self._name = str(path)

    def is_current(self) -> bool:
        """Return whether the file at this path is still the one that is open."""
        return self._file is not None and _identity(self._name) == self._file

    def close(self) -> None:
        """Let go of the file."""
        for connection in (self.durable, self.quick):
            with suppress(apsw.Error):
                connection.close()

    def transact(self, work: Callable[[apsw.Connection], T], deadline: float, *, durable: bool = True) -> T:
        """Return `work(connection)`, done in one transaction, which fails as a whole.

        A commit that neither succeeded nor certainly failed raises `OutcomeUnknown`. The failpoints `commit.before`
        and `commit.after` are those of durable commits.
        """
        connection = self.durable if durable else self.quick
        committing = False
        try:
            _begin(connection, deadline)
            result = work(connection)
            if durable:
                failpoint("commit.before")
            committing = True
            connection.execute("COMMIT")
        except BaseException as error:
            with suppress(apsw.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if isinstance(error, apsw.Error):
                raise translate(error, self._path, committing=committing) from error
            raise
        if durable:
            failpoint("commit.after")
        return result


def _begin(connection: apsw.Connection, deadline: float) -> None:
    """Begin to write. Only programs that do not queue can make it wait, with the connection's busy timeout."""
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _connect(path: Path, layout: Layout, *, create: bool) -> apsw.Connection:
    """Open the file; make it where that is asked for. Raises `Damaged` or `CannotOpen` for one that is not ours."""
    if not path.parent.is_dir():
        raise CannotOpen(f"there is no folder {path.parent}; make it first")
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path), flags=flags)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        _check(connection, path, layout, create=create)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: apsw.Connection, path: Path, layout: Layout, *, create: bool) -> None:
    application, version = (connection.pragma(name) for name in ("application_id", "user_version"))
    if application == 0 and create and connection.pragma("schema_version") == 0:
        connection.pragma("journal_mode", "wal")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(layout.schema)
        connection.pragma("application_id", layout.application_id)
        connection.pragma("user_version", layout.version)
        connection.execute("COMMIT")
    elif application != layout.application_id:
        raise Damaged(
            f"{path} is no {layout.name}, or its header is damaged: name another file, or put a good copy back"
        )
    elif version != layout.version:
        raise CannotOpen(f"{path} has format {version}, this program knows {layout.version}: use the one that wrote it")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  with each write: a third of what pathlib takes
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Database:
    """One file, written through its gate. Nothing is opened before the first use, and anew after a fork.

    A file that was removed or replaced while it was open is noticed at the next use: what is at that path counts.
    """

    def __init__(self, path: Path, layout: Layout, *, create: bool = True, accept_vulnerable: bool = False) -> None:
        self.path = path
        self._layout = layout
        self._create = create
        self._accept_vulnerable = accept_vulnerable
        self._gate = Gate(path.with_name(f"{path.name}.gate"))
        self._inherited: list[Session | None] = []
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._session: Session | None = None
        self._reader: Session | None = None
        self._reading = threading.Lock()

    def write(self, work: Callable[[Session, float], T], timeout_s: float) -> T:
        """Return `work(session, deadline)`, done behind the gate. Its transactions are its own affair."""
        self._after_fork()
        return self._gate.run(lambda deadline: work(self._writing_session(), deadline), timeout_s)

    def transact(self, work: Callable[[apsw.Connection], T], timeout_s: float, *, durable: bool = True) -> T:
        """Return `work(connection)`, done behind the gate in one transaction."""
        self._after_fork()
        return self._gate.run(
            lambda deadline: self._writing_session().transact(work, deadline, durable=durable), timeout_s
        )

    def read(self, work: Callable[[apsw.Connection], T], timeout_s: float) -> T:
        """Return `work(connection)`, done in one snapshot and without queueing: writers do not hold readers up."""
        self._after_fork()
        if not self._reading.acquire(timeout=timeout_s):
            raise Unavailable(f"no look at {self.path} within {timeout_s:.3g} s")
        try:
            with translated(self.path):
                connection = self._reading_session(timeout_s).quick
                connection.execute("BEGIN")
                try:
                    return work(connection)
                finally:
                    connection.execute("ROLLBACK")
        finally:
            self._reading.release()

    def close(self) -> None:
        """Let go of the file; a later use opens it again in vain."""
        self._gate.close()
        for session in (self._session, self._reader):
            if session is not None and self._pid == os.getpid():
                session.close()

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            self._inherited += [self._session, self._reader]  # SQLite forbids using or closing them in a child
            self._forget()

    def _writing_session(self) -> Session:
        if self._session is None or not self._session.is_current():
            self._session = self._open(self._session, create=self._create)
        return self._session

    def _reading_session(self, timeout_s: float) -> Session:
        if self._reader is None or not self._reader.is_current():
            if self._create:
                self.write(lambda *_: None, timeout_s)  # whoever makes the file does it behind the gate
            self._reader = self._open(self._reader, create=False)
        return self._reader

    def _open(self, before: Session | None, *, create: bool) -> Session:
        if not self._accept_vulnerable:
            check_library(apsw.sqlite_lib_version())
        if before is not None:
            before.close()
        return Session(self.path, self._layout, create=create)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite says as one of our errors."""
    try:
        yield
    except apsw.Error as error:
        raise translate(error, path, committing=False) from error


def translate(error: apsw.Error, path: Path, *, committing: bool) -> LockingError:  # noqa: PLR0911  a table
    """Return our error for SQLite's: what happened, and what to do."""
    if isinstance(error, apsw.FullError):
        return Unavailable(f"{path}: the disk is full; make room and do it again, nothing is lost")
    if isinstance(error, apsw.ReadOnlyError):
        return Unavailable(f"{path} cannot be written ({error}); make it writable, nothing was changed")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Unavailable(f"{path} is held by a program that does not queue ({error}); end it and do it again")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError | apsw.SQLError | apsw.FormatError):
        return Damaged(f"{path} is damaged ({error}); stop its users and put a good copy back, nothing was changed")
    if committing:
        return OutcomeUnknown(f"{path}: the disk failed in a commit ({error}); read to see what was done")
    if isinstance(error, apsw.CantOpenError):
        return CannotOpen(
            f"{path} cannot be opened ({error}); see that it exists, may be written and has room beside it"
        )
    return Unavailable(f"{path}: {error}; nothing was changed")
