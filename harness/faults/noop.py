"""Do nothing, through the whole life of a fault: for overheads, for dry runs of a schedule, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.faults._base import Site, Undo
from harness.registry import fault
from harness.undo import undoer
from harness.wire import Json


@fault("noop")
@dataclass(frozen=True, kw_only=True)
class Noop:
    """Change nothing. A control: what fails with this fault fails without any."""

    on: ClassVar[str | None] = None
    lasts: ClassVar[bool] = True

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Journal an undo that does nothing, so that the machinery is the same as for every other fault."""
        return [Undo("noop", {})]

    def inject(self, site: Site) -> Json:
        """Do nothing."""
        return {}

    def prove(self, site: Site, evidence: Json) -> Json:
        """Nothing took effect, as intended."""
        return {"changed": "nothing"}

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """There is nothing left of it."""
        return {}


@undoer("noop")
def undo_nothing() -> None:
    """Do nothing."""
