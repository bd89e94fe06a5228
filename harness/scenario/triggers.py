"""When a fault comes: after a time, after the fault before it, after so many operations, at an event or a failpoint."""

from __future__ import annotations

from dataclasses import dataclass

from harness.units import Seconds

_DURATION = rf"\d+(?:\.\d+)?\s*(?:{'|'.join(Seconds.units)})"
TIME = rf"\+?\s*{_DURATION}(?:\s*\.\.\s*{_DURATION})?"  # what `AtTime.parse` reads


@dataclass(frozen=True)
class AtTime:
    """Seconds after the workload's start or, if `relative`, after the previous fault has been proven.

    Where the two bounds differ (`at: 1s..3s`), the plan draws the moment from the trial's seed.
    """

    earliest_s: float
    latest_s: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> AtTime:
        """Read `1s`, `+1s` (after the previous fault), `1s..3s` or `+1s..3s`. Raises `ValueError`."""
        first, _, last = text.strip().removeprefix("+").partition("..")
        earliest, latest = Seconds.parse(first), Seconds.parse(last or first)
        if latest < earliest:
            raise ValueError("expected the earlier time first")
        return cls(float(earliest), float(latest), relative=text.strip().startswith("+"))

    def __str__(self) -> str:
        """Return it as `parse` reads it."""
        last = "" if self.latest_s == self.earliest_s else f"..{Seconds(self.latest_s)}"
        return f"{'+' if self.relative else ''}{Seconds(self.earliest_s)}{last}"


@dataclass(frozen=True)
class AtOperations:
    """As soon as `count` operations have been answered."""

    count: int


@dataclass(frozen=True)
class AtEvent:
    """Soon after the target reported the event for the `nth` time since the workload's start (1 = first)."""

    name: str
    nth: int = 1


@dataclass(frozen=True)
class AtFailpoint:
    """Exactly while the target is held at the failpoint, the `hit`-th time that it comes by (1 = first)."""

    name: str
    hit: int = 1


Trigger = AtTime | AtOperations | AtEvent | AtFailpoint
