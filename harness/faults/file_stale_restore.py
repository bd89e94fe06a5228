"""Put an old copy of a file back: a restored backup, a lost write, a mirror that was behind. Every checksum holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Gt

from harness.clock import NS_PER_S, SystemClock
from harness.errors import FaultNotProven, TimedOut
from harness.faults._base import Site
from harness.faults._files import damage, prove_damage
from harness.registry import fault
from harness.units import Seconds
from harness.waiting import until
from harness.wire import Json


@fault("file.stale_restore")
@dataclass(frozen=True, kw_only=True)
class FileStaleRestore:
    """Copy the file, let the target go on for at least `age` and until the file has changed, then put the copy back.

    The copy is what the target itself had written, so it is valid in itself: only a comparison with something newer can
    tell. The damage counts from the moment of the restore. Not promised: that the copy was taken between two writes of
    a target that writes the file in place; one that appends, or replaces it by a rename, gives a whole one.
    """

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    age: Annotated[Seconds, Gt(0)] = Seconds(1)
    """How old the copy is at least."""
    within: Annotated[Seconds, Gt(0)] = Seconds(10)
    """How long to wait for the file to change once the copy is old enough."""

    def inject(self, site: Site) -> Json:
        """Take the copy now; restore it, into the very file that the target has open by then, when it is old."""
        clock = SystemClock()
        path, taken = site.path(), clock.monotonic_ns()
        copy = path.read_bytes()
        old_enough = taken + round(self.age * NS_PER_S)
        what = f"{path} to change, so that a copy of it can be stale"
        try:
            until(
                lambda: clock.monotonic_ns() >= old_enough and _differs(path, copy),
                what,
                self.age + self.within,
            )
        except TimedOut as error:
            raise FaultNotProven(str(error)) from error
        began = clock.monotonic_ns()

        def restore(file: int, _size: int) -> Json:
            os.pwrite(file, copy, 0)
            os.ftruncate(file, len(copy))
            return {"began_ns": began, "age_ms": (began - taken) / 1e6}

        return damage(site, restore)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the restore has another digest than right before."""
        return prove_damage(evidence)


def _differs(path: Path, copy: bytes) -> bool:
    """Compare; a target that replaces the file at this moment is asked again."""
    try:
        return path.read_bytes() != copy
    except FileNotFoundError:
        return False
