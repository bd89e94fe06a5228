"""What the tests of the state feature share: small stores as bytes, damage to them, and a controller of failpoints."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from targets.state.errors import StateError
from targets.state.recovery import Recovery, recover
from targets.state.settings import Settings
from targets.state.store import StateStore

NEVER = Settings(snapshot_every=10**9, checkpoint_every=10**9)
ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the store's files; not the lock and not what is kept aside."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "lock"}


def values(recovery: Recovery) -> dict[str, tuple[int, bytes]]:
    """Return the recovered state in a form that can be compared."""
    return {key: (version, bytes(value)) for key, (version, value) in recovery.entries.items()}


def fill(store: StateStore, count: int, first: int = 0) -> None:
    """Write `count` values over three keys."""
    for number in range(first, first + count):
        store.write(f"k{number % 3}", {"n": number})


def build(folder: Path, rotations: int = 2, per_rotation: int = 3) -> dict[str, bytes]:
    """Make a small store with several generations and return its files, as a kill would leave them."""
    store = StateStore(folder, NEVER)
    for rotation in range(rotations):
        fill(store, per_rotation, rotation * 10)
        store.rotate()
    fill(store, per_rotation, 100)
    store.checkpoint()
    fill(store, 2, 200)
    files = contents(folder)
    store.close()
    return files


def outcome(files: dict[str, bytes]) -> Recovery | StateError:
    """Recover, or return the refusal."""
    try:
        return recover(files)
    except StateError as error:
        return error


class Recorder:
    """Collects events; `wait` returns once one of that name has come."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self._changed = threading.Condition()

    def __call__(self, name: str, **data: object) -> None:
        with self._changed:
            self.events.append((name, data))
            self._changed.notify_all()

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def wait(self, name: str, count: int = 1, timeout_s: float = 20.0) -> dict[str, object]:
        """Return the data of the `count`-th event of this name."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.names().count(name) >= count, timeout_s), self.events
        return [data for event, data in self.events if event == name][count - 1]


class Failpoints:
    """The harness's side of the failpoint protocol: says `order` to whoever arrives, and notes where."""

    def __init__(self, path: Path, names: str, order: str) -> None:
        self.environment = {"BIGFIVE_FAILPOINTS": str(path), "BIGFIVE_FAILPOINT_NAMES": names}
        self.reached: list[str] = []
        self._order = order
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                self.reached.append(json.loads(lines.readline())["failpoint"])
                connection.sendall(self._order.encode() + b"\n")


def gone(pid: int, timeout_s: float = 10.0) -> bool:
    """Wait until a process has ended; return whether it did."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], timeout_s)[0])
    finally:
        os.close(pidfd)


def kill(pid: int) -> None:
    """Kill a process and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)


def python(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a Python process from the repository's root, its output piped."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
