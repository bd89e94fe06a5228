"""The trial's end of failpoints: a unix socket at which the target waits to be let go (see `harness.wire`)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.engine.loop import Loop
from harness.wire import FAILPOINT_NAMES_VARIABLE, FAILPOINTS_VARIABLE

LetGo = Callable[[], None]
_LINE_LIMIT = 4096


class _Arrival(msgspec.Struct):
    failpoint: str


class FailpointServer:
    """`on_arrival(name, let_go)` is called in the loop's thread while the target is held; it calls `let_go` when done.

    A trial that dies closes its sockets, which lets every held target go.
    """

    def __init__(self, loop: Loop, path: Path, on_arrival: Callable[[str, LetGo], None]) -> None:
        self._loop = loop
        self._path = path
        self._on_arrival = on_arrival
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(64)
        loop.watch(self._socket.fileno(), self._accept)

    def environment(self, names: list[str]) -> dict[str, str]:
        """Return what the target's environment needs so that it stops at `names`."""
        return {FAILPOINTS_VARIABLE: str(self._path), FAILPOINT_NAMES_VARIABLE: ",".join(names)}

    def close(self) -> None:
        """Let nobody wait any more."""
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        self._loop.watch(connection.fileno(), lambda: self._hear(connection))

    def _hear(self, connection: socket.socket) -> None:
        self._loop.unwatch(connection.fileno())
        try:
            arrival = msgspec.json.decode(connection.recv(_LINE_LIMIT), type=_Arrival)
        except (OSError, msgspec.MsgspecError):
            connection.close()  # killed on its way, or not one of ours
            return

        def let_go() -> None:
            try:
                connection.sendall(b"go\n")
            except OSError:
                pass  # the fault was its death
            connection.close()

        self._on_arrival(arrival.failpoint, let_go)
