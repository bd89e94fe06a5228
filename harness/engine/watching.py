"""Watching trials while they run: what they say, and the contract of those who listen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from harness.record import AnyEvent

if TYPE_CHECKING:
    from harness.engine.pool import Run
    from harness.result import Result


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="progress"):
    """How many operations the recorder has had answers to."""

    operations: int


class Undoing(msgspec.Struct, frozen=True, tag_field="type", tag="undoing"):
    """What an interrupted trial still has to undo."""

    pending: list[str]


Heard = AnyEvent | Progress | Undoing


class Watcher(Protocol):
    """Hears of everything that happens in a pool. `tick` is called at least every `tick_s`, or at each event."""

    tick_s: float

    def began(self, run: Run) -> None:
        """Hear that a trial's process has started."""
        ...

    def heard(self, run: Run, event: Heard) -> None:
        """Hear an event of a running trial."""
        ...

    def finished(self, run: Run, result: Result) -> None:
        """Hear how a trial ended, or that it was skipped."""
        ...

    def interrupted(self, running: int, *, again: bool) -> None:
        """Hear that a signal came, and whether it was not the first; `running` trials are unwinding."""
        ...

    def tick(self) -> None:
        """Draw, if there is something to draw."""
        ...


class Silent:
    """Hears nothing."""

    tick_s = 1.0

    def began(self, run: Run) -> None:
        """Say nothing."""

    def heard(self, run: Run, event: Heard) -> None:
        """Say nothing."""

    def finished(self, run: Run, result: Result) -> None:
        """Say nothing."""

    def interrupted(self, running: int, *, again: bool) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Draw nothing."""


SILENT = Silent()
