"""What a service knows about its last life."""

from __future__ import annotations

from pathlib import Path

import pytest

from targets.resources.lives import ENDED, LIFE, SHUTDOWN, Group, Lives, note_end

BEFORE, AFTER = Group("8:1", 3), Group("8:1", 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Lives(tmp_path, BEFORE).begin()
    return tmp_path


def how(folder: Path, group: Group = BEFORE) -> str:
    return Lives(folder, group).begin().how


def test_the_first_life_has_no_past(tmp_path: Path) -> None:
    assert how(tmp_path) == "first"


def test_an_orderly_end_is_told_with_its_reason(tmp_path: Path) -> None:
    lives = Lives(tmp_path, BEFORE)
    lives.begin()
    lives.ending({"why": "pressure"}, finished=False)
    lives.ending({"why": "pressure", "took_ms": 7}, finished=True)
    past = Lives(tmp_path, AFTER).begin()  # that somebody else was killed does not matter then
    assert (past.how, past.details["why"], past.details["life"]) == ("shutdown", "pressure", 1)


def test_a_life_without_an_end_was_killed(folder: Path) -> None:
    past = Lives(folder, BEFORE).begin()
    assert (past.how, past.details["was_shutting_down"]) == ("killed", False)


def test_it_was_the_kernel_if_its_counter_moved(folder: Path) -> None:
    past = Lives(folder, AFTER).begin()
    assert (past.how, past.details["oom_kills"]) == ("oom", 1)


def test_the_counter_of_another_group_proves_nothing(folder: Path) -> None:
    assert how(folder, Group("8:2", 99)) == "killed"


def test_outside_of_any_group_nobody_counts(tmp_path: Path) -> None:
    assert Group.of(None, 5) == Group()
    Lives(tmp_path, Group()).begin()
    assert how(tmp_path, Group("", 1)) == "killed"


def test_who_ran_the_container_may_know_it_and_is_asked_once(folder: Path) -> None:
    note_end(folder, 137, oom=True)
    past = Lives(folder, Group("8:2", 0)).begin()
    assert (past.how, past.details["status"]) == ("oom", 137)
    assert not (folder / ENDED).exists()
    assert how(folder, Group("8:2", 0)) == "killed"


def test_a_shutdown_that_did_not_come_to_its_end_was_overrun(folder: Path) -> None:
    lives = Lives(folder, BEFORE)
    lives.begin()
    lives.ending({"why": "signal"}, finished=False)
    past = Lives(folder, BEFORE).begin()
    assert (past.how, past.details["was_shutting_down"]) == ("overrun", True)


def test_the_record_of_an_earlier_life_says_nothing_about_this_one(folder: Path) -> None:
    lives = Lives(folder, BEFORE)
    lives.begin()
    lives.ending({}, finished=True)
    assert how(folder) == "shutdown"
    assert how(folder) == "killed"


@pytest.mark.parametrize("name", [LIFE, SHUTDOWN, ENDED])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_damaged_records_stop_nobody_from_starting(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert how(folder) in {"first", "killed"}
    assert how(folder) in {"first", "killed"}


def test_lives_are_counted(folder: Path) -> None:
    lives = Lives(folder, BEFORE)
    lives.begin()
    assert lives.number == 2
    assert Group.of(folder, 1).identity == f"{folder.stat().st_dev}:{folder.stat().st_ino}"
