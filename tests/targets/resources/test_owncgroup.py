"""A cgroup of one's own: on a tree of plain files for version 2, for real on version 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.resources_kit import no_own_cgroup
from support.state_kit import gone
from targets.resources import owncgroup
from targets.resources.errors import CannotStart
from targets.resources.limits import ContainerLimits
from targets.resources.owncgroup import OwnCgroup
from targets.resources.units import MIB

LIMITS = ContainerLimits(memory=64 * MIB, swap=0, pids=20, cpus=0.5, open_files=128)


@pytest.fixture
def group(lacking: Callable[[str], None]) -> Iterator[OwnCgroup]:
    if why := no_own_cgroup():
        lacking(why)
    group = OwnCgroup.create(LIMITS)
    yield group
    group.remove()
    assert not any(folder.exists() for folder in group.folders.values())


def test_what_runs_inside_finds_the_limits_in_force(group: OwnCgroup) -> None:
    asked = ["--memory", "64MiB", "--swap", "0B", "--pids", "20", "--cpus", "0.5", "--open-files", "128"]
    command = group.entering([sys.executable, "-m", "targets.resources", "limits", *asked])
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["memory"] == 64 * MIB


def test_limits_can_be_changed_while_it_runs(group: OwnCgroup) -> None:
    group.set(ContainerLimits(memory=32 * MIB, pids=10))
    assert (group.folders["memory"] / "memory.limit_in_bytes").read_text() == f"{32 * MIB}\n"
    assert (group.folders["pids"] / "pids.max").read_text() == "10\n"
    group.set(ContainerLimits(memory=96 * MIB, swap=0))  # above the limit that was on memory and swap together
    assert (group.folders["memory"] / "memory.memsw.limit_in_bytes").read_text() == f"{96 * MIB}\n"


def test_removing_it_ends_what_is_inside(lacking: Callable[[str], None]) -> None:
    if why := no_own_cgroup():
        lacking(why)
    group = OwnCgroup.create(LIMITS)
    code = "import signal; print('in', flush=True); signal.pause()"
    process = subprocess.Popen(group.entering([sys.executable, "-c", code]), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"in\n"
    group.remove()
    process.communicate()
    assert process.returncode == -9


def test_what_a_dead_owner_left_over_is_swept_and_what_is_in_use_is_not(group: OwnCgroup) -> None:
    code = (
        "from targets.resources.owncgroup import *; g = OwnCgroup.create(ContainerLimits()); print(g.folders['memory'])"
    )
    left = Path(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip())
    assert left.is_dir()
    assert left in owncgroup.sweep()
    assert not left.exists()
    assert group.folders["memory"].is_dir()


class TestVersion2:
    """Written by the kernel's documentation; the files are plain ones here."""

    def test_the_controllers_are_switched_on_and_the_limits_written(self, tmp_path: Path) -> None:
        group = OwnCgroup.create(LIMITS, tmp_path)
        assert group.version == 2
        assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
        (folder,) = set(group.folders.values())
        written = {file.name: file.read_text() for file in folder.iterdir()}
        assert written == {
            "memory.max": str(64 * MIB),
            "memory.swap.max": "0",
            "pids.max": "20",
            "cpu.max": "50000 100000",
        }
        assert group.entering(["true"])[3:] == [str(folder), "--open-files", "128", "--", "true"]

    def test_the_run_that_it_belongs_to_can_find_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BIGFIVE_LABEL", "run-7")
        (folder,) = set(OwnCgroup.create(ContainerLimits(), tmp_path).folders.values())
        assert folder.name.startswith(f"bigfive-{os.getpid()}-")
        assert folder.name.endswith("-run-7")

    def test_where_nothing_may_be_written_it_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(CannotStart, match="run as root on a host with cgroups"):
            OwnCgroup.create(LIMITS, tmp_path / "none")

    def test_what_cannot_be_removed_is_an_error_in_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owncgroup, "_END_S", 0.05)
        group = OwnCgroup.create(ContainerLimits(pids=3), tmp_path)  # plain files keep a plain folder from going
        with pytest.raises(OSError, match="not empty"):
            group.remove()


@pytest.mark.parametrize("arguments", [["/none", "--", "true"], ["/none"], ["/tmp", "--", "/none"]])  # noqa: S108
def test_what_cannot_be_entered_is_said(arguments: list[str], tmp_path: Path) -> None:
    inside = [str(tmp_path) if each == "/tmp" else each for each in arguments]  # noqa: S108
    done = subprocess.run(
        [sys.executable, "-m", "targets.resources.owncgroup", *inside], check=False, capture_output=True, text=True
    )
    assert done.returncode == os.EX_OSERR
    assert "cannot run" in done.stderr


def test_the_start_time_of_nobody_is_zero() -> None:
    assert owncgroup._start_time(os.getpid()) > 0
    assert owncgroup._start_time(2**22 + 1) == 0
    assert gone(2**22 + 1)
