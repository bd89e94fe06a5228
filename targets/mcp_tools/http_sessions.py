"""Sessions of the handshake era: their ids survive supervisors, their server is shared.

The shared server is told that its clients can do nothing (no sampling, elicitation or roots), so it never asks a
question that could be anybody's.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from targets.mcp_tools.http_wire import Connection

FILE = "sessions.json"
MOST = 1000


@dataclass
class HttpSession:
    """One client: its open stream, if it has one, and the resources that it subscribed to."""

    id: str
    stream: Connection | None = None
    resources: set[str] = field(default_factory=set)


class Sessions:
    """The sessions in `folder`; the oldest end when there are too many."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._sessions: dict[str, HttpSession] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):
            known = msgspec.json.decode(self._path.read_bytes(), type=list[str])
            self._sessions = {id_: HttpSession(id_) for id_ in known}

    def __iter__(self) -> Iterator[HttpSession]:
        return iter(list(self._sessions.values()))

    def open(self) -> HttpSession:
        """Begin a session."""
        session = HttpSession(uuid.uuid4().hex)
        self._sessions[session.id] = session
        while len(self._sessions) > MOST:
            self.close(next(iter(self._sessions)))
        self._write()
        return session

    def get(self, id_: str) -> HttpSession | None:
        """Return a session that is open."""
        return self._sessions.get(id_)

    def close(self, id_: str) -> None:
        """End a session."""
        session = self._sessions.pop(id_, None)
        if session is not None and session.stream is not None:
            session.stream.end()
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # it costs sessions only if the supervisor dies as well
            temporary = self._path.with_suffix(".tmp")
            temporary.write_bytes(msgspec.json.encode(list(self._sessions)))
            temporary.replace(self._path)
