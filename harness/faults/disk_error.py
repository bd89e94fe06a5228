"""Let a system call of a process fail: a dying disk, a full one, an exhausted quota."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Interval

from harness.faults import _strace
from harness.faults._base import Site, Undo
from harness.registry import fault
from harness.units import Seconds
from harness.wire import Json


@fault("disk.error")
@dataclass(frozen=True, kw_only=True)
class DiskError:
    """Answer the `nth` call of a thread with an error and do not make it; earlier ones, and others, go through.

    Each thread and each of the calls counts for itself. A process that is started meanwhile by the target's supervisor
    is not disturbed; one that is held at a failpoint makes no calls, so `nth` and `file` say where, rather than `at`.
    Not promised: what a real disk does besides failing, such as marking a page clean that was not written.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"strace"})

    syscalls: _strace.Syscalls = ("fdatasync", "fsync")
    """Which calls."""
    error: Literal["EIO", "ENOSPC", "EDQUOT", "EROFS"] = "EIO"
    """What they are answered with."""
    nth: Annotated[int, Interval(ge=1, le=_strace.MOST_CALLS)] = 1
    """Which of a thread's calls, from 1."""
    persistent: bool = False
    """Whether every later call fails as well, until the fault's end."""
    file: str | None = None
    """Only calls on this file, relative to the target's folder; without it, on any file, pipe or socket."""
    within: Annotated[Seconds, Gt(0)] = Seconds(10)
    """How long to wait for the first call that fails."""

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the process, whose tracer will be ended."""
        return _strace.plan_detachment(site)

    def inject(self, site: Site) -> Json:
        """Attach strace."""
        when = f"{self.nth}+" if self.persistent else str(self.nth)
        return _strace.attach(site, self.syscalls, f"error={self.error}:when={when}", self.file)

    def prove(self, site: Site, evidence: Json) -> Json:
        """Wait for a call that failed because strace made it fail."""
        what = f"call {self.nth} of {', '.join(self.syscalls)} by process {evidence['pid']}"
        return _strace.await_call(evidence, _strace.marked("(INJECTED)"), what, self.within)

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """Nobody traces the process any more."""
        return _strace.prove_detached(evidence)
