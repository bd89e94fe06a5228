"""Kill the server behind a target: a crashed database, an evicted cache."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import ClassVar

from harness.faults import _ends
from harness.faults._base import Site
from harness.registry import fault
from harness.wire import Json


@fault("backend.kill")
@dataclass(frozen=True, kw_only=True)
class BackendKill:
    """Send SIGKILL to the server that the target keeps its state in: what it had not written is lost.

    Who restarts it, and when, is the target's matter.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = False

    def inject(self, site: Site) -> Json:
        """Send the signal."""
        return _ends.end(site, signal.SIGKILL)

    def prove(self, site: Site, evidence: Json) -> Json:
        """Wait until that very process is gone."""
        return _ends.prove_gone(evidence)
