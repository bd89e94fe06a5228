"""The guardian: when the harness is killed, everything is put back within a second; else the next sweep does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from harness import seeds
from harness.faults._base import Undo
from harness.guardian import Guardian
from harness.processes import Process, labelled
from harness.undo import Pointer, UndoLog, state_directory, sweep
from harness.waiting import until

PATIENCE_S = 10.0
PROMISED_S = 1.0

# Breaks one thing of each kind, says so, and waits to be killed.
OWNER = """
import os, signal, subprocess, sys
from pathlib import Path
from harness.faults._base import Undo
from harness.guardian import Guardian
from harness.processes import Process
from harness.undo import UndoLog
from harness.wire import LABEL_VARIABLE
import harness.faults.process_pause

folder, label, victim = Path(sys.argv[1]), sys.argv[2], Process.of(int(sys.argv[3]))
log = UndoLog(folder / "undo.jsonl")
guardian = Guardian(log, label)
guardian.learn("harness.faults.process_pause")
log.push(Undo("folder.remove", {"path": str(folder / "made")}))
(folder / "made" / "below").mkdir(parents=True)
log.push(Undo("label.sweep", {"label": label}))
for _ in range(2):
    subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={**os.environ, LABEL_VARIABLE: label}, start_new_session=True)
log.push(Undo("process.resume", {"pid": victim.pid, "started": victim.started}))
victim.send(signal.SIGSTOP)
print("broken", flush=True)
signal.pause()
"""


class Broken:
    """A harness process that has broken things."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.label = f"bf-test-{seeds.fresh_root():08x}"
        self.bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.victim = Process.of(self.bystander.pid)
        self.owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(folder), self.label, str(self.victim.pid)], stdout=subprocess.PIPE
        )
        assert self.owner.stdout is not None
        assert self.owner.stdout.readline() == b"broken\n"
        until(lambda: self.victim.state() == "T", "the victim to be stopped", PATIENCE_S)
        until(lambda: len(list(labelled(self.label))) == 2, "both labelled processes", PATIENCE_S)
        pointer = msgspec.json.decode(self.pointer.read_bytes(), type=Pointer)
        assert pointer.guardian is not None
        self.guardian = Process(*pointer.guardian)

    @property
    def pointer(self) -> Path:
        return state_directory() / "runs" / f"{self.label}.json"

    def healed(self) -> bool:
        return (
            self.victim.state() not in {None, "T"}
            and not (self.folder / "made").exists()
            and not list(labelled(self.label))
        )

    def close(self) -> None:
        for process in (self.owner, self.bystander):
            process.kill()
            process.communicate()
        sweep()


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Broken]:
    made = Broken(tmp_path)
    yield made
    made.close()


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_owner_is_replaced_within_a_second(broken: Broken, number: signal.Signals) -> None:
    killed = time.monotonic()
    broken.owner.send_signal(number)
    until(broken.healed, "everything to be put back", PATIENCE_S)
    assert time.monotonic() - killed < PROMISED_S
    assert broken.guardian.wait(PATIENCE_S)
    assert not broken.pointer.exists()


@pytest.mark.chaos
def test_signals_for_the_harness_do_not_reach_the_guardian(broken: Broken) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        broken.guardian.send(number)
    assert not broken.guardian.wait(0.2)
    assert os.getsid(broken.guardian.pid) == broken.guardian.pid
    broken.owner.kill()
    until(broken.healed, "everything to be put back", PATIENCE_S)


@pytest.mark.chaos
def test_when_the_guardian_is_killed_too_the_next_sweep_puts_everything_back(broken: Broken) -> None:
    broken.guardian.send(signal.SIGKILL)
    assert broken.guardian.wait(PATIENCE_S)
    broken.owner.kill()
    broken.owner.wait()
    assert not broken.healed()
    undone = sweep()
    assert {line.split()[1].partition("(")[0] for line in undone} == {"process.resume", "label.sweep", "folder.remove"}
    until(broken.healed, "the victim to run", PATIENCE_S)
    assert not broken.pointer.exists()
    assert sweep() == []


@pytest.mark.chaos
def test_a_sweep_leaves_alone_what_is_still_owned(broken: Broken) -> None:
    assert sweep() == []
    assert not broken.healed()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[UndoLog]:
    log = UndoLog(tmp_path / "undo.jsonl")
    yield log
    log.close()


def pointers() -> list[Path]:
    return list((state_directory() / "runs").glob("*"))


def guardian_of(pointer: Path) -> Process:
    found = msgspec.json.decode(pointer.read_bytes(), type=Pointer).guardian
    assert found is not None
    return Process(*found)


def test_a_clean_exit_undoes_everything_and_dismisses_the_guardian(log: UndoLog, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with Guardian(log, "bf-test-clean") as guardian:
        log.push(Undo("folder.remove", {"path": str(folder)}))
        folder.mkdir()
        process = guardian_of(pointers()[0])
    assert guardian.left == []
    assert not folder.exists()
    assert not pointers()
    assert not process.alive()


def test_an_error_undoes_everything_as_well(log: UndoLog, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    log.push(Undo("folder.remove", {"path": str(folder)}))
    with pytest.raises(ZeroDivisionError), Guardian(log, "bf-test-error"):
        raise ZeroDivisionError
    assert not folder.exists()
    assert not pointers()


def test_what_cannot_be_undone_is_named_and_the_pointer_stays_for_the_next_sweep(log: UndoLog, tmp_path: Path) -> None:
    stuck = tmp_path / "file"
    stuck.touch()
    with Guardian(log, "bf-test-stuck") as guardian:
        log.push(Undo("folder.remove", {"path": str(stuck)}))
    assert len(guardian.left) == 1
    assert "Undo it by hand" in guardian.left[0]
    assert len(pointers()) == 1


def test_a_harness_whose_guardian_was_killed_undoes_by_itself(log: UndoLog, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    with Guardian(log, "bf-test-alone") as guardian:
        log.push(Undo("folder.remove", {"path": str(folder)}))
        process = guardian_of(pointers()[0])
        process.send(signal.SIGKILL)
        assert process.wait(PATIENCE_S)
        guardian.learn("harness.faults.noop")
    assert not folder.exists()
    assert not pointers()
