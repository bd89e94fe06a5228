"""Kill a process, as the kernel's OOM killer, an operator or a crash would."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.processes import Process, command_line
from harness.registry import fault
from harness.wire import Json

_DEATH_PATIENCE_S = 5.0


@fault("process.kill")
@dataclass(frozen=True, kw_only=True)
class ProcessKill:
    """Send a fatal signal to exactly this process (by pidfd, so never to one that got its pid since).

    Its children are not touched. Restarting it is the target's own job.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = False

    signal: Literal["KILL", "TERM", "INT", "ABRT", "SEGV"] = "KILL"
    """Which signal. Only KILL cannot be caught."""

    def inject(self, site: Site) -> Json:
        """Send the signal."""
        process = site.process()
        command = command_line(process.pid)
        process.send(signal.Signals[f"SIG{self.signal}"])
        return {"pid": process.pid, "started": process.started, "command": command, "signal": self.signal}

    def prove(self, site: Site, evidence: Json) -> Json:
        """Wait until that very process is gone."""
        process = Process(evidence["pid"], evidence["started"])
        if not process.wait(_DEATH_PATIENCE_S):
            raise FaultNotProven(
                f"process {process.pid} was still running {_DEATH_PATIENCE_S:g} s after SIG{self.signal}"
            )
        return {"gone": process.pid}
