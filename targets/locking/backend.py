"""What a backend of `targets.locking` can do: versioned values and locks. Implemented by `sqlite` and `redis`.

For whoever builds on it (documents, for one):

- A key is text of 1 to 1000 bytes. A value is JSON. Features keep apart by a prefix: `document:`, for one.
- `update` is the way to read, decide and write at once. `change` sees the newest value and returns the next one;
  it may return `UNCHANGED`, which writes nothing, or raise, which writes nothing and reaches the caller. It must be
  free of side effects that cannot be repeated, since a Redis backend calls it again after it met another writer;
  it may run on another thread, must not use the backend itself, and should be quick: others wait meanwhile.
- Errors are those of `targets.locking.errors`. One whose `certainly_not_done` is true changed nothing and never will.
- Everything may be called from any thread, and after a fork. No call takes longer than its `timeout_s` (seconds).

`targets.locking.documents.Documents(backend, policy=.., limit=.., timeout_s=..)` offers attach, detach, submit and
inspect, whose arguments and results are those of the contract `documents`; the adapter's client delegates to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, Protocol

from targets.locking.errors import BadRequest, LockingError

TIMEOUT_S = 5.0
REMEMBERED_REQUESTS = 128
"""A repeated request is recognised while its key has seen fewer writes than this since."""

Mode = Literal["exclusive", "collaborative"]
_LONGEST_KEY_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Versioned:
    """A value and where it comes from: `version` counts the key's writes from 1 (0: never written).

    `at` is the wall-clock time of the write in seconds, by the clock of `writer`: for people, never for decisions.
    """

    value: Any = None
    version: int = 0
    writer: str | None = None
    at: float | None = None


class _Unchanged(Enum):
    UNCHANGED = "UNCHANGED"


UNCHANGED: Final = _Unchanged.UNCHANGED
"""What a `change` returns to leave everything as it is."""

Change = Callable[[Versioned], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds `key`. `renewals` grows with each renewal, which is how others see that the lease goes on.

    `process` names the holding process where the backend can watch it; `alive` is False once it is seen dead.
    `since` is the wall-clock time of the grant in seconds: for people.
    """

    key: str
    owner: str
    token: int
    mode: Mode
    lease_s: float
    renewals: int = 0
    depth: int = 1
    since: float = 0.0
    process: str = ""
    alive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """Who waits for `keys`, all of them at once. A lower ticket came first."""

    ticket: int
    keys: tuple[str, ...]
    owner: str
    mode: Mode
    since: float = 0.0
    process: str = ""
    alive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be acquired. `id` is unique: a repeated attempt is answered with the grant that it already has.

    `limit` is how many may hold a key together in collaborative mode. A wish that is not `patient` does not queue.
    `wake` is where the waiter listens.
    `replaces` are the ids of earlier wishes of this owner whose outcome it never learned: their grants are void.
    """

    id: str
    keys: tuple[str, ...]
    owner: str
    lease_s: float
    mode: Mode = "exclusive"
    limit: int = 1
    reentrant: bool = False
    patient: bool = True
    process: str = ""
    wake: str = ""
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """All keys of a wish are held: key → token."""

    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Blocked:
    """A wish stands in the queue with `ticket` (None: it would not). In its way: `holders`, and those `ahead`."""

    ticket: int | None
    holders: tuple[Holder, ...] = ()
    ahead: tuple[Waiter, ...] = ()


@dataclass(frozen=True, slots=True)
class Presumption:
    """What a waiter saw long enough to act upon it.

    `ended` are (token, renewals) of holders who did not renew for as long as their lease, `died` the tokens of those
    whose process is dead; `stalled` are tickets that had their turn and did not take it. The backend ignores whatever
    has changed since.
    """

    ended: Collection[tuple[int, int]] = ()
    died: Collection[int] = ()
    stalled: Collection[int] = ()


NO_PRESUMPTION = Presumption()


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts since the backend was created; seconds where named so.

    `contended` grants had to wait, `waited_s` in all and `longest_wait_s` at most. `expired` grants ended with their
    lease, `died` with their process, `broken` by an operator.
    """

    grants: int = 0
    releases: int = 0
    contended: int = 0
    waited_s: float = 0.0
    longest_wait_s: float = 0.0
    expired: int = 0
    died: int = 0
    broken: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """A moment of a backend: its incarnation and epoch (None: none begun), all holders, all waiters, its counts."""

    id: str
    epoch: int | None
    holders: tuple[Holder, ...] = ()
    waiters: tuple[Waiter, ...] = ()
    statistics: Statistics = field(default_factory=Statistics)


class EpochMissing(LockingError):
    """This incarnation of the backend has no epoch yet: call `begin`, then try again."""

    certainly_not_done = True


class Bell(Protocol):
    """Where one waiter hears that it should look again."""

    address: str

    def wait(self, blocked: Blocked, timeout_s: float) -> None:
        """Return when somebody rang, when a process in the way died, or after `timeout_s`; also for no reason."""

    def close(self) -> None:
        """Listen no more."""


class EpochKeeper(Protocol):
    """Remembers, where the guarded resource is, which incarnation of a backend got which epoch (see `fencing`)."""

    def epoch_of(self, incarnation: str) -> int:
        """Return the epoch of `incarnation`, durably a new one, higher than all before, if it has none."""


class Versions(Protocol):
    """The half of a backend that keeps versioned values."""

    def read(self, key: str, *, timeout_s: float = TIMEOUT_S) -> Versioned:
        """Return the newest acknowledged value of `key`."""

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
        """Write, durably as far as the backend is durable, and return what was written with its version.

        Raises `VersionConflict` where `expected` is not the key's version. A `request` that the key remembers
        (`REMEMBERED_REQUESTS`) is not written again: it returns the version that it got the first time.
        """

    def update(
        self,
        key: str,
        change: Change,
        *,
        writer: str = "",
        request: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Versioned:
        """Replace the value by `change(newest)`, atomically against all others; return what is there now.

        See the module's docstring for what `change` may do. Raises `TooManyConflicts` where others were always
        faster (never with SQLite), and what `change` raises.
        """


class Locks(Protocol):
    """The half of a backend that grants locks. `LockManager` is the door to it."""

    def begin(self, keeper: EpochKeeper, *, timeout_s: float = TIMEOUT_S) -> None:
        """Make sure that this incarnation has an epoch, from `keeper`. Cheap once it has."""

    def attempt(
        self, wish: Wish, ticket: int | None, presumption: Presumption, *, waited_s: float, timeout_s: float
    ) -> Granted | Blocked:
        """Grant all keys of `wish` if nobody is in the way, else let it stand in the queue. One atomic step.

        Raises `EpochMissing` where the backend has none (any more): `begin` and try again.
        """

    def withdraw(self, ticket: int, *, timeout_s: float = TIMEOUT_S) -> None:
        """Leave the queue, and wake who is next."""

    def renew(self, owner: str, tokens: Mapping[str, int], *, timeout_s: float = TIMEOUT_S) -> None:
        """Begin the leases of all keys anew, or of none: raises `NotOwner`."""

    def release(self, owner: str, tokens: Mapping[str, int], *, timeout_s: float = TIMEOUT_S) -> None:
        """Give all keys up, or one level of a re-entrant hold, or none: raises `NotOwner`."""

    def force_release(self, key: str, *, timeout_s: float = TIMEOUT_S) -> list[Holder]:
        """Take `key` from whoever holds it and return who that was. Their tokens grow stale with the next grant."""

    def status(self, *, timeout_s: float = TIMEOUT_S) -> Status:
        """Return one moment of holders, waiters and counts."""

    def bell(self) -> Bell:
        """Return a new bell for one wait."""


class Backend(Versions, Locks, Protocol):
    """Both halves, on one file or one server."""

    def close(self) -> None:
        """Let go of files and connections. Held locks stay held until their leases end or their process does."""


def check_key(key: object) -> str:
    """Return `key` if it is one, else raise `BadRequest`."""
    try:
        if isinstance(key, str) and 0 < len(key.encode()) <= _LONGEST_KEY_BYTES and "\0" not in key:
            return key
    except UnicodeEncodeError:
        pass
    raise BadRequest(f"a key is text of 1 to {_LONGEST_KEY_BYTES} bytes, without NUL, got {str(key)[:60]!r}")
