"""Take one record out of a file: a write that was lost between two that were not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.faults._base import Site
from harness.faults._files import prove_damage
from harness.faults._records import chosen, edit_records
from harness.registry import fault
from harness.wire import Json


@fault("record.drop")
@dataclass(frozen=True, kw_only=True)
class RecordDrop:
    """Remove one record; those behind it move up, each valid in itself."""

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    record: int | None = None
    """Which one, from 0, or from -1 at the end; without it, one that follows from the trial's seed."""

    def inject(self, site: Site) -> Json:
        """Remove it from the very file that the target has open."""

        def drop(records: list[bytes]) -> Json:
            dropped = chosen(site, self.record, len(records))
            del records[dropped]
            return {"dropped": dropped}

        return edit_records(site, drop)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the act has another size and digest."""
        return prove_damage(evidence)
