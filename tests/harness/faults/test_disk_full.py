"""A disk that is full: on a file system of the run's own, never on the machine's."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.doctor import CAPABILITIES, probe
from harness.errors import ScenarioError
from harness.units import Size
from support.faults import broken, executed, make, refusal, site_of
from support.trials import PATIENCE_S, Trial, toy_scenario

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not probe(CAPABILITIES["root"]).ok, reason="mounting takes root"),
]
FULL = make("disk.full", size=Size(1 << 20))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "target"
    disk.mkdir()
    FULL.prepare(disk)
    (disk / "data").write_bytes(b"x" * 5000)
    yield disk
    executed(FULL.preparation(disk), tmp_path / "unmount")
    assert not disk.is_mount()


def error_of_a_write(path: Path) -> int | None:
    try:
        with path.open("ab", buffering=0) as file:
            file.write(b"y" * 10_000)
            os.fsync(file)
    except OSError as error:
        return error.errno
    return None


def test_a_full_disk_refuses_to_write_and_has_room_again_afterwards(disk: Path, tmp_path: Path) -> None:
    site = site_of(disk)
    plan = FULL.undo_plan(site)
    evidence = broken(FULL, site)
    assert error_of_a_write(disk / "new") == errno.ENOSPC
    executed(plan, tmp_path / "undo")
    assert FULL.prove_undone(site, evidence)["write"] == "ok"
    assert error_of_a_write(disk / "data") is None
    assert os.statvfs(disk).f_blocks * os.statvfs(disk).f_frsize == 1 << 20


def test_nothing_is_added_to_the_folder_of_the_target(disk: Path) -> None:
    broken(FULL, site_of(disk))
    assert [path.name for path in disk.iterdir()] == ["data"]


def test_a_folder_inside_the_disk_is_as_full(disk: Path) -> None:
    (disk / "store").mkdir()
    evidence = broken(FULL, site_of(disk / "store", folder=disk))
    assert evidence["disk"] == str(disk)
    assert error_of_a_write(disk / "store" / "new") == errno.ENOSPC


def test_a_disk_that_is_full_already_is_refused(disk: Path) -> None:
    broken(FULL, site_of(disk))
    assert "full already" in refusal(FULL, site_of(disk))


def test_an_empty_disk_cannot_be_filled(disk: Path) -> None:
    (disk / "data").unlink()
    assert "it is empty" in refusal(FULL, site_of(disk))


def test_the_disk_of_the_machine_is_never_filled(tmp_path: Path) -> None:
    assert "not on a file system of this run" in refusal(FULL, site_of(tmp_path))


def test_a_disk_that_did_not_stay_full_proves_nothing(disk: Path, tmp_path: Path) -> None:
    site = site_of(disk)
    plan, evidence = FULL.undo_plan(site), FULL.inject(site)
    executed(plan, tmp_path / "undo")
    with pytest.raises(Exception, match="is not full"):
        FULL.prove(site, evidence)


def test_two_faults_share_a_disk_of_one_size_and_argue_about_two(disk: Path) -> None:
    FULL.prepare(disk)
    with pytest.raises(ScenarioError, match="two faults want disks of 1048576 and of 2097152 bytes"):
        make("disk.full", size=Size(2 << 20)).prepare(disk)


def test_the_undos_need_no_disk(tmp_path: Path) -> None:
    executed(FULL.preparation(tmp_path), tmp_path / "unmount")


@pytest.mark.parametrize("point", ["set_up", "undo.journaled", "fault.injected", ""])
def test_no_trial_leaves_its_disk_behind_wherever_it_ends(point: str, tmp_path: Path) -> None:
    text = toy_scenario(["{at: 200ms, fault: disk.full, on: folder, for: 200ms, size: 1MiB}"])
    trial = Trial(tmp_path / "run", re.sub("target: .*", "target: targets.state:adapter", text))
    trial.start(BIGFIVE_DIE_AT=point).wait(3 * PATIENCE_S)
    trial.wait_until_clean()
    assert str(trial.sandbox) not in Path("/proc/self/mountinfo").read_text()
    assert point or "fault_undone" in trial.log()
