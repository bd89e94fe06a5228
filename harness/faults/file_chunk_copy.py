"""Copy one chunk of a file over another: a misdirected write. Valid-looking data at the wrong place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import damage, prove_damage
from harness.registry import fault
from harness.units import Size
from harness.wire import Json


@fault("file.chunk_copy")
@dataclass(frozen=True, kw_only=True)
class FileChunkCopy:
    """Put another chunk of the same file over one chunk, both aligned to `chunk`; size and name stay.

    Which ones follows from the trial's seed and the content of the file. An incomplete chunk at its end takes no part.
    """

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    chunk: Annotated[Size, Ge(1)] = Size(512)
    """How large a chunk is."""

    def inject(self, site: Site) -> Json:
        """Copy within the very file that the target has open."""

        def copy(file: int, size: int) -> Json:
            content = os.pread(file, size, 0)
            starts = range(0, size - self.chunk + 1, self.chunk)
            chunks = [content[start : start + self.chunk] for start in starts]
            if len(set(chunks)) < 2:  # noqa: PLR2004  a copy needs two chunks that differ
                raise FaultNotProven(f"the file has no two chunks of {self.chunk} that differ")
            over = site.random.randrange(len(chunks))
            source = site.random.choice([n for n, chunk in enumerate(chunks) if chunk != chunks[over]])
            os.pwrite(file, chunks[source], over * self.chunk)
            return {"from": source, "over": over, "chunk": int(self.chunk)}

        return damage(site, copy)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the act has another digest."""
        return prove_damage(evidence)
