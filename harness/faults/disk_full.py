"""Let the target's disk run full: a log nobody rotates, a neighbour's download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from harness.errors import FaultNotProven
from harness.faults import _disks
from harness.faults._base import Site, Undo
from harness.registry import fault
from harness.units import Size
from harness.wire import Json


@fault("disk.full")
@dataclass(frozen=True, kw_only=True)
class DiskFull:
    """Leave no byte free on the disk of the target's folder until the fault's end: the kernel answers ENOSPC.

    In a scenario with this fault the whole folder is on a file system of the run's own, in memory. What the target
    deletes while it is full becomes free; a file's last block, where it is not full yet, can still be written.
    """

    on: ClassVar[str | None] = "folder"
    lasts: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"root"})

    size: Annotated[Size, Ge(65_536)] = Size(64 << 20)
    """How large that file system is; memory is taken only for what is on it."""

    def preparation(self, folder: Path) -> Sequence[Undo]:
        """Name the mount that is to go."""
        return [Undo("disk.unmount", {"path": str(folder)})]

    def prepare(self, folder: Path) -> None:
        """Mount it."""
        _disks.mount(folder, self.size)

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the size that the file system gets back."""
        disk = _disks.own_disk(site.path())
        if not _disks.free(disk):
            raise FaultNotProven(f"{disk} is full already")
        return [Undo("disk.resize", {"path": str(disk), "size": int(self.size)})]

    def inject(self, site: Site) -> Json:
        """Fill it."""
        disk = _disks.own_disk(site.path())
        before = _disks.free(disk)
        _disks.fill(disk)
        return {"disk": str(disk), "free": before}

    def prove(self, site: Site, evidence: Json) -> Json:
        """Nothing is free, and a write of our own is refused for that reason."""
        disk = Path(evidence["disk"])
        left, write = _disks.free(disk), _disks.write_a_block(disk)
        if left or write != "ENOSPC":
            raise FaultNotProven(f"{disk} is not full: {left} bytes are free, and writing a block says {write}")
        return {"free": left, "write": write}

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """There is room again."""
        disk = Path(evidence["disk"])
        left, write = _disks.free(disk), _disks.write_a_block(disk)
        if not left or write != "ok":
            raise FaultNotProven(f"{disk} is still full: {left} bytes are free, and writing a block says {write}")
        return {"free": left, "write": write}
