"""Every operation took effect at one moment between its call and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from harness.checks import _fenced
from harness.checks._base import Status, Verdict
from harness.errors import ScenarioError
from harness.histories import checking
from harness.histories.models import ModelName, named
from harness.histories.operations import from_record
from harness.record import Invoked, Record
from harness.registry import check

_SHOWN = 8
_STATUSES: dict[checking.Status, Status] = {"ok": "PASS", "illegal": "FAIL", "unknown": "UNKNOWN"}


@check("linearizable")
@dataclass(frozen=True, kw_only=True)
class Linearizable:
    """What the clients were told is what they would have been told one after the other, in real time's order.

    Each key of a store is an object of its own. Reads after the quiet period count, a conflict counts as having
    seen the version it names, and a write of unknown outcome may have taken effect at any time from its call on.
    Locks are a fenced_mutex each, whose leases may end from their deadlines on, or when their holder is heard no more.
    UNKNOWN without an answer, with one that the model cannot judge, and where `max_steps` did not suffice.
    """

    shorthand: ClassVar[str | None] = "model"
    observes: ClassVar[tuple[str, ...]] = ()

    model: ModelName = "versioned_register"
    """What the target is meant to be; the operations are the model's."""
    max_steps: Annotated[int, Ge(1)] = 10_000_000
    """How many steps the search may take (about a million in two seconds). Versioned data needs none."""

    def judge(self, record: Record) -> Verdict:
        """Judge the whole history."""
        operations = [from_record(operation) for operation in record.operations]
        if self.model == "fenced_mutex":
            operations = _fenced.translated(record)
        try:
            found = checking.check(operations, named(self.model), checking.Budget(steps=self.max_steps))
        except ScenarioError as error:
            first, *more = str(error).splitlines()
            others = f" (and {len(more)} more)" if more else ""
            return Verdict(status="UNKNOWN", summary=f"{self.model} cannot judge {first}{others}")
        return Verdict(
            status=_STATUSES[found.status],
            summary=found.reason,
            numbers={"answers": found.answers, "steps": found.steps},
            evidence=self._evidence(record, found),
        )

    def _evidence(self, record: Record, found: checking.Verdict) -> tuple[str, ...]:
        lines = {entry.n: line for line, entry in enumerate(record.history, 1) if isinstance(entry, Invoked)}
        describe = named(self.model).describe
        shown = sorted(found.window, key=lambda op: op.call)[-_SHOWN:]
        return tuple(
            f"history.jsonl:{lines.get(op.n, '-')}: operation {op.n} (client {op.client}) {describe(op)}"
            for op in shown
        )
