"""The monitor: what it costs at rest, and the growth up to which each way of watching still wins against the kernel.

`python tests/bench/bench_resources.py [TRIALS]` prints the whole matrix: way of watching, threshold, who grows. One row
alone has the fence up, which needs no watching. Needs root and cgroup v1; the limit is 256 MiB.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from typing import ClassVar

from _measure import Row

from targets.resources import cgroups
from targets.resources.host import Host
from targets.resources.levels import Pace
from targets.resources.limits import ContainerLimits
from targets.resources.monitor import ResourceMonitor, arm_for
from targets.resources.owncgroup import TOP, OwnCgroup
from targets.resources.service import Service, leave, main
from targets.resources.sources import Memory
from targets.resources.units import MIB

RATES = (50, 100, 200, 400, 800, 1600, 0)
"""MiB a second; 0 is as fast as it goes, about 2 GiB/s on an idle machine."""
FASTEST = 2048
TRIALS = 5
LIMITS = {"memory": "256MiB", "swap": "0B"}
AT: Mapping[str, Mapping[str, object]] = {
    "70 %": {"warning": 70, "critical": 70, "horizon_s": 0},
    "85 %": {"warning": 70, "critical": 85, "horizon_s": 0},
}
_REST_S = 4.0
_OVER_S = 30.0


class Poller(Service):
    """Looks every 100 ms, whatever happens."""

    pace: ClassVar[Pace] = Pace(shortest_s=0.1, rest_s=0.1, longest_s=0.1)
    woken_by_kernel: ClassVar[bool] = False
    fenced: ClassVar[bool] = False


class Adaptive(Service):
    """Looks the more often the nearer the limit is."""

    woken_by_kernel: ClassVar[bool] = False
    fenced: ClassVar[bool] = False


class Woken(Service):
    """Is woken by the kernel at the thresholds, and looks in between."""

    fenced: ClassVar[bool] = False


WAYS: Mapping[str, type[Service]] = {"poller": Poller, "adaptive": Adaptive, "kernel": Woken, "fence": Service}


class _Ended:
    """Takes events until the service has ended for the first time."""

    def __init__(self) -> None:
        self.status: object = None
        self.over = threading.Event()

    def __call__(self, name: str, **data: object) -> None:
        if name == "service.exited" and not self.over.is_set():
            self.status = data.get("status")
            self.over.set()


def wins(way: str, at: str, kind: str, rate: int) -> bool:
    """Let one service grow; return whether it ended in order."""
    folder, ended = tempfile.mkdtemp(prefix="bigfive-bench-"), _Ended()
    host = Host(ended, (sys.executable, __file__, way))
    try:
        host.start(folder, os.environ.get("BIGFIVE_LABEL", ""), {"cgroup": "own", "limits": LIMITS, **AT[at]})
        host.grow("600MiB", f"{rate}MiB/s" if rate else None, kind)
        ended.over.wait(_OVER_S)
    finally:
        host.stop()
        shutil.rmtree(folder)
    return ended.status == 0


def highest(way: str, at: str, kind: str, trials: int) -> int:
    """Return the highest of `RATES` at which every trial is won, in MiB a second; 0 if that is none."""
    low, high = -1, len(RATES) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if all(wins(way, at, kind, RATES[middle]) for _ in range(trials)):
            low = middle
        else:
            high = middle - 1
    return 0 if low < 0 else RATES[low] or FASTEST


def at_rest(*, woken: bool) -> float:
    """Return the per cent of a processor that watching costs in a group that is hardly used."""
    group = OwnCgroup.create(ContainerLimits(memory=256 * MIB))
    pid = os.fork()
    if pid == 0:
        (group.folders["memory"] / "cgroup.procs").write_text(str(os.getpid()))
        own = cgroups.of()
        monitor = ResourceMonitor([Memory(own)], lambda _: None, arm=arm_for(own) if woken else None)
        monitor.start()
        began, used = time.monotonic(), time.process_time()
        threading.Event().wait(_REST_S)
        share = (time.process_time() - used) / (time.monotonic() - began)
        os._exit(min(200, round(share * 10_000 / 2)))  # in 0.02 %
    _, status = os.waitpid(pid, 0)
    group.remove()
    return os.waitstatus_to_exitcode(status) * 2 / 100


def rows() -> Iterator[Row]:
    """Measure everything of this file; nothing where no cgroup can be made."""
    if not os.access(TOP / "memory" / "cgroup.event_control", os.W_OK):
        return
    for what, woken in (("woken by the kernel", True), ("sampling alone", False)):
        share = at_rest(woken=woken)
        yield Row(f"monitor at rest, {what}", share, "1 % of a processor", 1.0, "%", share, 1.0)
    plain = highest("poller", "70 %", "shared", TRIALS)
    for way in ("adaptive", "kernel"):
        ours = highest(way, "70 %", "shared", TRIALS)
        ratio = ours / max(1, plain)
        yield Row(
            f"growth that is survived at 70 %, {way}", ours, "100 ms poller", plain, "MiB/s", ratio, 1.0, at_least=True
        )
    won = sum(wins("fence", "70 %", kind, 0) for kind in ("private", "shared") for _ in range(10))
    yield Row("orderly ends of 20 at full speed", won, "all", 20, "", won / 20, 1.0, at_least=True)


def matrix(trials: int) -> None:
    """Print the highest rate for each cell."""
    sys.stdout.write("| watching | at | who grows | highest rate won, MiB/s |\n|---|---|---|---|\n")
    for way in ("poller", "adaptive", "kernel"):
        for at in AT:
            for kind, who in (("shared", "itself"), ("child", "a sibling")):
                rate = highest(way, at, kind, trials)
                shown = "all it can" if rate == FASTEST else str(rate)
                sys.stdout.write(f"| {way} | {at} | {who} | {shown} ({trials} of {trials}) |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        leave(main(sys.argv[2:], WAYS[sys.argv[1]]))
    matrix(int(sys.argv[1]) if sys.argv[1:] else 20)
