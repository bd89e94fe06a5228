"""A planted bug: when the disk fails, the journal syncs again until it is told 0, and acknowledges.

PostgreSQL did so until 2018. The kernel reports a failed write-back once and marks the page clean: the next `fsync`
returns 0, and the record is on no disk. Everything else is the real thing. The check `no_acknowledged_write_lost` must
convict it. Referenced as `…/tests/quality/retried_fsync.py:adapter`.

Limits. A sync that only strace lets fail loses nothing: the pages stay dirty, and the second sync truly writes them;
and without a power cut even a page that was never written is still read back from memory. So the scenario lets the
*writes* fail, for as long as the process lives. That leaves what the kernel leaves, a record that is in no file and a
second sync that returns 0. Not shown: the same with an error that appears in `fdatasync` alone, which needs a disk that
forgets.
"""

from __future__ import annotations

import contextlib
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from targets.durable import write_at
from targets.state.client import StateClient
from targets.state.host import Host
from targets.state.journal import Journal
from targets.state.service import main

if TYPE_CHECKING:
    from targets.state.store import Emit

ATTEMPTS = 5


class RetryingJournal(Journal):
    """Takes every failure for one of those that go away."""

    def _write(self, descriptor: int, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the sync will tell
            write_at(descriptor, data, self._length)

    def _sync(self) -> None:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(OSError):
                os.fdatasync(self._journal)
                return
        super()._sync()


def host(emit: Emit) -> Host:
    return Host(emit, (sys.executable, __file__))


adapter = SimpleNamespace(host=host, client=StateClient)

if __name__ == "__main__":
    sys.exit(main(journal=RetryingJournal))
