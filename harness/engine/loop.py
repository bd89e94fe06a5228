"""The one thread of a trial: descriptors, timers, signals, and acts in threads of their own, on `selectors`."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from harness.clock import NS_PER_S, Clock, seconds
from harness.errors import Interrupted, TimedOut

T = TypeVar("T")
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Loop:
    """Runs callbacks in the thread that calls `run_until`.

    A stopping signal makes the current and every later `run_until` raise `Interrupted`, unless it is `shielded`;
    further signals call `on_again`.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.interrupted_by: int | None = None
        self.on_again: Callable[[], None] = lambda: None
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._posted: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_read, self._drain)

    def handle_signals(self) -> None:
        """Take over SIGINT, SIGTERM and SIGHUP of this process."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in _STOPPING:
            signal.signal(number, self._on_signal)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever `fd` is readable."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """Stop watching `fd`; must be called before it is closed."""
        self._selector.unregister(fd)

    def at(self, moment: int, callback: Callable[[], None]) -> None:
        """Call back at a moment of the monotonic clock (ns)."""
        heapq.heappush(self._timers, (moment, next(self._order), callback))

    def after(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after so many seconds."""
        self.at(self.clock.monotonic_ns() + round(delay_s * NS_PER_S), callback)

    def post(self, callback: Callable[[], None]) -> None:
        """Call back soon, in the loop's thread. The only method that other threads may call."""
        self._posted.append(callback)
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # the pipe is full, so the loop is about to wake up

    def act(self, function: Callable[[], T], then: Callable[[Future[T]], None] | None = None) -> Future[T]:
        """Run a function that may block in a thread of its own; `then` is called in the loop's thread."""
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  handed to whoever looks at the future
                future.set_exception(error)
            self.post(lambda: then(future) if then else None)

        threading.Thread(target=work, daemon=True).start()
        return future

    def run_until(
        self, condition: Callable[[], Any], what: str, deadline: int | None = None, *, shielded: bool = False
    ) -> None:
        """Run callbacks until `condition()` holds. Raises `TimedOut` at `deadline` (ns), `Interrupted` on a signal."""
        began = self.clock.monotonic_ns()
        while not condition():
            if self.interrupted_by is not None and not shielded:
                raise Interrupted(f"{signal.Signals(self.interrupted_by).name} while waiting for {what}")
            now = self.clock.monotonic_ns()
            if deadline is not None and now >= deadline:
                raise TimedOut(what, seconds(now - began))
            self._turn(deadline)

    def _turn(self, deadline: int | None) -> None:
        moments = [*(() if deadline is None else (deadline,)), *(timer[0] for timer in self._timers[:1])]
        pause = max(0.0, seconds(min(moments) - self.clock.monotonic_ns())) if moments else None
        for key, _ in self._selector.select(pause):
            key.data()
        while self._posted:
            self._posted.popleft()()
        now = self.clock.monotonic_ns()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _on_signal(self, number: int, _frame: object) -> None:
        if self.interrupted_by is None:
            self.interrupted_by = number
        else:
            self.post(self.on_again)

    def _drain(self) -> None:
        os.read(self._wake_read, 4096)
