"""What a grant gives: the tokens, the end of the lease as its holder must see it, renewal, release."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from targets.locking.backend import Locks, Wish
from targets.locking.errors import LockingError, NotOwner

_RENEWALS_PER_LEASE = 3  # two may fail before the lease ends
_PARTS = 10  # of a lease: how soon a failed renewal is tried again


class Hold:
    """One or more keys, held until `release` or the end of the lease. As a context manager it releases at the end.

    `tokens` is key → fencing token; `token` the only one. Show it to the resource with every read and write: only
    the resource knows for sure that the lock is still ours.
    """

    def __init__(
        self, backend: Locks, wish: Wish, tokens: Mapping[str, int], asked_at: float, timeout_s: float
    ) -> None:
        self.owner = wish.owner
        self.lease_s = wish.lease_s
        self.tokens = dict(tokens)
        self.released = False
        self.taken_away = False
        self._backend = backend
        self._timeout_s = timeout_s
        self._ends_at = asked_at + wish.lease_s

    @property
    def token(self) -> int:
        """The token of the only key."""
        (token,) = self.tokens.values()
        return token

    @property
    def left_s(self) -> float:
        """Seconds of the lease that are certainly left, counted from before it was asked for; 0 when it is over."""
        return 0.0 if self.released or self.taken_away else max(0.0, self._ends_at - time.monotonic())

    def renew(self) -> None:
        """Begin the lease anew. Raises `NotOwner` where it was lost."""
        asked_at = time.monotonic()
        try:
            self._backend.renew(self.owner, self.tokens, timeout_s=self._timeout_s)
        except NotOwner:
            self.taken_away = True
            raise
        self._ends_at = asked_at + self.lease_s

    def release(self) -> None:
        """Give it up; one level of it if it is re-entrant. Raises `NotOwner` where it was lost before."""
        self.released = True
        self._backend.release(self.owner, self.tokens, timeout_s=self._timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.released:
            return
        try:
            self.release()
        except LockingError:
            if kind is None:  # else the first error says more
                raise


class Renewer:
    """Renews holds in the background, each three times a lease, on one thread that starts with the first of them.

    A hold that cannot be renewed is tried again until its lease is over; `left_s` tells its owner.
    """

    def __init__(self, backend: Locks, timeout_s: float) -> None:
        self._backend = backend
        self._timeout_s = timeout_s
        self._due: dict[Hold, float] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, hold: Hold) -> None:
        """Renew `hold` from now on."""
        with self._changed:
            self._due[hold] = time.monotonic() + hold.lease_s / _RENEWALS_PER_LEASE
            if self._thread is None or not self._thread.is_alive():  # a fork leaves it behind
                self._thread = threading.Thread(target=self._serve, name="locking-renewer", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(self._timeout_s)

    def _serve(self) -> None:
        while (hold := self._next()) is not None:
            pause = hold.lease_s / _RENEWALS_PER_LEASE
            try:
                hold.renew()
            except LockingError:
                pause = hold.lease_s / _PARTS
            with self._changed:
                if hold.left_s > 0:
                    self._due[hold] = time.monotonic() + pause

    def _next(self) -> Hold | None:
        """Wait for the next hold whose time has come; return None when closing."""
        with self._changed:
            while not self._closing:
                self._due = {hold: at for hold, at in self._due.items() if hold.left_s > 0}
                hold = min(self._due, key=self._due.__getitem__, default=None)
                left = None if hold is None else self._due[hold] - time.monotonic()
                if hold is not None and left is not None and left <= 0:
                    del self._due[hold]
                    return hold
                self._changed.wait(left)
            return None
