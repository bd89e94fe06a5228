"""Descriptors that never block: what goes out waits here, and what comes in is read only as fast as it is wanted."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Callable

from targets.mcp_tools.loop import READ, WRITE, Loop

CHUNK_BYTES = 1 << 18


def unblocked(descriptor: int) -> int:
    """Return a descriptor of our own for the same pipe or file that does not block.

    Not by setting the flag on the one we were given: it would be set for everybody who shares it, a terminal's shell
    for one. Where there is no other way (sockets), it is set all the same.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        access = os.O_WRONLY if _writes(descriptor) else os.O_RDONLY
        with contextlib.suppress(OSError):
            return os.open(f"/proc/self/fd/{descriptor}", access | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    own = os.dup(descriptor)
    os.set_blocking(own, False)
    return own


def _writes(descriptor: int) -> bool:
    import fcntl  # noqa: PLC0415  needed once

    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


class Outlet:
    """Writes to a descriptor as fast as it takes bytes; `size` are those that wait.

    `broken` is called once when nobody reads any more; what is put in later is dropped.
    """

    def __init__(self, loop: Loop, descriptor: int, broken: Callable[[], None]) -> None:
        self.size = 0
        self.taken = 0
        self._loop = loop
        self._descriptor = descriptor
        self._broken = broken
        self._parts: deque[memoryview] = deque()
        self._open = True
        self._closing = False

    def put(self, data: bytes) -> None:
        """Send `data` after what waits already."""
        if self._open and not self._closing:
            self._parts.append(memoryview(data))
            self.size += len(data)

    def flush(self) -> None:
        """Write what can be written now; the rest follows by itself."""
        if not self._open:
            return
        try:
            while self._parts:
                self._write()
        except BlockingIOError:
            self._loop.watch(self._descriptor, WRITE, self.flush)
        except OSError:
            self.close()
            self._broken()
        else:
            self._loop.watch(self._descriptor, 0, self.flush)
            if self._closing:
                self.close()

    def end(self) -> None:
        """Close once everything is written."""
        self._closing = True
        self.flush()

    def close(self) -> None:
        """Close at once, and forget what waits."""
        if self._open:
            self._open = False
            self._loop.watch(self._descriptor, 0, self.flush)
            os.close(self._descriptor)
            self._parts.clear()
            self.size = 0

    def _write(self) -> None:
        if len(self._parts) > 1 and len(self._parts[0]) < CHUNK_BYTES:
            self._join()
        written = os.write(self._descriptor, self._parts[0])
        self.taken += written
        self.size -= written
        if written == len(self._parts[0]):
            self._parts.popleft()
        else:
            self._parts[0] = self._parts[0][written:]

    def _join(self) -> None:
        """Make one write of many small messages."""
        parts: list[memoryview] = []
        size = 0
        while self._parts and size < CHUNK_BYTES:
            parts.append(self._parts.popleft())
            size += len(parts[-1])
        self._parts.appendleft(memoryview(b"".join(parts)))


class Inlet:
    """Reads from a descriptor and hands on chunks; `ended` is called once at its end."""

    def __init__(self, loop: Loop, descriptor: int, take: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._take = take
        self._ended = ended
        self._open = True
        self._paused = False
        loop.watch(descriptor, READ, self._step)

    def pause(self, *, paused: bool) -> None:
        """Stop reading, or go on."""
        if self._open and paused != self._paused:
            self._paused = paused
            self._loop.watch(self._descriptor, 0 if paused else READ, self._step)

    def drain(self) -> None:
        """Read what is there now, then close: whoever wrote it is dead."""
        while self._open and self._read():
            pass
        self.close()

    def close(self) -> None:
        """Read no more."""
        if self._open:
            self._open = False
            self._loop.watch(self._descriptor, 0, self.close)
            os.close(self._descriptor)

    def _step(self) -> None:
        self._read()

    def _read(self) -> bool:
        try:
            chunk = os.read(self._descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if chunk:
            self._take(chunk)
        else:
            self.close()
            self._ended()
        return bool(chunk)
