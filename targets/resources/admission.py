"""Admission: work asks before it takes memory, so that what was promised can never add up to more than there is.

A monitor that looks every 10 ms is outrun by ten requests of 50 MiB that begin within one. Asking first cannot be.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from targets.resources.errors import Refused
from targets.resources.units import about


class Admission:
    """Promises memory out of what is left below `ceiling`.

    `usage` reads the use in bytes now, and the ceiling in bytes, or None where there is none. Thread-safe.
    """

    def __init__(self, usage: Callable[[], tuple[int, int | None]]) -> None:
        self.promised = 0
        self._usage = usage
        self._closed = ""
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def take(self, count: int) -> Iterator[None]:
        """Promise `count` bytes for the time of the block. Raises `Refused` if they are not there, or it is closed.

        Bytes that the work has touched already count twice until the block ends: rather too little work than too much.
        """
        with self._lock:
            used, ceiling = self._usage()
            if self._closed:
                raise Refused(f"no new work: {self._closed}", {"error": "shedding"})
            if ceiling is not None and used + self.promised + count > ceiling:
                left = max(0, ceiling - used - self.promised)
                raise Refused(f"{about(count)} asked, {about(left)} left for new work", {"error": "full", "left": left})
            self.promised += count
        try:
            yield
        finally:
            with self._lock:
                self.promised -= count

    def close(self, why: str) -> None:
        """Refuse everything until `open`."""
        self._closed = why

    def open(self) -> None:
        """Promise again."""
        self._closed = ""
