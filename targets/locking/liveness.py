"""Which process is meant, whether it still lives, and a descriptor that becomes readable when it dies.

A process is named by boot, pid namespace, pid and start time, so that a reused pid is never taken for it. Seen from
another host, boot or pid namespace nothing can be said: then only the lease of what it holds tells that it is gone.
"""

from __future__ import annotations

import os
import select
from functools import cache
from pathlib import Path

_STATE, _START_TIME = 0, 19  # of the fields in /proc/PID/stat that follow the name, see proc_pid_stat(5)


def myself() -> str:
    """Return the name of this process; after a fork, that of the child."""
    return _name(os.getpid())


@cache
def _name(pid: int) -> str:
    return f"{_here()}/{pid}/{_started(pid)}"


@cache
def _here() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"


def _started(pid: int) -> str | None:
    """Return when `pid` started, in ticks since the boot; None if there is no such process, or only its zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return None
    return None if after_name[_STATE] in {b"Z", b"X"} else after_name[_START_TIME].decode()


def pid_of(process: str) -> int | None:
    """Return the pid in `process` if it can be watched from here, else None."""
    here, _, rest = process.rpartition("/")[0].rpartition("/")
    return int(rest) if rest.isdigit() and here == _here() else None


def alive(process: str) -> bool:
    """Return whether `process` lives, as far as can be told from here: what cannot be watched counts as living."""
    pid = pid_of(process)
    return pid is None or process == myself() or _started(pid) == process.rpartition("/")[2]


def watch(process: str) -> int | None:
    """Return a descriptor that is readable once `process` is dead, or None if it cannot be watched, or is dead."""
    pid = pid_of(process)
    if pid is None or process == myself():
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # it is dead, or this sandbox has no pidfd: then the next look tells
        return None
    if alive(process):  # asked after the opening: from now on the pid cannot be another process's
        return descriptor
    os.close(descriptor)
    return None


def wait_any(descriptors: list[int], timeout_s: float) -> list[int]:
    """Return those of `descriptors` that are readable, as soon as there is one, or none after `timeout_s`."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(max(0.0, timeout_s) * 1000)]
