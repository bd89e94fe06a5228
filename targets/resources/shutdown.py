"""GracefulShutdown: from the first reason to end until the exit status.

    serving --request--> refuse work -> checkpoint -> note why -> drain -> close -> note the end --> exit 0

- A second request while it drains (a second signal, or an emergency) ends the draining; the rest is still done.
- What has not ended `deadline_s` after the request is ended by the kernel (SIGALRM): no code of ours has to run for it,
  so one stuck in a C call or on a hung disk ends as well. Nothing acknowledged is lost by that, only the tidiness.
- An error in one step is reported, and the next step is done.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from targets.resources.errors import Refused

SWITCH_INTERVAL_S = 0.0001
"""How long a thread that wants the interpreter waits for it, at the most, while shutting down (usually 5 ms).

Each step that waits for the disk gives the interpreter away; with a thread that allocates without pause, taking it back
cost 5 ms each time, and there are a dozen of them.
"""


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Seconds: for work under way to end, and for everything."""

    drain_s: float = 2.0
    deadline_s: float = 5.0


@dataclass(frozen=True)
class Request:
    """Why to end."""

    why: str
    details: Mapping[str, object]
    at_once: bool
    at: float


class Bell:
    """Wakes a thread that polls. Safe in signal handlers, where the locks of `threading.Event` are not."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor, for those who wait for more than this."""
        return self._descriptor

    def ring(self) -> None:
        """Wake it, now or at its next wait."""
        os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float | None = None) -> None:
        """Return once it was rung since the last wait, or after so long."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if poll.poll(None if seconds is None else max(0.0, seconds) * 1000):
            os.eventfd_read(self._descriptor)


class Work:
    """Counts what is under way, and refuses more once it is closed. Thread-safe."""

    def __init__(self, idle: Callable[[], None]) -> None:
        self.under_way = 0
        self._idle = idle
        self._closed = False
        self._lock = threading.Lock()

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Count one unit of work for the time of the block. Raises `Refused` once closed."""
        with self._lock:
            if self._closed:
                raise Refused("the service is shutting down", {"error": "draining"})
            self.under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self.under_way -= 1
                last = self._closed and not self.under_way
            if last:
                self._idle()

    def close(self) -> None:
        """Refuse what comes from now on."""
        with self._lock:
            self._closed = True


@dataclass
class Steps:
    """What the service does to end. `checkpoint` and `close` may raise; `note` is told why, then that it is over."""

    stop_accepting: Callable[[], None]
    checkpoint: Callable[[], None]
    note: Callable[[Mapping[str, object], bool], None]
    close: Callable[[], None]
    report: Callable[[str, Mapping[str, object]], None]
    failed: list[str] = field(default_factory=list)


class GracefulShutdown:
    """Requests may come from any thread and from signal handlers; `wait` and `perform` belong to the main thread."""

    def __init__(self, deadlines: Deadlines | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._requests: deque[Request] = deque()
        self._bell = Bell()
        self.work = Work(self._bell.ring)

    @property
    def requested(self) -> bool:
        """Whether the end has been asked for."""
        return bool(self._requests)

    def request(self, why: str, details: Mapping[str, object] | None = None, *, at_once: bool = False) -> None:
        """Ask for the end. The first request says why; any later one ends the draining, unless it is a mere repeat."""
        self._requests.append(Request(why, details or {}, at_once, time.monotonic()))
        self._bell.ring()

    def on_signals(self, *numbers: int) -> None:
        """Take these signals as requests."""
        for number in numbers:
            signal.signal(number, lambda got, _: self.request("signal", {"signal": signal.Signals(got).name}))

    def wait(self) -> Request:
        """Return the first request, once it has come."""
        while not self._requests:
            self._bell.wait()
        return self._requests[0]

    def perform(self, steps: Steps) -> int:
        """End; return the exit status. `wait` has returned before."""
        first = self.wait()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, first.at + self._deadlines.deadline_s - time.monotonic()))
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.work.close()
        record: dict[str, object] = {"why": first.why, **first.details}
        steps.report("shutdown.began", {**record, "under_way": self.work.under_way})
        self._try(steps, "stop accepting", steps.stop_accepting)
        self._try(steps, "checkpoint", steps.checkpoint)
        self._try(steps, "note", lambda: steps.note(record, False))
        drained = self._drain(first)
        self._try(steps, "close", steps.close)
        record |= {
            "drained": drained,
            "abandoned": self.work.under_way,
            "hurried": self._hurried(),
            "failed": list(steps.failed),
            "took_ms": round((time.monotonic() - first.at) * 1000, 1),
        }
        self._try(steps, "note", lambda: steps.note(record, True))
        steps.report("shutdown.finished", record)
        return 0

    def _drain(self, first: Request) -> bool:
        ends_at = first.at + self._deadlines.drain_s
        while self.work.under_way and not self._hurried() and time.monotonic() < ends_at:
            self._bell.wait(ends_at - time.monotonic())
        return not self.work.under_way

    def _hurried(self) -> bool:
        signals = sum(request.why == "signal" for request in self._requests)
        return signals > 1 or any(request.at_once for request in self._requests)

    def _try(self, steps: Steps, name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  whatever it is, the rest of the way must be gone
            steps.failed.append(f"{name}: {type(error).__name__}: {error}")
            sys.stderr.write(f"shutting down, could not {name}: {error}\n")
