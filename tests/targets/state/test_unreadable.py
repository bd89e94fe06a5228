"""A sector that the disk cannot read is damage like any other: repaired from the other copies, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.state_kit import NEVER, Recorder, build, fill
from targets.durable import FolderLock
from targets.state import layout
from targets.state.errors import Unrecoverable
from targets.state.store import StateStore

JOURNAL, MIRROR = layout.journal(3), layout.mirror(3)
FILES = [layout.STATE, JOURNAL, MIRROR, layout.journal(2), layout.mirror(2), layout.snapshot(5), layout.snapshot(10)]


def make_unreadable(path: Path) -> None:
    """Reading the beginning of this file is answered with EIO, by any kernel, for anybody."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def state_of(store: StateStore) -> list[tuple[object, int]]:
    return [store.read(f"k{number}") for number in range(3)]


@pytest.fixture
def healthy(tmp_path: Path) -> list[tuple[object, int]]:
    build(tmp_path / "other")
    store = StateStore(tmp_path / "other", NEVER)
    state = state_of(store)
    store.close()
    return state


@pytest.mark.parametrize("name", FILES)
def test_an_unreadable_file_is_reported_moved_aside_and_rebuilt(
    tmp_path: Path, name: str, healthy: list[tuple[object, int]]
) -> None:
    folder = tmp_path / "store"
    build(folder)
    make_unreadable(folder / name)
    events = Recorder()
    store = StateStore(folder, NEVER, events)
    damage = events.wait("damage.detected")
    assert (damage["file"], damage["what"]) == (name, "it cannot be read: Input/output error")
    assert state_of(store) == healthy
    assert (folder / layout.DAMAGED / f"{name}.unreadable").is_symlink()
    assert not (folder / name).is_symlink()
    fill(store, 3)
    store.close()
    again = Recorder()
    StateStore(folder, NEVER, again).close()
    assert "damage.detected" not in again.names()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_becomes_unreadable_is_rebuilt_while_the_store_runs(tmp_path: Path, name: str) -> None:
    build(tmp_path)
    events = Recorder()
    store = StateStore(tmp_path, NEVER, events)
    before = state_of(store)
    make_unreadable(tmp_path / name)
    assert store.scrub() == [name]
    assert events.wait("damage.detected")["what"] == "it cannot be read: Input/output error"
    assert store.scrub() == []
    assert state_of(store) == before
    assert store.write("k0", "still writable") == before[0][1] + 1
    store.close()


def test_both_copies_unreadable_are_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    build(tmp_path)
    for name in (JOURNAL, MIRROR):
        make_unreadable(tmp_path / name)
    with pytest.raises(Unrecoverable, match=f"the disk cannot read {JOURNAL}, {MIRROR}"):
        StateStore(tmp_path, NEVER)
    assert (tmp_path / JOURNAL).is_symlink()
    assert not (tmp_path / layout.DAMAGED).exists()
    FolderLock(tmp_path).release()


def test_a_store_of_which_nothing_can_be_read_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    for name in build(tmp_path):
        make_unreadable(tmp_path / name)
    with pytest.raises(Unrecoverable):
        StateStore(tmp_path, NEVER)


def test_an_unreadable_mirror_is_no_witness_that_a_bad_record_was_never_acknowledged(tmp_path: Path) -> None:
    """Right after a rotation no acknowledgement is on record yet, and an empty mirror would agree with anything."""
    store = StateStore(tmp_path, NEVER)
    fill(store, 3)
    store.rotate()
    store.close()
    journal = tmp_path / layout.journal(2)
    header, second = journal.read_bytes().splitlines(keepends=True)[:2]
    journal.write_bytes(header + second[:80] + bytes(20) + second[100:])
    make_unreadable(tmp_path / layout.mirror(2))
    before = journal.read_bytes()
    with pytest.raises(Unrecoverable, match="may have been acknowledged"):
        StateStore(tmp_path, NEVER)
    assert journal.read_bytes() == before
