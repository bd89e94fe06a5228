"""What a server says on standard error: passed on, but never waited for, and its end kept as evidence."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from targets.mcp_tools.loop import Loop
from targets.mcp_tools.streams import Inlet

TAIL_BYTES = 4096
BYTES_PER_S = 1 << 16
_ATOMIC = 4096  # a pipe that is writable takes this much without blocking


class StandardError:
    """Relays a server's standard error to ours, `BYTES_PER_S` at most; what is too much is dropped, and counted."""

    def __init__(
        self, loop: Loop, descriptor: int, target: int = 2, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.dropped = 0
        self._target = target
        self._clock = clock
        self._tail = b""
        self._allowance = float(BYTES_PER_S)
        self._filled_at = clock()
        self._unreported = 0
        self._inlet = Inlet(loop, descriptor, self._take, lambda: None)

    @property
    def tail(self) -> str:
        """The end of what was said."""
        return self._tail.decode(errors="replace")

    def drain(self) -> None:
        """Take what is left of a dead server."""
        self._inlet.drain()

    def _take(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        now = self._clock()
        self._allowance = min(BYTES_PER_S, self._allowance + (now - self._filled_at) * BYTES_PER_S)
        self._filled_at = now
        for start in range(0, len(chunk), _ATOMIC):
            self._relay(chunk[start : start + _ATOMIC])

    def _relay(self, piece: bytes) -> None:
        if self._unreported and self._allowance >= _ATOMIC:
            self._write(b"[%d bytes of the server's standard error were dropped]\n" % self._unreported)
            self._unreported = 0
        if self._allowance < len(piece) or not self._write(piece):
            self._unreported += len(piece)
            self.dropped += len(piece)

    def _write(self, piece: bytes) -> bool:
        poll = select.poll()
        poll.register(self._target, select.POLLOUT)
        if [event for _, event in poll.poll(0)] != [select.POLLOUT]:
            return False
        self._allowance -= len(piece)
        return os.write(self._target, piece) == len(piece)
