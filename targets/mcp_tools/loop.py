"""A loop over descriptors and deadlines: one thread, and no import to wait for (asyncio: 80 ms)."""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, field

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(order=True)
class Timer:
    """A call that will happen unless it is cancelled."""

    at: float
    number: int
    call: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Do not call."""
        self.cancelled = True


class Loop:
    """Calls back when a descriptor is ready, when a time has come, and at the end of every turn.

    The end of a turn is where everything that the turn produced is journaled with one sync, and then sent.
    """

    def __init__(self) -> None:
        self._selector = selectors.PollSelector()  # epoll refuses files, and standard input may be one
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._at_end: list[Callable[[], None]] = []
        self._running = True

    def watch(self, descriptor: int, events: int, call: Callable[[], None]) -> None:
        """Call whenever `descriptor` is ready for `events`; with none, do not call any more."""
        known = descriptor in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(descriptor)
        elif known:
            self._selector.modify(descriptor, events, call)
        else:
            self._selector.register(descriptor, events, call)

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, that much later."""
        timer = Timer(time.monotonic() + seconds, next(self._numbers), call)
        heapq.heappush(self._timers, timer)
        return timer

    def at_end_of_turn(self, call: Callable[[], None]) -> None:
        """Call at the end of every turn, in the order of registration."""
        self._at_end.append(call)

    def stop(self) -> None:
        """Let `run` return at the end of this turn."""
        self._running = False

    def run(self) -> None:
        """Turn until `stop`."""
        while self._running:
            self.turn()

    def turn(self) -> None:
        """Wait for something to happen, and handle all that has happened."""
        for key, _ in self._selector.select(self._timeout()):
            if self._selector.get_map().get(key.fd) is key:  # an earlier call of this turn may have closed it
                key.data()
        while self._timers and (self._timers[0].cancelled or self._timers[0].at <= time.monotonic()):
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.call()
        for call in self._at_end:
            call()

    def close(self) -> None:
        """Release the selector."""
        self._selector.close()

    def _timeout(self) -> float | None:
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].at - time.monotonic()) if self._timers else None
