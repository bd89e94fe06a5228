"""How a service knows what became of its last life: two small files beside its data.

    life.json       written at the start: number, process, and how often the kernel had killed in this group by then
    shutdown.json   written by an orderly end: why, and whether it came to its end

A life without an end was killed; by the kernel for memory if the group's counter moved meanwhile, or if whoever ran the
container says so (`ended.json`: a new container is a new group, whose counter begins at 0).

Not promised: to tell whom the kernel killed. Where it killed another process of the group, and somebody else this one,
the kernel is blamed for both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from targets import durable

LIFE, SHUTDOWN, ENDED = "life.json", "shutdown.json", "ended.json"


@dataclass(frozen=True)
class Group:
    """Which group of processes a life was in (device and inode: a path can be made anew), and its counter."""

    identity: str = ""
    oom_kills: int = 0

    @classmethod
    def of(cls, folder: Path | None, oom_kills: int) -> Group:
        """Note the group at `folder`."""
        if folder is None:
            return cls()
        status = folder.stat()
        return cls(f"{status.st_dev}:{status.st_ino}", oom_kills)


@dataclass(frozen=True)
class Past:
    """What became of the last life: `first`, `shutdown`, `overrun`, `oom` or `killed`, and what is known about it."""

    how: str
    details: Mapping[str, object]


class Lives:
    """The lives of the service whose files are in `folder`, which it owns alone."""

    def __init__(self, folder: Path, group: Group) -> None:
        self._folder = folder
        self._group = group
        self.number = 0

    def begin(self) -> Past:
        """Begin a life; return what became of the one before."""
        life, ended = self._read(LIFE), self._read(ENDED)
        past = _judge(life, self._read(SHUTDOWN), ended, self._group)
        self.number = int(life.get("life", 0)) + 1
        group = asdict(self._group)
        self._write(LIFE, {"life": self.number, "pid": os.getpid(), **group})
        if ended:
            (self._folder / ENDED).unlink()
        return past

    def ending(self, record: Mapping[str, object], *, finished: bool) -> None:
        """Note, durably, why this life ends, and whether it has come to its end."""
        self._write(SHUTDOWN, {"life": self.number, "finished": finished, **record})

    def _read(self, name: str) -> dict[str, Any]:
        """Read a file; {} if it is missing, or damaged: these files explain, nothing depends on them."""
        try:
            found = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, content: Mapping[str, object]) -> None:
        data = json.dumps(content, indent=1).encode() + b"\n"
        durable.replace(self._folder / name, data, name.removesuffix(".json"))


def note_end(folder: Path, status: int, *, oom: bool) -> None:
    """Note how a container ended, for the service in the next one to read. For whoever runs it."""
    durable.replace(folder / ENDED, json.dumps({"status": status, "oom": oom}).encode(), "ended")


def _judge(life: Mapping[str, Any], shutdown: Mapping[str, Any], ended: Mapping[str, Any], group: Group) -> Past:
    if not life:
        return Past("first", {})
    said = shutdown if shutdown.get("life") == life.get("life") else {}
    if said.get("finished"):
        return Past("shutdown", said)
    known = {"life": life.get("life"), "pid": life.get("pid"), "was_shutting_down": bool(said), **ended}
    kills = group.oom_kills - int(life.get("oom_kills", 0))
    if ended.get("oom") or (life.get("identity") == group.identity != "" and kills > 0):
        return Past("oom", {**known, "oom_kills": max(kills, 1)})
    return Past("overrun" if said else "killed", known)
