"""How a waiter hears from Redis at once that it should look again: a subscription of its own, which waits for nobody.

No blocking command: those break on socket timeouts, which everything here has.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from targets.locking.backend import Blocked
from targets.locking.bell import Watch
from targets.locking.errors import LockingError
from targets.locking.resp import Connection


class Subscription:
    """A connection that hears what is published at `address`."""

    def __init__(self, connection: Connection, prefix: str, deadline: float) -> None:
        self.address = os.urandom(8).hex()
        self.connection = connection
        connection.call(("SUBSCRIBE", f"{prefix}bell:{self.address}"), deadline)


class RedisBell:
    """The bell of one wait. Cut off, it hears nothing more, and the waiter looks again by itself.

    `keep` takes a subscription that still works, for the next wait.
    """

    def __init__(self, subscription: Subscription, keep: Callable[[Subscription], None]) -> None:
        self.address = subscription.address
        self._subscription = subscription
        self._keep = keep
        self._watch = Watch()
        self._works = True

    def wait(self, blocked: Blocked, timeout_s: float) -> None:
        """See `Bell.wait`."""
        self._watch.wait(blocked, self._subscription.connection.fileno() if self._works else None, timeout_s)
        self._drain()

    def close(self) -> None:
        """Listen no more."""
        self._watch.close()
        self._drain()
        if self._works:
            self._keep(self._subscription)
        else:
            self._subscription.connection.close()

    def _drain(self) -> None:
        if self._works:
            try:
                self._subscription.connection.drain()
            except LockingError:
                self._works = False
