"""ResourceMonitor: looks at resources as often as needed, and says when a level changes.

A thread in the process that it protects, or in one that watches another (`python -m targets.resources watch`).
Woken by the kernel where it offers that, by `Pace` otherwise. It says each change once, from its own thread.

Not promised: a look while the interpreter is held by one call in C; a change that came and went between two looks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from targets.resources import kernel
from targets.resources.cgroups import Cgroup
from targets.resources.levels import Change, Gauge, Level, Pace, Sample, Thresholds
from targets.resources.sources import Memory, Source

Arm = Callable[[Sequence[int]], int]
"""Returns a descriptor that becomes readable when memory usage crosses one of these numbers of bytes."""

_RUNG = 0.05
_RUNGS_BELOW = 3
"""Rungs below the first threshold: growth must be known by the time that it is reached."""


def rungs(thresholds: Thresholds, limit: int) -> list[int]:
    """Return the usages in bytes at which the kernel is to wake us."""
    ladder = [thresholds.warning + _RUNG * step for step in range(-_RUNGS_BELOW, 20)]
    shares = {thresholds.warning, thresholds.critical, thresholds.emergency, *(s for s in ladder if 0 < s < 1)}
    return sorted(int(share * limit) for share in shares)


class ResourceMonitor:
    """Reads `sources` from `start` to `stop`, and calls `react` with every change of level, in its own thread.

    `arm` asks the kernel to wake us at memory usages; without it, and where it raises `OSError`, sampling has to do.
    `events` are further descriptors that mean "look now". What `react` raises is reported on standard error.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        react: Callable[[Change], None],
        thresholds: Thresholds | None = None,
        *,
        pace: Pace | None = None,
        arm: Arm | None = None,
        events: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.looks = 0
        """How often it looked since its start."""
        self._sources = sources
        self._react = react
        self._thresholds = thresholds or Thresholds()
        self._gauges = {source.resource: Gauge(source.resource, self._thresholds) for source in sources}
        self._latest: dict[str, Sample] = {}
        self._pace = pace or Pace()
        self._arm = arm
        self._slow_at = 0.0
        self._wakeups = kernel.Wakeups()
        for descriptor, kind in events:
            self._wakeups.add(descriptor, kind)
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wakeups.add(self._stop)
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="resource monitor", daemon=True)

    @property
    def woken_by_kernel(self) -> bool:
        """Whether the kernel tells of memory thresholds, so that looking rarely is enough."""
        return self._wakeups.armed_for is not None

    @property
    def level(self) -> Level:
        """The highest level of any resource."""
        return max((gauge.level for gauge in self._gauges.values()), default=Level.NORMAL)

    def start(self) -> None:
        """Look once, so that the level is known, and go on in a thread."""
        self.look(time.monotonic())
        self._thread.start()

    def stop(self) -> None:
        """End the thread. The second time nothing happens."""
        if not self._stopping:
            self._stopping = True
            os.eventfd_write(self._stop, 1)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def snapshot(self) -> Mapping[str, object]:
        """Return use, limit and level of each resource, as of the last look."""
        return {
            name: {"used": sample.used, "limit": sample.limit, "level": self._gauges[name].level.word}
            for name, sample in self._latest.copy().items()
        }

    def look(self, now: float) -> float:
        """Look at what is due at `now`, react, and return the seconds until the next look is due."""
        self.looks += 1
        slow = now >= self._slow_at
        if slow:
            self._slow_at = now + self._pace.slow_s
        pauses = [self._slow_at - now]
        for source in self._sources:
            if source.fast or slow:
                with contextlib.suppress(OSError):  # the group is gone, and whom we protect with it
                    pauses.append(self._look_at(source, now))
        return min(pauses)

    def _look_at(self, source: Source, now: float) -> float:
        sample, gauge = source.read(now), self._gauges[source.resource]
        if sample is None:
            return self._pace.slow_s
        self._latest[source.resource] = sample
        change = gauge.feed(sample)
        if change is not None:
            self._tell(change)
        if not source.fast:
            return self._pace.slow_s
        woken = isinstance(source, Memory) and self._is_woken(source, sample)
        return self._pace.pause(gauge, sample, woken=woken)

    def _is_woken(self, source: Memory, sample: Sample) -> bool:
        """Return whether the kernel will wake us at the next threshold; page cache beyond that would hide it."""
        if source.limited:
            self._keep_armed(sample)
        return self.woken_by_kernel and source.usage < self._thresholds.ahead(sample)

    def _keep_armed(self, sample: Sample) -> None:
        if self._arm is None or sample.limit is None or sample.limit == self._wakeups.armed_for:
            return
        try:
            self._wakeups.arm(self._arm(rungs(self._thresholds, int(sample.limit))), int(sample.limit))
        except OSError as error:
            self._arm = None
            sys.stderr.write(f"the kernel cannot wake the monitor, sampling instead: {error}\n")

    def _tell(self, change: Change) -> None:
        try:
            self._react(change)
        except Exception as error:  # noqa: BLE001  a monitor that dies of an action protects nobody
            sys.stderr.write(f"an action failed on {change}: {type(error).__name__}: {error}\n")

    def _watch(self) -> None:
        while not self._stopping:
            self._wakeups.wait(self.look(time.monotonic()))
        self._wakeups.close()


def arm_for(group: Cgroup, herald: str | None = None) -> Arm | None:
    """Return how to be woken at usages of this group: by its files, or by the `Herald` at a path; None on v2."""
    folder = group.memory_folder
    if herald is not None:
        return lambda usages: kernel.ask_herald(herald, usages)
    if group.version != 1 or folder is None:
        return None
    return lambda usages: kernel.usage_thresholds(folder, usages)
