"""Where samples come from: one small reader for each resource. A reader returns None where there is nothing to see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import psutil

from targets.resources.cgroups import Cgroup, Cpu
from targets.resources.levels import Sample


class Source(Protocol):
    """One resource. `fast` says that it can go from nothing to its limit between two looks a second apart."""

    resource: str
    fast: bool

    def read(self, at: float) -> Sample | None:
        """Look now. `OSError` where what was looked at is gone."""


class Memory:
    """The working set of the group; without a limit on the group, the memory that the host can no longer give."""

    resource, fast = "memory", True

    def __init__(self, group: Cgroup) -> None:
        self._group = group
        self.usage = 0
        """What the kernel compares with thresholds and limit: with page cache."""
        self.limited = False
        """Whether the group has a limit, so that the figures are the group's and not the host's."""

    def read(self, at: float) -> Sample:
        """Look now."""
        occupied = self._group.occupied()
        self.limited = occupied is not None
        if occupied is None:
            host = psutil.virtual_memory()
            occupied = host.total - host.available, host.total - host.available, host.total
        self.usage, used, limit = occupied
        return Sample(at, used, limit)


class Pids:
    """Processes and threads of the group."""

    resource, fast = "pids", False

    def __init__(self, group: Cgroup) -> None:
        self._group = group

    def read(self, at: float) -> Sample | None:
        """Look now; None without that controller."""
        pids = self._group.pids()
        return None if pids is None else Sample(at, pids.current, pids.limit)


class Processor:
    """The share of the scheduling periods since the last look in which the quota was used up."""

    resource, fast = "cpu", False

    def __init__(self, group: Cgroup) -> None:
        self._group = group
        self._last: Cpu | None = None

    def read(self, at: float) -> Sample | None:
        """Look now; None without a quota, or while nothing ran."""
        cpu, last = self._group.cpu(), self._last
        self._last = cpu
        if cpu is None or cpu.quota is None or last is None or cpu.periods <= last.periods:
            return None
        return Sample(at, cpu.throttled - last.throttled, cpu.periods - last.periods)


class Disk:
    """The file system of a folder, as far as an ordinary user may fill it."""

    resource, fast = "disk", False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, at: float) -> Sample | None:
        """Look now. `OSError` if the folder is gone."""
        volume = os.statvfs(self._folder)
        used = volume.f_blocks - volume.f_bfree
        return Sample(at, used * volume.f_frsize, (used + volume.f_bavail) * volume.f_frsize)


def sources(group: Cgroup, folder: Path | None = None) -> list[Source]:
    """Return readers for everything that can be seen of a group, and of the disk of `folder`."""
    readers: list[Source] = [Memory(group), Pids(group), Processor(group)]
    return [*readers, Disk(folder)] if folder else readers
