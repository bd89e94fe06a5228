"""What can go wrong with a lock. `certainly_not_done` tells that what was asked did not and will not happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from targets.locking.backend import Versioned


class LockingError(Exception):
    """Base of everything that this package raises on purpose. `details` are for machines."""

    certainly_not_done = False
    details: Mapping[str, object] = MappingProxyType({})


class BadRequest(LockingError):
    """A key, value, version or option that cannot be taken."""

    certainly_not_done = True


class VersionConflict(LockingError):
    """The key has another version than the writer expected.

    `current` is what won: its value, version, writer and time. `retry_after_s` is when to try again: jittered, so that
    writers who collided do not collide again.
    """

    certainly_not_done = True

    def __init__(self, key: str, expected: int, current: Versioned, retry_after_s: float) -> None:
        winner = f", written by {current.writer}" if current.writer else ""
        super().__init__(f"{key!r} has version {current.version}{winner}, not {expected}: read it and decide anew")
        self.key = key
        self.expected = expected
        self.current = current
        self.retry_after_s = retry_after_s
        self.details = {
            "error": "conflict",
            "version": current.version,
            "winner": current.writer,
            "at": current.at,
            "retry_after_s": retry_after_s,
        }

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.key, self.expected, self.current, self.retry_after_s)


class Held(LockingError):
    """The wait ended before the lock was free. This wait will never be granted."""

    certainly_not_done = True

    def __init__(self, keys: Sequence[str], owners: Sequence[str], waited_s: float) -> None:
        by = f"held by {', '.join(owners)}" if owners else "others were first"
        super().__init__(f"{', '.join(keys)} not granted within {waited_s:.3g} s: {by}")
        self.keys = tuple(keys)
        self.owners = tuple(owners)
        self.waited_s = waited_s
        self.details = {"error": "held", "owners": list(owners)}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.keys, self.owners, self.waited_s)


class NotOwner(LockingError):
    """The lock is not, or no more, held under this token by this owner. Nothing was changed."""

    certainly_not_done = True
    details = MappingProxyType({"error": "not_owner"})


class StaleToken(LockingError):
    """The guarded resource has seen a later token; `highest` is it. The write was not taken and never will be."""

    certainly_not_done = True

    def __init__(self, key: str, token: int, highest: int) -> None:
        super().__init__(f"{key!r}: token {token} is older than {highest}; the lock was lost, acquire it anew")
        self.key = key
        self.token = token
        self.highest = highest
        self.details = {"error": "stale", "highest": highest}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.key, self.token, self.highest)


class Full(LockingError):
    """As many hold it together as may."""

    certainly_not_done = True
    details = MappingProxyType({"error": "full"})


class TooManyConflicts(LockingError):
    """An update met another writer each time it tried, until its time was over. Nothing was written."""

    certainly_not_done = True


class Unavailable(LockingError):
    """The backend was not reached, its queue was too long, or its disk took nothing (full): try later."""

    certainly_not_done = True


class OutcomeUnknown(LockingError):
    """What was asked was under way when the connection, the disk or the time ended: done, or not, or done later."""


class CannotOpen(LockingError):
    """The backend cannot be used; nothing of it was changed."""

    certainly_not_done = True


class Damaged(CannotOpen):
    """The file is damaged, or not one of ours. Nothing in it was changed."""


class VulnerableLibrary(CannotOpen):
    """This SQLite can lose committed pages when several processes write (the WAL-reset bug)."""
