"""How the kernel wakes us instead of our asking: descriptors for `poll`, for what each version of cgroups offers.

    v1  an eventfd for each set of usages in bytes, written when usage crosses one, in either direction: within 0.5 MiB
        of growth (128 page events a processor), at 2 GiB/s within a millisecond
    v2  inotify on `memory.events`; there are no usage thresholds, so it says "limit reached", not "nearly"
    PSI a trigger on `memory.pressure`; without CAP_SYS_RESOURCE only with windows of a multiple of 2 s

A wake-up is a hint: an eventfd fires as well when the group is removed, and when usage falls. Look before acting.
Inside a container the files are read-only; there `Herald` registers outside and hands the eventfd in.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import json
import os
import select
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

_IN_MODIFY = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Wakeups:
    """Descriptors that become readable when the kernel has something to say; `rungs` are shares of the limit.

    `armed_for` is the limit that the rungs were computed from, None while the kernel wakes nobody at usages.
    """

    def __init__(self) -> None:
        self._descriptors: set[int] = set()
        self._poll = select.poll()
        self.armed_for: int | None = None
        self._rungs = -1

    def add(self, descriptor: int, events: int = select.POLLIN) -> None:
        """Wait for one more descriptor, which is closed by `close`."""
        self._descriptors.add(descriptor)
        self._poll.register(descriptor, events)

    def arm(self, descriptor: int, limit: int) -> None:
        """Take the descriptor that is written at the rungs of this limit, in place of the one before."""
        if self._rungs >= 0:
            self._drop(self._rungs)
        self._rungs, self.armed_for = descriptor, limit
        self.add(descriptor)

    def wait(self, seconds: float) -> bool:
        """Wait until the kernel says something, at most so long; return whether it did."""
        ready = self._poll.poll(max(0.0, seconds) * 1000)
        for descriptor, happened in ready:
            if happened & select.POLLIN:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 4096)
            elif not happened & select.POLLPRI:  # hung up: the group of a pressure trigger is gone
                self._drop(descriptor)
        return bool(ready)

    def close(self) -> None:
        """Close all descriptors."""
        for descriptor in tuple(self._descriptors):
            self._drop(descriptor)
        self.armed_for, self._rungs = None, -1

    def _drop(self, descriptor: int) -> None:
        self._descriptors.remove(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)


def usage_thresholds(folder: Path, usages: Sequence[int]) -> int:
    """Return an eventfd that is written when the memory usage of a v1 group crosses one of `usages`, in bytes.

    Raises `OSError`: EROFS or EACCES inside a container, ENOENT on v2.
    """
    descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        usage = os.open(folder / "memory.usage_in_bytes", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for each in usages:
                _write(folder / "cgroup.event_control", f"{descriptor} {usage} {each}")
        finally:
            os.close(usage)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def limit_reached(folder: Path) -> int:
    """Return an inotify descriptor for changes of a v2 group's `memory.events`. Raises `OSError`."""
    descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    path = os.fsencode(folder / "memory.events")
    if _libc.inotify_add_watch(descriptor, path, _IN_MODIFY) < 0:
        number = ctypes.get_errno()
        os.close(descriptor)
        raise OSError(number, os.strerror(number), str(folder))
    return descriptor


def stalled(file: Path, stall_us: int = 100_000, window_us: int = 2_000_000) -> int:
    """Return a descriptor with POLLPRI once tasks stood still for `stall_us` of a window. Raises `OSError`."""
    descriptor = os.open(file, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"some {stall_us} {window_us}\0".encode())
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Herald:
    """Registers usage thresholds for those who may not, and hands them the eventfds over a unix socket.

    A guest connects and writes a line with a list of usages in bytes; it gets one byte that carries the descriptor,
    then end of file. Nothing else can be asked for. Who asks before `serve` is answered after it.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        Path(path).unlink(missing_ok=True)
        self._socket.bind(path)
        Path(path).chmod(0o666)  # the container's user is not ours; all it gets is news about its own memory
        self._socket.listen()
        self._thread: threading.Thread | None = None

    def serve(self, folder: Path) -> None:
        """Answer in a thread, for the v1 group at `folder`."""
        self._thread = threading.Thread(target=self._serve, args=(folder,))
        self._thread.start()

    def close(self) -> None:
        """Serve no more. What was handed out stays good as long as the group exists."""
        self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()
        self._socket.close()

    def _serve(self, folder: Path) -> None:
        while True:
            try:
                guest, _ = self._socket.accept()
            except OSError:
                return
            with guest, contextlib.suppress(OSError, ValueError, TypeError), guest.makefile("rb") as lines:
                guest.settimeout(1)
                descriptor = usage_thresholds(folder, [int(each) for each in json.loads(lines.readline(4096))])
                try:
                    rights = array.array("i", [descriptor])
                    guest.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                finally:
                    os.close(descriptor)


def ask_herald(path: str, usages: Sequence[int], timeout_s: float = 5.0) -> int:
    """Return an eventfd from the `Herald` at `path`. Raises `OSError`."""
    with socket.socket(socket.AF_UNIX) as herald:
        herald.settimeout(timeout_s)
        herald.connect(path)
        herald.sendall(json.dumps(list(usages)).encode() + b"\n")
        _, descriptors, _, _ = socket.recv_fds(herald, 1, 1)
    if not descriptors:
        raise OSError(errno.ENOENT, "the herald knows no such group of processes", path)
    return descriptors[0]


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
