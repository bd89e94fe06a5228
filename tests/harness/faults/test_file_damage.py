"""Faults that damage the bytes of one file, and what all of them promise."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.registry import FAULTS
from harness.units import Seconds, Size
from support.faults import broken, make, refusal, site_of

CONTENT = bytes(number % 251 for number in range(3000))
SPANS = [(0, 100), (100, 900), (1000, 2000)]

# Those that need nothing but a file and its layout; file.stale_restore waits for the file to change.
DAMAGE = [kind for kind in FAULTS.kinds() if FAULTS.get(kind).on == "file" and kind != "file.stale_restore"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(CONTENT)
    return path


def damaged(path: Path, kind: str, seed: int = 1, **parameters: object) -> bytes:
    path.write_bytes(CONTENT)
    broken(make(kind, **parameters), site_of(path, seed=seed, spans=SPANS))
    return path.read_bytes() if path.exists() else b""


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_damage_follows_from_the_seed(kind: str, path: Path) -> None:
    assert damaged(path, kind, seed=7) == damaged(path, kind, seed=7) != CONTENT
    assert kind == "file.delete" or len({damaged(path, kind, seed=seed) for seed in range(20)}) > 1


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_is_missing_a_link_or_outside_is_refused(kind: str, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    for place in (tmp_path / "missing", link):
        assert "does not exist (or is a link)" in refusal(make(kind), site_of(place, spans=SPANS))
    assert "outside the run's folder" in refusal(make(kind), site_of(path, folder=tmp_path / "run", spans=SPANS))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if kind != "file.delete"])
def test_whoever_has_the_file_open_sees_the_damage(kind: str, path: Path) -> None:
    with path.open("rb") as open_before:
        broken(make(kind), site_of(path, spans=SPANS))
        assert open_before.read() == path.read_bytes()


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if kind != "file.delete"])
def test_an_empty_file_cannot_be_damaged(kind: str, path: Path) -> None:
    path.write_bytes(b"")
    assert refusal(make(kind), site_of(path, spans=[]))


def test_delete_takes_the_name_away(path: Path) -> None:
    evidence = broken(make("file.delete"), site_of(path))
    assert not path.exists()
    assert evidence["deleted"]["bytes"] == len(CONTENT)


def test_a_deletion_is_proven_though_the_file_was_made_again_at_once(path: Path) -> None:
    fault, site = make("file.delete"), site_of(path)
    evidence = fault.inject(site)
    path.write_bytes(CONTENT)
    assert fault.prove(site, evidence) == {"names_left": 0}


def test_garbage_covers_the_whole_file_or_exactly_its_range(path: Path) -> None:
    whole = damaged(path, "file.garbage")
    assert len(whole) == len(CONTENT)
    assert sum(a == b for a, b in zip(whole, CONTENT, strict=True)) < 100
    part = damaged(path, "file.garbage", offset=Size(10), length=Size(20))
    assert (part[:10], part[30:]) == (CONTENT[:10], CONTENT[30:])
    assert part[10:30] != CONTENT[10:30]
    rest = damaged(path, "file.garbage", offset=Size(2990))
    assert rest[:2990] == CONTENT[:2990]


def test_garbage_beyond_the_end_is_refused(path: Path) -> None:
    assert "only 3000 bytes" in refusal(make("file.garbage", length=Size(3001)), site_of(path))
    assert "only 3000 bytes" in refusal(make("file.garbage", offset=Size(3000)), site_of(path))


def test_whole_sectors_become_zero_and_nothing_else(path: Path) -> None:
    zeroed = damaged(path, "file.zero_sector", sectors=2)
    sectors = [start for start in range(0, 3000, 512) if not any(zeroed[start : start + 512])]
    assert len(sectors) == 2
    kept = [start for start in range(0, 3000, 512) if start not in sectors]
    assert all(zeroed[start : start + 512] == CONTENT[start : start + 512] for start in kept)
    assert len(zeroed) == len(CONTENT)


def test_sectors_that_are_zero_already_do_not_count(path: Path) -> None:
    path.write_bytes(bytes(512) + b"x" * 100)
    assert broken(make("file.zero_sector"), site_of(path))["sectors"] == [1]
    assert "only 0 sectors" in refusal(make("file.zero_sector"), site_of(path))


def test_a_chunk_becomes_equal_to_another_one(path: Path) -> None:
    content = damaged(path, "file.chunk_copy", chunk=Size(500))
    chunks = [content[start : start + 500] for start in range(0, 3000, 500)]
    assert len(set(chunks)) == 5
    assert set(chunks) < {CONTENT[start : start + 500] for start in range(0, 3000, 500)}


def test_a_copy_among_equal_chunks_is_refused(path: Path) -> None:
    path.write_bytes(b"same" * 1000)
    assert "no two chunks of 512B that differ" in refusal(make("file.chunk_copy"), site_of(path))


def test_an_old_copy_comes_back_once_the_file_has_changed(path: Path) -> None:
    fault = make("file.stale_restore", age=Seconds(0.05))
    timer = threading.Timer(0.1, path.write_bytes, [b"newer" * 1000])
    timer.start()
    evidence = broken(fault, site_of(path))
    timer.join()
    assert path.read_bytes() == CONTENT
    assert evidence["before"]["bytes"] == 5000
    assert evidence["age_ms"] >= 50
    assert evidence["began_ns"] > 0


def test_an_old_copy_goes_into_the_file_that_has_replaced_the_old_one(path: Path) -> None:
    newer = path.with_suffix(".new")
    newer.write_bytes(b"newer")
    timer = threading.Timer(0.05, newer.replace, [path])
    timer.start()
    broken(make("file.stale_restore", age=Seconds(0.001)), site_of(path))
    timer.join()
    assert path.read_bytes() == CONTENT


def test_a_file_that_never_changes_has_no_stale_copy(path: Path) -> None:
    fault = make("file.stale_restore", age=Seconds(0.001), within=Seconds(0.05))
    assert "to change, so that a copy of it can be stale" in refusal(fault, site_of(path))
