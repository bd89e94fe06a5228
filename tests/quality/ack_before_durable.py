"""A planted bug: the state service acknowledges while the record is still in its own memory, up to 0.2 s long.

Everything else is the real thing, so `kill -9` is followed by a flawless recovery without the last writes. The check
`no_acknowledged_write_lost` must convict it. Referenced as `…/tests/quality/ack_before_durable.py:adapter`.
"""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

from targets.state.client import StateClient
from targets.state.host import Host
from targets.state.journal import Journal, Seal
from targets.state.service import main

if TYPE_CHECKING:
    from targets.state.store import Emit

FLUSH_AFTER_S = 0.2


class ForgetfulJournal(Journal):
    """Keeps what it should write, and writes it later."""

    _lock = threading.Lock()
    _pending = b""

    def append(self, data: bytes) -> None:
        with self._lock:
            if not self._pending:
                timer = threading.Timer(FLUSH_AFTER_S, self._flush)
                timer.daemon = True
                timer.start()
            self._pending += data

    def seal(self) -> Seal:
        self._flush()
        return super().seal()

    def finish(self) -> None:
        self._flush()
        super().finish()

    def close(self) -> None:
        self._flush()
        super().close()

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, b""
            if pending:
                super().append(pending)


def host(emit: Emit) -> Host:
    return Host(emit, (sys.executable, __file__))


adapter = SimpleNamespace(host=host, client=StateClient)

if __name__ == "__main__":
    # A checkpoint would give the bug away: it knows records that the journal lacks, which recovery refuses.
    never = str(10**9)
    sys.exit(main([*sys.argv[1:], "--checkpoint-every", never, "--snapshot-every", never], ForgetfulJournal))
