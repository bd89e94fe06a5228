"""How a service tells its supervisor that it is ready (the idea of s6's notification-fd): ten lines to import."""

from __future__ import annotations

import contextlib
import os

READY_VARIABLE = "BIGFIVE_READY_FD"


def notify_ready() -> None:
    """Tell the supervisor that this process serves now. Without a supervisor, and the second time, nothing happens."""
    descriptor = os.environ.pop(READY_VARIABLE, "")
    if descriptor.isdigit():
        # The supervisor may be gone, and the variable may have been inherited by a process without the descriptor.
        with contextlib.suppress(OSError):
            os.write(int(descriptor), b"\n")
            os.close(int(descriptor))
