"""Flip bits of a file in place: bit rot, a failing controller, a cosmic ray."""

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

_LISTED = 100  # of how many bits the evidence names the place


@fault("file.bit_flip")
@dataclass(frozen=True, kw_only=True)
class FileBitFlip:
    """Flip `bits` distinct bits, anywhere in the file; size and name stay.

    Which ones follows from the trial's seed and the size of the file at that moment.
    """

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    bits: Annotated[int, Interval(ge=1, le=100_000)] = 1
    """How many bits."""

    def inject(self, site: Site) -> Json:
        """Flip them in the very file that the target has open."""

        def flip(file: int, size: int) -> Json:
            if self.bits > size * 8:
                raise FaultNotProven(f"the file has only {size} bytes, too few to flip {self.bits} bits")
            flipped = sorted(site.random.sample(range(size * 8), self.bits))
            for bit in flipped:
                byte = os.pread(file, 1, bit // 8)[0] ^ (1 << bit % 8)
                os.pwrite(file, bytes([byte]), bit // 8)
            return {"bits": flipped[:_LISTED]}

        return damage(site, flip)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the flip has another digest."""
        return prove_damage(evidence)
