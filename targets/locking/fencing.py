"""The guarded resource: it keeps values, and rejects who lost the lock that guards them.

A lease alone is no mutual exclusion: a holder that is paused beyond its lease does not know it, and writes when it
wakes (measured: 111 of 112 updates lost). So every grant has a token, tokens increase, and the resource rejects any
token lower than one it has seen. Reading *with* the token matters as much as writing: from then on no earlier holder
can slip a write between this read and the write that follows from it.

Why tokens increase over everything, also when a backend loses its memory (a Redis that restarts empty, a database
file that was removed) and counts from 1 again:

1. A token is (epoch, counter), compared in that order. Within one memory of a backend grants are atomic steps that
   take the next counter, so there they increase.
2. A memory, when it is made, draws a random id for itself: the incarnation. It grants nothing before an epoch was
   set in it; that step is atomic and names the incarnation, so that it cannot hit a later memory.
3. Epochs come from the resource, which outlives the backend: `epoch_of(incarnation)` durably gives a new incarnation
   the next epoch, and a known one the same again. Any number of clients may ask at once.
4. So let memory B follow memory A, and A have granted anything. A's epoch was given before A was lost. B's id was
   drawn after that, and its epoch given later still: it is higher, and by (1) so is every token of B. A client that
   was given A's epoch and comes late finds B's id, and sets nothing.

Not covered: an *older copy* of a database put back has a known id and counts again from where it was. The resource
then refuses its tokens until they exceed those seen. And a resource that itself loses its memory knows no tokens.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw

from targets.locking.backend import TIMEOUT_S, check_key
from targets.locking.database import Database, Layout
from targets.locking.errors import BadRequest, StaleToken
from targets.locking.values import decode, encode

_SCHEMA = """
CREATE TABLE guarded (key TEXT PRIMARY KEY, value TEXT NOT NULL, token INTEGER NOT NULL, at REAL NOT NULL) STRICT;
CREATE TABLE epochs (incarnation TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
"""
_LAYOUT = Layout(name="fenced resource", application_id=0x0B165FE2, version=1, schema=_SCHEMA)
_GET = "SELECT value, token FROM guarded WHERE key = ?"
_PUT = (
    "INSERT INTO guarded (key, value, token, at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET value = excluded.value, token = excluded.token, at = excluded.at"
)


class FencedResource:
    """Values in a SQLite file at `path`, each guarded by the highest token that came with it. Also an `EpochKeeper`.

    It knows nothing of locks: it compares tokens. Written values are durable. Keep it apart from the backend's
    memory: what is lost together protects nothing.
    """

    def __init__(self, path: str | Path, *, create: bool = True, accept_vulnerable: bool = False) -> None:
        self._database = Database(Path(path).absolute(), _LAYOUT, create=create, accept_vulnerable=accept_vulnerable)

    def read(self, key: str, token: int | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:  # noqa: ANN401  JSON
        """Return the value (None: never written). With a token: raise `StaleToken`, or shut out all lower ones."""
        check_key(key)
        value, highest = self._database.read(lambda connection: _get(connection, key), timeout_s)
        if token is None or token == highest:
            return value
        return self._database.transact(lambda connection: _enter(connection, key, _checked(token)), timeout_s)

    def write(self, key: str, value: object, token: int, *, timeout_s: float = TIMEOUT_S) -> None:
        """Write under `token`. Raises `StaleToken` if a higher one was seen: then nothing is written, now or later."""
        check_key(key)
        _checked(token)
        text = encode(value)

        def step(connection: apsw.Connection) -> None:
            _refuse_stale(connection, key, token)
            connection.execute(_PUT, (key, text, token, time.time()))

        self._database.transact(step, timeout_s)

    def highest(self, key: str, *, timeout_s: float = TIMEOUT_S) -> int:
        """Return the highest token that came with `key`; 0 if none did."""
        check_key(key)
        return self._database.read(lambda connection: _get(connection, key)[1], timeout_s)

    def epoch_of(self, incarnation: str) -> int:
        """See `EpochKeeper.epoch_of`. The first incarnation gets epoch 0."""

        def step(connection: apsw.Connection) -> int:
            known = connection.execute("SELECT epoch FROM epochs WHERE incarnation = ?", (incarnation,)).get
            if known is not None:
                return int(known)
            epoch: int = connection.execute("SELECT coalesce(max(epoch) + 1, 0) FROM epochs").get
            connection.execute("INSERT INTO epochs (incarnation, epoch) VALUES (?, ?)", (incarnation, epoch))
            return epoch

        return self._database.transact(step, TIMEOUT_S)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _checked(token: object) -> int:
    if isinstance(token, bool) or not isinstance(token, int) or token < 0:
        raise BadRequest(f"a token is a whole number from a grant, got {token!r}")
    return token


def _get(connection: apsw.Connection, key: str) -> tuple[Any, int]:
    row = connection.execute(_GET, (key,)).fetchone()
    return (decode(row[0]), row[1]) if row else (None, 0)


def _refuse_stale(connection: apsw.Connection, key: str, token: int) -> Any:  # noqa: ANN401  JSON
    value, highest = _get(connection, key)
    if token < highest:
        raise StaleToken(key, token, highest)
    return value


def _enter(connection: apsw.Connection, key: str, token: int) -> Any:  # noqa: ANN401  JSON
    value = _refuse_stale(connection, key, token)
    connection.execute(_PUT, (key, encode(value), token, time.time()))
    return value
