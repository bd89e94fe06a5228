"""When nobody listens any more: a pipe that was closed, a terminal that has hung up."""

from __future__ import annotations

import os
from typing import TextIO


def hush(stream: TextIO) -> None:
    """Let all that is still written to `stream` go nowhere, the interpreter's own last flush included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
