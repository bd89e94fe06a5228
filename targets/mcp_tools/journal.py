"""Which calls were given to a server and have no answer yet: an append-only file, synced before a call is forwarded.

It is for the next life: whatever is open in it when a supervisor starts was interrupted together with the supervisor,
and may have been executed. Frames are those of the state store, so a torn end is cut and damage is skipped.

Promised: `commit` returns after every record so far is durable, or says that it is not. Not promised: that an ended
call is known as ended after a power cut, since endings are written and not synced; a finished call may then be told as
interrupted, never the other way round.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from targets import durable
from targets.state import frames

NAME = "calls.log"
COMPACT_BYTES = 1 << 20
RETRY_S = 1.0


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """`number` began (`about` says what), ended (`outcome` says how), or, with neither, is the next to be given out."""

    number: int
    about: dict[str, object] | None = None
    outcome: str = ""


_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode


def _frame(record: Record) -> bytes:
    return frames.encode(_encode(record))[0]


def read(folder: Path) -> tuple[dict[int, dict[str, object]], int]:
    """Return the calls that are open in a folder's journal, and the next number."""
    path = folder / NAME
    calls: dict[int, dict[str, object]] = {}
    following = 1
    for frame in frames.scan(path.read_bytes())[0] if path.exists() else []:
        record = _decode(frame.body)
        if record.about is not None:
            calls[record.number] = record.about
        elif record.outcome:
            calls.pop(record.number, None)
        following = max(following, record.number + bool(record.about or record.outcome))
    return calls, following


class Journal:
    """Writes the journal in `folder`. `interrupted` are the calls that an earlier life left open.

    A disk that refuses does not stop the service: `failed` is set, and a new file is tried every second.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.interrupted, self.following = read(folder)
        self.failed = False
        self._path = folder / NAME
        self._clock = clock
        self._open: dict[int, dict[str, object]] = {}
        self._pending: list[bytes] = []
        self._urgent = False
        self._descriptor = -1
        self._size = 0
        self._retry_at = 0.0
        self._try(self._rewrite)

    def number(self) -> int:
        """Give out a number that no call of this folder ever had."""
        self.following += 1
        return self.following - 1

    def began(self, number: int, about: dict[str, object]) -> None:
        """Note a call; `commit` before it is forwarded."""
        self._open[number] = about
        self._pending.append(_frame(Record(number, about)))
        self._urgent = True

    def ended(self, number: int, outcome: str) -> None:
        """Note that a call needs no answer any more."""
        self._open.pop(number, None)
        self._pending.append(_frame(Record(number, outcome=outcome)))

    def commit(self) -> bool:
        """Write what was noted, and sync it if a call began; return whether the disk took it."""
        if not self._pending:
            return not self.failed
        if self.failed:
            if self._clock() >= self._retry_at:
                self._try(self._rewrite)
        elif self._size > COMPACT_BYTES:
            self._try(self._rewrite)
        else:
            self._try(self._append)
        self._pending.clear()
        self._urgent = False
        return not self.failed

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
            self.failed = False
        except OSError:  # after a failed sync a file is never written to again: the kernel forgot the lost pages
            self.failed = True
            self._retry_at = self._clock() + RETRY_S
            self.close()

    def _append(self) -> None:
        data = b"".join(self._pending)
        durable.write_at(self._descriptor, data, self._size)
        self._size += len(data)
        if self._urgent:
            durable.failpoint("calls.before_fsync")
            os.fdatasync(self._descriptor)
            durable.failpoint("calls.after_fsync")

    def _rewrite(self) -> None:
        """Begin a new file that holds the open calls only. Numbers given out before stay given out."""
        records = [Record(number, about) for number, about in self._open.items()]
        data = b"".join(map(_frame, [*records, Record(self.following)]))
        self.close()
        durable.replace(self._path, data, "calls")
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        self._size = len(data)
