"""Everything a backend keeps, as plain data: read from one, written to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from targets.locking.backend import Holder, Status, Versioned
from targets.locking.errors import LockingError, Unavailable


@dataclass(frozen=True, kw_only=True)
class Dump:
    """The whole of a backend but its queue: who waits asks again by itself.

    `meta` is incarnation, epoch and counts, `entries` key → value, `requests` (key, request) → version, `holders` each
    with the wish that it was granted to. Equal dumps are equal backends.
    """

    meta: dict[str, str]
    entries: dict[str, Versioned]
    requests: dict[tuple[str, str], int]
    holders: list[tuple[Holder, str]]


class Movable(Protocol):
    """A backend that can be read out and filled."""

    def status(self) -> Status:
        """See `Locks.status`."""

    def dump(self) -> Dump:
        """Return everything, as of one moment."""

    def load(self, dump: Dump) -> None:
        """Take everything, into an empty backend."""


class Refusal(LockingError):
    """Nothing was moved, for the reason given."""

    certainly_not_done = True


def migrate(source: Movable, target: Movable, *, held: bool) -> Dump:
    """Copy everything from `source`, which is only read, to `target`, which must be empty; verify; return what it was.

    Tokens, epoch and versions go on where they were. Locks that are held are refused, or with `held` stay held under
    their tokens. The two must not be used side by side afterwards: they would give the same tokens twice. So stop
    who uses the source first, and let them start on the target.
    """
    status = source.status()
    keys = sorted({holder.key for holder in status.holders if holder.alive})
    if keys and not held:
        raise Refusal(f"{len(keys)} keys are held ({', '.join(keys[:5])}): stop their holders, or say --held")
    before = target.dump()
    if before.entries or before.holders or before.meta.get("epoch"):
        raise Refusal("the target is not empty; name a new file, or a Redis (or prefix) without our keys")
    dump = source.dump()
    target.load(dump)
    if target.dump() != dump:
        raise Unavailable("what arrived differs from what was sent: somebody uses the target; the source is untouched")
    if source.dump() != dump:
        raise Unavailable("the source was changed meanwhile: stop who uses it, empty the target, and do it again")
    return dump
