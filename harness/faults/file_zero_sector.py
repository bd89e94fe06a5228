"""Zero whole sectors of a file: a write that the disk acknowledged and never made, a sector that was remapped."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import damage, prove_damage
from harness.registry import fault
from harness.wire import Json

SECTOR = 512  # bytes; what a disk writes at once, and so what it loses at once


@fault("file.zero_sector")
@dataclass(frozen=True, kw_only=True)
class FileZeroSector:
    """Fill `sectors` aligned sectors of 512 bytes with zeros; size and name stay.

    Which ones follows from the trial's seed and the content of the file; sectors that are zero already do not count.
    The last sector of the file ends where the file does.
    """

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    sectors: Annotated[int, Interval(ge=1, le=10_000)] = 1
    """How many sectors."""

    def inject(self, site: Site) -> Json:
        """Zero them in the very file that the target has open."""

        def zero(file: int, size: int) -> Json:
            content = os.pread(file, size, 0)
            written = [start for start in range(0, size, SECTOR) if any(content[start : start + SECTOR])]
            if self.sectors > len(written):
                raise FaultNotProven(f"the file has only {len(written)} sectors that are not zero already")
            zeroed = sorted(site.random.sample(written, self.sectors))
            for start in zeroed:
                os.pwrite(file, bytes(min(SECTOR, size - start)), start)
            return {"sectors": [start // SECTOR for start in zeroed]}

        return damage(site, zero)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the act has another digest."""
        return prove_damage(evidence)
