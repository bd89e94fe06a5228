"""Faults at system calls: a real strace on a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.doctor import CAPABILITIES, probe
from harness.errors import FaultNotProven
from harness.faults._base import Lasting, Tooled
from harness.processes import Process
from harness.undo import state_directory
from harness.units import Seconds
from harness.waiting import until
from support.faults import AnyFault, broken, executed, make, refusal, site_of_process
from support.writer import PATIENCE_S, Writer, writing

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not probe(CAPABILITIES["strace"]).ok, reason="there is no strace"),
]

ERROR = make("disk.error", persistent=True)
SLOW = make("disk.slow", delay=Seconds(0.05))
KILL = make("process.kill_at_syscall", nth=3)
LASTING = pytest.mark.parametrize("fault", [ERROR, SLOW], ids=lambda fault: fault.kind)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with writing(tmp_path) as writer:
        yield writer


def test_a_call_fails_with_the_chosen_error_once_in_each_thread(writer: Writer, tmp_path: Path) -> None:
    fault = make("disk.error", error="ENOSPC", nth=2)
    site = site_of_process(writer.process.pid, tmp_path)
    plan, evidence = fault.undo_plan(site), broken(fault, site)
    until(lambda: len(writer.errors()) == 3, "an error in each thread", PATIENCE_S)
    writer.goes_on()
    executed(plan, tmp_path / "undo")
    assert fault.prove_undone(site, evidence)
    assert writer.errors() == ["ENOSPC"] * 3


def test_a_persistent_error_ends_with_its_undo(writer: Writer, tmp_path: Path) -> None:
    site = site_of_process(writer.process.pid, tmp_path)
    plan, evidence = ERROR.undo_plan(site), broken(ERROR, site)
    until(lambda: len(writer.errors()) > 30, "many errors", PATIENCE_S)
    executed(plan, tmp_path / "undo")
    assert ERROR.prove_undone(site, evidence)["state"] in "SRD"
    count = len(writer.errors())
    writer.goes_on()
    assert len(writer.errors()) == count
    assert set(writer.errors()) <= {"EIO", "ENOSYS"}


def test_only_calls_on_the_named_file_fail(writer: Writer, tmp_path: Path) -> None:
    fault = make("disk.error", file="1")
    site = site_of_process(writer.process.pid, tmp_path)
    plan = fault.undo_plan(site)
    broken(fault, site)
    writer.goes_on()
    executed(plan, tmp_path / "undo")
    assert writer.errors() == ["EIO"]


def test_a_file_outside_the_folder_is_refused(writer: Writer, tmp_path: Path) -> None:
    fault = make("disk.error", file="../other")
    assert "outside the run's folder" in refusal(fault, site_of_process(writer.process.pid, tmp_path))
    assert writer.tracers() == {0}


def test_a_slow_disk_delays_each_call(writer: Writer, tmp_path: Path) -> None:
    fault = make("disk.slow", delay=Seconds(0.3), file="0")
    site = site_of_process(writer.process.pid, tmp_path)
    plan, evidence = fault.undo_plan(site), broken(fault, site)
    before = writer.counts()
    until(lambda: writer.counts()[0] > before[0] + 1, "the slow thread to take two steps", PATIENCE_S)
    slow, *fast = (now - then for now, then in zip(writer.counts(), before, strict=True))
    assert slow * 5 < min(fast)
    executed(plan, tmp_path / "undo")
    assert fault.prove_undone(site, evidence)
    writer.goes_on()


@LASTING
def test_a_fault_that_no_call_has_felt_is_not_proven(fault: AnyFault, writer: Writer, tmp_path: Path) -> None:
    never = make(fault.kind, syscalls=("rename",), within=Seconds(0.1))
    site = site_of_process(writer.process.pid, tmp_path)
    plan = never.undo_plan(site)
    assert "rename" in refusal(never, site)
    executed(plan, tmp_path / "undo")
    assert writer.tracers() == {0}


@LASTING
def test_every_thread_is_traced_when_the_injection_returns(fault: AnyFault, writer: Writer, tmp_path: Path) -> None:
    site = site_of_process(writer.process.pid, tmp_path)
    plan, evidence = fault.undo_plan(site), fault.inject(site)
    assert writer.tracers() == {evidence["tracer"]}
    executed(plan, tmp_path / "undo")


@LASTING
def test_a_process_has_one_tracer(fault: AnyFault, writer: Writer, tmp_path: Path) -> None:
    site = site_of_process(writer.process.pid, tmp_path)
    plan = SLOW.undo_plan(site)
    SLOW.inject(site)
    assert "is traced already, by" in refusal(fault, site)
    with pytest.raises(FaultNotProven, match="another fault traces"):
        fault.inject(site)  # both were planned before either had begun
    assert len(writer.tracers()) == 1
    executed(plan, tmp_path / "undo")
    assert writer.tracers() == {0}


def test_a_strace_of_somebody_else_is_left_alone(writer: Writer, tmp_path: Path) -> None:
    site = site_of_process(writer.process.pid, tmp_path)
    plan = ERROR.undo_plan(site)
    command = ["strace", "-f", "-qq", "-o", str(tmp_path / "theirs"), "-p", str(writer.process.pid)]
    with subprocess.Popen(command) as theirs:
        until(lambda: writer.tracers() == {theirs.pid}, "their strace to attach", PATIENCE_S)
        with pytest.raises(FaultNotProven, match=r"could not attach to process .*: strace: attach"):
            ERROR.inject(site)
        executed(plan, tmp_path / "undo")
        assert writer.tracers() == {theirs.pid}
        theirs.terminate()


@LASTING
def test_a_tracer_that_is_killed_leaves_every_thread_running(fault: AnyFault, writer: Writer, tmp_path: Path) -> None:
    site = site_of_process(writer.process.pid, tmp_path)
    for _ in range(10):
        plan, evidence = fault.undo_plan(site), broken(fault, site)
        tracer = Process.of(evidence["tracer"])
        tracer.send(signal.SIGKILL)
        assert tracer.wait(PATIENCE_S)
        assert fault.prove_undone(site, evidence)
        assert writer.goes_on()
        executed(plan, tmp_path / "undo")


@LASTING
def test_the_guardian_ends_the_tracer_of_a_harness_that_was_killed(
    fault: AnyFault, writer: Writer, tmp_path: Path
) -> None:
    script = f"""
import os, signal, sys
from pathlib import Path
from harness.guardian import Guardian
from harness.registry import FAULTS
from harness.undo import UndoLog
from support.faults import AnyFault, broken, site_of_process
fault, site = FAULTS.get({fault.kind!r})(), site_of_process({writer.process.pid})
log = UndoLog(Path({str(tmp_path / "undo.jsonl")!r}))
Guardian(log, "bf-test-strace").learn(FAULTS.module(fault.kind))
for undo in fault.undo_plan(site):
    log.push(undo)
broken(fault, site)
os.kill(os.getpid(), signal.SIGKILL)
"""
    tests = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": tests, "BIGFIVE_STATE_DIR": str(tmp_path / "state")}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == -signal.SIGKILL
    until(lambda: writer.tracers() == {0}, "nobody to trace the process", PATIENCE_S)
    assert writer.goes_on()
    until(lambda: not list((tmp_path / "state").rglob("*.*")), "the log and the pointer to be gone", PATIENCE_S)


def test_a_process_that_dies_is_undone(writer: Writer, tmp_path: Path) -> None:
    site = site_of_process(writer.process.pid, tmp_path)
    plan, evidence = ERROR.undo_plan(site), broken(ERROR, site)
    writer.popen.kill()
    writer.popen.wait()
    executed(plan, tmp_path / "undo")
    assert ERROR.prove_undone(site, evidence)["state"] == "gone"


@pytest.mark.parametrize("nth", [1, 3, 50])
def test_a_process_is_killed_at_its_nth_call(nth: int, writer: Writer, tmp_path: Path) -> None:
    evidence = broken(make("process.kill_at_syscall", nth=nth), site_of_process(writer.process.pid, tmp_path))
    assert writer.popen.wait(PATIENCE_S) == -signal.SIGKILL
    assert "fdatasync(" in evidence["call"]
    assert evidence["began_ns"] > 0


def test_the_fatal_call_is_not_made_and_those_before_it_are(tmp_path: Path) -> None:
    script = "import os, threading; [(threading.Event().wait(0.01), os.mkdir(str(n))) for n in range(10**6)]"
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) as process:
        fault = make("process.kill_at_syscall", syscalls=("mkdir",), nth=4)
        evidence = broken(fault, site_of_process(process.pid, tmp_path))
    fatal = int(evidence["call"].split('"')[1])
    assert sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()) == list(range(fatal))


def test_damage_by_a_tool_leaves_no_tool(writer: Writer, tmp_path: Path) -> None:
    assert isinstance(KILL, Tooled)
    assert not isinstance(KILL, Lasting)
    late = make("process.kill_at_syscall", syscalls=("rename",), within=Seconds(0.1))
    assert "made call 1" in refusal(late, site_of_process(writer.process.pid, tmp_path))
    assert writer.tracers() == {0}
    assert writer.goes_on()
    assert not list((state_directory() / "traces").iterdir())


def test_a_death_of_another_cause_proves_nothing(writer: Writer, tmp_path: Path) -> None:
    never = make("process.kill_at_syscall", nth=60_000)

    def kill_when_traced() -> None:
        logs = state_directory() / "traces"
        until(lambda: any(len(log.read_text()) > 10_000 for log in logs.glob("*.log")), "many calls", PATIENCE_S)
        writer.popen.kill()

    killer = threading.Thread(target=kill_when_traced)
    killer.start()
    assert "in the log of process" in refusal(never, site_of_process(writer.process.pid, tmp_path))
    killer.join()


def test_a_process_that_is_gone_is_refused(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    for fault in (ERROR, SLOW, KILL):
        assert "is gone" in refusal(fault, site_of_process(process.pid, tmp_path))
