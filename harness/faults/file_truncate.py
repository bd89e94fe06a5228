"""Cut the end of a file off: a torn write, a full disk, a copy that was interrupted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import damage, prove_damage
from harness.registry import fault
from harness.units import Size
from harness.wire import Json


@fault("file.truncate")
@dataclass(frozen=True, kw_only=True)
class FileTruncate:
    """Drop the last `drop` bytes or, without it, cut at a random place that follows from the trial's seed."""

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    drop: Size | None = None
    """How many bytes to drop; a file that is shorter ends up empty."""

    def inject(self, site: Site) -> Json:
        """Truncate the very file that the target has open."""

        def cut(file: int, size: int) -> Json:
            if size == 0:
                raise FaultNotProven("the file is empty already")
            kept = site.random.randrange(size) if self.drop is None else max(0, size - self.drop)
            os.ftruncate(file, kept)
            return {"kept": kept}

        return damage(site, cut)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the cut has another size and digest."""
        return prove_damage(evidence)
