"""Atomic files, folders with one owner, failpoints."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support.state_kit import Failpoints, python
from targets import durable
from targets.durable import FolderInUse, FolderLock, create_folder, is_temporary, owner_of, replace, write_at


def test_a_file_is_created_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"one", "test")
    replace(path, b"two", "test")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_content_and_the_folder_are_synced_in_that_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    replace(tmp_path / "file", b"data", "test")
    assert synced == [".file.tmp", tmp_path.name]
    assert is_temporary(".file.tmp")
    assert not is_temporary("file")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: write(descriptor, bytes(data[:3]), offset))
    replace(tmp_path / "file", b"0123456789", "test")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_nothing_is_written_where_nothing_is_to_be_written(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        write_at(file.fileno(), b"", 0)
    assert (tmp_path / "file").read_bytes() == b""


def test_folders_are_created_with_their_parents(tmp_path: Path) -> None:
    create_folder(tmp_path / "a" / "b")
    create_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_an_owner_keeps_others_out_until_it_releases(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(FolderInUse, match=f"process {os.getpid()}") as refusal:
        FolderLock(tmp_path)
    assert refusal.value.certainly_not_done
    lock.release()
    FolderLock(tmp_path).release()


def test_an_owner_can_be_told_without_asking_for_the_lock(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
    lock = FolderLock(tmp_path)
    assert owner_of(tmp_path) == os.getpid()
    lock.release()
    assert owner_of(tmp_path) is None


def test_an_owner_that_has_not_yet_said_who_it_is_is_unknown(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    (tmp_path / durable.LOCK_NAME).write_bytes(b"")
    with pytest.raises(FolderInUse, match="unknown") as refusal:
        FolderLock(tmp_path)
    assert refusal.value.owner == 0
    lock.release()


PASSES_TWO = "from targets.durable import failpoint; failpoint('one'); failpoint('two'); print('passed', flush=True)"


@pytest.mark.parametrize(("order", "status"), [("go", 0), ("die", -signal.SIGKILL), ("", 0)])
def test_a_named_failpoint_waits_for_the_order_and_obeys_it(tmp_path: Path, order: str, status: int) -> None:
    failpoints = Failpoints(tmp_path / "f", "two,three", order)
    process = python("-c", PASSES_TWO, **failpoints.environment)
    out, _ = process.communicate(timeout=20)
    failpoints.close()
    assert failpoints.reached == ["two"]
    assert process.returncode == status
    assert out == (b"passed\n" if status == 0 else b"")


def test_a_controller_that_is_gone_means_go(tmp_path: Path) -> None:
    environment = {"BIGFIVE_FAILPOINTS": str(tmp_path / "none"), "BIGFIVE_FAILPOINT_NAMES": "one"}
    out, _ = python("-c", PASSES_TWO, **environment).communicate(timeout=20)
    assert out == b"passed\n"


def test_without_the_environment_a_failpoint_does_nothing() -> None:
    durable.failpoint("one")
