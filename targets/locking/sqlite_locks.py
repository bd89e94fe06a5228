"""The locks of a SQLite file: who holds, who waits, in what order. Each function runs inside one transaction."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import apsw

from targets.locking import liveness
from targets.locking.backend import (
    EpochMissing,
    Granted,
    Holder,
    Presumption,
    Statistics,
    Status,
    Waiter,
    Wish,
)
from targets.locking.errors import NotOwner
from targets.locking.values import pack

SCHEMA = """
CREATE TABLE backend (
    id TEXT NOT NULL, epoch INTEGER, tickets INTEGER NOT NULL DEFAULT 0,
    grants INTEGER NOT NULL DEFAULT 0, releases INTEGER NOT NULL DEFAULT 0, contended INTEGER NOT NULL DEFAULT 0,
    waited_s REAL NOT NULL DEFAULT 0, longest_wait_s REAL NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0, died INTEGER NOT NULL DEFAULT 0, broken INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO backend (id) VALUES (lower(hex(randomblob(16))));
CREATE TABLE holders (
    token INTEGER PRIMARY KEY, key TEXT NOT NULL, owner TEXT NOT NULL, mode TEXT NOT NULL, lease_s REAL NOT NULL,
    renewals INTEGER NOT NULL, depth INTEGER NOT NULL, since REAL NOT NULL, process TEXT NOT NULL, wish TEXT NOT NULL
) STRICT;
CREATE INDEX holders_by_key ON holders (key);
CREATE TABLE waiters (
    ticket INTEGER PRIMARY KEY, owner TEXT NOT NULL, mode TEXT NOT NULL, since REAL NOT NULL, process TEXT NOT NULL,
    wake TEXT NOT NULL
) STRICT;
CREATE TABLE wanted (key TEXT NOT NULL, ticket INTEGER NOT NULL, PRIMARY KEY (key, ticket)) STRICT, WITHOUT ROWID;
CREATE INDEX wanted_by_ticket ON wanted (ticket);
"""

_HOLDER = "token, key, owner, mode, lease_s, renewals, depth, since, process"
_HOLDERS_OF = f"SELECT {_HOLDER}, wish FROM holders WHERE key = ? ORDER BY token"  # noqa: S608  a constant
_WAITER = "ticket, owner, mode, since, process"
_AHEAD = (
    f"SELECT {_WAITER} FROM wanted JOIN waiters USING (ticket) "  # noqa: S608  a constant
    "WHERE key = ? AND ticket < ? ORDER BY ticket"
)
_NEXT = "SELECT wake FROM wanted JOIN waiters USING (ticket) WHERE key = ? ORDER BY ticket"
_HOLD = f"INSERT INTO holders ({_HOLDER}, wish) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  a constant
_LAST_TICKET = 2**63 - 1

Row = tuple[Any, ...]  # the columns are STRICT
Found = tuple[Holder, str]  # a holder, and the wish that it was granted to
Bells = Sequence[Sequence[str]]  # for each key where its waiters listen, first come first


class View:
    """What stands in the way of a wish: holders and waiters, less those who are gone."""

    def __init__(self, connection: apsw.Connection, wish: Wish, ticket: int | None, presumption: Presumption) -> None:
        found = [each for key in wish.keys for each in _holders(connection, key)]
        self.granted = {holder.key: holder.token for holder, granted_to in found if granted_to == wish.id}
        self.died = [holder for holder, _ in found if not holder.alive]
        self.expired = [h for h, _ in found if h.alive and (h.token, h.renewals) in presumption.ended]
        replaced = [holder for holder, granted_to in found if granted_to in wish.replaces]
        gone = {holder.token for holder in (*self.died, *self.expired, *replaced)}
        staying = [holder for holder, _ in found if holder.token not in gone]
        self.evicted = gone
        self.held_again = [holder for holder in staying if wish.reentrant and holder.owner == wish.owner]
        self.in_the_way = _in_the_way(wish, staying)
        first = [key for key in wish.keys if key not in {holder.key for holder in self.held_again}]
        before = {w.ticket: w for key in first for w in _ahead(connection, key, ticket or _LAST_TICKET)}
        self.absent, self.ahead = _present([before[t] for t in sorted(before)], presumption.stalled)
        self.waits = ticket is not None and _has_ticket(connection, ticket)
        self.grants: int = next(connection.execute("SELECT grants FROM backend"))[0]

    @property
    def is_free(self) -> bool:
        """Whether nobody is in the way."""
        return not self.in_the_way and not self.ahead

    @property
    def is_current(self) -> bool:
        """Whether the file says all of this already."""
        return self.waits and not self.evicted and not self.absent


def _present(before: list[Waiter], stalled: Collection[int]) -> tuple[list[int], tuple[Waiter, ...]]:
    """Return the tickets of those who are gone, and the others.

    Only both ends are looked at (15 us each): the first who lives decides, and the last is whom the bell watches.
    """
    absent: list[int] = []
    rest = deque(before)
    for end, take in ((0, rest.popleft), (-1, rest.pop)):
        while rest and (rest[end].ticket in stalled or not liveness.alive(rest[end].process)):
            absent.append(take().ticket)
    return absent, tuple(rest)


def _has_ticket(connection: apsw.Connection, ticket: int) -> bool:
    return connection.execute("SELECT 1 FROM waiters WHERE ticket = ?", (ticket,)).fetchone() is not None


def _in_the_way(wish: Wish, staying: list[Holder]) -> tuple[Holder, ...]:
    """Return the holders because of whom `wish` must wait."""
    found: list[Holder] = []
    for key in wish.keys:
        others = [h for h in staying if h.key == key and not (wish.reentrant and h.owner == wish.owner)]
        together = wish.mode == "collaborative" and all(h.mode == "collaborative" for h in others)
        if not (together and len(others) < wish.limit):
            found += others
    return tuple(found)


def incarnation(connection: apsw.Connection) -> tuple[str, int | None]:
    """Return the id of this file's memory, and its epoch if it has begun one."""
    row: tuple[str, int | None] = next(connection.execute("SELECT id, epoch FROM backend"))
    return row


def begin(connection: apsw.Connection, id_: str, epoch: int) -> None:
    """Begin `epoch`, unless one was begun, or this is another file by now."""
    connection.execute("UPDATE backend SET epoch = ? WHERE id = ? AND epoch IS NULL", (epoch, id_))


def grant(
    connection: apsw.Connection, wish: Wish, ticket: int | None, view: View, waited_s: float
) -> tuple[Granted, Bells]:
    """Grant `wish`, to which `view` has nobody in the way; say whom to wake."""
    epoch = incarnation(connection)[1]
    if epoch is None:
        raise EpochMissing("no epoch was begun")
    if view.granted:
        return Granted(view.granted), []
    _evict(connection, view)
    _leave(connection, view.absent if ticket is None else [*view.absent, ticket])
    tokens = {holder.key: holder.token for holder in view.held_again}
    connection.executemany("UPDATE holders SET depth = depth + 1 WHERE token = ?", [(t,) for t in tokens.values()])
    counter, now = view.grants, time.time()
    for key in (key for key in wish.keys if key not in tokens):
        counter += 1
        tokens[key] = pack(epoch, counter)
        row = (tokens[key], key, wish.owner, wish.mode, wish.lease_s, 0, 1, now, wish.process, wish.id)
        connection.execute(_HOLD, row)
    connection.execute(
        "UPDATE backend SET grants = ?, contended = contended + ?, waited_s = waited_s + ?, "
        "longest_wait_s = max(longest_wait_s, ?)",
        (counter, ticket is not None, *(2 * [waited_s if ticket is not None else 0.0])),
    )
    return Granted(tokens), _next(connection, wish.keys) if wish.mode == "collaborative" else []


def enqueue(connection: apsw.Connection, wish: Wish, ticket: int | None, view: View) -> tuple[int, Bells]:
    """Let `wish` stand in the queue and clear away who is gone; return its ticket, and whom to wake."""
    _evict(connection, view)
    _leave(connection, view.absent)
    if ticket is None or not view.waits:
        ticket = _take_ticket(connection, wish)
    return ticket, _next(connection, wish.keys) if view.evicted or view.absent else []


def _take_ticket(connection: apsw.Connection, wish: Wish) -> int:
    ticket: int = next(connection.execute("UPDATE backend SET tickets = tickets + 1 RETURNING tickets"))[0]
    row = (ticket, wish.owner, wish.mode, time.time(), wish.process, wish.wake)
    connection.execute(f"INSERT INTO waiters ({_WAITER}, wake) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608
    connection.executemany("INSERT INTO wanted (key, ticket) VALUES (?, ?)", [(key, ticket) for key in wish.keys])
    return ticket


def withdraw(connection: apsw.Connection, ticket: int) -> Bells:
    """Leave the queue; return whom to wake."""
    keys = [key for (key,) in connection.execute("SELECT key FROM wanted WHERE ticket = ?", (ticket,))]
    _leave(connection, [ticket])
    return _next(connection, keys)


def renew(connection: apsw.Connection, owner: str, tokens: Mapping[str, int]) -> Bells:
    """Begin the leases anew; there is nobody to wake. Raises `NotOwner`, which undoes those of this transaction."""
    for key, token in tokens.items():
        _check_owner(connection, owner, key, token)
        connection.execute("UPDATE holders SET renewals = renewals + 1 WHERE token = ?", (token,))
    return ()


def release(connection: apsw.Connection, owner: str, tokens: Mapping[str, int]) -> Bells:
    """Give up one level of each hold; return whom to wake. Raises `NotOwner`, which undoes this transaction."""
    ended = 0
    for key, token in tokens.items():
        if _check_owner(connection, owner, key, token) > 1:
            connection.execute("UPDATE holders SET depth = depth - 1 WHERE token = ?", (token,))
        else:
            connection.execute("DELETE FROM holders WHERE token = ?", (token,))
            ended += 1
    connection.execute("UPDATE backend SET releases = releases + ?", (ended,))
    return _next(connection, tokens)


def _check_owner(connection: apsw.Connection, owner: str, key: str, token: int) -> int:
    """Return the depth of the hold."""
    row = connection.execute(
        "SELECT depth FROM holders WHERE token = ? AND key = ? AND owner = ?", (token, key, owner)
    ).fetchone()
    if row is None:
        raise NotOwner(f"{owner} does not hold {key!r} under token {token}: its lease ended, or it was taken away")
    depth: int = row[0]
    return depth


def force_release(connection: apsw.Connection, key: str) -> tuple[list[Holder], Bells]:
    """Take `key` from all who hold it; return them, and whom to wake."""
    holders = [holder for holder, _ in _holders(connection, key)]
    connection.execute("DELETE FROM holders WHERE key = ?", (key,))
    connection.execute("UPDATE backend SET broken = broken + ?", (len(holders),))
    return holders, _next(connection, [key])


def status(connection: apsw.Connection) -> Status:
    """Return everything, as of this transaction."""
    id_, epoch = incarnation(connection)
    counts = [field.name for field in fields(Statistics)]
    row = next(connection.execute(f"SELECT {', '.join(counts)} FROM backend"))  # noqa: S608  names of our own
    holders = sorted((holder for holder, _ in all_holders(connection)), key=lambda each: (each.key, each.token))
    wanted: dict[int, list[str]] = {}
    for key, ticket in connection.execute("SELECT key, ticket FROM wanted ORDER BY key"):
        wanted.setdefault(ticket, []).append(key)
    waiters: list[Row] = connection.execute(f"SELECT {_WAITER} FROM waiters ORDER BY ticket").fetchall()  # noqa: S608
    return Status(
        id_,
        epoch,
        tuple(holders),
        tuple(_waiter(each, wanted.get(each[0], ()), liveness.alive(each[-1])) for each in waiters),
        Statistics(**dict(zip(counts, row, strict=True))),
    )


def all_holders(connection: apsw.Connection) -> list[Found]:
    """Return all holders in the order of their tokens, each with the wish that it was granted to."""
    rows: list[Row] = connection.execute(f"SELECT {_HOLDER}, wish FROM holders ORDER BY token").fetchall()  # noqa: S608
    return [(_holder(row), row[-1]) for row in rows]


def put_holder(connection: apsw.Connection, holder: Holder, wish: str) -> None:
    """Let somebody hold a key, as `wish` was granted."""
    row = (holder.token, holder.key, holder.owner, holder.mode, holder.lease_s, holder.renewals, holder.depth)
    connection.execute(_HOLD, (*row, holder.since, holder.process, wish))


def _holders(connection: apsw.Connection, key: str) -> list[Found]:
    rows: list[Row] = connection.execute(_HOLDERS_OF, (key,)).fetchall()
    return [(_holder(row), row[-1]) for row in rows]


def _holder(row: Row) -> Holder:
    token, key, owner, mode, lease_s, renewals, depth, since, process = row[:9]
    return Holder(
        token=token,
        key=key,
        owner=owner,
        mode=mode,
        lease_s=lease_s,
        renewals=renewals,
        depth=depth,
        since=since,
        process=process,
        alive=liveness.alive(str(process)),
    )


def _ahead(connection: apsw.Connection, key: str, ticket: int) -> list[Waiter]:
    return [_waiter(row, (key,), True) for row in connection.execute(_AHEAD, (key, ticket)).fetchall()]


def _waiter(row: Row, keys: Iterable[str], alive: bool) -> Waiter:  # noqa: FBT001
    ticket, owner, mode, since, process = row
    return Waiter(ticket=ticket, keys=tuple(keys), owner=owner, mode=mode, since=since, process=process, alive=alive)


def _evict(connection: apsw.Connection, view: View) -> None:
    connection.executemany("DELETE FROM holders WHERE token = ?", [(token,) for token in view.evicted])
    if view.died or view.expired:
        counts = (len(view.died), len(view.expired))
        connection.execute("UPDATE backend SET died = died + ?, expired = expired + ?", counts)


def _leave(connection: apsw.Connection, tickets: Iterable[int]) -> None:
    rows = [(ticket,) for ticket in tickets]
    connection.executemany("DELETE FROM waiters WHERE ticket = ?", rows)
    connection.executemany("DELETE FROM wanted WHERE ticket = ?", rows)


def _next(connection: apsw.Connection, keys: Iterable[str]) -> Bells:
    return [[wake for (wake,) in connection.execute(_NEXT, (key,))] for key in keys]
