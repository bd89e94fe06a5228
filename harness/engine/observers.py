"""Samples of the world that checks ask for by name in `observes`; the engine takes them when the target has stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.processes import command_line, labelled
from harness.wire import Json


def left_processes(label: str) -> Json:
    """List what still runs of what the run has started."""
    found = [{"pid": process.pid, "command": command_line(process.pid)} for process in labelled(label)]
    return {"processes": found}


OBSERVERS: Mapping[str, Callable[[str], Json]] = {"left_processes": left_processes}
