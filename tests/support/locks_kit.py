"""Backends of `targets.locking` to test with, and processes that use them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.waiting import until
from targets.locking.backend import Backend
from targets.locking.redis import RedisBackend
from targets.locking.server import RedisServer
from targets.locking.sqlite import SqliteBackend

TESTS = Path(__file__).parents[1]
MISSING = "no redis-server on PATH; apt-get install redis-server"


@contextmanager
def redis_server(folder: Path, lacking: Callable[[str], None], persistence: str = "none") -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        lacking(MISSING)
    server = RedisServer(folder, persistence)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def open_by_address(address: str) -> Backend:
    """`redis://host:port#prefix` or a path: what a process of its own is told."""
    if address.startswith("redis://"):
        place, _, prefix = address.partition("#")
        return RedisBackend(place, prefix=prefix)
    return SqliteBackend(address)


class Process:
    """A process that does what `lock_worker` can; it says one JSON line for each step that it has done."""

    def __init__(self, what: str, *arguments: object) -> None:
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        command = [sys.executable, "-m", "support.lock_worker", what, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.pid = self._process.pid

    def said(self) -> Any:  # noqa: ANN401
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"it ended with {self._process.wait()}"
        return json.loads(line)

    def tell(self) -> None:
        """Let it take its next step."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def process(what: str, *arguments: object) -> Iterator[Process]:
    started = Process(what, *arguments)
    try:
        yield started
    finally:
        started.signal(signal.SIGCONT)
        started.end()


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Do `work(number)` in so many threads at once; raise the first error."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  raised below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def until_waiting(backend: Backend, count: int) -> None:
    until(lambda: len(backend.status().waiters) == count, f"{count} waiters", 5.0)
