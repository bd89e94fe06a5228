"""The smallest system under test: a versioned store in a process of its own, which its host restarts when it dies.

Every write is one line of `journal`, flushed before it is acknowledged, so `kill -9` loses nothing. With the option
`forgetful` it keeps nothing at all, with `slow_stop` it never wants to stop.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class Host:
    """Starts the service, and starts it again whenever it ends."""

    def __init__(self, emit: object) -> None:
        del emit
        self.service: subprocess.Popen[bytes] | None = None
        self.folder = Path()
        self.stopping = False

    def describe(self) -> dict[str, Any]:
        pid = {"pid": self.service.pid} if self.service else {}
        handles = {
            "service": {"type": "process", **pid},
            "journal": {"type": "file", "path": str(self.folder / "journal")},
        }
        return {"name": "toy", "contracts": ["versioned_store"], "handles": handles, "events": [], "failpoints": []}

    def start(self, folder: str, label: str, options: dict[str, Any]) -> dict[str, Any]:
        del label
        self.folder = Path(folder)
        command = [sys.executable, __file__, folder, json.dumps(options)]
        self._spawn(command)
        threading.Thread(target=self._supervise, args=(command,), daemon=True).start()
        return {"connect": str(self.folder / "socket")}

    def stop(self) -> None:
        self.stopping = True
        if self.service:
            self.service.kill()
            self.service.wait()

    def _spawn(self, command: list[str]) -> None:
        self.service = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.service.stdout is not None
        self.service.stdout.readline()  # it serves

    def _supervise(self, command: list[str]) -> None:
        while self.service and self.service.wait() is not None and not self.stopping:
            self._spawn(command)


class Client:
    """One connection, opened again by the next call after it broke."""

    def open(self, connect: str, client: int, timeout_s: float) -> None:
        del client
        self.address, self.timeout_s = connect, timeout_s
        self.stream: Any = None

    def probe(self) -> dict[str, Any]:
        return self._ask({"op": "read", "key": "probe"})

    def read(self, key: str) -> dict[str, Any]:
        return self._ask({"op": "read", "key": key})

    def write(self, key: str, value: object, expected_version: int | None = None) -> dict[str, Any]:
        answer = self._ask({"op": "write", "key": key, "value": value, "expected": expected_version})
        if "conflict" in answer:
            raise Conflict(answer["conflict"])
        return answer

    def close(self) -> None:
        self.stream = None

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            if self.stream is None:
                self.stream = self._connect().makefile("rwb")
            self.stream.write(json.dumps(question).encode() + b"\n")
            self.stream.flush()
            return dict(json.loads(self.stream.readline()))
        except (OSError, ValueError):
            self.stream = None
            raise

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(self.timeout_s)
        connection.connect(self.address)
        return connection


class Conflict(Exception):
    certainly_not_done = True

    def __init__(self, version: int) -> None:
        super().__init__(f"the version is {version}")
        self.details = {"error": "conflict", "version": version}


class Store:
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.lock = threading.Lock()
        self.data: dict[str, tuple[Any, int]] = {}
        path = Path(os.devnull) if options.get("forgetful") else folder / "journal"
        for line in path.read_text().splitlines() if path.exists() else []:
            key, value, version = json.loads(line)
            self.data[key] = (value, version)
        self.journal = path.open("a")

    def answer(self, op: str, key: str, value: object = None, expected: int | None = None) -> dict[str, Any]:
        with self.lock:
            old, version = self.data.get(key, (None, 0))
            if op == "read":
                return {"value": old, "version": version}
            if expected not in {None, version}:
                return {"conflict": version}
            self.data[key] = (value, version + 1)
            self.journal.write(json.dumps([key, value, version + 1]) + "\n")
            self.journal.flush()
            return {"version": version + 1}


def handler(store: Store) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(json.dumps(store.answer(**json.loads(line))).encode() + b"\n")

    return Handler


def serve(folder: Path, options: dict[str, Any]) -> None:
    (folder / "socket").unlink(missing_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(folder / "socket"), handler(Store(folder, options))) as server:
        server.daemon_threads = True
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        server.serve_forever()


class adapter:  # noqa: N801  the name in the scenario's `target`
    host = Host
    client = Client


if __name__ == "__main__":
    serve(Path(sys.argv[1]), json.loads(sys.argv[2]))
