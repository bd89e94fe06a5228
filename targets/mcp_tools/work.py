"""The active state of tools on disk: calls, the steps that they intend, and the steps that are done.

    call ──> intent(1, effect key) ──> effect ──> done(1) ──> intent(2, …) ──> … ──> result

Each arrow is one synced transaction. A call that comes again under its identity (an idempotency key, or the identity
that the supervisor gives) continues after its last done step, and once it has a result gets that.

Between an intent and its `done` nobody knows whether the effect happened. The effect is tried again with the *same*
key where its sink takes one (then it happens once); where it does not, the call ends with `OutcomeUnknown`, for good.

Whoever opens a call owns it: an earlier owner (a process that was stopped, and woke up after its replacement had
started) is refused at its next step, `Fenced`, in the transaction itself.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from targets.durable import create_folder, failpoint

FILE = "work.sqlite"
RETENTION_S = 24 * 3600.0
FAILPOINTS = ("step.before_effect", "step.after_effect", "step.after_done")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS call(
    identity TEXT PRIMARY KEY, tool TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL,
    began REAL NOT NULL, ended REAL, result BLOB, unknown TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS step(
    identity TEXT NOT NULL REFERENCES call ON DELETE CASCADE, number INTEGER NOT NULL, key TEXT NOT NULL,
    output BLOB, PRIMARY KEY(identity, number)) WITHOUT ROWID;
"""
T = TypeVar("T")


class WorkError(Exception):
    """Base of what can go wrong with a call's state."""


class KeyConflict(WorkError):
    """The identity belongs to a call with another tool or other arguments."""


class Fenced(WorkError):
    """Somebody else has taken the call over; whatever this process still does for it is not recorded."""


class OutcomeUnknown(WorkError):
    """The process died between a step's intent and its end, and the step's sink takes no effect key."""


class Work:
    """The calls in `folder`. Several processes may use it; each instance is for one thread at a time.

    What ended `retention_s` ago is forgotten: its key would then be a new one.
    """

    def __init__(self, folder: Path, retention_s: float = RETENTION_S, clock: Callable[[], float] = time.time) -> None:
        create_folder(folder)
        self.owner = uuid.uuid4().hex
        self._retention_s = retention_s
        self._clock = clock
        self._database = apsw.Connection(os.fspath(folder / FILE))
        self._database.set_busy_timeout(10_000)
        self._database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
        self._database.execute(_SCHEMA)

    def open(self, identity: str, tool: str, arguments: object) -> Call:
        """Begin a call, or take it over where it is. Raises `KeyConflict`; `OutcomeUnknown` of one that ended so."""
        digest = hashlib.sha256(msgspec.json.encode([tool, arguments], order="sorted")).hexdigest()
        with self._transaction() as database:
            database.execute("DELETE FROM call WHERE ended < ?", (self._clock() - self._retention_s,))
            database.execute(
                "INSERT INTO call(identity, tool, digest, owner, began) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT(identity) DO UPDATE SET owner = excluded.owner WHERE digest = excluded.digest",
                (identity, tool, digest, self.owner, self._clock()),
            )
            row = self._row("SELECT digest, result, unknown FROM call WHERE identity = ?", identity)
        if row[0] != digest:
            raise KeyConflict(f"{identity!r} was used for another call; use another key, or the same arguments")
        if row[2] is not None:
            raise OutcomeUnknown(row[2])
        return Call(self, identity, row[1])

    def unfinished(self) -> list[str]:
        """Return the identities of calls without an end, oldest first."""
        found = self._database.execute("SELECT identity FROM call WHERE ended IS NULL ORDER BY began")
        return [identity for (identity,) in found]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _row(self, query: str, *values: str | int) -> tuple[Any, ...]:
        return next(iter(self._database.execute(query, values)), ())

    @contextmanager
    def _owned(self, identity: str) -> Iterator[apsw.Connection]:
        """Write for a call that is still ours. Raises `Fenced`."""
        with self._transaction() as database:
            if self._row("SELECT owner FROM call WHERE identity = ?", identity) != (self.owner,):
                raise Fenced(f"{identity!r} was taken over by another process")
            yield database


class Call:
    """A call that this process works on; `result` is its result if it has one already."""

    def __init__(self, work: Work, identity: str, result: bytes | None) -> None:
        self.identity = identity
        self.result: Any = None if result is None else msgspec.json.decode(result)
        self.finished = result is not None
        self.resumed = 0
        self._work = work
        self._number = 0

    def step(self, effect: Callable[[str], T], *, keyed: bool) -> T:
        """Return what `effect` returned, in this life or an earlier one; it gets the effect's key.

        `keyed` says that its sink, given a key twice, acts once. What it returns must be JSON. Raises `OutcomeUnknown`,
        `Fenced`.
        """
        begun = self._begin(keyed=keyed)
        if begun.done:
            return begun.output  # type: ignore[no-any-return]
        failpoint("step.before_effect")
        output = effect(begun.key)
        failpoint("step.after_effect")
        self._end(begun, output)
        return output

    async def step_async(self, effect: Callable[[str], Awaitable[T]], *, keyed: bool) -> T:
        """Do the same with an effect that is awaited."""
        begun = self._begin(keyed=keyed)
        if begun.done:
            return begun.output  # type: ignore[no-any-return]
        failpoint("step.before_effect")
        output = await effect(begun.key)
        failpoint("step.after_effect")
        self._end(begun, output)
        return output

    def _begin(self, *, keyed: bool) -> Step:
        """Note the intent of the next step, or return it as it was left."""
        self._number += 1
        key = f"{self.identity}/{self._number}"
        with self._work._owned(self.identity) as database:  # noqa: SLF001  one thing in two classes
            known = self._work._row(  # noqa: SLF001  see above
                "SELECT output FROM step WHERE identity = ? AND number = ?", self.identity, self._number
            )
            if not known:
                database.execute("INSERT INTO step VALUES (?, ?, ?, NULL)", (self.identity, self._number, key))
            elif known[0] is None and not keyed:
                self._unknown(database)
        if known and known[0] is None and not keyed:
            raise OutcomeUnknown(self._why())
        if known and known[0] is not None:
            self.resumed += 1
            return Step(key, self._number, done=True, output=msgspec.json.decode(known[0]))
        return Step(key, self._number)

    def _end(self, step: Step, output: object) -> None:
        with self._work._owned(self.identity) as database:  # noqa: SLF001  see above
            database.execute(
                "UPDATE step SET output = ? WHERE identity = ? AND number = ?",
                (msgspec.json.encode(output), self.identity, step.number),
            )
        failpoint("step.after_done")

    def finish(self, result: object) -> None:
        """Note the result. Only then may it be told."""
        with self._work._owned(self.identity) as database:  # noqa: SLF001  see above
            database.execute(
                "UPDATE call SET result = ?, ended = ? WHERE identity = ?",
                (msgspec.json.encode(result), self._work._clock(), self.identity),  # noqa: SLF001  see above
            )
        self.result, self.finished = result, True

    def _why(self) -> str:
        return f"step {self._number} of {self.identity!r} was begun and not ended; whether it had its effect is unknown"

    def _unknown(self, database: apsw.Connection) -> None:
        database.execute(
            "UPDATE call SET unknown = ?, ended = ? WHERE identity = ?",
            (self._why(), self._work._clock(), self.identity),  # noqa: SLF001  see above
        )


class Step(msgspec.Struct, frozen=True):
    """A step that was begun: the key of its effect, and, if it is `done`, what came out of it."""

    key: str
    number: int
    done: bool = False
    output: Any = None


class Sink:
    """Lines in a file's database that are appended once for each effect key: what an effect looks like at its best."""

    def __init__(self, path: Path) -> None:
        self._database = apsw.Connection(os.fspath(path))
        self._database.set_busy_timeout(10_000)
        self._database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        self._database.execute("CREATE TABLE IF NOT EXISTS line(key TEXT UNIQUE, line TEXT NOT NULL)")

    def append(self, key: str, line: str) -> int:
        """Append `line` unless `key` was used; return the number of the line that this key stands for."""
        self._database.execute("INSERT INTO line VALUES (?, ?) ON CONFLICT DO NOTHING", (key, line))
        return int(next(iter(self._database.execute("SELECT rowid FROM line WHERE key = ?", (key,))))[0])

    def lines(self) -> list[str]:
        """Return all lines, in order."""
        return [line for (line,) in self._database.execute("SELECT line FROM line ORDER BY rowid")]

    def close(self) -> None:
        """Close the file."""
        self._database.close()
