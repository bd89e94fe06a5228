"""Memory taken on request, as a leak would take it: without asking for admission, and deaf to all warnings.

    private     anonymous memory, page after page, in a thread of Python
    shared      the same in a shared mapping
    one_call    one call in C that holds the interpreter until it has all of it: no code of this process can watch
    child       as `shared`, in a process of its own, which no fence holds, and which asks the kernel to be killed first

`python -m targets.resources.appetite BYTES RATE` is that process.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from targets.resources.errors import BadRequest
from targets.resources.fence import Fence, prefer_as_victim
from targets.resources.units import KIB, MIB
from targets.supervision import die_with_parent

KINDS = ("private", "shared", "one_call", "child")
_PIECE = 64 * KIB
_CHUNK = 4 * MIB
_TOUCH = b"x" * _PIECE
_AHEAD_S = 0.002
_MAPPING = {"private": mmap.MAP_PRIVATE, "shared": mmap.MAP_SHARED, "child": mmap.MAP_SHARED}

_memset = ctypes.PyDLL(None).memset  # PyDLL, unlike CDLL, keeps the interpreter to itself during the call
_memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]


class Appetite:
    """Holds as much memory as was asked for last, and grows towards it in a thread.

    `refused` is called with the number of bytes held when the system gives no more; then that is all there will be.
    """

    def __init__(self, refused: Callable[[int], None] = lambda _: None) -> None:
        self.held = 0
        self._refused = refused
        self._chunks: list[mmap.mmap] = []
        self._child: subprocess.Popen[bytes] | None = None
        self._full = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, count: int, rate: float | None = None, kind: str = "private") -> None:
        """Grow to `count` bytes at `rate` bytes a second (None: as fast as it goes), and return at once.

        0 gives everything back. To hold less than now, give everything back first.
        """
        if kind not in KINDS:
            raise BadRequest(f"unknown kind of growth {kind!r}; known are {', '.join(KINDS)}")
        self.release()
        self._full.clear()
        if count and kind == "child":
            self._child = subprocess.Popen(
                [sys.executable, "-m", "targets.resources.appetite", str(count), str(rate or 0)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        elif count:
            self._thread = threading.Thread(target=self._grow, args=(count, rate, kind), daemon=True)
            self._thread.start()

    def release(self) -> None:
        """Give everything back."""
        self._full.set()
        if self._thread is not None:
            self._thread.join()
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        for chunk in self._chunks:
            chunk.close()
        self._chunks.clear()
        self._thread = self._child = None
        self.held = 0

    def _grow(self, count: int, rate: float | None, kind: str) -> None:
        try:
            if kind == "one_call":
                self._take_at_once(count)
            else:
                self._take(count, rate, _MAPPING[kind])
        except (MemoryError, OSError):  # mmap says ENOMEM as an OSError
            self._refused(self.held)

    def _take_at_once(self, count: int) -> None:
        chunk = mmap.mmap(-1, count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._chunks.append(chunk)
        _memset(ctypes.addressof(ctypes.c_char.from_buffer(chunk)), 1, count)
        self.held = count

    def _take(self, count: int, rate: float | None, flags: int) -> None:
        began = time.monotonic()
        while self.held < count and not self._full.is_set():
            chunk = mmap.mmap(-1, min(_CHUNK, count - self.held), flags | mmap.MAP_ANONYMOUS)
            self._chunks.append(chunk)
            for offset in range(0, len(chunk), _PIECE):
                chunk[offset : offset + _PIECE] = _TOUCH[: len(chunk) - offset]
                self.held += min(_PIECE, len(chunk) - offset)
                ahead = self.held / rate - (time.monotonic() - began) if rate else 0.0
                if ahead > _AHEAD_S and self._full.wait(ahead):
                    return


def main() -> int:
    """Grow as the command line says, and keep it until killed."""
    die_with_parent(signal.SIGKILL)
    prefer_as_victim(1000)
    Fence(1.0).lower()  # the service's is not ours
    appetite = Appetite()
    appetite.hold(int(sys.argv[1]), float(sys.argv[2]) or None, "shared")
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
