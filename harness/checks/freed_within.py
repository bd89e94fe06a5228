"""What a killed client held is the next one's soon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.checks import _locks
from harness.checks._base import Status, Verdict
from harness.checks._locks import Grant, Request
from harness.record import Record
from harness.registry import check
from harness.units import Seconds


@check("freed_within")
@dataclass(frozen=True, kw_only=True)
class FreedWithin:
    """After `process.kill` of a client that held locks, each was granted to another client within `budget`.

    The time counts from the kill, or from when somebody first wanted the lock after it, to the answer. UNKNOWN where
    no client was killed while it held a lock, or nobody wanted the lock afterwards.
    """

    shorthand: ClassVar[str | None] = "budget"
    observes: ClassVar[tuple[str, ...]] = ()

    budget: Seconds
    """Longest acceptable time from the kill to the next grant."""

    def judge(self, record: Record) -> Verdict:
        """Judge every lock that a killed client held; the slowest one gives the numbers."""
        grants, requests = _locks.grants(record), _locks.requests(record)
        left = list(_left(record, [grant for each in grants.values() for grant in each]))
        found = [(grant, _handed_over(grant, died, grants[grant.key], requests)) for grant, died in left]
        never = [grant for grant, took in found if took is not None and took >= _locks.NEVER]
        took = {grant.token: took / 1e6 for grant, took in found if took is not None and took < _locks.NEVER}
        slowest = max(took.values(), default=0.0)
        numbers = {"held": len(left), "freed_ms": slowest, "budget_ms": self.budget * 1000, "never_freed": len(never)}
        status: Status
        if never:
            status, summary = "FAIL", f"{never[0].key} was wanted and never granted after its holder was killed"
        elif slowest > self.budget * 1000:
            status = "FAIL"
            summary = (
                f"the next grant came {slowest:.1f} ms after its holder was killed, over the budget of {self.budget}"
            )
        elif not took:
            status = "UNKNOWN"
            reason = "nobody wanted the lock afterwards" if left else "no client was killed while it held a lock"
            summary = f"{reason}, so nothing was freed"
        else:
            status = "PASS"
            summary = f"the next grant came {slowest:.1f} ms after its holder was killed, within {self.budget}"
        evidence = tuple(_locks.line_of(record, grant.request) for grant, _ in left)
        return Verdict(status=status, summary=summary, numbers=numbers, evidence=evidence)


def _left(record: Record, grants: Sequence[Grant]) -> Iterator[tuple[Grant, int]]:
    """Yield what killed clients held, each with the time of the kill."""
    for client, died in _locks.killed(record).items():
        for grant in (each for each in grants if each.client == client):
            asked_back = grant.released is not None and grant.released <= died
            if grant.granted <= died < grant.possibly_until and not asked_back:
                yield grant, died


def _handed_over(grant: Grant, died: int, grants: Sequence[Grant], requests: Sequence[Request]) -> int | None:
    """Return how long (ns) the next one had to wait, `NEVER` if in vain, None if there was none."""
    answered = next((each for each in grants if each.granted > died and each is not grant), None)
    waiting = [
        max(died, each.operation.called)
        for each in requests
        if grant.key in each.keys and each.ended > died and each.operation.client != grant.client
    ]
    if answered is None:
        return _locks.NEVER if waiting else None
    return answered.granted - max(died, min(waiting))
