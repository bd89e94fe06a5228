"""A client of the state service; also the client role of the adapter. Imports nothing slow."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping

Json = dict[str, object]


class NotDone(Exception):
    """The service refused, or was not reached at all: what was asked is certainly not done, now or later."""

    certainly_not_done = True

    def __init__(self, message: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.details = dict(details)


class Unknown(Exception):
    """What was asked may have been done, or not, or may still be."""


class StateClient:
    """Speaks with the service at `connect["socket"]`, and connects anew by itself after a failure.

    No call takes longer than `timeout_s`. One thread at a time.
    """

    def __init__(self) -> None:
        self._path = ""
        self._timeout_s = 0.0
        self._deadline = 0.0
        self._connection: socket.socket | None = None

    def open(self, connect: Mapping[str, str], client: str, timeout_s: float) -> None:
        """Note where the service is. It need not be there yet."""
        self._path = connect["socket"]
        self._timeout_s = timeout_s

    def probe(self) -> Json:
        """Succeed if the service takes writes."""
        return self._call({"op": "probe"})

    def read(self, key: str) -> Json:
        """Return `value` and `version` of `key`."""
        return self._call({"op": "read", "key": key})

    def write(self, key: str, value: object, expected_version: int | None = None) -> Json:
        """Return the new `version`. Raises `NotDone` (a conflict is one) or `Unknown`."""
        return self._call({"op": "write", "key": key, "value": value, "expected_version": expected_version})

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _call(self, request: Json) -> Json:
        self._deadline = time.monotonic() + self._timeout_s
        try:
            connection = self._send(json.dumps(request).encode() + b"\n")
            reply = json.loads(self._receive(connection))
        except OSError as error:
            self.close()  # an answer that comes too late must not be taken for the next one's
            raise Unknown(f"{request['op']} was sent, then: {error}") from error
        if "ok" in reply:
            return reply["ok"]  # type: ignore[no-any-return]
        if "fail" in reply:
            raise NotDone(reply["fail"]["message"], reply["fail"])
        raise Unknown(reply["info"]["message"])

    def _send(self, line: bytes) -> socket.socket:
        """Send all of `line`. Raises `NotDone` where not a byte of it was taken, `OSError` after that."""
        try:
            connection, sent = self._begin(line)
        except OSError as error:
            self.close()
            raise NotDone(f"{self._path} cannot be reached: {error}", {"error": "unreachable"}) from error
        if sent < len(line):
            connection.settimeout(self._left())
            connection.sendall(line[sent:])
        return connection

    def _begin(self, line: bytes) -> tuple[socket.socket, int]:
        """Send the first bytes, on the old connection if it still works, else on a new one."""
        if self._connection is not None:
            try:
                return self._connection, self._connection.send(line)
            except OSError:  # the service was restarted since the last call; nothing of this one was sent
                self.close()
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(self._left())
        self._connection.connect(self._path)
        return self._connection, self._connection.send(line)

    def _receive(self, connection: socket.socket) -> bytes:
        parts = [b""]
        while not parts[-1].endswith(b"\n"):
            connection.settimeout(self._left())
            parts.append(connection.recv(1 << 16))
            if not parts[-1]:
                raise ConnectionResetError("the service hung up")
        return b"".join(parts)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self._timeout_s} s")
        return left
