"""What is SQLite's alone: the queue in front of it, its disk, and files that are not ours."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import apsw
import pytest

from support.locks_kit import in_threads, process
from targets.locking import database, gate, liveness
from targets.locking.backend import Backend
from targets.locking.database import check_library, is_vulnerable, translate
from targets.locking.errors import (
    CannotOpen,
    Damaged,
    LockingError,
    OutcomeUnknown,
    Unavailable,
    VulnerableLibrary,
)
from targets.locking.fencing import FencedResource
from targets.locking.gate import Gate
from targets.locking.manager import LockManager
from targets.locking.sqlite import SqliteBackend


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SqliteBackend]:
    made = SqliteBackend(tmp_path / "locks.sqlite")
    yield made
    made.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path / "gate")
    yield made
    made.close()


@pytest.fixture
def shut(tmp_path: Path) -> Iterator[int]:
    """Somebody else's lock on the gate."""
    descriptor = os.open(tmp_path / "gate", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


def locked_elsewhere(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class TestGate:
    def test_work_is_done_and_its_result_or_error_comes_back(self, door: Gate) -> None:
        assert door.run(lambda _: 7, 1) == 7
        with pytest.raises(LookupError):
            door.run(lambda _: {}["x"], 1)
        assert door.run(lambda deadline: deadline - time.monotonic(), 1) <= 1

    def test_a_turn_that_does_not_come_in_time_is_refused_and_the_work_never_done(self, door: Gate, shut: int) -> None:
        done: list[int] = []
        with pytest.raises(Unavailable, match=r"no turn at .* within 0.05 s"):
            door.run(lambda _: done.append(1), 0.05)
        fcntl.flock(shut, fcntl.LOCK_UN)
        assert door.run(lambda _: 2, 5) == 2
        assert done == []

    def test_who_waits_goes_in_as_soon_as_the_gate_opens(self, door: Gate, shut: int) -> None:
        threading.Timer(0.05, lambda: fcntl.flock(shut, fcntl.LOCK_UN)).start()
        assert door.run(lambda _: "in", 5) == "in"

    def test_work_that_is_not_finished_in_time_is_unknown_and_goes_on(self, door: Gate, shut: int) -> None:
        finish, finished = threading.Event(), threading.Event()

        def slow(_: float) -> None:
            finish.wait(5)
            finished.set()

        opener = threading.Timer(0.02, lambda: fcntl.flock(shut, fcntl.LOCK_UN))
        opener.start()
        with pytest.raises(OutcomeUnknown, match="not finished within"):
            door.run(slow, 0.3)
        finish.set()
        assert finished.wait(5)
        assert door.run(lambda _: "next", 5) == "next"

    def test_threads_take_turns_and_lose_nothing(self, door: Gate) -> None:
        count = [0]

        def add(_: float) -> None:
            before = count[0]
            os.sched_yield()
            count[0] = before + 1

        in_threads(8, lambda _: [door.run(add, 10) for _ in range(50)])  # type: ignore[arg-type, return-value]
        assert count == [400]

    def test_the_gate_is_given_back_to_others(self, door: Gate, tmp_path: Path) -> None:
        for _ in range(50):
            door.run(lambda _: None, 1)
        in_threads(4, lambda _: door.run(lambda _: None, 5))
        until_open = time.monotonic() + 5
        while locked_elsewhere(tmp_path / "gate"):
            assert time.monotonic() < until_open

    def test_a_gate_that_cannot_be_made_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(Unavailable, match="Is a directory; nothing was done"):
            Gate(tmp_path / "folder").run(lambda _: 1, 1)
        with pytest.raises(CannotOpen, match=r"there is no folder .*none; make it first"):
            Gate(tmp_path / "none" / "gate").run(lambda _: 1, 1)

    def test_closed_it_does_nothing_more(self, door: Gate) -> None:
        door.run(lambda _: 1, 1)
        door.close()
        with pytest.raises(Unavailable, match="was closed"):
            door.run(lambda _: 1, 1)

    def test_a_forked_child_has_a_gate_of_its_own_and_keeps_nobody_out(self, door: Gate, shut: int) -> None:
        fcntl.flock(shut, fcntl.LOCK_UN)
        assert door.run(lambda _: 1, 1) == 1
        child = os.fork()
        if child == 0:
            os._exit(door.run(lambda _: 3, 5))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3

    def test_an_interrupted_wait_never_begins(self, door: Gate, shut: int) -> None:
        done: list[int] = []

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            with pytest.raises(KeyboardInterrupt):
                door.run(lambda _: done.append(1), 5)
        finally:
            signal.signal(signal.SIGALRM, before)
        fcntl.flock(shut, fcntl.LOCK_UN)
        assert door.run(lambda _: 2, 5) == 2
        assert done == []


class TestLibrary:
    @pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.44.5", "3.50.6", "3.51.0", "3.51.2"])
    def test_a_sqlite_with_the_wal_reset_bug_is_refused_with_the_fix(self, version: str) -> None:
        with pytest.raises(VulnerableLibrary, match=r"install a current apsw .* accept_vulnerable=True") as error:
            check_library(version)
        assert error.value.certainly_not_done

    @pytest.mark.parametrize("version", ["3.6.23", "3.44.6", "3.50.7", "3.51.3", "3.54.1", "4.0"])
    def test_one_without_it_is_not(self, version: str) -> None:
        assert not is_vulnerable(version)

    def test_told_otherwise_it_is_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.40.1")
        with pytest.raises(VulnerableLibrary):
            SqliteBackend(tmp_path / "x").read("k")
        assert SqliteBackend(tmp_path / "x", accept_vulnerable=True).write("k", 1).version == 1


class TestFile:
    def test_another_sqlite_database_is_refused_and_left_as_it_was(self, tmp_path: Path) -> None:
        foreign = sqlite3.connect(tmp_path / "x")
        foreign.execute("CREATE TABLE t (a)")
        foreign.close()
        before = (tmp_path / "x").read_bytes()
        with pytest.raises(Damaged, match="is no lock database"):
            SqliteBackend(tmp_path / "x").read("k")
        assert (tmp_path / "x").read_bytes() == before

    @pytest.mark.parametrize("content", [b"hello, world. " * 100, b"\0" * 4096])
    def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(LockingError) as error:
            SqliteBackend(tmp_path / "x").write("k", 1)
        assert error.value.certainly_not_done
        assert (tmp_path / "x").read_bytes() == content

    def test_a_resource_is_no_lock_database(self, tmp_path: Path) -> None:
        FencedResource(tmp_path / "x").write("k", 1, 1)
        with pytest.raises(Damaged, match="is no lock database"):
            SqliteBackend(tmp_path / "x").read("k")

    def test_a_newer_format_is_refused(self, tmp_path: Path, backend: SqliteBackend) -> None:
        backend.write("k", 1)
        backend.close()
        raw = apsw.Connection(str(backend.path))
        raw.pragma("user_version", 2)
        raw.close()
        with pytest.raises(CannotOpen, match="has format 2, this program knows 1"):
            SqliteBackend(backend.path).read("k")

    def test_a_damaged_page_is_an_error_and_never_a_value(self, backend: SqliteBackend) -> None:
        for number in range(200):
            backend.write(f"k{number}", "x" * 500)
        backend.close()
        data = bytearray(backend.path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        backend.path.write_bytes(data)
        with pytest.raises(Damaged, match="put a good copy back"):
            SqliteBackend(backend.path).read("k7")

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CannotOpen, match=r"there is no folder .*none; make it first"):
            SqliteBackend(tmp_path / "none" / "x").read("k")

    def test_a_missing_file_is_not_made_where_that_was_not_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(CannotOpen, match="cannot be opened"):
            SqliteBackend(tmp_path / "x", create=False).status()
        assert not (tmp_path / "x").exists()

    def test_a_file_that_was_removed_is_made_anew_with_a_higher_epoch(
        self, backend: SqliteBackend, tmp_path: Path
    ) -> None:
        manager = LockManager(backend, resource := FencedResource(tmp_path / "resource"))
        token = manager.acquire("k").token
        backend.path.unlink()
        again = manager.acquire("k")
        assert again.token > token
        assert backend.status().epoch == 1
        assert backend.read("k").version == 0
        resource.write("k", 1, again.token)

    def test_a_full_disk_is_a_refusal_and_works_again_with_room(self, backend: SqliteBackend) -> None:
        backend.write("k", "before")
        session = backend._database._session
        assert session is not None
        pages = session.durable.pragma("page_count")
        session.durable.pragma("max_page_count", pages)
        with pytest.raises(Unavailable, match="the disk is full; make room"):
            backend.write("large", "x" * 100_000)
        assert backend.read("k").value == "before"
        assert backend.read("large").version == 0
        session.durable.pragma("max_page_count", 1_000_000)
        assert backend.write("large", "x" * 100_000).version == 1

    def test_a_program_that_does_not_queue_is_waited_for_and_then_named(self, backend: SqliteBackend) -> None:
        backend.write("k", 1)
        rude = apsw.Connection(str(backend.path))
        rude.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="held by a program that does not queue"):
            backend.write("k", 2, timeout_s=0.05)
        threading.Timer(0.2, lambda: rude.execute("ROLLBACK")).start()
        assert backend.write("k", 2, timeout_s=10).version == 2

    @pytest.mark.parametrize(
        ("error", "committing", "expected"),
        [
            (apsw.FullError(), True, Unavailable),
            (apsw.ReadOnlyError(), False, Unavailable),
            (apsw.BusyError(), False, Unavailable),
            (apsw.CorruptError(), False, Damaged),
            (apsw.IOError(), False, Unavailable),
            (apsw.IOError(), True, OutcomeUnknown),
            (apsw.CantOpenError(), False, CannotOpen),
        ],
    )
    def test_only_a_commit_that_failed_halfway_is_unknown(
        self, error: apsw.Error, *, committing: bool, expected: type[LockingError]
    ) -> None:
        assert type(translate(error, Path("x"), committing=committing)) is expected

    def test_a_read_waits_for_nobody_and_a_busy_reader_is_named(self, backend: SqliteBackend) -> None:
        backend.write("k", 1)
        with backend._database._reading, pytest.raises(Unavailable, match="no look at"):
            backend.read("k", timeout_s=0.01)

    def test_a_child_uses_connections_of_its_own(self, backend: SqliteBackend) -> None:
        backend.write("k", 1)
        backend.read("k")
        child = os.fork()
        if child == 0:
            os._exit(backend.write("k", backend.read("k").value + 1).version)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        assert backend.read("k").value == 2


class TestProcesses:
    @pytest.mark.chaos
    def test_ten_processes_lose_nothing_and_nobody_starves(self, tmp_path: Path) -> None:
        path = tmp_path / "locks.sqlite"
        with ExitStack() as stack:
            workers = [stack.enter_context(process("increment", path, "", "n", 3)) for _ in range(10)]
            said = [worker.said() for worker in workers]
        counts = [count for count, _ in said]
        found = SqliteBackend(path).read("n")
        assert sum(counts) == found.value == found.version
        assert min(counts) > 0.2 * sum(counts) / 10

    @pytest.mark.chaos
    def test_killed_in_the_middle_of_its_writes_a_process_holds_nobody_up(self, backend: SqliteBackend) -> None:
        for _ in range(3):
            with process("increment", backend.path, "", "n", 60) as worker:
                version = backend.read("n").version
                while backend.read("n").version < version + 50:
                    pass
                worker.signal(signal.SIGKILL)
                assert backend.update("n", lambda found: found.value + 1, timeout_s=5).version > version


class TestLiveness:
    def test_a_process_is_known_by_its_start_not_by_its_pid_alone(self) -> None:
        me = liveness.myself()
        assert liveness.alive(me)
        assert not liveness.alive(me + "0")
        assert not liveness.alive(me.replace(f"/{os.getpid()}/", "/999999999/"))

    def test_what_cannot_be_watched_counts_as_living(self) -> None:
        assert liveness.alive("another-boot/1/2/3")
        assert liveness.alive("")
        assert liveness.watch("another-boot/1/2/3") is None

    def test_a_reused_pid_is_not_watched(self) -> None:
        parent = liveness._name(os.getppid())
        descriptor = liveness.watch(parent)
        assert descriptor is not None
        os.close(descriptor)
        assert liveness.watch(parent + "0") is None
        assert liveness.watch(parent.replace(f"/{os.getppid()}/", "/999999999/")) is None


def test_the_numbers_of_the_gate_fit_the_ones_it_promises() -> None:
    assert gate._LINGER_S < gate._SLICE_S < 0.02
    assert database._BUSY_MS <= 1000


def test_a_backend_is_a_backend(backend: Backend) -> None:
    assert backend.status().holders == ()
