"""What happened, as JSON lines, and how long recoveries took. Not synced: it is for people, and survives kills."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

EVENTS, OLDER_EVENTS, STATUS = "events.jsonl", "events.1.jsonl", "status.json"
ROTATE_BYTES = 1 << 20
RECOVERED = "server.recovered"
_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

_encode = msgspec.json.Encoder().encode


class History:
    """Appends events to the files in `folder`; a disk that refuses is nobody's problem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: bytes = b""

    def note(self, event: str, **data: object) -> None:
        """Write one event, in one write."""
        line = _encode({"at": round(time.time(), 6), "event": event, "data": data}) + b"\n"
        with contextlib.suppress(OSError):
            path = self._folder / EVENTS
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line)
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > ROTATE_BYTES:
                path.replace(self._folder / OLDER_EVENTS)

    def status(self, status: dict[str, object]) -> None:
        """Replace the description of the present, if it changed."""
        data = _encode(status)
        if data == self._told:
            return
        temporary = self._folder / f".{STATUS}.tmp"
        with contextlib.suppress(OSError):
            temporary.write_bytes(data)
            temporary.replace(self._folder / STATUS)
            self._told = data


def events(folder: Path) -> Iterator[dict[str, object]]:
    """Yield the events of a folder, oldest first. A torn line is skipped."""
    for name in (OLDER_EVENTS, EVENTS):
        with contextlib.suppress(FileNotFoundError):
            for line in (folder / name).read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError):
                    yield msgspec.json.decode(line, type=dict[str, object])


def histogram(samples_ms: Iterable[float]) -> list[tuple[str, int]]:
    """Count milliseconds in the buckets that are used, from the first to the last of them."""
    samples = sorted(samples_ms)
    edges = [0.0, *map(float, _BOUNDS_MS), float("inf")]
    counted = [(_label(low, high), sum(low < s <= high for s in samples)) for low, high in pairwise(edges)]
    used = [index for index, (_, count) in enumerate(counted) if count]
    return counted[used[0] : used[-1] + 1] if used else []


def _label(low: float, high: float) -> str:
    return f"≤ {high:g} ms" if high != float("inf") else f"> {low:g} ms"


def quantile(samples_ms: Iterable[float], share: float) -> float:
    """Return the smallest sample that `share` of all do not exceed. Raises `IndexError` without samples."""
    samples = sorted(samples_ms)
    return samples[max(0, -int(-share * len(samples) // 1) - 1)]
