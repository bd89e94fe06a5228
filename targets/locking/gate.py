"""The queue in front of SQLite's writers: the kernel's, on a file beside the database.

SQLite has no queue. Ten processes that write with `synchronous=FULL` starve each other (one wrote 8,818 times while
another wrote once) and fail with "database is locked" after their busy timeout. Behind an `flock` nobody fails.

`flock` has no timeout, so a thread of its own waits for it, and does the work too; the caller waits for that thread,
as long as it likes. Work that its caller gave up before it began is never done.

A hand-over to another process costs as much as half a commit, so who has the gate keeps it for a slice of a few
milliseconds, as long as its calls follow each other at once: the thread passes the open gate on to its caller, and
shuts it when the caller does not come back, or the slice is over. Callers with anything else to do in between give it
back after each piece of work.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from targets.locking.errors import CannotOpen, LockingError, OutcomeUnknown, Unavailable

T = TypeVar("T")

_SLICE_S = 0.01  # some thirty commits: the last of ten processes waits 90 ms for its turn
_LINGER_S = 0.0002  # who comes back within a commit's time is waited for
_LOOK_S = 0.002  # how often it is seen whether he did; ten times as often cost a tenth of all commits, in wake-ups

_gates: weakref.WeakSet[Gate] = weakref.WeakSet()


class _Job:
    """Work, and what became of it. Two races, each won by who takes the lock: the worker, or the caller who gives up.

    `claim`: shall it be done at all? `passing`: does the caller take over the gate with the result?
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.claim = threading.Lock()
        self.passing = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001  raised again where it was asked for
            self.error = error


class Gate:
    """Does work behind the gate at `path`, one piece at a time over all processes and threads.

    Within a process it is first come, first served; between processes the kernel's order, in slices. `path` is made
    where it is missing. The thread starts when it is first needed, and anew in a forked child. Removing the file while
    it is in use makes two queues: slower and less fair, but SQLite's own locks still hold.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()
        _gates.add(self)

    def _begin(self) -> None:
        self._descriptor = -1
        self._held = self._tended = self._hurried = False
        self._slice_began = self._left_at = 0.0
        self._turn = threading.Lock()  # an flock excludes processes; this excludes the threads of ours
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._closing = False
        self._worker: threading.Thread | None = None

    def begin_anew(self) -> None:
        """In a forked child: neither the thread nor the turn is its own; its copy of the lock must not outlive ours."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._begin()

    def run(self, work: Callable[[float], T], timeout_s: float) -> T:
        """Return `work(deadline)`; `deadline` is on `time.monotonic`.

        Raises what `work` raises; `Unavailable` if its turn did not come within `timeout_s`; `OutcomeUnknown` if it
        came, and the gate's thread had not done the work by then. Work that went in directly takes as long as it
        takes: a disk that stands still is waited for.
        """
        now = time.monotonic()
        self._hurried = now - self._left_at < _LINGER_S
        deadline = now + timeout_s
        if self._entered_directly(now):
            try:
                return work(deadline)
            finally:
                self._leave()
        job = _Job(lambda: work(deadline))
        self._submit(job)
        try:
            finished = job.done.acquire(timeout=max(0.0, timeout_s))
        except BaseException:  # Ctrl-C
            if self._give_up(job) is None:
                self._leave()
            raise
        if not finished and (left := self._give_up(job, timeout_s)) is not None:
            raise left
        self._leave()
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def _give_up(self, job: _Job, after_s: float = 0.0) -> LockingError | None:
        """Return the error that says how far the work is, or None if it was finished just now."""
        if job.claim.acquire(blocking=False):
            return Unavailable(f"no turn at {self._path} within {after_s:.3g} s; see who holds it, or wait longer")
        if job.passing.acquire(blocking=False):
            return OutcomeUnknown(f"not finished within {after_s:.3g} s; the disk of {self._path.parent} is slow")
        return None

    def close(self) -> None:
        """Finish what was asked for and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._worker is not None:
            self._worker.join(1.0)
        if self._turn.acquire(blocking=False) and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _entered_directly(self, now: float) -> bool:
        """Go in if the gate is open, or still ours, and nobody of this process waits."""
        if self._closing or self._jobs or not self._turn.acquire(blocking=False):
            return False
        if self._held:
            return True
        try:
            self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is shut, or there is a trouble that the thread will report
            self._turn.release()
            return False
        self._slice_began = now
        return True

    def _lock(self, how: int) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, how)
        self._held = True

    def _unlock(self) -> None:
        if self._held:
            self._held = False
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _leave(self) -> None:
        """Give the turn back; and the gate, unless there is more to do for this process in its slice."""
        self._left_at = now = time.monotonic()
        more = self._jobs or (self._tended and self._hurried)
        if not more or now - self._slice_began > _SLICE_S:
            self._unlock()
        self._turn.release()

    def _submit(self, job: _Job) -> None:
        with self._changed:
            if self._closing:
                raise Unavailable(f"{self._path} was closed")
            self._jobs.append(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._serve, name="locking-gate", daemon=True)
                self._worker.start()
            self._changed.notify()

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            self._turn.acquire()
            if not self._held:
                try:
                    self._lock(fcntl.LOCK_EX)
                except OSError as error:
                    job.work = _refusing(self._path, error)
                self._slice_began = time.monotonic()
            if self._served(job):
                self._tend()
            else:
                self._leave()

    def _served(self, job: _Job) -> bool:
        """Do the work; return whether its caller took over the gate."""
        if not job.claim.acquire(blocking=False):
            return False
        job.run()
        passed = job.passing.acquire(blocking=False)
        self._tended = passed
        job.done.release()
        return passed

    def _tend(self) -> None:
        """While the caller has the gate: shut it when nobody comes any more, or the slice is over."""
        while self._tended:
            with self._changed:
                if not self._jobs and not self._closing:
                    self._changed.wait(_LOOK_S)
            if self._jobs:
                self._tended = False
            elif self._turn.acquire(blocking=False):
                now = time.monotonic()
                idle = now - self._left_at > _LINGER_S or now - self._slice_began > _SLICE_S
                if idle or not self._held or self._closing:
                    self._tended = False
                    self._unlock()
                self._turn.release()

    def _next(self) -> _Job | None:
        """Return the oldest job; None when there will be none."""
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return None
                self._changed.wait()
            return self._jobs.popleft()


def _begin_anew() -> None:
    for gate in list(_gates):
        gate.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)


def _refusing(path: Path, error: OSError) -> Callable[[], None]:
    def work() -> None:
        if isinstance(error, FileNotFoundError):
            raise CannotOpen(f"there is no folder {path.parent}; make it first") from error
        raise Unavailable(f"{path}: {error.strerror}; nothing was done") from error

    return work
