"""Stop a process for a while: a long garbage collection, a suspended laptop, a starved virtual machine."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import FaultNotProven, TimedOut
from harness.faults._base import Site, Undo
from harness.processes import Process, command_line
from harness.registry import fault
from harness.undo import undoer
from harness.waiting import until
from harness.wire import Json

_STOP_PATIENCE_S = 2.0


@fault("process.pause")
@dataclass(frozen=True, kw_only=True)
class ProcessPause:
    """Hold a process with SIGSTOP until the fault's end, then let it go on with SIGCONT.

    It keeps its locks, connections and leases meanwhile, and does not know that time has passed.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = True

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the process by pid and start time, so that nobody else is ever continued."""
        process = site.process()
        return [Undo("process.resume", {"pid": process.pid, "started": process.started})]

    def inject(self, site: Site) -> Json:
        """Send SIGSTOP."""
        process = site.process()
        process.send(signal.SIGSTOP)
        return {"pid": process.pid, "started": process.started, "command": command_line(process.pid)}

    def prove(self, site: Site, evidence: Json) -> Json:
        """Wait until the kernel says that it is stopped."""
        process = Process(evidence["pid"], evidence["started"])
        return _await_state(process, stopped=True)

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """Wait until the kernel says that it is not stopped (or that it has died meanwhile)."""
        process = Process(evidence["pid"], evidence["started"])
        return _await_state(process, stopped=False)


def _await_state(process: Process, *, stopped: bool) -> Json:
    what = f"process {process.pid} to be {'stopped' if stopped else 'continued'}"
    try:
        until(lambda: (process.state() == "T") is stopped, what, _STOP_PATIENCE_S)
    except TimedOut as error:
        raise FaultNotProven(f"{error}; its state is {process.state()!r}") from error
    return {"pid": process.pid, "state": process.state() or "gone"}


@undoer("process.resume")
def resume(pid: int, started: int) -> None:
    """Send SIGCONT; a process that is gone needs none."""
    try:
        Process(pid, started).send(signal.SIGCONT)
    except ProcessLookupError:
        return
