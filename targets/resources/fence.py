"""The fence: this process's own allocations fail before the kernel has to kill.

No monitor written in Python can run while one call in C takes 240 MiB. So the kernel counts: RLIMIT_DATA (private
memory) and RLIMIT_AS (all mappings, shared ones as well) are lowered to where what is new would carry the group to
`share` of its limit. What asks for more gets ENOMEM, in Python `MemoryError`, at the call that asked, and the rest of
the process goes on.

Not promised: what is no mapping of this process (tmpfs, page tables, sockets), and what other processes of the group
take. The monitor is for those.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from dataclasses import dataclass
from pathlib import Path

from targets.resources.levels import Sample
from targets.resources.units import KIB, MIB

THREAD_STACK = 512 * KIB
"""Stacks count in full though hardly touched; with the usual 8 MiB fifty connections would fill a small container."""
_LEAST_ROOM = 4 * MIB
_M_ARENA_MAX = -8


@dataclass(frozen=True)
class Mapped:
    """Bytes of a process: all its mappings, the private writable ones, and what of these it has touched."""

    everything: int
    private: int
    touched: int

    @classmethod
    def of(cls, process: int | str = "self") -> Mapped:
        """Ask the kernel. Raises `OSError` if the process is gone."""
        lines = (line.split() for line in Path("/proc", str(process), "status").read_text().splitlines())
        table = {line[0]: int(line[1]) * KIB for line in lines if line[0] in {"VmSize:", "VmData:", "RssAnon:"}}
        return cls(table["VmSize:"], table["VmData:"], table["RssAnon:"])


class Fence:
    """Keeps this process from mapping what carries its group beyond `share` of the limit."""

    def __init__(self, share: float) -> None:
        self.ceiling: Mapped | None = None
        """What may be mapped; None while it is down."""
        self._share = share

    def raise_for(self, sample: Sample, before: Mapped | None = None) -> None:
        """Put the fence where the group's use and limit call for. Without a limit it stays as it is.

        `before` was measured before the sample was: what is taken in between must count as new, or a fast leak would
        lift the fence by that much each time.
        """
        if sample.limit is None:
            return
        now = before or Mapped.of()
        room = int(self._share * sample.limit - sample.used) - (now.private - now.touched)
        # Only the first time some room in any case: else it would creep with each call.
        self._leave(now, max(room, _LEAST_ROOM if self.ceiling is None else 0))

    def tighten(self) -> None:
        """Leave half of the room that there is: for an orderly end, and not for what made it necessary."""
        if self.ceiling is not None:
            now = Mapped.of()
            room = min(self.ceiling.private - now.private, self.ceiling.everything - now.everything)
            self._leave(now, max(_LEAST_ROOM, room // 2))

    def lower(self) -> None:
        """Take the fence away."""
        self.ceiling = None
        for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
            _limit(kind, None)

    def _leave(self, now: Mapped, room: int) -> None:
        self.ceiling = Mapped(now.everything + room, now.private + room, now.touched)
        _limit(resource.RLIMIT_DATA, self.ceiling.private)
        _limit(resource.RLIMIT_AS, self.ceiling.everything)


def one_arena() -> None:
    """Let malloc reserve no 64 MiB of addresses for each thread, which the fence would count. Before any thread."""
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def prefer_as_victim(score: int) -> None:
    """Tell the kernel whom to kill first: from 1000 (this process) down. Lowering it takes a privilege we may lack."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    with contextlib.suppress(PermissionError):
        os.write(descriptor, str(score).encode())
    os.close(descriptor)


def _limit(kind: int, ceiling: int | None) -> None:
    _, hard = resource.getrlimit(kind)
    wanted = hard if ceiling is None else ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
    resource.setrlimit(kind, (wanted, hard))
