"""Recovery time objective: after every fault the target serves again soon enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from harness.checks._base import Status, Verdict
from harness.checks._recovery import Recovery, recoveries
from harness.record import Record
from harness.registry import check
from harness.units import Seconds


@check("recovered_within")
@dataclass(frozen=True, kw_only=True)
class RecoveredWithin:
    """Every fault was noticed, and the target was well again within `budget` of it.

    UNKNOWN where nobody noticed a fault: then nothing was recovered from. The time is split into the moments at
    which the damage was detected, the service restarted, the state restored, and the first good answer came.
    """

    shorthand: ClassVar[str | None] = "budget"
    observes: ClassVar[tuple[str, ...]] = ()

    budget: Seconds
    """Longest acceptable time from fault to good answers."""
    good_probes: Annotated[int, Ge(1)] = 3
    """How many good probes in a row count as well."""

    def judge(self, record: Record) -> Verdict:
        """Judge every recovery; the slowest one gives the numbers."""
        found = recoveries(record, self.good_probes)
        if not found:
            return Verdict(status="UNKNOWN", summary="no fault was injected, so nothing was recovered from")
        slowest = max(found, key=lambda each: each.took_ms or 0.0)
        unnoticed = [each for each in found if each.noticed is None]
        never = [each for each in found if each.noticed is not None and each.took_ms is None]
        took, budget = slowest.took_ms or 0.0, self.budget * 1000
        well = f"well again {took:.0f} ms after {slowest.kind}"
        status: Status
        if never:
            status, summary = "FAIL", f"never well again after {_names(never)}"
        elif took > budget:
            status, summary = "FAIL", f"{well}, over the budget of {self.budget}"
        elif unnoticed:
            status = "UNKNOWN"
            summary = f"nobody noticed {_names(unnoticed)}: no probe failed, and the target reported no damage"
        else:
            status, summary = "PASS", f"{well}, within the budget of {self.budget}"
        return Verdict(
            status=status,
            summary=summary,
            numbers={"recovery_ms": took, "budget_ms": budget, "never_recovered": len(never), **slowest.stages()},
            evidence=tuple(f"events.jsonl: fault {each.fault} ({each.kind})" for each in found),
        )


def _names(found: list[Recovery]) -> str:
    return ", ".join(f"fault {each.fault} ({each.kind})" for each in found)
