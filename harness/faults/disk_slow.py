"""Let a process wait for its disk: a degraded array, a noisy neighbour, a throttled volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from harness.faults import _strace
from harness.faults._base import Site, Undo
from harness.registry import fault
from harness.units import Seconds
from harness.wire import Json


@fault("disk.slow")
@dataclass(frozen=True, kw_only=True)
class DiskSlow:
    """Hold every call for `delay` before it is made, each thread for itself; then it does what it would have done.

    A process that is started meanwhile by the target's supervisor is not disturbed. Not promised: the delay of a shared
    queue, as two threads wait at the same time; and all other system calls become slower by some 0.05 ms each.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"strace"})

    delay: Annotated[Seconds, Gt(0)] = Seconds(0.1)
    """How long each call is held."""
    syscalls: _strace.Syscalls = ("fdatasync", "fsync")
    """Which calls."""
    file: str | None = None
    """Only calls on this file, relative to the target's folder; without it, on any file, pipe or socket."""
    within: Annotated[Seconds, Gt(0)] = Seconds(10)
    """How long to wait for the first call that is held."""

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the process, whose tracer will be ended."""
        return _strace.plan_detachment(site)

    def inject(self, site: Site) -> Json:
        """Attach strace."""
        return _strace.attach(site, self.syscalls, f"delay_enter={round(self.delay * 1e6)}", self.file)

    def prove(self, site: Site, evidence: Json) -> Json:
        """Wait for a call that returned late because strace had held it."""
        what = f"a delayed call of {', '.join(self.syscalls)} by process {evidence['pid']}"
        return _strace.await_call(evidence, _strace.marked("(DELAYED)"), what, self.within + self.delay)

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """Nobody traces the process any more."""
        return _strace.prove_detached(evidence)
