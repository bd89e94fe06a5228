"""Versions and locks in a Redis server, for the processes of many hosts. One server, no cluster; scripts of our own.

Honest about what Redis loses, since no script can mend it:

- **A restart** keeps what was synced: all that was acknowledged with `appendfsync always`, up to two seconds less with
  `everysec`, all but the last snapshot without `appendonly`.
- **A failover** keeps what the replica had: replication is asynchronous, acknowledged writes and grants can be gone,
  and the old primary may go on granting to whom it still reaches.
- **Values** that were lost are lost, and their versions count from what is left: a writer that expects a version from
  before may meet the same number again. `update` notices a memory that was lost meanwhile; `write` cannot.
- **Locks** that were lost may be granted again while their holders believe in them. An *empty* memory begins a new
  epoch, so that the resource rejects them (`fencing`). A memory that lost only its last seconds keeps its epoch, and
  may give the tokens of those seconds again: run Redis with `appendfsync always`, and restore no old copies.

Leases do not use Redis's clock, which is a wall clock: a waiter that saw no renewal for a whole lease takes the lock.
A holder on the same host as the waiter is watched, and loses the lock at once when its process dies.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import Any

from targets.locking import liveness, redis_dump, scripts
from targets.locking.backend import (
    REMEMBERED_REQUESTS,
    TIMEOUT_S,
    UNCHANGED,
    Bell,
    Blocked,
    Change,
    EpochKeeper,
    EpochMissing,
    Granted,
    Holder,
    Presumption,
    Statistics,
    Status,
    Versioned,
    Waiter,
    Wish,
    check_key,
)
from targets.locking.errors import NotOwner, OutcomeUnknown, TooManyConflicts, Unavailable
from targets.locking.migration import Dump
from targets.locking.redis_bell import RedisBell, Subscription
from targets.locking.resp import Address, Connection, Refused
from targets.locking.scripts import Script
from targets.locking.values import COUNTER_BITS, check_expected, conflict, decode, encode, pack

PREFIX = "bigfive:"

_NOTHING_RAN = {
    "LOADING",
    "OOM",
    "MISCONF",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "NOAUTH",
    "NOPERM",
    "BUSY",
    "NOSCRIPT",
}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0005, 0.02
_LEAST_TRY_S = 0.1  # with less time left a try would end in doubt rather than in an answer


class RedisBackend:
    """The backend on the Redis at `address` (`host:port` or `redis://…`), in keys that begin with `prefix`.

    Connects when it is first used, and again after each loss. No command waits longer than `socket_timeout_s`,
    whatever the caller's patience, and none is repeated that may have been done. Needs Redis 6.2 or newer.
    """

    def __init__(self, address: str, *, prefix: str = PREFIX, socket_timeout_s: float = TIMEOUT_S) -> None:
        self._address = Address.of(address)
        self._prefix = prefix
        self._socket_timeout_s = socket_timeout_s
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._free: list[Connection] = []
        self._bells: list[Subscription] = []

    def read(self, key: str, *, timeout_s: float = TIMEOUT_S) -> Versioned:
        """See `Versions.read`."""
        return self._get(key, time.monotonic() + timeout_s)[0]

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
        new = _New(check_key(key), value, writer, request)
        outcome, found, _ = self._put(new, expected, "", time.monotonic() + timeout_s)
        if outcome == "conflict":
            raise conflict(key, expected or 0, found)
        return found

    def update(
        self,
        key: str,
        change: Change,
        *,
        writer: str = "",
        request: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Versioned:
        """See `Versions.update`. Compares and sets; after a conflict again, on what won, after a pause with jitter."""
        deadline = time.monotonic() + timeout_s
        current, incarnation = self._get(key, deadline)
        pause_s = _FIRST_PAUSE_S
        while True:
            value = change(current)
            if value is UNCHANGED:
                return current
            new = _New(key, value, writer, request)
            outcome, current, incarnation = self._put(new, current.version, incarnation, deadline)
            if outcome != "conflict":
                return current
            if time.monotonic() + max(pause_s, _LEAST_TRY_S) > deadline:
                raise TooManyConflicts(f"{key!r} was changed by others whenever it was tried, for {timeout_s:.3g} s")
            liveness.wait_any([], random.uniform(0, pause_s))  # noqa: S311  jitter
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def begin(self, keeper: EpochKeeper, *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.begin`."""
        deadline = time.monotonic() + timeout_s
        incarnation, epoch = self._run(scripts.BEGIN, (os.urandom(16).hex(), ""), deadline)
        if epoch is None:
            chosen = keeper.epoch_of(incarnation.decode())
            pack(chosen, 0)
            self._run(scripts.BEGIN, (incarnation, chosen), deadline)

    def attempt(
        self, wish: Wish, ticket: int | None, presumption: Presumption, *, waited_s: float, timeout_s: float
    ) -> Granted | Blocked:
        """See `Locks.attempt`."""
        text = json.dumps(_as_json(wish, ticket, presumption, waited_s))
        answer = json.loads(self._run(scripts.ATTEMPT, (text,), time.monotonic() + timeout_s))
        if "missing" in answer:
            raise EpochMissing("this Redis has no epoch: it is new, or lost its memory")
        if "granted" in answer:
            return Granted({key: int(token) for key, token in answer["granted"].items()})
        standing = int(answer["ticket"]) if answer["ticket"] else None
        ahead = sorted(answer["ahead"] or (), key=lambda each: int(each["ticket"]))
        ends = {0, len(ahead) - 1}  # whom the wait is about: asking for all costs 15 us each
        waiters = tuple(_waiter(each, watched=number in ends) for number, each in enumerate(ahead))
        return Blocked(standing, tuple(_holder(each) for each in answer["holders"] or ()), waiters)

    def withdraw(self, ticket: int, *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.withdraw`."""
        self._run(scripts.WITHDRAW, (ticket,), time.monotonic() + timeout_s)

    def renew(self, owner: str, tokens: Mapping[str, int], *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.renew`."""
        self._if_held(scripts.RENEW, owner, tokens, timeout_s)

    def release(self, owner: str, tokens: Mapping[str, int], *, timeout_s: float = TIMEOUT_S) -> None:
        """See `Locks.release`."""
        self._if_held(scripts.RELEASE, owner, tokens, timeout_s)

    def force_release(self, key: str, *, timeout_s: float = TIMEOUT_S) -> list[Holder]:
        """See `Locks.force_release`."""
        taken = self._run(scripts.BREAK, (check_key(key),), time.monotonic() + timeout_s)
        return [_holder(json.loads(text)) for text in taken]

    def status(self, *, timeout_s: float = TIMEOUT_S) -> Status:
        """See `Locks.status`."""
        meta, held, waiting = self._look(scripts.STATUS, (), time.monotonic() + timeout_s)
        values = {name.decode(): value for name, value in zip(meta[::2], meta[1::2], strict=True)}
        holders = sorted((_holder(json.loads(text)) for text in held), key=lambda each: (each.key, each.token))
        waiters = sorted((_waiter(json.loads(text)) for text in waiting), key=lambda each: each.ticket)
        counts = {each.name: _number(values.get(each.name, 0), each.default) for each in fields(Statistics)}
        epoch = values.get("epoch")
        return Status(
            values.get("id", b"").decode(),
            None if epoch is None else int(epoch),
            tuple(holders),
            tuple(waiters),
            Statistics(**counts),
        )

    def dump(self) -> Dump:
        """See `Movable.dump`. Redis serves nobody else meanwhile."""
        answer = self._look(redis_dump.DUMP, (), time.monotonic() + TIMEOUT_S)
        return redis_dump.read(self._prefix, answer, _holder)

    def load(self, dump: Dump) -> None:
        """See `Movable.load`. Interrupted, `clear` it and do it again."""
        for command in redis_dump.commands(self._prefix, dump):
            deadline = time.monotonic() + self._socket_timeout_s
            with self._connection(deadline) as connection:
                connection.call(command, deadline)

    def clear(self) -> None:
        """Remove everything below the prefix."""
        self._run(redis_dump.CLEAR, (), time.monotonic() + TIMEOUT_S)

    def bell(self) -> Bell:
        """See `Locks.bell`."""
        self._after_fork()
        with suppress(IndexError):
            return RedisBell(self._bells.pop(), self._bells.append)
        return RedisBell(self._subscribe(time.monotonic() + self._socket_timeout_s), self._bells.append)

    def close(self) -> None:
        """See `Backend.close`."""
        self._hang_up()
        self._forget()

    def _get(self, key: str, deadline: float) -> tuple[Versioned, str]:
        """Return what `key` has, and the incarnation that said so."""
        *found, incarnation = self._look(scripts.GET, (check_key(key),), deadline)
        return _versioned(found), (incarnation or b"").decode()

    def _put(self, new: _New, expected: int | None, incarnation: str, deadline: float) -> tuple[str, Versioned, str]:
        """Return `seen`, `conflict` or `done`, what there is then, and the incarnation that said so."""
        at = repr(time.time())
        request = (new.request or "", REMEMBERED_REQUESTS)
        values = (new.key, encode(new.value), "" if expected is None else expected, new.writer, at)
        drawn = os.urandom(16).hex()
        outcome, *found = self._run(scripts.PUT, (*values, *request, incarnation, drawn), deadline)
        now = _versioned(found[:4])
        if outcome == b"seen":
            first = int(float(found[4]))
            return "seen", now if first == now.version else Versioned(None, first, new.writer or None), ""
        return outcome.decode(), now, (found[4] or b"").decode() if found[4:] else ""

    def _if_held(self, script: Script, owner: str, tokens: Mapping[str, int], timeout_s: float) -> None:
        pairs = [part for pair in tokens.items() for part in pair]
        lost = self._run(script, (owner, *pairs), time.monotonic() + timeout_s)
        if lost:
            key, token = lost[0].decode(), lost[1].decode()
            raise NotOwner(f"{owner} does not hold {key!r} under token {token}: its lease ended, or it was taken away")

    def _look(self, script: Script, arguments: tuple[Any, ...], deadline: float) -> Any:  # noqa: ANN401
        """Run a script that changes nothing, so that it may be repeated."""
        try:
            return self._run(script, arguments, deadline)
        except OutcomeUnknown:
            try:
                return self._run(script, arguments, deadline)
            except OutcomeUnknown as error:
                raise Unavailable(str(error)) from error

    def _run(self, script: Script, arguments: tuple[Any, ...], deadline: float) -> Any:  # noqa: ANN401
        deadline = min(deadline, time.monotonic() + self._socket_timeout_s)
        with self._connection(deadline) as connection:
            try:
                try:
                    return connection.call(("EVALSHA", script.sha, 1, self._prefix, *arguments), deadline)
                except Refused as error:
                    if error.code != "NOSCRIPT":
                        raise
                    return connection.call(("EVAL", script.text, 1, self._prefix, *arguments), deadline)
            except Refused as error:
                refusal = Unavailable if error.code in _NOTHING_RAN else OutcomeUnknown
                raise refusal(f"Redis at {self._address} refused: {error}") from error

    @contextmanager
    def _connection(self, deadline: float) -> Iterator[Connection]:
        self._after_fork()
        connection = self._take() or Connection(self._address, deadline)
        try:
            yield connection
        except (Unavailable, OutcomeUnknown):
            connection.close()  # an answer that comes too late must not be taken for the next one's
            raise
        except BaseException:
            connection.close()
            raise
        else:
            self._free.append(connection)

    def _take(self) -> Connection | None:
        with suppress(IndexError):
            while True:
                connection = self._free.pop()
                if connection.is_usable():
                    return connection
                connection.close()
        return None

    def _subscribe(self, deadline: float) -> Subscription:
        return Subscription(Connection(self._address, deadline), self._prefix, deadline)

    def _hang_up(self) -> None:
        for connection in (*self._free, *(bell.connection for bell in self._bells)):
            connection.close()

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            self._hang_up()  # the child's copies; the parent's stay open
            self._forget()


class _New:
    """What is to be written."""

    __slots__ = ("key", "request", "value", "writer")

    def __init__(self, key: str, value: object, writer: str, request: str | None) -> None:
        self.key, self.value, self.writer, self.request = key, value, writer, request


def _as_json(wish: Wish, ticket: int | None, presumption: Presumption, waited_s: float) -> dict[str, object]:
    return {
        **{each.name: getattr(wish, each.name) for each in fields(wish)},
        "ticket": "" if ticket is None else str(ticket),
        "replaces": dict.fromkeys(wish.replaces, True),
        "ended": {f"{token}:{renewals}": True for token, renewals in presumption.ended},
        "died": {str(token): True for token in presumption.died},
        "stalled": {str(each): True for each in presumption.stalled},
        "waited_s": round(waited_s, 6),
        "since": round(time.time(), 3),
        "counter_bits": COUNTER_BITS,
    }


def _versioned(found: list[Any]) -> Versioned:
    value, version, writer, at = found
    if not int(version or 0):
        return Versioned()
    return Versioned(decode(value), int(version), writer.decode() or None, float(at))


def _number(text: bytes | int, like: object) -> Any:  # noqa: ANN401  an int or a float
    return float(text) if isinstance(like, float) else int(text)


def _holder(found: dict[str, Any]) -> Holder:
    known = {each.name: found[each.name] for each in fields(Holder) if each.name in found}
    return Holder(**{**known, "token": int(found["token"]), "alive": liveness.alive(found["process"])})


def _waiter(found: dict[str, Any], *, watched: bool = True) -> Waiter:
    known = {each.name: found[each.name] for each in fields(Waiter) if each.name in found}
    alive = not watched or liveness.alive(found["process"])
    return Waiter(**{**known, "ticket": int(found["ticket"]), "keys": tuple(found["keys"]), "alive": alive})
