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

    def __init__(self, key: str, value: msgspec.Raw, expected: int | None) -> None:
        self.key = key
        self.value = value
        self.expected = expected
        self.version = 0
        self.error: StateError | None = None
        self.done = False
        # Rung when it is done, or has to lead. A bell each, for with one condition variable all who wake up queue for
        # its lock again: that cost more than the sync (measured, 10 writers).
        self.bell = threading.Lock()
        self.bell.acquire()


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
            follows, self._led = self._led, True
        if follows:
            write.bell.acquire()
        if not write.done:
            self._lead()
        if write.error is not None:
            raise write.error
        return write.version

    def _lead(self) -> None:
        """Commit for all who wait, then let the first of those who came meanwhile lead, then wake the followers."""
        failure: StateError | None = OutcomeUnknown("the commit ended unexpectedly")
        batch: list[Write] = []
        try:
            with self.turn:
                with self._door:
                    batch, self._waiting = self._waiting, []
                self._commit(batch)
            failure = None
        except StateError as error:
            failure = error
        finally:
            self._pass_on()
            for write in batch:
                write.error = failure or write.error  # even of a conflict: it may have been with a write that failed
                write.done = True
                write.bell.release()

    def _pass_on(self) -> None:
        with self._door:
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].bell.release()
