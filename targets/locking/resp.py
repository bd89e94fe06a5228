"""A connection to Redis that knows how far a command got. A socket, and hiredis as the parser.

Not redis-py: importing it takes 0.3 s, which two hundred clients pay each, and its own retries and timeouts make it
impossible to say whether a command that failed was sent.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import hiredis

from targets.locking.errors import BadRequest, OutcomeUnknown, Unavailable
from targets.locking.liveness import wait_any

_CHUNK = 1 << 16
_PORT = 6379


@dataclass(frozen=True)
class Address:
    """Where a Redis is: `host:port`, or `redis://[user][:password]@host[:port][/database]`."""

    host: str
    port: int = _PORT
    database: int = 0
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, text: str) -> Address:
        """Read one of the two forms. Raises `BadRequest`."""
        try:
            parts = urlsplit(text if "://" in text else f"redis://{text}")
            database = int(parts.path.strip("/") or 0)
            port = parts.port or _PORT
        except ValueError as error:
            raise BadRequest(f"{text!r} is no address of a Redis: {error}") from error
        if parts.scheme != "redis" or not parts.hostname:
            raise BadRequest(f"{text!r} is no address of a Redis; write host:port or redis://:password@host:port/0")
        return cls(parts.hostname, port, database, unquote(parts.username or ""), unquote(parts.password or ""))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def greetings(self) -> list[tuple[str, ...]]:
        """Return the commands that a new connection begins with."""
        login = [("AUTH", *filter(None, [self.user]), self.password)] if self.password else []
        return [*login, *([("SELECT", str(self.database))] if self.database else [])]


class Refused(Exception):
    """Redis answered with an error: `code` is its first word."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]


class Connection:
    """One connection, one command at a time. After an error it is of no more use."""

    def __init__(self, address: Address, deadline: float) -> None:
        self._address = address
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        try:
            self._socket = socket.create_connection((address.host, address.port), _left(deadline))
        except OSError as error:
            raise Unavailable(f"Redis at {address} cannot be reached: {error}; nothing was done") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for command in address.greetings():
                self.call(command, deadline)
        except (OutcomeUnknown, Refused) as error:
            self.close()
            raise Unavailable(f"Redis at {address} did not let us in: {error}") from error

    def is_usable(self) -> bool:
        """Return whether it is still open: between commands nothing but its end can have come."""
        return not wait_any([self._socket.fileno()], 0)

    def fileno(self) -> int:
        """For polling."""
        return self._socket.fileno()

    def call(self, command: tuple[str | int | float | bytes, ...], deadline: float) -> Any:  # noqa: ANN401
        """Send and return the answer: bytes, a number, None or a list of these.

        Raises `Refused` where Redis answered with an error, `OutcomeUnknown` where no answer came by `deadline`
        (on `time.monotonic`), `Unavailable` where nothing was sent.
        """
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]
        try:
            self._send(packed, deadline)
            while (answer := self._reader.gets()) is _NOT_YET:
                self._socket.settimeout(_left(deadline))
                self._feed()
        except OSError as error:
            raise OutcomeUnknown(f"Redis at {self._address}: {error} after the command was sent") from error
        if isinstance(answer, hiredis.ReplyError):
            raise Refused(str(answer))
        return answer

    def drain(self) -> None:
        """Read what has been pushed to a subscriber, and forget it. Raises `Unavailable` where it is cut off."""
        try:
            self._socket.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    self._feed()
        except OSError as error:
            raise Unavailable(f"Redis at {self._address}: {error}") from error
        while self._reader.gets() is not _NOT_YET:
            pass

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __del__(self) -> None:
        if hasattr(self, "_socket"):  # it was reached
            self._socket.close()

    def _send(self, packed: bytes, deadline: float) -> None:
        try:
            self._socket.settimeout(_left(deadline))
            sent = self._socket.send(packed)
        except OSError as error:
            raise Unavailable(f"Redis at {self._address}: {error}; nothing was sent") from error
        if sent < len(packed):
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(packed[sent:])

    def _feed(self) -> None:
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("it hung up")
        self._reader.feed(data)


_NOT_YET = object()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
