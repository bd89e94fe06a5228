"""The members of a scenario as they are written, where the engine's model has them in another form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval, MinLen

from harness.scenario._text import Text
from harness.scenario.model import Frame, NotEmpty
from harness.scenario.triggers import TIME, AtEvent, AtFailpoint, AtOperations, AtTime
from harness.units import Seconds

MOMENT = Text(TIME, "a time such as 1s, +1s (after the fault before) or 1s..3s", AtTime.parse)


START = AtTime(0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Document(Frame):
    """A chaos scenario: break a system on purpose while it works, and check that it heals itself."""

    runner: str
    """Who drives the target."""
    workload: dict[str, Any] = field(default_factory=dict)
    """What the runner does."""
    faults: tuple[Any, ...] = ()
    """What breaks, and when."""
    expect: Annotated[tuple[Any, ...], MinLen(1)]
    """What must hold."""


@dataclass(frozen=True, kw_only=True)
class AfterOperations:
    """As soon as so many operations have been answered."""

    operations: Annotated[int, Ge(1)]
    """Number of answered operations, counted from time zero."""

    def trigger(self) -> AtOperations:
        """Return it as the engine's."""
        return AtOperations(self.operations)


@dataclass(frozen=True, kw_only=True)
class AfterEvent:
    """Soon after the target reported an event."""

    event: NotEmpty
    """Name of the event."""
    nth: Annotated[int, Ge(1)] = 1
    """How many times it must have been reported."""

    def trigger(self) -> AtEvent:
        """Return it as the engine's."""
        return AtEvent(self.event, self.nth)


@dataclass(frozen=True, kw_only=True)
class InFailpoint:
    """Exactly while the target is held at a failpoint."""

    failpoint: NotEmpty
    """Name of the failpoint."""
    hit: Annotated[int, Ge(1)] = 1
    """Which time that it comes by."""

    def trigger(self) -> AtFailpoint:
        """Return it as the engine's."""
        return AtFailpoint(self.failpoint, self.hit)


@dataclass(frozen=True, kw_only=True)
class Step:
    """The members of a fault that are the same for every kind of fault."""

    at: Annotated[AtTime, MOMENT] | AfterOperations | AfterEvent | InFailpoint = START
    """When: a time after the start of the workload, `+1s` after the fault before, or a condition."""
    fault: str
    """What."""
    on: str | None = None
    """Handle of the target that it acts on."""
    for_: Annotated[Seconds, Gt(0)] | None = None
    """How long it is held before it is undone; until the end of the workload if not given."""
    every: Annotated[Seconds, Gt(0)] | None = None
    """Time between two occurrences, from start to start."""
    times: Annotated[int, Interval(ge=1, le=10_000)] | None = None
    """Number of occurrences."""


TRIGGERS = {"operations": AfterOperations, "event": AfterEvent, "failpoint": InFailpoint}
