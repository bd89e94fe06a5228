"""The errors that a disk can answer with; those of a real one are under tests/chaos."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from support.state_kit import NEVER, contents, fill
from targets.state import layout
from targets.state.errors import NotWritten, OutcomeUnknown, ReadOnly
from targets.state.recovery import recover
from targets.state.store import StateStore


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path, NEVER)


def test_a_full_disk_is_certainly_not_written_and_works_again_later(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 2)
    write = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 10:
            return write(descriptor, data[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(NotWritten, match="No space"):
            store.write("k0", "lost")
    assert store.write("k0", "kept") == 2
    files = contents(tmp_path)
    assert recover(files).findings == ()
    assert store.read("k0") == ("kept", 2)


@pytest.mark.parametrize("failing", ["fdatasync", "ftruncate"])
def test_after_a_failed_sync_nothing_is_acknowledged_until_opened_anew(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    fill(store, 3)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, broken)
        if failing == "ftruncate":
            patch.setattr(os, "pwrite", broken)
        with pytest.raises(OutcomeUnknown) as unknown:
            store.write("k0", "perhaps")
    assert not unknown.value.certainly_not_done
    with pytest.raises(ReadOnly):
        store.write("k0", "no")
    assert store.attention.is_set()
    assert store.read("k0") == ({"n": 0}, 1)
    store.close()
    assert StateStore(tmp_path).read("k1") == ({"n": 1}, 1)


def test_memory_that_runs_out_between_journal_and_state_ends_the_writing(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 3)
    written = []

    def exhausted(descriptor: int) -> None:
        written.append(descriptor)
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", exhausted)
        with pytest.raises(MemoryError):
            store.write("k0", "perhaps")
    assert written
    with pytest.raises(ReadOnly):  # a second record with the same number would be damage
        store.write("k0", "no")
    store.close()
    assert StateStore(tmp_path).read("k0") == ("perhaps", 2)


def test_a_rotation_that_fails_half_way_leaves_the_old_generation_in_use(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 3)
    rename = Path.rename

    def broken(path: Path, target: Path) -> Path:
        if target.name == layout.mirror(2):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", broken)
        with pytest.raises(OSError, match="No space"):
            store.rotate()
    fill(store, 3, 10)
    files = contents(tmp_path)
    assert layout.journal(2) not in files
    store.rotate()
    store.close()
    assert StateStore(tmp_path).read("k1") == ({"n": 10}, 2)


def test_a_repair_that_fails_stops_the_store_rather_than_lose_writes(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 3)
    (tmp_path / layout.snapshot(0)).write_bytes(b"by hand")

    def broken(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", broken)
        with pytest.raises(OSError, match="No space"):
            store.scrub()
    with pytest.raises(ReadOnly):
        store.write("k0", 1)
    assert store.scrub() == [layout.snapshot(0)]
    store.close()
    assert StateStore(tmp_path).read("k2") == ({"n": 2}, 1)
