"""Write one record of a file twice: a retry after an answer was lost, a replayed block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.faults._base import Site
from harness.faults._files import prove_damage
from harness.faults._records import chosen, edit_records
from harness.registry import fault
from harness.wire import Json


@fault("record.duplicate")
@dataclass(frozen=True, kw_only=True)
class RecordDuplicate:
    """Put a copy of one record right behind it; those that followed move down, each valid in itself."""

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    record: int | None = None
    """Which one, from 0, or from -1 at the end; without it, one that follows from the trial's seed."""

    def inject(self, site: Site) -> Json:
        """Insert the copy into the very file that the target has open."""

        def duplicate(records: list[bytes]) -> Json:
            twice = chosen(site, self.record, len(records))
            records.insert(twice, records[twice])
            return {"duplicated": twice}

        return edit_records(site, duplicate)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the act has another size and digest."""
        return prove_damage(evidence)
