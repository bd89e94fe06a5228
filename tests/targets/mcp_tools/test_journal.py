"""The journal of calls: what the next life learns of this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from targets.mcp_tools.journal import COMPACT_BYTES, NAME, Journal, read

ABOUT: dict[str, object] = {"method": "tools/call", "tool": "write", "id": 1}


def begin(journal: Journal, about: dict[str, object] | None = None) -> int:
    number = journal.number()
    journal.began(number, ABOUT if about is None else about)
    assert journal.commit()
    return number


def test_what_was_open_is_what_the_next_life_finds_interrupted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    numbers = [begin(journal) for _ in range(3)]
    journal.ended(numbers[1], "answered")
    journal.commit()
    later = Journal(tmp_path)
    assert later.interrupted == {numbers[0]: ABOUT, numbers[2]: ABOUT}
    assert Journal(tmp_path).interrupted == {}


def test_numbers_never_come_back(tmp_path: Path) -> None:
    given = []
    for _ in range(4):
        journal = Journal(tmp_path)
        given += [begin(journal) for _ in range(3)]
        journal.close()
    assert given == sorted(set(given))


@pytest.mark.parametrize("kept", range(0, 200, 7))
def test_a_torn_end_costs_only_the_torn_record(tmp_path: Path, kept: int) -> None:
    journal = Journal(tmp_path)
    first = begin(journal)
    whole = (tmp_path / NAME).stat().st_size
    begin(journal)
    data = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(data[: min(len(data) - 1, whole + kept)])
    assert read(tmp_path)[0] == {first: ABOUT}


def test_it_stays_small(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    open_one = begin(journal)
    for _ in range(40):
        number = begin(journal, {"x": "y" * 100_000})
        journal.ended(number, "answered")
        journal.commit()
    assert (tmp_path / NAME).stat().st_size < 2 * COMPACT_BYTES
    assert Journal(tmp_path).interrupted == {open_one: ABOUT}


def test_a_disk_that_refuses_is_tried_again_and_nothing_open_is_forgotten(tmp_path: Path) -> None:
    now = 0.0
    folder = tmp_path / "folder"
    folder.mkdir()
    journal = Journal(folder, lambda: now)
    first = begin(journal)
    journal.close()  # as if the descriptor had failed: every write to it fails from now on
    journal.began(second := journal.number(), ABOUT)
    assert not journal.commit()
    assert journal.failed
    journal.began(third := journal.number(), ABOUT)
    assert not journal.commit()
    now = 1.5
    journal.began(fourth := journal.number(), ABOUT)
    assert journal.commit()
    assert not journal.failed
    assert set(Journal(folder).interrupted) == {first, second, third, fourth}


def test_nothing_to_write_is_no_write(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    before = (tmp_path / NAME).read_bytes()
    assert journal.commit()
    assert (tmp_path / NAME).read_bytes() == before
