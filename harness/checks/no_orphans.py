"""The target stops what it started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.checks._base import Verdict
from harness.record import Observed, Record
from harness.registry import check


@check("no_orphans")
@dataclass(frozen=True, kw_only=True)
class NoOrphans:
    """When the target says that it has stopped, no process of the run is left.

    UNKNOWN where nobody looked, because the trial did not get that far.
    """

    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ("left_processes",)

    def judge(self, record: Record) -> Verdict:
        """Judge the sample that was taken after the target's stop."""
        samples = [event for event in record.of(Observed) if event.name == "left_processes"]
        if not samples:
            return Verdict(status="UNKNOWN", summary="nobody looked for processes after the target's stop")
        left = samples[-1].data["processes"]
        if left:
            names = ", ".join(f"{each['pid']} ({each['command']})" for each in left)
            summary = f"{len(left)} processes outlived the target: {names}"
            return Verdict(status="FAIL", summary=summary, numbers={"orphans": len(left)})
        return Verdict(status="PASS", summary="no process outlived the target", numbers={"orphans": 0})
