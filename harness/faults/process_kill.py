"""Kill a process, as the kernel's OOM killer, an operator or a crash would."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.faults import _ends
from harness.faults._base import Site
from harness.registry import fault
from harness.wire import Json


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
        return _ends.end(site, signal.Signals[f"SIG{self.signal}"])

    def prove(self, site: Site, evidence: Json) -> Json:
        """Wait until that very process is gone."""
        return _ends.prove_gone(evidence)
