"""The monitor: looks, says each change once, and survives what it says it to."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from support.resources_kit import TREES, Fixed, no_own_cgroup
from targets.resources import cgroups
from targets.resources.levels import Change, Level, Sample, Thresholds
from targets.resources.limits import ContainerLimits
from targets.resources.monitor import ResourceMonitor, arm_for, rungs
from targets.resources.owncgroup import OwnCgroup
from targets.resources.sources import Disk, Memory, Pids, Processor, sources
from targets.resources.units import MIB


class Heard:
    """Collects changes; `wait` returns once there are so many."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._changed = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._changed:
            self.changes.append(change)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Level]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.changes) >= count, 10), self.changes
        return [change.new for change in self.changes]


class Memories(Memory):
    """Real memory, with figures that a test sets."""

    def __init__(self, used: int, usage: int, limit: int) -> None:
        super().__init__(cgroups.of(root=TREES / "v1"))
        self.figures = used, usage, limit

    def read(self, at: float) -> Sample:
        used, self.usage, limit = self.figures
        self.limited = True
        return Sample(at, used, limit)


def test_it_says_each_change_once_from_a_thread_of_its_own() -> None:
    source, heard = Fixed(), Heard()
    monitor = ResourceMonitor([source], heard, Thresholds(calm_s=0.01))
    monitor.start()
    source.used = 72 * MIB
    assert heard.wait(1)[0] in {Level.WARNING, Level.CRITICAL}  # from 0 to 72 % in no time: growth may be said as well
    source.used = 0
    heard.wait(2)
    monitor.stop()
    monitor.stop()
    levels = [change.new for change in heard.changes]
    assert all(a != b for a, b in pairwise(levels))
    assert levels[-1] < levels[0]


def test_what_presses_from_the_start_is_said_before_the_start_returns() -> None:
    heard = Heard()
    monitor = ResourceMonitor([Fixed(99 * MIB)], heard)
    monitor.start()
    assert [change.new for change in heard.changes] == [Level.EMERGENCY]
    assert monitor.level == Level.EMERGENCY
    assert monitor.snapshot() == {"memory": {"used": 99 * MIB, "limit": 100 * MIB, "level": "emergency"}}
    monitor.stop()


def test_an_action_that_fails_is_reported_and_the_monitor_lives(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Change) -> None:
        raise RuntimeError("no pager")

    source = Fixed(72 * MIB)
    monitor = ResourceMonitor([source], fail)
    monitor.look(0)
    source.used = 99 * MIB
    monitor.look(1)
    assert capsys.readouterr().err.count("RuntimeError: no pager") == 2


def test_a_group_that_is_gone_is_no_reason_to_die() -> None:
    class Gone(Fixed):
        def read(self, at: float) -> Sample | None:
            raise FileNotFoundError("removed")

    assert ResourceMonitor([Gone()], Heard()).look(0) > 0


def test_from_inside_its_own_reaction_it_can_be_stopped() -> None:
    stopped = threading.Event()

    def stop(_: Change) -> None:
        monitor.stop()
        stopped.set()

    source = Fixed()
    monitor = ResourceMonitor([source], stop)
    monitor.start()
    source.used = 99 * MIB
    assert stopped.wait(10)


class TestWakingByTheKernel:
    def test_the_rungs_begin_below_the_first_threshold_and_hold_all_of_them(self) -> None:
        found = rungs(Thresholds(), 1000)
        assert found == sorted(set(found))
        assert {700, 850, 950} <= set(found)
        assert 500 < found[0] < 700

    def test_armed_it_looks_rarely_and_is_armed_anew_for_another_limit(self) -> None:
        armed: list[int] = []

        def arm(usages: object) -> int:
            armed.append(max(usages))
            return os.eventfd(0, os.EFD_NONBLOCK)

        source = Memories(10 * MIB, 10 * MIB, 256 * MIB)
        monitor = ResourceMonitor([source], Heard(), arm=arm)
        assert monitor.look(0) == 0.25
        assert monitor.woken_by_kernel
        source.figures = 10 * MIB, 10 * MIB, 128 * MIB
        assert monitor.look(1) == 0.25
        assert len(armed) == 2
        assert armed[1] == pytest.approx(armed[0] / 2, abs=1)

    def test_page_cache_above_the_next_threshold_blinds_the_kernel_so_it_looks_itself(self) -> None:
        source = Memories(10 * MIB, 250 * MIB, 256 * MIB)
        monitor = ResourceMonitor([source], Heard(), arm=lambda _: os.eventfd(0, os.EFD_NONBLOCK))
        assert monitor.look(0) < 0.1

    def test_where_the_kernel_refuses_sampling_goes_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        def refuse(_: object) -> int:
            raise PermissionError("read-only")

        monitor = ResourceMonitor([Memories(10 * MIB, 10 * MIB, 256 * MIB)], Heard(), arm=refuse)
        assert monitor.look(0) < 0.1
        assert not monitor.woken_by_kernel
        assert "sampling instead: read-only" in capsys.readouterr().err

    def test_version_2_has_no_usage_thresholds(self) -> None:
        assert arm_for(cgroups.of(root=TREES / "v2")) is None
        assert arm_for(cgroups.of(root=TREES / "v1")) is not None
        assert arm_for(cgroups.of(root=TREES / "v2"), "herald") is not None

    def test_a_descriptor_of_somebody_else_makes_it_look(self) -> None:
        bell = os.eventfd(0, os.EFD_NONBLOCK)
        source, heard = Fixed(limit=None), Heard()
        monitor = ResourceMonitor([source], heard, events=[(bell, 1)])
        monitor.start()
        source.used, source.limit = 99 * MIB, 100 * MIB
        os.eventfd_write(bell, 1)
        heard.wait(1)
        monitor.stop()

    def test_a_real_group_wakes_it(self, lacking: Callable[[str], None], tmp_path: Path) -> None:
        if why := no_own_cgroup():
            lacking(why)
        group = OwnCgroup.create(ContainerLimits(memory=64 * MIB))
        try:
            descriptor = arm_for_folder(group)(rungs(Thresholds(), 64 * MIB))
            assert descriptor >= 0
            os.close(descriptor)
        finally:
            group.remove()


def arm_for_folder(group: OwnCgroup) -> Callable[[list[int]], int]:
    recorded = cgroups.of(root=TREES / "v1")
    recorded.memory_folder = group.folders["memory"]
    arm = arm_for(recorded)
    assert arm is not None
    return arm


class TestSources:
    def test_recorded_groups_give_samples(self) -> None:
        group = cgroups.of(root=TREES / "v2")
        assert Memory(group).read(1) == Sample(1, 160 * MIB, 256 * MIB)
        assert Pids(group).read(1) == Sample(1, 17, 64)

    def test_without_a_limit_the_memory_of_the_host_counts(self, tmp_path: Path) -> None:
        (tmp_path / "proc/self").mkdir(parents=True)
        for name in ("cgroup", "mountinfo"):
            (tmp_path / "proc/self" / name).write_text("")
        group = cgroups.of(root=tmp_path)
        memory = Memory(group)
        sample = memory.read(1)
        assert sample.limit is not None
        assert sample.limit > 64 * MIB
        assert not memory.limited
        assert Pids(group).read(1) is None
        assert Processor(group).read(1) is None

    def test_the_processor_is_as_busy_as_it_was_throttled_since_the_last_look(self, tmp_path: Path) -> None:
        folder = tmp_path / "sys/fs/cgroup"
        folder.mkdir(parents=True)
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text("0::/\n")
        (tmp_path / "proc/self/mountinfo").write_text("35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        (folder / "cpu.max").write_text("20000 100000\n")
        source = Processor(cgroups.of(root=tmp_path))
        found = []
        for periods, throttled in ((10, 5), (20, 12), (20, 12)):
            stat = f"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec 1\n"
            (folder / "cpu.stat").write_text(stat)
            found.append(source.read(1))
        assert found == [None, Sample(1, 7, 10), None]

    def test_the_disk_is_as_full_as_its_users_can_make_it(self, tmp_path: Path) -> None:
        sample = Disk(tmp_path).read(1)
        assert sample is not None
        assert sample.limit is not None
        assert 0 < sample.used < sample.limit

    def test_everything_that_can_be_seen_has_a_source(self, tmp_path: Path) -> None:
        group = cgroups.of(root=TREES / "v1")
        assert [source.resource for source in sources(group, tmp_path)] == ["memory", "pids", "cpu", "disk"]
        assert [source.resource for source in sources(group)] == ["memory", "pids", "cpu"]


@pytest.mark.chaos
@pytest.mark.parametrize("woken", [True, False])
def test_at_rest_it_costs_next_to_nothing(woken: bool) -> None:  # noqa: FBT001
    """Under 1 % of a processor is the promise, which the bench measures; beside other tests all caches are cold."""
    memory = Memory(cgroups.of(root=TREES / "v1"))
    arm = (lambda _: os.eventfd(0, os.EFD_NONBLOCK)) if woken else None
    monitor = ResourceMonitor([memory], Heard(), arm=arm)
    monitor.start()
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    threading.Event().wait(3)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    share = (spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime) / (time.monotonic() - began)
    monitor.stop()
    assert share < 0.03, f"{share:.2%} with {monitor.looks} looks"
