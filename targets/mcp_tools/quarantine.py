"""Calls that killed the server again and again: refused for a while, with the evidence."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from targets.mcp_tools import messages
from targets.mcp_tools.calls import Call, Death

MOST = 256


@dataclass(frozen=True)
class Sentence:
    """What a call did, and until when it is refused (seconds of the clock)."""

    until: float
    deaths: tuple[Death, ...]


class Quarantine:
    """Remembers `MOST` calls by method and parameters, each for `seconds`. `_meta` is no part of what a call is."""

    def __init__(self, seconds: float = 600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sentences: dict[str, Sentence] = {}

    def __len__(self) -> int:
        return len(self._sentences)

    def convict(self, call: Call) -> None:
        """Refuse calls like this one from now on."""
        if len(self._sentences) >= MOST:
            self._sentences.pop(next(iter(self._sentences)))
        self._sentences[digest(call.line)] = Sentence(self._clock() + self._seconds, tuple(call.deaths))

    def sentence(self, line: bytes) -> Sentence | None:
        """Return why a request is refused, or None."""
        if not self._sentences:
            return None
        name = digest(line)
        found = self._sentences.get(name)
        if found is not None and found.until <= self._clock():
            del self._sentences[name]
            return None
        return found


def digest(line: bytes) -> str:
    """Return the hash of a request's method and parameters."""
    message = messages.decode(line)
    params = {name: raw for name, raw in messages.fields(message.params).items() if name != "_meta"}
    return hashlib.sha256(messages.encode([message.name, sorted(params.items())])).hexdigest()
