"""The lock manager: fair waiting, leases and their renewal, fencing tokens, batches. For threads and processes.

Who waits grants itself the lock, in one atomic step of the backend and only while its own wait lasts: so a wait that
has ended is never granted, whatever was on its way. All keys of a batch are taken in one step or none is, and a
waiter holds nothing of it meanwhile: batches in any order cannot deadlock.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from targets.locking import liveness
from targets.locking.backend import (
    TIMEOUT_S,
    Blocked,
    EpochKeeper,
    EpochMissing,
    Granted,
    Holder,
    Locks,
    Mode,
    Statistics,
    Status,
    Waiter,
    Wish,
    check_key,
)
from targets.locking.errors import BadRequest, Held, LockingError, OutcomeUnknown, Unavailable
from targets.locking.hold import Hold, Renewer
from targets.locking.patience import Patience

_FOREVER_S = 365 * 86400.0
_DOUBTS = 32


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a lock is held.

    A lease of `lease_s` seconds, which the manager renews by itself if `renew`. In `collaborative` mode up to `limit`
    hold it together, each under a token of its own. `reentrant`: who holds it already gets it again, under the same
    token, and must release it as often; "who" is the manager's owner.
    """

    lease_s: float = 30.0
    renew: bool = False
    mode: Mode = "exclusive"
    limit: int = 1
    reentrant: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.lease_s <= _FOREVER_S:
            raise BadRequest(f"a lease is more than 0 s and at most a year, got {self.lease_s!r}")
        if self.mode not in {"exclusive", "collaborative"}:
            raise BadRequest(f"mode is 'exclusive' or 'collaborative', got {self.mode!r}")
        if self.limit < 1:
            raise BadRequest(f"limit is 1 or more, got {self.limit!r}")


class LockManager:
    """Locks of one owner on a backend. Any number of threads may use it at once.

    `keeper` is where epochs are kept, usually the `FencedResource` that the locks guard. `owner` is shown to others
    and means this manager in "who holds it already"; made up if not given. No call takes longer than `timeout_s`, or
    twice that beyond the wait that it was allowed.
    """

    def __init__(
        self,
        backend: Locks,
        keeper: EpochKeeper,
        *,
        owner: str | None = None,
        terms: Terms | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
        self.terms = terms or Terms()
        self._backend = backend
        self._keeper = keeper
        self._timeout_s = timeout_s
        self._doubtful: deque[str] = deque(maxlen=_DOUBTS)
        self._renewer = Renewer(backend, timeout_s)

    def acquire(
        self,
        key: str,
        *,
        timeout_s: float = _FOREVER_S,
        lease_s: float | None = None,
        terms: Terms | None = None,
        stop: threading.Event | None = None,
    ) -> Hold:
        """Wait for `key` for at most `timeout_s` seconds (0: do not wait) and hold it. See `acquire_all`."""
        return self.acquire_all([key], timeout_s=timeout_s, lease_s=lease_s, terms=terms, stop=stop)

    def acquire_all(
        self,
        keys: Iterable[str],
        *,
        timeout_s: float = _FOREVER_S,
        lease_s: float | None = None,
        terms: Terms | None = None,
        stop: threading.Event | None = None,
    ) -> Hold:
        """Wait for all of `keys` and hold them, or none. `stop`, once set, ends the wait within a quarter second.

        Raises `Held` when the wait ended, `Unavailable` where the backend cannot be reached, and `OutcomeUnknown`
        where it may have granted without our learning it: such a grant ends with its lease, or when this manager
        acquires the key again.
        """
        terms = terms or self.terms
        terms = terms if lease_s is None else replace(terms, lease_s=lease_s)
        wanted = tuple(sorted({check_key(key) for key in keys}))
        if not wanted:
            raise BadRequest("no keys to acquire")
        wish = Wish(
            id=os.urandom(8).hex(),
            keys=wanted,
            owner=self.owner,
            lease_s=terms.lease_s,
            mode=terms.mode,
            limit=terms.limit,
            reentrant=terms.reentrant,
            patient=timeout_s > 0,
            process=liveness.myself(),
            replaces=tuple(self._doubtful),
        )
        hold = _Wait(self, wish, timeout_s, stop).run()
        if terms.renew:
            self._renewer.add(hold)
        return hold

    def status(self) -> Status:
        """Return all holders, waiters and counts of the backend."""
        return self._backend.status(timeout_s=self._timeout_s)

    def waiters(self, key: str) -> list[Waiter]:
        """Return who waits for `key`, first come first."""
        return [waiter for waiter in self.status().waiters if key in waiter.keys]

    def statistics(self) -> Statistics:
        """Return the backend's counts."""
        return self.status().statistics

    def force_release(self, key: str) -> list[Holder]:
        """For operators: take `key` from whoever holds it. The resource refuses them as soon as the next one enters."""
        return self._backend.force_release(check_key(key), timeout_s=self._timeout_s)

    def close(self) -> None:
        """Renew no more. What is held stays held until it is released or its lease ends."""
        self._renewer.close()


class _Wait:
    """One wait for one wish."""

    def __init__(self, manager: LockManager, wish: Wish, timeout_s: float, stop: threading.Event | None) -> None:
        self._manager = manager
        self._backend = manager._backend  # noqa: SLF001  a part of the manager
        self._step_s = manager._timeout_s  # noqa: SLF001
        self._began = time.monotonic()
        self._deadline = self._began + timeout_s
        self._stop = stop
        self._bell = self._backend.bell() if wish.patient else None
        self._wish = replace(wish, wake=self._bell.address) if self._bell is not None else wish
        self._patience = Patience(time.monotonic)
        self._ticket: int | None = None

    def run(self) -> Hold:
        """Wait, and return what was granted."""
        granted = False
        try:
            while True:
                asked = time.monotonic()
                answer = self._attempt()
                if isinstance(answer, Granted):
                    granted = True
                    return Hold(self._backend, self._wish, answer.tokens, asked, self._step_s)
                self._ticket = answer.ticket
                if not self._may_wait():
                    raise Held(self._wish.keys, _names(answer), time.monotonic() - self._began)
                self._patience.see(answer)
                self._listen(answer)
        finally:
            if self._ticket is not None and not granted:
                with suppress(LockingError):  # a place that its owner does not use is passed over
                    self._backend.withdraw(self._ticket, timeout_s=self._step_s)
            if self._bell is not None:
                self._bell.close()

    def _attempt(self) -> Granted | Blocked:
        """Ask once; where the outcome is unknown once more, since a repeated wish is answered as the first time."""
        doubtful = self._manager._doubtful  # noqa: SLF001
        try:
            return self._ask()
        except OutcomeUnknown as error:
            doubtful.append(self._wish.id)
            if not self._may_wait():
                raise
            try:
                answer = self._ask()
            except Unavailable:
                raise error from None
            doubtful.remove(self._wish.id)
            return answer

    def _ask(self) -> Granted | Blocked:
        try:
            return self._ask_begun()
        except EpochMissing:
            self._backend.begin(self._manager._keeper, timeout_s=self._step_s)  # noqa: SLF001
            return self._ask_begun()

    def _ask_begun(self) -> Granted | Blocked:
        now = time.monotonic()
        return self._backend.attempt(
            self._wish,
            self._ticket,
            self._patience.presumption(),
            waited_s=now - self._began,
            timeout_s=max(0.0, self._deadline - now) + self._step_s,
        )

    def _may_wait(self) -> bool:
        return time.monotonic() < self._deadline and not (self._stop is not None and self._stop.is_set())

    def _listen(self, answer: Blocked) -> None:
        left = self._deadline - time.monotonic()
        if self._bell is not None:
            self._bell.wait(answer, max(0.0, min(left, self._patience.next_look_s(len(answer.ahead)))))


def _names(answer: Blocked) -> Sequence[str]:
    return sorted({holder.owner for holder in answer.holders})
