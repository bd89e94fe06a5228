"""The running side of a plan: told what happens, it says which steps are due. Knows no clock and touches no world."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.clock import NS_PER_S
from harness.engine.schedule import Step

_Wanted = Callable[[Step], bool]


@dataclass(order=True, frozen=True)
class Due:
    """A step and the moment (monotonic ns) at which it should begin."""

    at: int
    n: int
    step: Step = field(compare=False)


class Timeline:
    """Call `start` once, then tell it of operations, events, failpoints and proven steps as they come.

    Each step becomes due exactly once, or never, if what it waits for never happens. `waiting` says what is still
    to come.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._waiting = {step.n: step for step in steps}
        self._heap: list[Due] = []
        self._events: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()

    def start(self, now: int) -> None:
        """Time zero: schedule every step whose moment is known from the beginning."""
        for step in self._take(lambda step: step.at_s is not None and step.after is None):
            self._schedule(step, now)

    def proven(self, n: int, now: int) -> None:
        """Step `n` took effect (or is given up): those that count from it can be scheduled."""
        for step in self._take(lambda step: step.after == n):
            self._schedule(step, now)

    def answered(self, count: int, now: int) -> None:
        """`count` operations have been answered since the start."""
        for step in self._take(lambda step: step.operations is not None and step.operations <= count):
            self._push(now, step)

    def event(self, name: str, now: int) -> None:
        """The target reported an event."""
        self._events[name] += 1
        for step in self._take(lambda step: step.event == name and step.nth == self._events[name]):
            self._push(now, step)

    def failpoint(self, name: str) -> list[Step]:
        """The target is held at a failpoint: return the steps to run before it is let go."""
        self._hits[name] += 1
        return self._take(lambda step: step.failpoint == name and step.nth == self._hits[name])

    def next_at(self) -> int | None:
        """Return the moment of the next scheduled step."""
        return self._heap[0].at if self._heap else None

    def due(self, now: int) -> Iterator[Due]:
        """Hand out what is due by now, in order of its moment, then of the plan."""
        while self._heap and self._heap[0].at <= now:
            yield heapq.heappop(self._heap)

    @property
    def waiting(self) -> list[Step]:
        """Steps that have not become due yet."""
        return [*self._waiting.values(), *(due.step for due in sorted(self._heap))]

    def _take(self, wanted: _Wanted) -> list[Step]:
        found = [step for step in self._waiting.values() if wanted(step)]
        for step in found:
            del self._waiting[step.n]
        return found

    def _schedule(self, step: Step, base: int) -> None:
        self._push(base + round((step.at_s or 0.0) * NS_PER_S), step)

    def _push(self, at: int, step: Step) -> None:
        heapq.heappush(self._heap, Due(at, step.n, step))
