"""Nobody waits for ever while others are served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from harness.checks import _locks
from harness.checks._base import Status, Verdict
from harness.checks._edits import by_writer
from harness.record import Operation, Record
from harness.registry import check
from harness.units import Seconds


@check("fair_within")
@dataclass(frozen=True, kw_only=True)
class FairWithin:
    """Nobody waited longer than `longest_wait`, and nobody's share of the edits was less than `smallest_share`.

    A wait is that of an acquire, granted or not; without locks it is from the first try of an edit to its
    acknowledgement. Waits of clients that a fault killed do not count. UNKNOWN with fewer than two writers.
    """

    shorthand: ClassVar[str | None] = "longest_wait"
    observes: ClassVar[tuple[str, ...]] = ()

    longest_wait: Seconds
    """Longest acceptable wait."""
    smallest_share: Annotated[float, Ge(0), Le(1)] = 0.5
    """Least number of acknowledged edits of a writer, as a part of the mean."""

    def judge(self, record: Record) -> Verdict:
        """Judge the worst wait and the smallest share."""
        done = {writer: sum(edit.done is not None for edit in each) for writer, each in by_writer(record).items()}
        mean = sum(done.values()) / max(len(done), 1)
        waits = sorted(_waits(record))
        if len(done) < 2 or not mean or not waits:  # noqa: PLR2004  it takes two to be unfair
            return Verdict(
                status="UNKNOWN", summary="fewer than two writers wrote, so nobody could be treated unfairly"
            )
        poorest = min(done, key=lambda writer: done[writer])
        share, (longest, client) = done[poorest] / mean, waits[-1]
        numbers = {
            "longest_ms": longest / 1e6,
            "p99_ms": waits[len(waits) * 99 // 100][0] / 1e6,
            "smallest_share": share,
        }
        status: Status = "FAIL"
        if longest / 1e9 > self.longest_wait:
            summary = f"client {client} waited {longest / 1e6:.0f} ms, longer than {self.longest_wait}"
        elif share < self.smallest_share:
            summary = f"writer {poorest} made {done[poorest]} edits where the mean is {mean:.1f}"
        else:
            status = "PASS"
            summary = f"the longest wait was {longest / 1e6:.0f} ms, the smallest share {share:.2f} of the mean"
        return Verdict(status=status, summary=summary, numbers=numbers)


def _waits(record: Record) -> Iterator[tuple[int, int]]:
    """Yield every wait (ns) with its client."""
    killed = _locks.killed(record)
    requests = [each for each in _locks.requests(record) if each.operation.client not in killed]
    for request in requests:
        if request.ended < _locks.NEVER:
            yield request.ended - request.operation.called, request.operation.client
    for edit in (edit for each in by_writer(record).values() for edit in each) if not requests else ():
        if edit.done is not None:
            yield _end(edit.done) - edit.tries[0].called, edit.client


def _end(operation: Operation) -> int:
    return operation.returned or operation.called
