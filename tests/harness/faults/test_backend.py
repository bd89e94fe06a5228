"""The server behind a target: killed, restarted, and restarted without its memory."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.faults._base import Site
from support.faults import broken, make, refusal

# Says that it is there, and leaves a last word in its folder where it is asked to end.
SERVER = """
import pathlib, signal, sys, threading
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
print("here", flush=True)
ended.wait()
pathlib.Path("saved").write_text("last word")
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "target" / "data"
    data.mkdir(parents=True, mode=0o700)
    (data / "dump").write_text("everything")
    return data


@contextmanager
def serving(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SERVER], cwd=data, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture
def server(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    with serving(data) as process:
        yield process


def site(server: subprocess.Popen[bytes], folder: Path, **more: object) -> Site:
    return Site({"type": "process", "pid": server.pid, **more}, random.Random(1), folder)


def test_a_killed_server_has_no_last_word(server: subprocess.Popen[bytes], data: Path) -> None:
    evidence = broken(make("backend.kill"), site(server, data.parent))
    assert evidence["signal"] == "KILL"
    assert [path.name for path in data.iterdir()] == ["dump"]


def test_a_restarted_server_is_asked_and_saves_what_it_has(server: subprocess.Popen[bytes], data: Path) -> None:
    broken(make("backend.restart"), site(server, data.parent))
    assert sorted(path.name for path in data.iterdir()) == ["dump", "saved"]


def test_an_emptied_server_finds_an_empty_folder_of_the_same_mode(server: subprocess.Popen[bytes], data: Path) -> None:
    evidence = broken(make("backend.restart", empty=True), site(server, data.parent, data=str(data)))
    assert evidence["signal"] == "KILL"
    assert evidence["lost"] == ["dump"]
    assert list(data.iterdir()) == []
    assert data.stat().st_mode & 0o777 == 0o700


def test_what_a_child_of_the_dead_server_still_saves_is_not_found_by_its_successor(
    server: subprocess.Popen[bytes], data: Path
) -> None:
    """Redis saves by a child, and by names relative to its working folder."""
    with serving(data) as child:
        evidence = broken(make("backend.restart", empty=True), site(server, data.parent, data=str(data)))
        child.terminate()
        child.wait()
    assert list(data.iterdir()) == []
    assert sorted(path.name for path in Path(evidence["kept"]).iterdir()) == ["dump", "saved"]


def test_a_folder_outside_of_the_run_or_the_run_s_own_is_never_emptied(
    server: subprocess.Popen[bytes], data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    fault = make("backend.restart", empty=True)
    (data.parent / "link").symlink_to(other)
    for place in (other, data.parent, data.parent / ".." / "other"):
        assert "refused" in refusal(fault, site(server, data.parent, data=str(place)))
    for handle in ({}, {"data": str(data.parent / "link")}, {"data": str(data / "dump")}):
        assert "names no folder" in refusal(fault, site(server, data.parent, **handle))
    assert server.poll() is None
    assert (data / "dump").exists()


def test_where_no_server_runs_nothing_is_taken_away(data: Path) -> None:
    fault = make("backend.restart", empty=True)
    handle = {"type": "process", "data": str(data)}
    assert "not running" in refusal(fault, Site(handle, random.Random(1), data.parent))
    assert (data / "dump").exists()
