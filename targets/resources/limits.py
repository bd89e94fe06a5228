"""ContainerLimits: what a container or cgroup may use; read from text, checked against the host, applied, read back.

    limits = ContainerLimits.parse({"memory": "256MiB", "swap": "0B", "cpus": 0.5, "pids": 64})
    limits.validate(HostFacts.read())          # BadLimits with everything that is wrong
    Spec(image=…, command=…, name=…, limits=limits.host_config())      # of `targets.engine`
    limits.differences(Effective.read())       # inside: [] if all of it is in force

Not promised: that what is in force stays in force, or that a limit below what is used already can be set.
"""

from __future__ import annotations

import difflib
import os
import resource
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from targets.resources import cgroups
from targets.resources.errors import BadLimits, Problem
from targets.resources.units import GIB, MIB, show_size, size

SMALLEST_MEMORY = 6 * MIB  # the engine refuses less
SMALLEST_CPUS = 0.01
PERIOD_US = 100_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _cpus(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ValueError("expected a number of processors more than 0, such as 0.5")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("expected a whole number from 1, such as 64")
    return value


_PARSERS: Mapping[str, Callable[[object], float]] = {
    "cpus": _cpus,
    "memory": size,
    "swap": size,
    "pids": _count,
    "open_files": _count,
    "tmp": size,
}


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What there is to give. Sizes in bytes."""

    cpus: int
    memory: int
    swap: int
    pids: int
    open_files: int

    @classmethod
    def read(cls, proc: Path = Path("/proc")) -> HostFacts:
        """Ask this host."""
        table = {line.split(":")[0]: line.split()[1] for line in (proc / "meminfo").read_text().splitlines()}
        return cls(
            cpus=os.cpu_count() or 1,
            memory=int(table["MemTotal"]) * 1024,
            swap=int(table["SwapTotal"]) * 1024,
            pids=int((proc / "sys/kernel/pid_max").read_text()),
            open_files=int((proc / "sys/fs/nr_open").read_text()),
        )


@dataclass(frozen=True, kw_only=True)
class Effective:
    """What is in force for this process, read from inside. None: no limit, or none that can be seen."""

    cpus: float | None
    memory: int | None
    swap: int | None
    pids: int | None
    open_files: int | None
    tmp: int | None

    @classmethod
    def read(cls, group: cgroups.Cgroup | None = None, tmp: Path | None = None) -> Effective:
        """Ask the kernel: cgroup files, resource limits, and the file system of the folder for temporary files."""
        group, tmp = group or cgroups.of(), tmp or Path(tempfile.gettempdir())
        cpu, memory, pids = group.cpu(), group.memory(), group.pids()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        volume = os.statvfs(tmp) if tmp.is_mount() else None
        return cls(
            cpus=cpu.quota if cpu else None,
            memory=memory.limit if memory else None,
            swap=group.swap_limit(),
            pids=pids.limit if pids else None,
            open_files=None if soft == resource.RLIM_INFINITY else soft,
            tmp=volume.f_frsize * volume.f_blocks if volume else None,
        )


@dataclass(frozen=True, kw_only=True)
class ContainerLimits:
    """None: not limited. Sizes in bytes; `swap` comes on top of `memory`, `tmp` is the size of a tmpfs on /tmp."""

    cpus: float | None = None
    memory: int | None = None
    swap: int | None = None
    pids: int | None = None
    open_files: int | None = None
    tmp: int | None = None

    @classmethod
    def parse(cls, texts: Mapping[str, object]) -> ContainerLimits:
        """Read limits as people write them. Raises `BadLimits` that has every mistake."""
        problems, found = [], dict[str, Any]()
        for name, text in texts.items():
            if name not in _PARSERS:
                near = difflib.get_close_matches(name, _PARSERS, 1)
                do = f"did you mean {near[0]!r}?" if near else f"limits are {', '.join(_PARSERS)}"
                problems.append(Problem(name, "unknown limit", repr(text), do))
                continue
            try:
                found[name] = _PARSERS[name](text)
            except ValueError as error:
                problems.append(Problem(name, "cannot be read", repr(text), str(error)))
        if problems:
            raise BadLimits(problems)
        return cls(**found)

    def validate(self, host: HostFacts) -> None:
        """Raise `BadLimits` that has everything which this host cannot give, or which cannot work together."""
        if problems := list(self._problems(host)):
            raise BadLimits(problems)

    def host_config(self) -> dict[str, object]:
        """Return them as members of the engine API's HostConfig. `swap` means nothing there without `memory`."""
        config: dict[str, object] = {}
        if self.cpus is not None:
            config["NanoCpus"] = round(self.cpus * 1e9)
        if self.memory is not None:
            config["Memory"] = self.memory
            if self.swap is not None:
                config["MemorySwap"] = self.memory + self.swap
        if self.pids is not None:
            config["PidsLimit"] = self.pids
        if self.open_files is not None:
            config["Ulimits"] = [{"Name": "nofile", "Soft": self.open_files, "Hard": self.open_files}]
        if self.tmp is not None:
            config["Tmpfs"] = {"/tmp": f"size={self.tmp}"}  # noqa: S108  the container's
        return config

    def cgroup_files(self, version: int) -> list[tuple[str, str, str]]:
        """Return controller, file and content for a cgroup of this version, in the order of writing to a new one.

        The limit on memory and swap together cannot be below that on memory, so it comes second.
        """
        files: list[tuple[str, str, str | None]] = []
        memory, swap = self.memory, self.swap
        quota = None if self.cpus is None else round(self.cpus * PERIOD_US)
        if version == 1:
            both = None if memory is None or swap is None else str(memory + swap)
            files.append(("memory", "memory.limit_in_bytes", _text(memory)))
            files.append(("memory", "memory.memsw.limit_in_bytes", both))
            files.append(("pids", "pids.max", _text(self.pids)))
            files.append(("cpu", "cpu.cfs_period_us", str(PERIOD_US) if quota else None))
            files.append(("cpu", "cpu.cfs_quota_us", _text(quota)))
        else:
            files.append(("memory", "memory.max", _text(memory)))
            files.append(("memory", "memory.swap.max", _text(swap)))
            files.append(("pids", "pids.max", _text(self.pids)))
            files.append(("cpu", "cpu.max", f"{quota} {PERIOD_US}" if quota else None))
        return [(controller, name, content) for controller, name, content in files if content]

    def differences(self, effective: Effective) -> list[Problem]:
        """Return where what is in force is not what was asked for. Memory may be rounded down to whole pages."""
        found = []
        for field in fields(self):
            asked, got = getattr(self, field.name), getattr(effective, field.name)
            if asked is not None and (got is None or not _equal(field.name, asked, got)):
                shown = "no limit" if got is None else _show(field.name, got)
                what = f"should be {_show(field.name, asked)}"
                found.append(Problem(field.name, what, shown, "look for what set it since, or failed to"))
        return found

    def as_texts(self) -> dict[str, object]:
        """Return what `parse` reads as the same."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: show_size(value) if name in _SIZES else value for name, value in given.items()}

    def _problems(self, host: HostFacts) -> Iterator[Problem]:
        memory, swap, tmp = self.memory, self.swap, self.tmp
        if self.cpus is not None and not SMALLEST_CPUS <= self.cpus <= host.cpus:
            do = f"choose {SMALLEST_CPUS} to {host.cpus}"
            yield Problem("cpus", f"the host has {host.cpus} processors", f"{self.cpus:g}", do)
        if memory is not None and not SMALLEST_MEMORY <= memory <= host.memory:
            do = f"choose {show_size(SMALLEST_MEMORY)} to {host.memory / GIB:.1f} GiB, which is all there is"
            yield Problem("memory", "cannot be given", show_size(memory), do)
        if swap and swap > host.swap:
            yield Problem("swap", f"the host has {show_size(host.swap)}", show_size(swap), "choose less, or add swap")
        if swap is not None and memory is None:
            yield Problem("swap", "means nothing without a limit on memory", show_size(swap), "set memory as well")
        if self.pids is not None and self.pids > host.pids:
            yield Problem("pids", f"the kernel numbers up to {host.pids}", str(self.pids), "choose less")
        if self.open_files is not None and self.open_files > host.open_files:
            do = "choose less, or raise the sysctl fs.nr_open"
            yield Problem("open_files", f"the kernel allows {host.open_files}", str(self.open_files), do)
        if tmp == 0:
            yield Problem("tmp", "0 would mean no limit at all", "0B", "choose at least 4KiB")
        if tmp is not None and tmp >= (memory or host.memory):
            do = f"choose less than {show_size(memory or host.memory)}"
            yield Problem("tmp", "lies in memory, and would fill all of it", show_size(tmp), do)


_SIZES = frozenset({"memory", "swap", "tmp"})


def _text(value: float | None) -> str | None:
    return None if value is None else str(value)


def _show(name: str, value: float) -> str:
    return show_size(value) if name in _SIZES else f"{value:g}"


def _equal(name: str, asked: float, got: float) -> bool:
    if name in _SIZES:
        return -(-asked // _PAGE) >= got // _PAGE >= asked // _PAGE
    return abs(asked - got) < SMALLEST_CPUS / 2
