"""The toy with its server at the other end of a link: on TCP, each time on another port, its files in a folder.

A client's answers tell its clocks. With the option `stubborn` the clients are not led through the proxy.
"""

from __future__ import annotations

import importlib.util
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "toy_adapter" not in sys.modules:  # this file is served by its path, and so is that one
    _spec = importlib.util.spec_from_file_location("toy_adapter", Path(__file__).with_name("toy_adapter.py"))
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["toy_adapter"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["toy_adapter"])
toy: Any = sys.modules["toy_adapter"]


class Host(toy.Host):  # type: ignore[misc]
    def __init__(self, emit: Callable[..., None]) -> None:
        super().__init__(emit)
        self.emit = emit
        self.address: str | None = None

    def describe(self) -> dict[str, Any]:
        server = {"pid": self.service.pid, "data": str(self.folder / "data")} if self.address else {}
        handles = {
            "backend": {"type": "process", **server},
            "link": {"type": "link", **({"address": self.address} if self.address else {})},
        }
        events = ["backend.ready"]
        return {"name": "linked", "contracts": ["versioned_store"], "handles": handles, "events": events}

    def start(
        self, folder: str, label: str, options: dict[str, Any], links: dict[str, str] | None = None
    ) -> dict[str, Any]:
        del label
        self.folder = Path(folder)
        command = [sys.executable, __file__, str(self.folder / "data")]
        self._spawn(command)
        threading.Thread(target=self._supervise, args=(command,), daemon=True).start()
        return {"connect": self.address if links is None or options.get("stubborn") else links["link"]}

    def _spawn(self, command: list[str]) -> None:
        self.service = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.service.stdout is not None
        self.address = self.service.stdout.readline().decode().strip()
        self.emit("backend.ready", address=self.address)


class Client(toy.Client):  # type: ignore[misc]
    def read(self, key: str) -> dict[str, Any]:
        return {**super().read(key), "wall": time.time(), "monotonic": time.monotonic()}

    def _connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), self.timeout_s)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 50


class adapter:  # noqa: N801  the name in the scenario's `target`
    host = Host
    client = Client


if __name__ == "__main__":
    data = Path(sys.argv[1])
    data.mkdir(exist_ok=True)
    with Server(("127.0.0.1", 0), toy.handler(toy.Store(data, {}))) as server:
        sys.stdout.write(":".join(map(str, server.server_address)) + "\n")
        sys.stdout.flush()
        server.serve_forever()
