"""What a session tells the world to do. Records become durable before anything is forwarded."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Forward:
    """Give `line` to the server."""

    line: bytes


@dataclass(frozen=True)
class Reply:
    """Give `line` to the client."""

    line: bytes


@dataclass(frozen=True)
class Begun:
    """Journal that call `number` is about to be forwarded for the first time."""

    number: int
    about: dict[str, object]


@dataclass(frozen=True)
class Ended:
    """Journal that call `number` needs no answer any more, and why."""

    number: int
    outcome: str


@dataclass(frozen=True)
class Note:
    """Write an event into the history."""

    event: str
    data: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Replace:
    """Kill this server: it cannot take over."""

    why: str


Action = Forward | Reply | Begun | Ended | Note | Replace
