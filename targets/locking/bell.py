"""How a waiter on this host hears at once that it should look again: a datagram socket without a file.

A ring is a hint, never a promise: who hears nothing looks again by itself (see `patience`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress

from targets.locking import liveness
from targets.locking.backend import Blocked


class Watch:
    """Descriptors that become readable when a process that stands directly in the way dies."""

    def __init__(self) -> None:
        self._watched: dict[str, int] = {}

    def wait(self, blocked: Blocked, listening: int | None, timeout_s: float) -> None:
        """Return when `listening` is readable, a death is seen, or after `timeout_s`.

        Behind others only the nearest of them is watched: it in turn watches who is before it.
        """
        processes = {waiter.process for waiter in blocked.ahead[-1:]} or {each.process for each in blocked.holders}
        for process in self._watched.keys() - processes:
            os.close(self._watched.pop(process))
        for process in processes - self._watched.keys():
            descriptor = liveness.watch(process)
            if descriptor is not None:
                self._watched[process] = descriptor
            elif not liveness.alive(process):
                return
        heard = [] if listening is None else [listening]
        liveness.wait_any([*heard, *self._watched.values()], timeout_s)

    def close(self) -> None:
        """Watch no more."""
        for descriptor in self._watched.values():
            os.close(descriptor)
        self._watched.clear()


def ring(addresses: Iterable[str]) -> None:
    """Ring the first of `addresses` where anybody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bell:
        for address in addresses:
            with suppress(OSError):  # its process is dead, or in another network namespace
                bell.sendto(b"!", f"\0{address}")
                return


class LocalBell:
    """The bell of one wait."""

    def __init__(self) -> None:
        self.address = f"bigfive-{os.urandom(8).hex()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{self.address}")
        self._watch = Watch()

    def wait(self, blocked: Blocked, timeout_s: float) -> None:
        """See `Bell.wait`."""
        self._watch.wait(blocked, self._socket.fileno(), timeout_s)
        with suppress(BlockingIOError):
            while self._socket.recv(16):
                pass

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        self._watch.close()
