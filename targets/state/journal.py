"""The current generation's two files, and the order of writing that gives the mirror its meaning.

    journal: write, fdatasync  ->  mirror: write  ->  acknowledge

So whatever is in the mirror was durable in the journal, and whatever was acknowledged is in both. The mirror is not
synced here (that would double the price of a write): it protects against damage and kills, the journal against power
cuts as well.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from targets.durable import failpoint, write_at
from targets.state import layout
from targets.state.errors import NotWritten, OutcomeUnknown, ReadOnly


class Seal(NamedTuple):
    """What a file must look like: its length and SHA-256."""

    length: int
    digest: str

    @classmethod
    def of(cls, data: bytes) -> Seal:
        """Return the seal of a file that holds `data`."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


class Journal:
    """Appends to an existing generation that holds `content`, in both files. One caller at a time.

    After a failed sync nothing is ever written to these files again: the kernel marks the lost pages as clean, so that
    the next sync would succeed and mean nothing.
    """

    def __init__(self, folder: Path, generation: int, content: bytes) -> None:
        self.generation = generation
        self.failed = False
        self._length = len(content)
        self._digest = hashlib.sha256(content)
        self._journal = os.open(folder / layout.journal(generation), os.O_WRONLY)
        self._mirror = os.open(folder / layout.mirror(generation), os.O_WRONLY)

    def append(self, data: bytes) -> None:
        """Make `data` durable.

        Raises `NotWritten` if certainly nothing of it remains, `OutcomeUnknown` if something might, `ReadOnly` if that
        happened before.
        """
        if self.failed:
            raise ReadOnly(f"journal generation {self.generation} failed; open the store anew to recover")
        failpoint("journal.before_append")
        self._write(self._journal, data)
        failpoint("journal.before_fsync")
        self._sync()
        failpoint("journal.after_fsync")
        self._write(self._mirror, data)
        failpoint("mirror.after_write")
        self._length += len(data)
        self._digest.update(data)

    def seal(self) -> Seal:
        """Return what both files must look like now."""
        return Seal(self._length, self._digest.hexdigest())

    def finish(self) -> None:
        """Make the mirror durable as well: a finished generation has two lasting copies."""
        os.fdatasync(self._mirror)

    def close(self) -> None:
        """Close both files."""
        os.close(self._journal)
        os.close(self._mirror)

    def _write(self, descriptor: int, data: bytes) -> None:
        try:
            write_at(descriptor, data, self._length)
        except OSError as error:
            self._roll_back(error)

    def _roll_back(self, cause: OSError) -> None:
        """Cut off what a full disk let through, in both files; once that is durable, the write is certainly undone."""
        try:
            os.ftruncate(self._mirror, self._length)
            os.ftruncate(self._journal, self._length)
        except OSError as error:
            self._give_up(error)
        self._sync()
        raise NotWritten(f"the record could not be written: {cause}") from cause

    def _sync(self) -> None:
        try:
            os.fdatasync(self._journal)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, cause: OSError) -> None:
        self.failed = True
        raise OutcomeUnknown(f"the journal failed and is closed for writing: {cause}") from cause
