"""The readers, on recorded trees of both versions. What the trees are: trees/README.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.resources_kit import TREES
from targets.resources import cgroups
from targets.resources.cgroups import Cpu, Memory, Pids, Stall
from targets.resources.units import MIB


@pytest.fixture
def v1() -> cgroups.Cgroup:
    return cgroups.of(root=TREES / "v1")


@pytest.fixture
def v2() -> cgroups.Cgroup:
    return cgroups.of(root=TREES / "v2")


class TestVersion1:
    def test_page_cache_that_can_be_dropped_is_not_in_the_working_set(self, v1: cgroups.Cgroup) -> None:
        assert v1.memory() == Memory(37773312, 37773312 - 12 * MIB, 64 * MIB, 0, 1)

    def test_shared_memory_is_in_the_working_set_although_it_counts_as_cache(self, v1: cgroups.Cgroup) -> None:
        memory = v1.memory()
        assert memory is not None
        assert memory.working_set >= 14 * MIB  # 10 private, 4 shared

    def test_processes_and_refused_forks_are_counted(self, v1: cgroups.Cgroup) -> None:
        assert v1.pids() == Pids(4, 12, 2)

    def test_throttling_is_read_in_seconds_and_the_quota_in_processors(self, v1: cgroups.Cgroup) -> None:
        assert v1.cpu() == Cpu(0.2, 29, 28, 2.233024579)

    def test_pressure_comes_from_the_hierarchy_of_version_2_beside_it(self, v1: cgroups.Cgroup) -> None:
        assert isinstance(v1.stall("cpu"), Stall)
        assert v1.stall("tea") is None

    def test_swap_is_what_both_limits_leave_between_them(self, v1: cgroups.Cgroup) -> None:
        assert v1.swap_limit() == 0
        assert v1.version == 1


class TestVersion2:
    def test_memory_is_read_where_it_is_limited_most_tightly(self, v2: cgroups.Cgroup) -> None:
        assert v2.memory() == Memory(200 * MIB, 160 * MIB, 256 * MIB, 42, 2)
        assert v2.memory_folder == TREES / "v2/sys/fs/cgroup/agents.slice/task"

    def test_the_rest_reads_as_in_version_1(self, v2: cgroups.Cgroup) -> None:
        assert v2.pids() == Pids(17, 64, 21)
        assert v2.cpu() == Cpu(0.25, 42, 41, 3.1005)
        assert v2.stall("memory") == Stall(12.34, 4.56)
        assert v2.stall("io") is None
        assert v2.swap_limit() == 0
        assert v2.version == 2

    def test_a_tighter_limit_above_is_the_one_that_counts(self, tmp_path: Path) -> None:
        shutil.copytree(TREES / "v2", tmp_path, dirs_exist_ok=True)
        slice_ = tmp_path / "sys/fs/cgroup/agents.slice"
        (slice_ / "memory.max").write_text("104857600\n")
        memory = cgroups.of(root=tmp_path).memory()
        assert memory is not None
        assert (memory.limit, memory.usage) == (100 * MIB, 288 * MIB)

    def test_without_any_limit_the_own_group_is_read_and_unlimited(self, tmp_path: Path) -> None:
        shutil.copytree(TREES / "v2", tmp_path, dirs_exist_ok=True)
        for file in tmp_path.rglob("memory.max"):
            file.write_text("max\n")
        group = cgroups.of(root=tmp_path)
        memory = group.memory()
        assert memory is not None
        assert (memory.limit, memory.usage) == (None, 200 * MIB)
        (tmp_path / "sys/fs/cgroup/agents.slice/task/cpu.max").write_text("max 100000\n")
        cpu = group.cpu()
        assert cpu is not None
        assert cpu.quota is None

    def test_controllers_that_are_not_there_read_as_nothing(self, tmp_path: Path) -> None:
        shutil.copytree(TREES / "v2", tmp_path, dirs_exist_ok=True)
        for file in (tmp_path / "sys/fs/cgroup/agents.slice/task").glob("*.*"):
            file.unlink()
        shutil.rmtree(tmp_path / "sys/fs/cgroup/agents.slice", ignore_errors=True)
        (tmp_path / "sys/fs/cgroup/agents.slice/task").mkdir(parents=True)
        group = cgroups.of(root=tmp_path)
        found = [group.memory(), group.pids(), group.cpu(), group.stall("memory"), group.swap_limit()]
        assert found == [None] * 5
        assert group.memory_folder is None


def test_version_1_without_controllers_reads_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("1:name=systemd:/\n")
    (tmp_path / "proc/self/mountinfo").write_text("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n")
    group = cgroups.of(root=tmp_path)
    found = [group.memory(), group.pids(), group.cpu(), group.stall("cpu"), group.swap_limit()]
    assert found == [None] * 5


def test_in_a_container_the_own_group_is_the_root_of_the_mount(tmp_path: Path) -> None:
    """There the path of the group is that of the host, and the mount shows the group alone."""
    folder = tmp_path / "sys/fs/cgroup/memory"
    shutil.copytree(TREES / "v1/sys/fs/cgroup/memory/bigfive/task", folder)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/docker/abc\n")
    mount = "733 720 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"
    (tmp_path / "proc/self/mountinfo").write_text(mount)
    assert cgroups.of(root=tmp_path).memory_folder == folder


def test_a_limit_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert cgroups.tightest(tmp_path / "a", tmp_path, "memory.max") == tmp_path / "a"


def test_this_process_can_be_read_and_one_that_is_gone_cannot() -> None:
    assert cgroups.of().version in {1, 2}
    with pytest.raises(OSError, match="No such file"):
        cgroups.of(2**22 + 1)
