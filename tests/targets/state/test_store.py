"""The library: versions, group commit, rotation, scrub, and the promise that nothing acknowledged is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.state_kit import NEVER, Recorder, contents, fill, values
from targets.durable import FolderInUse, FolderLock
from targets.state import layout
from targets.state.errors import BadRequest, CannotOpen, Unrecoverable, VersionConflict
from targets.state.recovery import recover
from targets.state.settings import Settings
from targets.state.store import StateStore


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def store(tmp_path: Path, events: Recorder) -> StateStore:
    return StateStore(tmp_path, NEVER, events)


def aside(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / layout.DAMAGED).iterdir()]


def test_a_key_that_was_never_written_has_version_zero(store: StateStore) -> None:
    assert store.read("k") == (None, 0)


def test_versions_count_the_writes_of_each_key(store: StateStore) -> None:
    assert [store.write("a", 1), store.write("a", 2), store.write("b", None)] == [1, 2, 1]
    assert store.read("a") == (2, 2)
    assert store.read("b") == (None, 1)


def test_a_write_on_the_expected_version_succeeds_and_on_another_conflicts(store: StateStore) -> None:
    assert store.write("k", "first", 0) == 1
    with pytest.raises(VersionConflict) as conflict:
        store.write("k", "second", 0)
    assert conflict.value.certainly_not_done
    assert conflict.value.details == {"error": "conflict", "version": 1}
    assert store.read("k") == ("first", 1)


@pytest.mark.parametrize("value", [object(), {1: 2}, "\ud800", {"x": {1, "a"}}])
def test_a_value_that_is_not_json_is_refused(store: StateStore, value: object) -> None:
    with pytest.raises(BadRequest):
        store.write("k", value)
    assert store.read("k") == (None, 0)


def test_a_key_that_is_no_text_is_refused(store: StateStore) -> None:
    with pytest.raises(BadRequest):
        store.write("\udc00", 1)


def test_values_and_versions_are_there_after_opening_again(store: StateStore, tmp_path: Path) -> None:
    value = {"text": "ä\n☃", "list": [1, 2.5, None, True, {}]}
    store.write("k", value)
    store.close()
    assert StateStore(tmp_path, NEVER).read("k") == (value, 1)


def test_a_clean_shutdown_leaves_everything_in_state_json(store: StateStore, tmp_path: Path) -> None:
    fill(store, 5)
    store.close()
    assert b'"k0":[2,{"n":3}]' in (tmp_path / layout.STATE).read_bytes()


def test_ten_writers_share_syncs_and_lose_nothing(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    sync = os.fdatasync

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)

    def work() -> None:
        for number in range(50):
            store.write("shared", number)

    writers = [threading.Thread(target=work) for _ in range(10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.read("shared")[1] == 500
    assert len(syncs) < 450
    store.close()
    assert StateStore(tmp_path).read("shared")[1] == 500


def test_of_writers_that_expect_the_same_version_exactly_one_succeeds(store: StateStore) -> None:
    outcomes: list[str] = []

    def work() -> None:
        try:
            store.write("k", 1, 0)
            outcomes.append("done")
        except VersionConflict as conflict:
            outcomes.append(f"conflict with {conflict.version}")

    writers = [threading.Thread(target=work) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(outcomes) == ["conflict with 1"] * 7 + ["done"]


def test_rotation_keeps_two_snapshots_and_the_generations_since_the_older_one(tmp_path: Path, events: Recorder) -> None:
    store = StateStore(tmp_path, Settings(snapshot_every=5, checkpoint_every=2), events)
    for number in range(60):
        store.write("k", number)
        store.care()
    names = contents(tmp_path).keys()
    assert len([name for name in names if layout.is_snapshot(name)]) == 2
    assert len([name for name in names if layout.generation_of(name)]) == 6
    assert events.names().count("snapshot.begin") == events.names().count("snapshot.end") >= 10
    assert store.scrub() == []
    store.close()
    assert recover(contents(tmp_path)).findings == ()


def test_attention_is_drawn_when_a_checkpoint_is_due(tmp_path: Path) -> None:
    store = StateStore(tmp_path, Settings(checkpoint_every=2))
    store.write("k", 1)
    assert not store.attention.is_set()
    store.write("k", 2)
    assert store.attention.is_set()
    store.care()
    assert b'"k":[2,2]' in (tmp_path / layout.STATE).read_bytes()


@pytest.mark.parametrize("pattern", ["state.json", "snapshot-*", "journal-*.log", "journal-*.mirror"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "append", "garbage"])
def test_a_scrub_repairs_the_files_of_a_running_store(
    store: StateStore, tmp_path: Path, events: Recorder, pattern: str, damage: str
) -> None:
    for number in range(3):
        fill(store, 4, number)
        store.rotate()
    fill(store, 4)
    before = contents(tmp_path)
    path = max(tmp_path.glob(pattern))
    whole = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(
            {
                "flip": whole[:50] + bytes([whole[50] ^ 4]) + whole[51:],
                "truncate": whole[:-7],
                "append": whole + b"x",
                "garbage": b"garbage",
            }[damage]
        )
        damaged = path.read_bytes()
    assert store.scrub() == [path.name]
    assert events.names()[-3:] == ["damage.detected", "restore.begin", "restore.end"]
    found = events.wait("damage.detected")
    assert (found["file"], found["handle"]) == (path.name, layout.handle_of(path.name))
    files = contents(tmp_path)
    assert recover(files).findings == ()
    assert values(recover(files)) == values(recover(before))
    if path.name != layout.STATE:  # that one is written anew, and so younger
        assert {name: files[name] for name in recover(before).files} == recover(before).files
    if damage not in {"remove", "truncate"}:
        assert aside(tmp_path) == [damaged]
    assert store.scrub() == []
    fill(store, 3, 50)
    files = contents(tmp_path)
    store.close()
    assert recover(files).findings == ()


def test_an_older_copy_of_state_json_is_noticed_while_running(store: StateStore, tmp_path: Path) -> None:
    old = (tmp_path / layout.STATE).read_bytes()
    fill(store, 3)
    store.checkpoint()
    (tmp_path / layout.STATE).write_bytes(old)
    assert store.scrub() == [layout.STATE]
    assert aside(tmp_path) == [old]


@pytest.mark.parametrize("replace", [StateStore.checkpoint, StateStore.rotate, StateStore.close])
def test_damage_to_state_json_is_reported_before_the_file_is_replaced(
    store: StateStore, tmp_path: Path, events: Recorder, replace: Callable[[StateStore], None]
) -> None:
    (tmp_path / layout.STATE).write_bytes(b"by hand")
    fill(store, 1)
    replace(store)
    reported = [name for name in events.names() if not name.startswith("snapshot.")]
    assert reported == ["damage.detected", "restore.begin", "restore.end"]
    assert aside(tmp_path) == [b"by hand"]


def test_a_running_store_survives_the_loss_of_all_its_files(
    store: StateStore, tmp_path: Path, events: Recorder
) -> None:
    fill(store, 6)
    for name in contents(tmp_path):
        (tmp_path / name).unlink()
    assert len(store.scrub()) == 4
    assert events.wait("restore.end")["source"] == "memory"
    store.write("k0", "after")
    store.close()
    reopened = StateStore(tmp_path)
    assert reopened.read("k0") == ("after", 3)
    assert reopened.read("k2") == ({"n": 5}, 2)


def test_a_lost_recovery_point_of_a_running_store_is_replaced(store: StateStore, tmp_path: Path) -> None:
    for number in range(4):
        fill(store, 3, number)
        store.rotate()
    oldest = min(tmp_path.glob("snapshot-*"))
    oldest.write_bytes(b"garbage")
    assert store.scrub() == [oldest.name]
    assert store.scrub() == []
    store.close()
    assert recover(contents(tmp_path)).findings == ()


def test_damage_found_at_opening_is_reported_kept_aside_and_repaired(
    store: StateStore, tmp_path: Path, events: Recorder
) -> None:
    fill(store, 5)
    store.close()
    journal = tmp_path / layout.journal(1)
    journal.write_bytes(journal.read_bytes()[:-5])
    (tmp_path / layout.STATE).write_bytes(b"by hand")
    reopened = StateStore(tmp_path, NEVER, events)
    assert [data["handle"] for name, data in events.events if name == "damage.detected"] == ["journal", "state.json"]
    assert events.names()[-2:] == ["restore.begin", "restore.end"]
    assert b"by hand" in aside(tmp_path)
    assert reopened.read("k1") == ({"n": 4}, 2)


def test_a_refusal_changes_nothing(store: StateStore, tmp_path: Path) -> None:
    fill(store, 5)
    store.close()
    for name in (layout.journal(1), layout.mirror(1)):
        (tmp_path / name).write_bytes(b"garbage")
    before = contents(tmp_path)
    with pytest.raises(Unrecoverable, match=layout.journal(1)):
        StateStore(tmp_path)
    assert contents(tmp_path) == before
    FolderLock(tmp_path).release()


def test_a_second_owner_is_told_who_the_first_one_is(store: StateStore, tmp_path: Path) -> None:
    with pytest.raises(FolderInUse, match=str(os.getpid())) as refusal:
        StateStore(tmp_path)
    assert refusal.value.owner == os.getpid()
    store.close()
    StateStore(tmp_path).close()


def test_a_folder_that_cannot_be_one_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotOpen, match="file"):
        StateStore(tmp_path / "file")


def test_files_of_other_people_are_left_alone(store: StateStore, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".state.json.tmp").write_text("left by a crash")
    store.close()
    StateStore(tmp_path).close()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / ".state.json.tmp").exists()


def test_a_creation_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    StateStore(tmp_path).close()
    for name in contents(tmp_path):
        if not layout.is_snapshot(name):
            (tmp_path / name).unlink()
    assert StateStore(tmp_path).read("k") == (None, 0)


class TestSettings:
    def test_an_unknown_option_is_refused_and_the_known_ones_are_named(self) -> None:
        with pytest.raises(BadRequest, match="unknown option scrub; known are snapshot_every, checkpoint_every"):
            Settings.of({"scrub": 1})

    @pytest.mark.parametrize("value", [0, -1, "5", None, True])
    def test_an_impossible_value_is_refused(self, value: object) -> None:
        with pytest.raises(BadRequest, match="snapshot_every must be a positive number"):
            Settings.of({"snapshot_every": value})

    def test_they_become_arguments_of_the_service(self) -> None:
        assert Settings.of({"snapshot_every": 7}).arguments()[:2] == ["--snapshot-every", "7"]
