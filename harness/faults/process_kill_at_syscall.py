"""Kill a process at its n-th system call of a name: every point at which a crash can leave a disk half written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt, Interval

from harness.clock import SystemClock
from harness.errors import FaultNotProven
from harness.faults import _strace
from harness.faults._base import Site, Undo
from harness.processes import Process
from harness.registry import fault
from harness.units import Seconds
from harness.wire import Json

_CALL = re.compile(r"(\d+) +(\w+)\(")  # thread and name, where a call begins
_LOG_PATIENCE_S = 2.0


@fault("process.kill_at_syscall")
@dataclass(frozen=True, kw_only=True)
class ProcessKillAtSyscall:
    """Send SIGKILL when a thread of the process enters its `nth` call, before the call does anything.

    Calls count from the moment at which the fault is due, each thread and each of the calls for itself; the damage
    counts from the death. For a point in the target's own code, use `process.kill` with `at: {failpoint: …}`.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"strace"})

    syscalls: _strace.Syscalls = ("fdatasync", "fsync")
    """Which calls."""
    nth: Annotated[int, Interval(ge=1, le=_strace.MOST_CALLS)] = 1
    """Which of a thread's calls, from 1."""
    file: str | None = None
    """Only calls on this file, relative to the target's folder; without it, on any file, pipe or socket."""
    within: Annotated[Seconds, Gt(0)] = Seconds(10)
    """How long to wait for that call."""

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the process, whose tracer must not outlive the harness."""
        return _strace.plan_detachment(site)

    def inject(self, site: Site) -> Json:
        """Attach strace and wait for the death; whatever happens, nobody traces the process afterwards."""
        evidence = _strace.attach(site, self.syscalls, f"signal=KILL:when={self.nth}", self.file)
        process = Process(evidence["pid"], evidence["started"])
        what = f"call {self.nth} of {', '.join(self.syscalls)} in the log of process {process.pid}, which died"
        try:
            if not process.wait(self.within):
                raise FaultNotProven(f"within {self.within} no thread of process {process.pid} made call {self.nth}")
            died = {"began_ns": SystemClock().monotonic_ns()}
            return {**evidence, **died, **_strace.await_call(evidence, self._reached, what, _LOG_PATIENCE_S)}
        finally:
            _strace.detach(process.pid, process.started)

    def prove(self, site: Site, evidence: Json) -> Json:
        """That very process is gone, and strace saw it enter the call."""
        if Process(evidence["pid"], evidence["started"]).alive():
            raise FaultNotProven(f"process {evidence['pid']} is alive")
        return {"gone": evidence["pid"], "call": evidence["call"]}

    def _reached(self, lines: Sequence[str]) -> str | None:
        """Return the line of the fatal call; a process that died of something else made too few."""
        made: Counter[str] = Counter()
        for line in lines:
            if match := _CALL.match(line):
                made[match[0]] += 1
                if made[match[0]] == self.nth:
                    return line
        return None
