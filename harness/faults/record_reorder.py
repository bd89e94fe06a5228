"""Exchange two records of a file: writes that reached the disk in another order than they were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import prove_damage
from harness.faults._records import edit_records
from harness.registry import fault
from harness.wire import Json


@fault("record.reorder")
@dataclass(frozen=True, kw_only=True)
class RecordReorder:
    """Let two records, which follow from the trial's seed, change places; each stays valid in itself."""

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    def inject(self, site: Site) -> Json:
        """Exchange them in the very file that the target has open."""

        def exchange(records: list[bytes]) -> Json:
            if len(records) < 2:  # noqa: PLR2004  an order needs two
                raise FaultNotProven("the file has only one record, so there is no order to change")
            first, second = sorted(site.random.sample(range(len(records)), 2))
            records[first], records[second] = records[second], records[first]
            return {"exchanged": [first, second]}

        return edit_records(site, exchange)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file read back right after the act has another digest."""
        return prove_damage(evidence)
