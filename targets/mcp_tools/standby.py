"""The server's side of the supervisor: wait for the turn, beat, be ready. For servers that know of us; imports nothing.

import everything_slow
wait_for_turn()
serve()
"""

from __future__ import annotations

import contextlib
import os
import sys

TURN_VARIABLE = "BIGFIVE_TURN_FD"
HEARTBEAT_VARIABLE = "BIGFIVE_HEARTBEAT_FD"


def wait_for_turn() -> None:
    """Return when this process is to serve; at once if it is no spare. Ends the process if its supervisor ends."""
    descriptor = os.environ.pop(TURN_VARIABLE, "")
    if descriptor.isdigit():
        if not os.read(int(descriptor), 1):
            sys.exit(0)
        os.close(int(descriptor))


class Heartbeat:
    """Tells the supervisor that the event loop turns. Call `beat` from it, ten times a second."""

    def __init__(self) -> None:
        descriptor = os.environ.get(HEARTBEAT_VARIABLE, "")
        self._descriptor = int(descriptor) if descriptor.isdigit() else -1

    def beat(self) -> None:
        """Say that the loop turns; without a supervisor nothing happens."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.set_blocking(self._descriptor, False)
                os.write(self._descriptor, b".")
