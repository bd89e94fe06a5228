"""Let the wall clock of one process jump: a wrong time server, a resumed virtual machine, an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harness.errors import FaultNotProven
from harness.faults import _faketime
from harness.faults._base import Site, Undo
from harness.processes import Process
from harness.registry import fault
from harness.units import Shift
from harness.wire import Json


@fault("clock.jump")
@dataclass(frozen=True, kw_only=True)
class ClockJump:
    """Set the wall clock of one client process, and of what it starts, forwards or backwards until the fault's end.

    Its monotonic clock, everybody else's clocks, and those of the machine go on as they are. Proven: the process has
    the library that does it loaded, and another one that reads the same file sees the clock jump. Not proven: that the
    process looks at its wall clock at all.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"faketime"})

    by: Shift
    """How far, with its sign: +1h or -10min."""

    def equip(self, folder: Path) -> Mapping[str, str]:
        """Every client gets a wall clock of its own."""
        return _faketime.equip(folder)

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the file that will say that the clock is right. Raises `FaultNotProven` where it is wrong already."""
        file = _faketime.file_of(site)
        if _faketime.shifted(file):
            raise FaultNotProven(f"the clock of process {site.process().pid} is wrong already")
        return [Undo("clock.restore", {"path": str(file)})]

    def inject(self, site: Site) -> Json:
        """Write the file."""
        file, process = _faketime.file_of(site), site.process()
        _faketime.shift(file, self.by)
        return {"pid": process.pid, "started": process.started, "file": str(file), "by_s": float(self.by)}

    def prove(self, site: Site, evidence: Json) -> Json:
        """Ask a process with the same clock."""
        return _prove(evidence, self.by)

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """Ask again; of a process that has died meanwhile nothing is left to be wrong."""
        if not Process(evidence["pid"], evidence["started"]).alive():
            return {"gone": evidence["pid"]}
        return _prove(evidence, 0)


def _prove(evidence: Json, by: float) -> Json:
    seen = _faketime.witness(Process(evidence["pid"], evidence["started"]))
    differs = {"wall": seen["wall_s"] - by, "monotonic": seen["monotonic_s"]}
    if wrong := [name for name, difference in differs.items() if not 0 <= difference <= seen["exact_to_s"]]:
        raise FaultNotProven(f"the {' and the '.join(wrong)} clock is not what it should be, {by:+g} s: {seen}")
    return seen
