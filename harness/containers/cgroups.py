"""What the kernel counts for a container: proofs come from here, not from what an engine says of it.

Both versions are read, and a machine that has both: a figure is taken from the controller's own hierarchy (version 1)
where the process is in one, else from the unified one (version 2). A file costs microseconds, the API a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import FaultNotProven

ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as almost 2**63, rounded to pages
_NS_PER_US = 1000


@dataclass(frozen=True)
class Cgroup:
    """The cgroups of one process; `own` maps controllers of version 1 to folders, `unified` is that of version 2."""

    own: Mapping[str, Path]
    unified: Path | None

    @classmethod
    def of(cls, pid: int, root: Path = ROOT, proc: Path = _PROC) -> Cgroup:
        """Find them. Raises `FaultNotProven` for a process that is gone."""
        try:
            lines = (proc / str(pid) / "cgroup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError) as error:
            raise FaultNotProven(f"process {pid} is gone, and its cgroup may be another's now") from error
        own: dict[str, Path] = {}
        unified = None
        for _, controllers, path in (line.split(":", 2) for line in lines):
            if controllers:
                own |= _mounted(root, controllers, path)
            else:
                hybrid = root / "unified"
                unified = (hybrid if hybrid.is_dir() else root) / path.lstrip("/")
        return cls(own, unified)

    def memory_bytes(self) -> int:
        """Return what is in use, without the page cache that the kernel would give up before it kills."""
        if folder := self.own.get("memory"):
            return _number(folder / "memory.usage_in_bytes") - _table(folder / "memory.stat")["total_inactive_file"]
        return _number(self._unified("memory.current")) - _table(self._unified("memory.stat"))["inactive_file"]

    def memory_limit(self) -> int | None:
        """Return the limit in bytes, or None."""
        folder = self.own.get("memory")
        limit = _limit(folder / "memory.limit_in_bytes" if folder else self._unified("memory.max"))
        return None if limit is None or limit >= _UNLIMITED else limit

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed in here for want of memory."""
        folder = self.own.get("memory")
        return _table(folder / "memory.oom_control" if folder else self._unified("memory.events"))["oom_kill"]

    def pids(self) -> int:
        """Return how many processes and threads are in here."""
        return _number(self._file("pids", "pids.current"))

    def pids_limit(self) -> int | None:
        """Return how many there may be, or None."""
        return _limit(self._file("pids", "pids.max"))

    def forks_refused(self) -> int:
        """Return how often the limit was met."""
        return _table(self._file("pids", "pids.events"))["max"]

    def cpu_ns(self) -> int:
        """Return the processor time used, in nanoseconds."""
        if folder := self.own.get("cpuacct"):
            return _number(folder / "cpuacct.usage")
        return _table(self._unified("cpu.stat"))["usage_usec"] * _NS_PER_US

    def throttled_ns(self) -> int:
        """Return how long its threads had to wait for their next share of the processors, in nanoseconds, summed up."""
        if folder := self.own.get("cpu"):
            return _table(folder / "cpu.stat")["throttled_time"]
        return _table(self._unified("cpu.stat")).get("throttled_usec", 0) * _NS_PER_US

    def frozen(self) -> bool:
        """Return whether everything in here stands still."""
        if folder := self.own.get("freezer"):
            return (folder / "freezer.state").read_text().strip() == "FROZEN"
        return _table(self._unified("cgroup.events"))["frozen"] == 1

    def _file(self, controller: str, name: str) -> Path:
        folder = self.own.get(controller)
        return folder / name if folder else self._unified(name)

    def _unified(self, name: str) -> Path:
        if self.unified is None:
            raise FaultNotProven(f"no cgroup hierarchy here has {name}")
        return self.unified / name


def _mounted(root: Path, controllers: str, path: str) -> dict[str, Path]:
    """Return where the controllers of a line are mounted: together, or each as a folder of its own."""
    together = root / controllers
    names = [name for name in controllers.split(",") if "=" not in name]
    folders = {name: (together if together.is_dir() else root / name) / path.lstrip("/") for name in names}
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


def _number(file: Path) -> int:
    return int(file.read_text())


def _limit(file: Path) -> int | None:
    text = file.read_text().strip()
    return None if text == "max" else int(text)


def _table(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in file.read_text().splitlines())}
