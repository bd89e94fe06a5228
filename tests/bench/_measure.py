"""How numbers are taken: interleaved pairs in one run, the median of their ratios, beside a floor or a peer.

Absolute figures move with the machine by a factor of two within a minute; a ratio of two things measured alternately
does not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table. `bound` is on the ratio: at least it where `at_least`, at most it otherwise."""

    what: str
    ours: float
    peer: str
    theirs: float
    unit: str
    ratio: float
    bound: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "" if self.holds else " **missed**"
        return (
            f"| {self.what} | {self.ours:,.4g} {self.unit} | {self.peer} | {self.theirs:,.4g} {self.unit} "
            f"| {self.ratio:.2f} | {sign} {self.bound:g}{verdict} |"
        )


HEADER = "| what | ours | floor or peer | theirs | ratio | bound |\n|---|---|---|---|---|---|"


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def interleaved(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> tuple[float, float, float]:
    """Return the medians of both and of their ratio, measured in turn."""
    measured = [(ours(), theirs()) for _ in range(pairs)]
    return (
        statistics.median(a for a, _ in measured),
        statistics.median(b for _, b in measured),
        statistics.median(a / b for a, b in measured),
    )
