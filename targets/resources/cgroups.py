"""What the kernel counts for a group of processes: readers of cgroup v1 and v2, of a tree that may be rooted anywhere.

Only reads. A controller that is not there reads as None. `OSError` where a group has been removed meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

_UNLIMITED_V1 = 1 << 62  # v1 writes "no limit" as the largest multiple of a page below 2^63
_LONGEST_FILE = 1 << 16


@dataclass(frozen=True)
class Memory:
    """Bytes, and counts since the group was made.

    `working_set` is the usage without page cache that the kernel would drop before it kills anybody (`inactive_file`):
    a writer of files sits at its limit all day without harm. `limit` is None where there is none. `hits` counts how
    often an allocation ran into the limit (on v1 not every one), `oom_kills` who was killed for it.
    """

    usage: int
    working_set: int
    limit: int | None
    hits: int
    oom_kills: int


@dataclass(frozen=True)
class Pids:
    """Processes and threads now, how many there may be (None: any number), and how many forks were refused."""

    current: int
    limit: int | None
    refused: int


@dataclass(frozen=True)
class Cpu:
    """The quota in processors (None: no quota), and how many scheduling periods there were and were cut short."""

    quota: float | None
    periods: int
    throttled: int
    throttled_s: float


@dataclass(frozen=True)
class Stall:
    """Pressure stall information: per cent of the last 10 s in which some, or all, processes stood still."""

    some_avg10: float
    full_avg10: float


class Cgroup(Protocol):
    """The groups of one process, whatever their version."""

    version: int
    memory_folder: Path | None
    """Where its memory is counted, and limited most tightly: the process's own group or one above it."""

    def memory(self) -> Memory | None:
        """Read the memory controller."""

    def occupied(self) -> tuple[int, int, int] | None:
        """Read usage, working set and limit only, for those who look often; None without a limit."""

    def pids(self) -> Pids | None:
        """Read the pids controller."""

    def cpu(self) -> Cpu | None:
        """Read the cpu controller."""

    def swap_limit(self) -> int | None:
        """Return how many bytes may be swapped out; None for any number, or where swap is not counted."""

    def stall(self, resource: str) -> Stall | None:
        """Read the pressure on "memory", "cpu" or "io"; None where the kernel does not count it."""


class _Files:
    """Files of one folder, kept open: a read of an open one takes half a microsecond, opening it first takes five."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, int] = {}

    def text(self, name: str) -> str:
        descriptor = self._open.get(name)
        if descriptor is None:
            descriptor = self._open[name] = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(descriptor, _LONGEST_FILE, 0).decode()

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()

    def number(self, name: str) -> int | None:
        """Read one number, or None for v2's `max` and what v1 writes for it."""
        text = self.text(name)
        number = _UNLIMITED_V1 if text == "max\n" else int(text)
        return None if number >= _UNLIMITED_V1 else number

    def entry(self, name: str, key: str) -> int:
        """Read one number out of a table, without taking the rest apart."""
        text = self.text(name)
        _, _, rest = text.partition(f"{key} ") if text.startswith(f"{key} ") else text.partition(f"\n{key} ")
        return int(rest.split("\n", 1)[0])

    def table(self, name: str) -> dict[str, int]:
        """Read lines of a name and a number."""
        return {key: int(value) for key, value in (line.split() for line in self.text(name).splitlines())}

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


class _V1:
    """A process's groups in the hierarchies of version 1, one for each controller."""

    version = 1

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.memory_folder = folders.get("memory")
        self._memory = _files(folders, "memory", "memory.usage_in_bytes")
        self._pids = _files(folders, "pids", "pids.current")
        self._cpu = _files(folders, "cpu", "cpu.stat")
        self._unified = folders.get("")

    def memory(self) -> Memory | None:
        files = self._memory
        if files is None:
            return None
        usage = files.number("memory.usage_in_bytes") or 0
        return Memory(
            usage=usage,
            working_set=max(0, usage - files.entry("memory.stat", "total_inactive_file")),
            limit=files.number("memory.limit_in_bytes"),
            hits=self._hits(files),
            oom_kills=files.entry("memory.oom_control", "oom_kill"),
        )

    def occupied(self) -> tuple[int, int, int] | None:
        files = self._memory
        return (
            None
            if files is None
            else _occupied(files, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
        )

    def swap_limit(self) -> int | None:
        if self._memory is None or not self._memory.exists("memory.memsw.limit_in_bytes"):
            return None
        both, memory = (self._memory.number(f"memory.{each}limit_in_bytes") for each in ("memsw.", ""))
        return None if both is None or memory is None else both - memory

    def _hits(self, files: _Files) -> int:
        """Where both limits are the same, which is usual, the kernel notes a hit at the second alone."""
        swap = "memory.memsw.failcnt"
        return (files.number("memory.failcnt") or 0) + ((files.number(swap) or 0) if files.exists(swap) else 0)

    def pids(self) -> Pids | None:
        return None if self._pids is None else _read_pids(self._pids)

    def cpu(self) -> Cpu | None:
        if self._cpu is None:
            return None
        table, quota = self._cpu.table("cpu.stat"), int(self._cpu.text("cpu.cfs_quota_us"))
        return Cpu(
            quota=None if quota < 0 else quota / int(self._cpu.text("cpu.cfs_period_us")),
            periods=table["nr_periods"],
            throttled=table["nr_throttled"],
            throttled_s=table["throttled_time"] / 1e9,
        )

    def stall(self, resource: str) -> Stall | None:
        return _read_stall(self._unified, resource)


class _V2:
    """A process's group in the one hierarchy of version 2. `memory_folder` may be one above it."""

    version = 2

    def __init__(self, folder: Path, memory_folder: Path | None = None) -> None:
        folders = {"": folder, "memory": memory_folder or folder}
        self._memory = _files(folders, "memory", "memory.current")
        self.memory_folder = folders["memory"] if self._memory else None
        self._pids = _files(folders, "", "pids.current")
        self._cpu = _files(folders, "", "cpu.max")  # `cpu.stat` is there without the controller, but half empty
        self._folder = folder

    def memory(self) -> Memory | None:
        files = self._memory
        if files is None:
            return None
        usage, events = files.number("memory.current") or 0, files.table("memory.events")
        return Memory(
            usage=usage,
            working_set=max(0, usage - files.entry("memory.stat", "inactive_file")),
            limit=files.number("memory.max"),
            hits=events["max"],
            oom_kills=events["oom_kill"],
        )

    def occupied(self) -> tuple[int, int, int] | None:
        files = self._memory
        return None if files is None else _occupied(files, "memory.current", "memory.max", "inactive_file")

    def swap_limit(self) -> int | None:
        if self._memory is None or not self._memory.exists("memory.swap.max"):
            return None
        return self._memory.number("memory.swap.max")

    def pids(self) -> Pids | None:
        return None if self._pids is None else _read_pids(self._pids)

    def cpu(self) -> Cpu | None:
        if self._cpu is None:
            return None
        quota, period = self._cpu.text("cpu.max").split()
        table = self._cpu.table("cpu.stat")
        return Cpu(
            quota=None if quota == "max" else int(quota) / int(period),
            periods=table["nr_periods"],
            throttled=table["nr_throttled"],
            throttled_s=table["throttled_usec"] / 1e6,
        )

    def stall(self, resource: str) -> Stall | None:
        return _read_stall(self._folder, resource)


def of(process: int | str = "self", root: Path = Path("/")) -> Cgroup:
    """Return the groups of a process, found below `root`, which is `/` but for recorded trees.

    Version 1 wherever its memory controller is mounted, as on hosts that mount both. `OSError` if the process is gone.
    """
    groups = parse_groups((root / "proc" / str(process) / "cgroup").read_text())
    mounts = parse_mounts((root / "proc/self/mountinfo").read_text())
    places = {
        name: (root / top.relative_to("/"), root / folder.relative_to("/"))
        for name, top, folder in _places(groups, mounts)
    }
    folders = {name: folder for name, (_, folder) in places.items()}
    if "memory" in places:
        folders["memory"] = tightest(folders["memory"], places["memory"][0], "memory.limit_in_bytes")
        return _V1(folders)
    if "" not in places:
        return _V1(folders)
    return _V2(folders[""], tightest(folders[""], places[""][0], "memory.max"))


def parse_groups(text: str) -> dict[str, str]:
    """Read `/proc/<pid>/cgroup`: the group's path for each controller; "" stands for version 2."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def parse_mounts(text: str) -> dict[str, tuple[str, str]]:
    """Read `/proc/self/mountinfo`: for each controller, which group is mounted where. The last mount counts."""
    found: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[:3]
        root, place = before.split(" ")[3:5]
        if kind == "cgroup2":
            found[""] = root, place
        elif kind == "cgroup":
            found.update(dict.fromkeys(options.split(","), (root, place)))
    return found


def tightest(folder: Path, top: Path, limit: str) -> Path:
    """Return which of `folder` and the groups above it, up to `top`, has the lowest limit; `folder` if none has one."""
    limits = {each: _limit(each / limit) for each in (folder, *folder.parents) if each.is_relative_to(top)}
    return min(limits, key=lambda each: limits[each], default=folder)


def _limit(file: Path) -> float:
    try:
        text = file.read_text().strip()
    except OSError:  # the root group has no limit, nor has one that may not be read
        return float("inf")
    return float("inf") if text == "max" or int(text) >= _UNLIMITED_V1 else int(text)


def _places(
    groups: Mapping[str, str], mounts: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[str, PurePosixPath, PurePosixPath]]:
    """Yield for each controller where its hierarchy is mounted, and the folder of the group there.

    A container sees its own group as the mount's root: then the path of the group must not be added once more.
    """
    for controller, path in groups.items():
        root, place = mounts.get(controller, ("", ""))
        if place:
            group = PurePosixPath(path)
            inside = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath(path.lstrip("/"))
            yield controller, PurePosixPath(place), PurePosixPath(place) / inside


def _files(folders: Mapping[str, Path], controller: str, witness: str) -> _Files | None:
    folder = folders.get(controller)
    return _Files(folder) if folder is not None and (folder / witness).exists() else None


def _occupied(files: _Files, usage: str, limit: str, inactive: str) -> tuple[int, int, int] | None:
    most = files.number(limit)
    if most is None:
        return None
    used = files.number(usage) or 0
    return used, max(0, used - files.entry("memory.stat", inactive)), most


def _read_pids(files: _Files) -> Pids:
    return Pids(files.number("pids.current") or 0, files.number("pids.max"), files.table("pids.events")["max"])


def _read_stall(folder: Path | None, resource: str) -> Stall | None:
    try:
        text = (folder / f"{resource}.pressure").read_text() if folder else ""
    except OSError:  # the kernel was built or started without it
        return None
    shares = {line.split()[0]: float(line.split()[1].removeprefix("avg10=")) for line in text.splitlines()}
    return Stall(shares["some"], shares.get("full", 0.0)) if shares else None
