"""The exit status of a suite: a table read from the top, the first line that applies is the status.

The codes are pytest's where pytest has one. A scheduler may run a suite again after a 3, never after a 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.result import Result, TrialStatus


@dataclass(frozen=True)
class Outcome:
    """Everything that decides: the results, whether a signal came, and whether the command made sense at all."""

    results: Sequence[Result] = ()
    interrupted: bool = False
    require_all: bool = False
    misused: bool = False

    def any(self, *statuses: TrialStatus) -> bool:
        """Return whether a trial came to one of `statuses`."""
        return any(result.status in statuses for result in self.results)

    def left(self) -> list[str]:
        """Return everything that could not be undone."""
        return [what for result in self.results for what in result.left]


@dataclass(frozen=True)
class ExitStatus:
    """A line of the table."""

    code: int
    name: str
    meaning: str
    applies: Callable[[Outcome], bool]


def _interrupted(outcome: Outcome) -> bool:
    return (outcome.interrupted or outcome.any("INTERRUPTED")) and not outcome.left()


def _nothing_proven(outcome: Outcome) -> bool:
    nothing_ran = all(result.status == "SKIPPED" for result in outcome.results)
    return outcome.any("UNKNOWN") or nothing_ran or (outcome.require_all and outcome.any("SKIPPED"))


TABLE: tuple[ExitStatus, ...] = (
    ExitStatus(2, "interrupted", "A signal asked for an end; everything was undone.", _interrupted),
    ExitStatus(3, "left over", "Something could not be undone: `bigfive sweep` tries again.", lambda o: bool(o.left())),
    ExitStatus(1, "failed", "A check failed (in a negative scenario: as it should).", lambda o: o.any("FAIL")),
    ExitStatus(3, "broken", "The harness or its environment broke.", lambda o: o.any("ERROR")),
    ExitStatus(4, "misused", "The command line or a scenario file is wrong.", lambda o: o.misused),
    ExitStatus(5, "nothing proven", "UNKNOWN, nothing ran, or skips under --require-all.", _nothing_proven),
    ExitStatus(0, "passed", "Everything that was asked has been shown.", lambda _: True),
)


def exit_status(outcome: Outcome) -> ExitStatus:
    """Return the first line of the table that applies; the last one always does."""
    return next(line for line in TABLE if line.applies(outcome))


_WORST_FIRST: tuple[TrialStatus, ...] = ("FAIL", "ERROR", "INTERRUPTED", "UNKNOWN", "SKIPPED", "PASS")


@dataclass(frozen=True)
class Tally:
    """All attempts of one scenario and variant: the worst status, and `count` of `total` that came to it."""

    scenario: str
    variant: str
    status: TrialStatus
    count: int
    total: int

    def __str__(self) -> str:
        """Return `FAIL 2 of 5`, or only the status of a single attempt."""
        return self.status if self.total == 1 else f"{self.status} {self.count} of {self.total}"


def tally(results: Iterable[Result]) -> list[Tally]:
    """Bring repeats together, in order of first appearance."""
    attempts: dict[tuple[str, str], list[TrialStatus]] = {}
    for result in results:
        attempts.setdefault((result.scenario, result.variant), []).append(result.status)
    return [_tally(*name, statuses) for name, statuses in attempts.items()]


def _tally(scenario: str, variant: str, statuses: list[TrialStatus]) -> Tally:
    worst = min(statuses, key=_WORST_FIRST.index)
    return Tally(scenario, variant, worst, statuses.count(worst), len(statuses))
