"""Faults that damage a file by the records that its target names."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import TargetFailed
from harness.faults._base import Site
from harness.registry import FAULTS
from support.faults import broken, make, refusal, site_of

KINDS = [kind for kind in FAULTS.kinds() if kind.startswith("record.")]
RECORDS = [b"zero;", b"one---;", b"two;", b"three----;"]
HEAD, TAIL = b"HEAD", b"\0\0\0"
SPANS = [(4, 5), (9, 7), (16, 4), (20, 10)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.write_bytes(HEAD + b"".join(RECORDS) + TAIL)
    return path


def records(path: Path) -> list[bytes]:
    content = path.read_bytes()
    assert content.startswith(HEAD)
    assert content.endswith(TAIL)
    return [record + b";" for record in content[len(HEAD) : -len(TAIL)].split(b";")[:-1]]


def test_a_torn_tail_keeps_a_part_of_the_last_record_only(path: Path) -> None:
    whole = path.read_bytes()
    evidence = broken(make("record.torn_tail"), site_of(path, spans=SPANS))
    torn = path.read_bytes()
    assert 20 < len(torn) < 30
    assert torn == whole[: 20 + evidence["kept"]]


def test_every_cut_inside_the_last_record_comes_up(path: Path) -> None:
    whole, lengths = path.read_bytes(), set()
    for seed in range(200):
        path.write_bytes(whole)
        broken(make("record.torn_tail"), site_of(path, seed=seed, spans=SPANS))
        lengths.add(path.stat().st_size)
    assert lengths == set(range(21, 30))


def test_a_record_of_one_byte_cannot_be_torn(path: Path) -> None:
    assert "cannot be torn" in refusal(make("record.torn_tail"), site_of(path, spans=[(0, 1)]))


@pytest.mark.parametrize(("record", "gone"), [(0, 0), (2, 2), (-1, 3), (-4, 0)])
def test_a_dropped_record_is_gone_and_all_others_are_whole(record: int, gone: int, path: Path) -> None:
    assert broken(make("record.drop", record=record), site_of(path, spans=SPANS))["dropped"] == gone
    assert records(path) == RECORDS[:gone] + RECORDS[gone + 1 :]


@pytest.mark.parametrize("record", [0, 1, -1])
def test_a_duplicated_record_is_there_twice_in_a_row(record: int, path: Path) -> None:
    broken(make("record.duplicate", record=record), site_of(path, spans=SPANS))
    index = record % 4
    assert records(path) == RECORDS[:index] + [RECORDS[index]] * 2 + RECORDS[index + 1 :]


def test_reordered_records_are_whole_and_two_of_them_have_changed_places(path: Path) -> None:
    first, second = broken(make("record.reorder"), site_of(path, spans=SPANS))["exchanged"]
    expected = list(RECORDS)
    expected[first], expected[second] = expected[second], expected[first]
    assert records(path) == expected


def test_one_record_has_no_order(path: Path) -> None:
    assert "only one record" in refusal(make("record.reorder"), site_of(path, spans=SPANS[:1]))


def test_reordering_equal_records_proves_nothing(path: Path) -> None:
    path.write_bytes(b"abab")
    assert "reads the same" in refusal(make("record.reorder"), site_of(path, spans=[(0, 2), (2, 2)]))


def test_every_record_survives_a_helix_in_all_copies_but_one(path: Path) -> None:
    whole, damaged = path.read_bytes(), []
    for copy in range(3):
        path.write_bytes(whole)
        broken(make("record.helix", copy=copy, copies=3), site_of(path, seed=copy, spans=SPANS))
        content = path.read_bytes()
        damaged.append([content[start : start + length] != whole[start : start + length] for start, length in SPANS])
    assert damaged == [[True, False, False, True], [False, True, False, False], [False, False, True, False]]


def test_a_copy_without_a_share_is_refused(path: Path) -> None:
    assert "no share in 4 records" in refusal(make("record.helix", copy=5, copies=6), site_of(path, spans=SPANS))


@pytest.mark.parametrize("kind", ["record.drop", "record.duplicate"])
@pytest.mark.parametrize("record", [4, -5])
def test_a_record_that_does_not_exist_is_refused(kind: str, record: int, path: Path) -> None:
    reason = refusal(make(kind, record=record), site_of(path, spans=SPANS))
    assert reason == f"there is no record {record}: the file has 4"


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_names_no_records_is_told_so(kind: str, path: Path) -> None:
    assert "names no record" in refusal(make(kind), site_of(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_offers_no_layout_is_told_so(kind: str, path: Path) -> None:
    def no_layout() -> Sequence[tuple[int, int]]:
        raise TargetFailed("operation 'layout' is not offered by Host")

    site = Site({"type": "file", "path": str(path)}, random.Random(1), path.parent, no_layout)
    assert "does not say where the records" in refusal(make(kind), site)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_that_is_out_of_date_is_asked_for_again(kind: str, path: Path) -> None:
    asked = 0

    def layout() -> Sequence[tuple[int, int]]:
        nonlocal asked
        asked += 1
        if asked == 1:  # the target appends right after it has answered
            with path.open("ab") as journal:
                journal.write(b"four;")
            return SPANS
        return [*SPANS, (30 + len(TAIL), 5)]

    evidence = broken(make(kind), Site({"type": "file", "path": str(path)}, random.Random(1), path.parent, layout))
    assert asked == 2
    assert evidence.get("record", 4) == 4
    assert evidence.get("records", 5) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_never_holds_still_is_not_damaged_by_an_old_layout(kind: str, path: Path) -> None:
    def layout() -> Sequence[tuple[int, int]]:
        with path.open("ab") as journal:
            journal.write(b"x")
        return SPANS

    site = Site({"type": "file", "path": str(path)}, random.Random(1), path.parent, layout)
    assert "changed 20 times in a row" in refusal(make(kind), site)
    assert path.read_bytes().startswith(HEAD + b"".join(RECORDS) + TAIL)
