"""The undo log: readable after any crash, executed once however often it is asked to, swept by whoever comes next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import seeds, undo
from harness.errors import UndoFailed
from harness.faults._base import Undo
from harness.processes import Process, labelled
from harness.undo import Entry, Pointer, UndoLog, state_directory, sweep, undoer
from harness.waiting import until
from harness.wire import LABEL_VARIABLE

DEAD = (2**22 - 1, 1)  # a pid that the kernel gives last, with a start time that none of this boot has
undone: list[str] = []


@undoer("test.note")
def note(name: str) -> None:
    undone.append(name)


@undoer("test.fail")
def fail(name: str) -> None:
    raise OSError(f"{name} is stuck")


@pytest.fixture(autouse=True)
def _forget() -> None:
    undone.clear()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[UndoLog]:
    log = UndoLog(tmp_path / "undo.jsonl")
    yield log
    log.close()


def noted(name: str) -> Undo:
    return Undo("test.note", {"name": name})


def test_what_is_pushed_is_pending_and_on_disk(log: UndoLog) -> None:
    entry = log.push(noted("a"))
    assert log.pending() == [entry]
    assert msgspec.json.decode(log.path.read_bytes(), type=Entry) == entry
    assert str(entry) == "test.note(name=a)"


def test_the_newest_is_undone_first(log: UndoLog) -> None:
    for name in "abc":
        log.push(noted(name))
    assert log.execute_all() == []
    assert undone == ["c", "b", "a"]
    assert log.pending() == []


def test_executing_twice_is_executing_once(log: UndoLog) -> None:
    entry = log.push(noted("a"))
    for _ in range(2):
        log.execute(entry)
        log.execute_all()
    assert undone == ["a"]


def test_two_executors_share_the_work(log: UndoLog) -> None:
    entry = log.push(noted("a"))
    other = UndoLog(log.path)
    other.execute(entry)
    log.execute(entry)
    other.close()
    assert undone == ["a"]


def test_what_fails_stays_pending_and_does_not_keep_the_others(log: UndoLog) -> None:
    log.push(noted("a"))
    stuck = log.push(Undo("test.fail", {"name": "the lid"}))
    log.push(noted("b"))
    assert log.execute_all() == [
        "test.fail(name=the lid) failed: the lid is stuck. Undo it by hand, then `bigfive sweep`."
    ]
    assert undone == ["b", "a"]
    assert log.pending() == [stuck]
    with pytest.raises(UndoFailed, match="the lid is stuck"):
        log.execute(stuck)


def test_an_undo_that_nobody_knows_is_refused_before_the_act(log: UndoLog) -> None:
    with pytest.raises(KeyError):
        log.push(Undo("no.such.kind", {}))
    assert log.pending() == []


def test_numbers_go_on_after_a_restart(log: UndoLog) -> None:
    first = log.push(noted("a"))
    again = UndoLog(log.path)
    assert again.push(noted("b")).n == first.n + 1
    again.close()


@given(steps=st.lists(st.booleans(), max_size=8), data=st.data())
def test_a_crash_at_any_byte_leaves_a_log_that_can_be_read_and_written(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bool], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    whole = written(folder / "whole", steps)
    cut = folder / "cut"
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    lines = cut.read_bytes().split(b"\n")[:-1]
    pushed = [line for line in lines if b"kind" in line]
    done = [line for line in lines if b"done" in line]

    log = UndoLog(cut)
    assert len(log.pending()) == len(pushed) - len(done)
    entry = log.push(noted("after the crash"))
    assert log.pending()[-1] == entry
    assert log.execute_all() == []
    assert log.pending() == []
    log.close()


def written(path: Path, steps: list[bool]) -> bytes:
    """Return a log in which each step is a push and, where it is true, its undoing."""
    log = UndoLog(path)
    for n, execute in enumerate(steps):
        entry = log.push(noted(str(n)))
        if execute:
            log.execute(entry)
    log.close()
    return path.read_bytes()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from harness.faults._base import Undo
from harness.undo import UndoLog
import harness.faults.noop

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = UndoLog(Path(sys.argv[1]))
log.push(Undo("noop", {}))
size = Path(sys.argv[1]).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
try:
    log.push(Undo("noop", {}))
except OSError as error:
    print(type(error).__name__, len(log.pending()), Path(sys.argv[1]).stat().st_size == size)
"""


def test_a_log_that_cannot_take_a_line_refuses_the_act_and_keeps_none_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "undo.jsonl")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout == "OSError 1 True\n", run.stderr


def test_a_log_may_lie_in_the_folder_that_it_removes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    log = UndoLog(folder / "undo.jsonl")
    log.push(Undo("folder.remove", {"path": str(folder)}))
    log.push(noted("a"))
    assert log.execute_all() == []
    assert log.execute_all() == []
    log.close()
    assert undone == ["a"]
    assert not folder.exists()


def test_the_label_kills_all_that_carry_it_and_nobody_else() -> None:
    label = f"bf-test-{seeds.fresh_root():08x}"
    run = lambda label: subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={**os.environ, LABEL_VARIABLE: label})  # noqa: E731
    with run(label) as one, run(label) as two, run(f"{label}-other") as stranger:
        until(lambda: len(list(labelled(label))) == 2, "both to run", 5)
        undo.kill_labelled(label)
        undo.kill_labelled(label)
        assert [one.wait(5), two.wait(5)] == [-9, -9]
        assert stranger.poll() is None
        stranger.kill()


@pytest.fixture
def abandon(tmp_path: Path) -> Callable[[Undo], Pointer]:
    """Leave a run whose owner and guardian are gone, as `kill -9` of both does."""

    def leave(*undos: Undo) -> Pointer:
        log = UndoLog(tmp_path / "abandoned.jsonl")
        for each in undos:
            log.push(each)
        log.close()
        pointer = Pointer("bf-test-abandoned", str(log.path), DEAD, DEAD)
        pointer.write()
        return pointer

    return leave


def test_a_sweep_undoes_what_nobody_owns_and_says_so(abandon: Callable[[Undo], Pointer]) -> None:
    pointer = abandon(noted("a"))
    assert sweep() == ["bf-test-abandoned: test.note(name=a)"]
    assert undone == ["a"]
    assert not pointer.path.exists()
    assert sweep() == []


def test_a_sweep_leaves_a_run_alone_that_is_owned(abandon: Callable[[Undo], Pointer]) -> None:
    me = Process.of(os.getpid())
    owned = msgspec.structs.replace(abandon(noted("a")), owner=(me.pid, me.started))
    owned.write()
    assert sweep() == []
    assert undone == []
    assert owned.path.exists()


def test_a_sweep_that_fails_names_what_is_left_and_can_be_repeated(abandon: Callable[[Undo], Pointer]) -> None:
    pointer = abandon(Undo("test.fail", {"name": "the lid"}))
    for _ in range(2):
        with pytest.raises(UndoFailed, match="the lid is stuck"):
            sweep()
    assert pointer.path.exists()


def test_a_sweep_waits_for_a_guardian_at_work(
    abandon: Callable[[Undo], Pointer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "_GUARDIAN_PATIENCE_S", 0.05)
    me = Process.of(os.getpid())
    msgspec.structs.replace(abandon(noted("a")), guardian=(me.pid, me.started)).write()
    with pytest.raises(UndoFailed, match="the guardian of bf-test-abandoned"):
        sweep()
    assert undone == []


def test_a_sweep_kills_by_label_where_the_log_is_gone(abandon: Callable[[Undo], Pointer]) -> None:
    pointer = abandon(noted("a"))
    Path(pointer.log).unlink()
    environment = {**os.environ, LABEL_VARIABLE: pointer.label}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=environment) as process:
        until(lambda: list(labelled(pointer.label)), "the process", 5)
        assert sweep() == []
        assert process.wait(5) == -9
    assert not pointer.path.exists()


def test_a_damaged_pointer_is_shown_and_kept(abandon: Callable[[Undo], Pointer]) -> None:
    path = abandon(noted("a")).path
    path.write_bytes(b"{")
    with pytest.raises(UndoFailed, match="is damaged"):
        sweep()
    assert path.exists()


def test_the_state_folder_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert str(state_directory()) == os.environ["BIGFIVE_STATE_DIR"]
    monkeypatch.delenv("BIGFIVE_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_directory() == tmp_path / "bigfive"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_directory() == Path.home() / ".local" / "state" / "bigfive"
