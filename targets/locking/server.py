"""A Redis server of our own, kept running by `targets.supervision`: for the adapter, the benchmarks and the tests."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from targets import supervision
from targets.locking.errors import CannotOpen

START_TIMEOUT_S = 20.0

_STABLE_S = 0.2  # a server that cannot start (port taken, file damaged) ends sooner
_LOOK_S = 0.01
_IN_FOLDER = "import os, sys; os.makedirs(sys.argv[1], exist_ok=True); os.execvp(sys.argv[2], sys.argv[2:])"
_NO_TITLE = ("--set-proc-title", "no")  # it would overwrite the environment, by whose label a run finds its processes
_DURABILITY = {
    "always": ("--appendonly", "yes", "--appendfsync", "always"),
    "everysec": ("--appendonly", "yes", "--appendfsync", "everysec"),
    "none": ("--appendonly", "no"),
}

Emit = Callable[..., None]


class RedisServer:
    """`redis-server` from PATH on a free port of 127.0.0.1, its files in `folder`, restarted at once when it dies.

    `emit(name, **data)` takes the supervisor's events. A folder that vanished is made anew: then it starts empty.
    """

    def __init__(self, folder: Path, persistence: str = "always", emit: Emit = lambda *_, **__: None) -> None:
        self.folder = folder
        self.pid: int | None = None
        self.address = ""
        self._durability = _DURABILITY[persistence]
        self._emit = emit
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None

    @property
    def supervisor(self) -> int | None:
        """The pid of the supervisor, while there is one."""
        return self._supervisor.pid if self._supervisor is not None else None

    def start(self) -> None:
        """Return once it answers. Raises `CannotOpen` if there is no `redis-server`, or it does not come up."""
        program = shutil.which("redis-server")
        if program is None:
            raise CannotOpen("there is no redis-server on PATH; install Redis 6.2 or newer, or use the sqlite backend")
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        place = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.folder), "--save", "")
        arguments = (*place, *_NO_TITLE, *self._durability)
        command = [sys.executable, "-ISc", _IN_FOLDER, str(self.folder), program, *arguments]
        options = ("--no-readiness", "--stable", str(_STABLE_S), "--with-parent")
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "targets.supervision", *options, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._supervisor.stdout,), daemon=True)
        self._listener.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        nothing = threading.Event()
        while not answers(self.address):
            if self._supervisor.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise CannotOpen(f"redis-server did not come up in {self.folder}; the log above says why")
            nothing.wait(_LOOK_S)

    def stop(self) -> None:
        """End it and its supervisor."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        supervisor.send_signal(signal.SIGTERM)
        try:
            supervisor.wait(2 * supervision.Policy().grace_s)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        if self._listener is not None:
            self._listener.join()
        self.pid = None

    def _listen(self, lines: IO[bytes]) -> None:
        """Take the supervisor's events; Redis itself shares the pipe for its log, which goes to our standard error."""
        with lines:
            for line in lines:
                event = _event(line)
                if event is None:
                    sys.stderr.write(line.decode(errors="replace"))
                    continue
                name, data = event
                if name == "service.started":
                    self.pid = int(str(data["pid"]))
                elif name == "service.exited":
                    self.pid = None
                self._emit(name, **data)


def answers(address: str, timeout_s: float = 0.5) -> bool:
    """Return whether a Redis at `host:port` answers, and is done with loading."""
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout_s) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def _event(line: bytes) -> tuple[str, Mapping[str, object]] | None:
    try:
        parsed = json.loads(line)
        return parsed["event"], parsed["data"]
    except (ValueError, TypeError, KeyError):
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
