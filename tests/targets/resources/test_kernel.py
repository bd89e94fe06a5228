"""Wake-ups by the kernel: on files of our own, and in a real cgroup where one can be made."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.resources_kit import no_own_cgroup
from targets.resources import kernel
from targets.resources.limits import ContainerLimits
from targets.resources.owncgroup import OwnCgroup
from targets.resources.units import MIB

HOLD = (
    "import mmap, sys; m = mmap.mmap(-1, 32 << 20); [m.write(b'x' * (1 << 20)) for _ in range(32)]; "
    "print('held', flush=True); "
    "sys.stdin.read()"
)


@pytest.fixture
def group(lacking: Callable[[str], None]) -> Iterator[OwnCgroup]:
    if why := no_own_cgroup():
        lacking(why)
    group = OwnCgroup.create(ContainerLimits(memory=64 * MIB))
    yield group
    group.remove()


@pytest.fixture
def wakeups() -> Iterator[kernel.Wakeups]:
    wakeups = kernel.Wakeups()
    yield wakeups
    wakeups.close()


def hold(group: OwnCgroup) -> subprocess.Popen[bytes]:
    """Start a process in the group; return once it holds 32 MiB."""
    command = group.entering([sys.executable, "-S", "-c", HOLD])
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()
    assert process.wait() == 0


class TestUsageThresholds:
    def test_crossing_one_wakes(self, group: OwnCgroup, wakeups: kernel.Wakeups) -> None:
        wakeups.arm(kernel.usage_thresholds(group.folders["memory"], [24 * MIB, 60 * MIB]), 64 * MIB)
        assert not wakeups.wait(0)
        process = hold(group)
        assert wakeups.wait(5)
        assert not wakeups.wait(0)
        end(process)
        assert wakeups.wait(5)  # downwards as well

    def test_arming_anew_replaces_the_old(self, group: OwnCgroup, wakeups: kernel.Wakeups) -> None:
        for limit in (64 * MIB, 32 * MIB):
            wakeups.arm(kernel.usage_thresholds(group.folders["memory"], [limit // 2]), limit)
        assert wakeups.armed_for == 32 * MIB
        assert len(wakeups._descriptors) == 1

    def test_it_can_be_handed_to_one_who_may_not_register(
        self, group: OwnCgroup, wakeups: kernel.Wakeups, tmp_path: Path
    ) -> None:
        herald = kernel.Herald(str(tmp_path / "herald"))
        herald.serve(group.folders["memory"])
        wakeups.arm(kernel.ask_herald(str(tmp_path / "herald"), [24 * MIB]), 64 * MIB)
        herald.close()  # what was handed out stays good
        end(hold(group))
        assert wakeups.wait(5)


def test_where_there_is_no_group_nothing_can_be_registered(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        kernel.usage_thresholds(tmp_path, [1])
    (tmp_path / "memory.usage_in_bytes").write_text("1")
    (tmp_path / "cgroup.event_control").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        kernel.usage_thresholds(tmp_path, [1])


class TestHerald:
    @pytest.mark.parametrize("nonsense", [b"", b"x\n", b"7\n", b'[{"a": 1}]\n', b"[1]\n"])
    def test_nonsense_and_strange_groups_get_no_descriptor_and_harm_nobody(
        self, tmp_path: Path, nonsense: bytes
    ) -> None:
        path = str(tmp_path / "herald")
        herald = kernel.Herald(path)
        herald.serve(tmp_path)
        with socket.socket(socket.AF_UNIX) as guest:
            guest.settimeout(10)
            guest.connect(path)
            guest.sendall(nonsense)
            guest.shutdown(socket.SHUT_WR)
            assert guest.recv(1) == b""
        with pytest.raises(OSError, match="knows no such group"):
            kernel.ask_herald(path, [1])
        herald.close()

    def test_one_that_serves_nobody_can_be_closed(self, tmp_path: Path) -> None:
        kernel.Herald(str(tmp_path / "herald")).close()


class TestVersion2:
    def test_a_change_of_the_events_wakes(self, wakeups: kernel.Wakeups, tmp_path: Path) -> None:
        (tmp_path / "memory.events").write_text("max 0\n")
        wakeups.add(kernel.limit_reached(tmp_path))
        assert not wakeups.wait(0)
        (tmp_path / "memory.events").write_text("max 1\n")
        assert wakeups.wait(5)
        assert not wakeups.wait(0)

    def test_without_events_it_is_an_error_of_the_system(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No such file"):
            kernel.limit_reached(tmp_path)


def test_pressure_can_be_waited_for_where_the_kernel_counts_it(
    wakeups: kernel.Wakeups, lacking: Callable[[str], None]
) -> None:
    try:
        wakeups.add(kernel.stalled(Path("/proc/pressure/memory")), select.POLLPRI)
    except OSError as error:
        lacking(f"needs pressure stall information: {error}")
    assert not wakeups.wait(0)


def test_a_trigger_that_the_kernel_does_not_take_is_an_error_of_the_system(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    descriptor = kernel.stalled(tmp_path / "pipe")  # a pipe takes any text
    assert os.read(reader, 100) == b"some 100000 2000000\0"
    os.close(descriptor)
    os.close(reader)
    with pytest.raises(OSError, match="No such file"):
        kernel.stalled(tmp_path / "none")
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.stalled(Path("/proc/self/oom_score_adj"))  # wants a number


def test_what_hangs_up_is_waited_for_no_longer(wakeups: kernel.Wakeups) -> None:
    reader, writer = os.pipe()
    wakeups.add(reader, select.POLLPRI)
    os.close(writer)
    assert wakeups.wait(5)
    assert not wakeups.wait(0)
