"""my_system under `bigfive`: an adapter that works as it is, around a store that is only a dictionary.

    bigfive adapter check ./my_system.py:adapter                            what it does, and what it does not offer
    bigfive new scenario first --target ./my_system.py:adapter --fault noop
    bigfive run scenarios/first.yaml

Put your own system in its place where it says YOURS. The harness starts this file several times: once as the host,
and once for each client; `python -m pydoc harness.wire` is the whole protocol. Three answers matter:

    return {..}                  ok: done, and it stays done
    raise Refused(..)            fail: certainly not done, now or later
    raise anything else          info: nobody knows, such as after a timeout

Nothing is imported from the harness, and nothing needs to be. `print` is safe: it ends up in a log.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """What is certainly not done; `details` are sent along."""

    certainly_not_done = True

    def __init__(self, **details: object) -> None:
        super().__init__(str(details))
        self.details = details


class Host:
    """Starts and stops the system; there is one a run."""

    def __init__(self, emit: Callable[..., None]) -> None:
        # YOURS: emit("damage.detected", handle="journal") tells what happens. `describe` must name every such event;
        # service.started, damage.detected, restore.begin and restore.end split a recovery time into its stages.
        self.emit = emit
        self.folder: Path | None = None
        self.server: socketserver.BaseServer | None = None

    def describe(self) -> Json:
        """Say what the system is and where its parts are now; asked before `start` and again before each fault."""
        return {
            "name": "my_system",
            # YOURS: what clients can do with it, `harness.wire.CONTRACTS` has the choice.
            "contracts": ["versioned_store"],
            # YOURS: what faults can act on, a process (pid), a file or a folder (path): without `service`, nothing
            # can be killed. `bigfive explain state_corruption` has the names that scenarios use. Leave out pid or
            # path while there is none, and offer only what is truly there.
            "handles": {"folder": {"type": "folder", **({"path": str(self.folder)} if self.folder else {})}},
            "events": [],
            "failpoints": [],
        }

    def start(self, folder: str, label: str, options: Json) -> Json:
        """Start it in an empty folder, wait until it serves, and return what `Client.open` needs to find it.

        `options` is what a scenario says under `with`. `label` is in the environment as BIGFIVE_LABEL too and must stay
        there for every child: it is how leftovers are found.
        """
        del label, options
        self.folder = Path(folder)
        # YOURS: a process of its own (subprocess.Popen), which you start again when it dies: the harness never does.
        address = str(self.folder / "socket")
        self.server = server = _Server(address, _Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return {"connect": address}

    def stop(self) -> None:
        """Take it down, so that nothing is left outside the folder. Called at the end of input too: twice is fine."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class Client:
    """One client. A connection for each call: nothing to open again after a loss, no late answer to mix up."""

    def open(self, connect: str, client: int, timeout_s: float) -> None:
        """Take note of the address; this must succeed even while the system is down, so it connects to nothing."""
        del client
        self.address = connect
        self.timeout_s = timeout_s  # no call may take longer

    def probe(self) -> None:
        """Do something cheap and real; an answer means that the system serves."""
        self._ask(op="read", key="probe")

    def close(self) -> None:
        """Let go of everything."""

    # YOURS: the operations of the contracts, by their names.

    def read(self, key: str) -> Json:
        """Return value and version of a key; version 0 was never written."""
        return self._ask(op="read", key=key)

    def write(self, key: str, value: object, expected_version: int | None = None) -> Json:
        """Write and return the new version. What is acknowledged here must survive every crash."""
        return self._ask(op="write", key=key, value=value, expected_version=expected_version)

    def _ask(self, **question: object) -> Json:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(self.timeout_s)
            try:
                connection.connect(self.address)
            except OSError as error:
                raise Refused(error="unreachable") from error  # never sent, so certainly not done
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer: Json = json.loads(stream.readline())  # a connection that breaks here is an `info`
        if "refused" in answer:
            raise Refused(**answer["refused"])
        return answer


# From here on it is the store that stands in for yours.


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(address, handler)
        self.lock = threading.Lock()
        self.entries: dict[str, tuple[Any, int]] = {}

    def answer(self, op: str, key: str, value: object = None, expected_version: int | None = None) -> Json:
        with self.lock:
            old, version = self.entries.get(key, (None, 0))
            if op == "read":
                return {"value": old, "version": version}
            if expected_version not in {None, version}:
                return {"refused": {"error": "conflict", "version": version}}
            self.entries[key] = (value, version + 1)
            return {"version": version + 1}


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        question = json.loads(self.rfile.readline())
        self.wfile.write(json.dumps(self.server.answer(**question)).encode() + b"\n")


adapter = SimpleNamespace(host=Host, client=Client)
