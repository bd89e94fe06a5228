"""Group commit: writers that come together share one sync.

Leader and followers rather than a thread for the log: a writer alone commits in its own thread and pays for no
hand-over, which costs about as much as the sync itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from targets.state.errors import OutcomeUnknown, StateError


class Write:
    """One writer's wish and what became of it: a new `version` or an `error`."""

    __slots__ = ("bell", "done", "error", "expected", "key", "value", "version")

    def __init__(self, key: str, value: msgspec.Raw, expected: int | None) -> None:
        self.key = key
        self.value = value
        self.expected = expected
        self.version = 0
        self.error: StateError | None = None
        self.done = False
        # A follower's: rung when it is done, or has to lead. A bell each, for with one condition variable all who wake
        # up queue for its lock again: that cost more than the sync (measured, 10 writers).
        self.bell: threading.Lock | None = None

    def wake(self) -> None:
        """Ring the bell, if anybody sleeps by it."""
        if self.bell is not None:
            self.bell.release()


class GroupCommit:
    """Calls `commit` with one batch at a time; it settles each write, or raises a `StateError` for all of them.

    Whoever holds `turn` keeps every commit out.
    """

    def __init__(self, commit: Callable[[list[Write]], None]) -> None:
        self._commit = commit
        self._door = threading.Lock()
        self._waiting: list[Write] = []
        self._led = False
        self.turn = threading.Lock()

    def submit(self, write: Write) -> int:
        """Return the new version once it is durable. Raises a `StateError`."""
        with self._door:
            self._waiting.append(write)
            if self._led:
                write.bell = threading.Lock()
                write.bell.acquire()
            self._led = True
        if write.bell is not None:
            write.bell.acquire()
        if not write.done:
            self._lead()
        if write.error is not None:
            raise write.error
        return write.version

    def _lead(self) -> None:
        """Commit for all who wait, then let the first of those who came meanwhile lead, then wake the followers."""
        batch: list[Write] = []
        failure: StateError | None = None
        try:
            with self.turn:
                with self._door:
                    batch, self._waiting = self._waiting, []
                self._commit(batch)
        except StateError as error:
            failure = error
        except BaseException:
            failure = OutcomeUnknown("the commit ended unexpectedly")
            raise
        finally:
            self._pass_on()
            for write in batch:
                write.error = failure or write.error  # even of a conflict: it may have been with a write that failed
                write.done = True
                write.wake()

    def _pass_on(self) -> None:
        with self._door:
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].wake()
