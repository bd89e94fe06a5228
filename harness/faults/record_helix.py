"""Damage every copy of a file, each in other records: no copy is whole, yet every record survives somewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Interval

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import prove_damage
from harness.faults._records import edit_records
from harness.registry import fault
from harness.wire import Json


@fault("record.helix")
@dataclass(frozen=True, kw_only=True)
class RecordHelix:
    """Change one byte of every record whose number, divided by `copies`, leaves `copy`.

    Used once on each copy, with `copy` from 0, it damages every record in exactly one of them. Which byte becomes what
    follows from the trial's seed.
    """

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    copy: Annotated[int, Ge(0)] = 0
    """Number of this copy, from 0."""
    copies: Annotated[int, Interval(ge=2, le=100)] = 2
    """How many copies there are."""

    def inject(self, site: Site) -> Json:
        """Change them in the very file that the target has open."""

        def twist(records: list[bytes]) -> Json:
            mine = [number for number in range(len(records)) if number % self.copies == self.copy]
            if not mine:
                raise FaultNotProven(f"copy {self.copy} of {self.copies} has no share in {len(records)} records")
            for number in mine:
                record = bytearray(records[number])
                record[site.random.randrange(len(record))] ^= site.random.randrange(1, 256)
                records[number] = bytes(record)
            return {"damaged": len(mine)}

        return edit_records(site, twist)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the act has another digest."""
        return prove_damage(evidence)
