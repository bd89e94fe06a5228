"""Overwrite a file, or a range of it, with random bytes: a stray write, a recycled block, a wrong key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import damage, prove_damage
from harness.registry import fault
from harness.units import Size
from harness.wire import Json


@fault("file.garbage")
@dataclass(frozen=True, kw_only=True)
class FileGarbage:
    """Put random bytes, which follow from the trial's seed, over the whole file or `length` bytes of it.

    Size and name stay.
    """

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    length: Annotated[Size, Gt(0)] | None = None
    """How many bytes; without it, all from `offset` to the end."""
    offset: Size | None = None
    """Where they begin; without it at a random place, or at the beginning where `length` is not given either."""

    def inject(self, site: Site) -> Json:
        """Overwrite them in the very file that the target has open."""

        def overwrite(file: int, size: int) -> Json:
            offset, length = self._range(site, size)
            os.pwrite(file, site.random.randbytes(length), offset)
            return {"offset": int(offset), "length": int(length)}

        return damage(site, overwrite)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the act has another digest."""
        return prove_damage(evidence)

    def _range(self, site: Site, size: int) -> tuple[int, int]:
        if self.length is None:
            offset, length = self.offset or 0, size - (self.offset or 0)
        else:
            offset = site.random.randint(0, max(0, size - self.length)) if self.offset is None else self.offset
            length = self.length
        if length <= 0 or offset + length > size:
            raise FaultNotProven(f"the file has only {size} bytes, so there are none at {offset} to {offset + length}")
        return offset, length
