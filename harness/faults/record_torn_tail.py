"""Cut a file inside its last record: the write that a crash interrupted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import prove_damage
from harness.faults._records import Spans, damage_records
from harness.registry import fault
from harness.wire import Json


@fault("record.torn_tail")
@dataclass(frozen=True, kw_only=True)
class RecordTornTail:
    """Keep at least the first and lose at least the last byte of the last record, with everything behind it.

    Where it is cut follows from the trial's seed and the length of that record.
    """

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    def inject(self, site: Site) -> Json:
        """Truncate the very file that the target has open."""

        def tear(file: int, spans: Spans) -> Json:
            offset, length = spans[-1]
            if length < 2:  # noqa: PLR2004  one byte to keep, one to lose
                raise FaultNotProven(f"the last record has only {length} byte: it cannot be torn")
            kept = site.random.randrange(1, length)
            os.ftruncate(file, offset + kept)
            return {"record": len(spans) - 1, "offset": offset, "length": length, "kept": kept}

        return damage_records(site, tear)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the cut has another size and digest."""
        return prove_damage(evidence)
