"""Promise 1: the harness may be killed anywhere, and nothing that it broke stays broken."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine.phases import PHASES
from harness.processes import Process
from harness.registry import FAULTS
from harness.undo import Pointer, state_directory, sweep
from harness.waiting import until
from support.trials import PATIENCE_S, TOY, Trial, bystander, odd_toy, toy_scenario

pytestmark = pytest.mark.chaos

POINTS = [*(rule.name for rule in PHASES if rule.name != "judge"), "undo.journaled", "fault.injected"]
# Every kind of undo is pending at once: two held faults, the label of the run's processes, its folder.
HELD = ["{at: 0s, fault: noop}", "{at: 0s, fault: process.pause, on: supervisor}"]


@pytest.fixture
def stranger() -> Iterator[Process]:
    yield from bystander()


def adapter_with_a_stranger(folder: Path, stranger: Process) -> str:
    """The toy, offering a process as its supervisor that it has not made."""
    body = f"""    pass
def describe(self):
    described = toy.Host.describe(self)
    described["handles"]["supervisor"] = {{"type": "process", "pid": {stranger.pid}}}
    return described
Host.describe = describe
"""
    return odd_toy(folder, body)


def trial_with_a_stranger(folder: Path, stranger: Process, faults: list[str], **more: str) -> Trial:
    text = toy_scenario(faults, **more).replace(str(TOY), adapter_with_a_stranger(folder, stranger))
    return Trial(folder / "run", text, allow=["host"])


@pytest.mark.parametrize("point", POINTS)
def test_a_harness_killed_anywhere_leaves_nothing_and_resumes_what_it_paused(
    point: str, tmp_path: Path, stranger: Process
) -> None:
    trial = trial_with_a_stranger(tmp_path, stranger, HELD)
    trial.start(BIGFIVE_DIE_AT=point).wait(PATIENCE_S)
    assert trial.process is not None
    assert trial.process.returncode == -signal.SIGKILL
    trial.wait_until_clean()
    until(lambda: stranger.state() == "S", "the paused process to run again", PATIENCE_S)


@pytest.mark.parametrize("kind", [kind for kind in FAULTS.kinds() if FAULTS.get(kind).on in {None, "process", "file"}])
def test_a_harness_killed_between_inject_and_prove_leaves_nothing(kind: str, tmp_path: Path) -> None:
    handle = {"process": "service", "file": "journal"}.get(FAULTS.get(kind).on or "")
    on = f", on: {handle}" if handle else ""
    trial = Trial(tmp_path / "run", toy_scenario([f"{{at: 200ms, fault: {kind}{on}}}"]))
    trial.start(BIGFIVE_DIE_AT="fault.injected").wait(PATIENCE_S)
    trial.wait_until_clean()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_unwinds_and_reports(number: signal.Signals, tmp_path: Path, stranger: Process) -> None:
    trial = trial_with_a_stranger(tmp_path, stranger, HELD, until_="60s")
    trial.start()
    trial.wait_for('"fault_proven","t":')
    until(lambda: stranger.state() == "T", "the pause", PATIENCE_S)
    assert trial.process is not None
    trial.process.send_signal(number)
    trial.process.wait(PATIENCE_S)
    assert json.loads(trial.folder.result.read_bytes())["status"] == "INTERRUPTED"
    assert stranger.state() == "S"
    assert not trial.left()


def test_a_second_signal_says_what_is_still_being_undone(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", toy_scenario(["{at: 0s, fault: process.pause, on: service}"], until_="60s"))
    process = trial.start()
    trial.wait_for("fault_proven")
    process.send_signal(signal.SIGSTOP)  # so that both signals are there before it can act on the first
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    process.wait(PATIENCE_S)
    undoing = [json.loads(line) for line in trial.output().splitlines() if b'"undoing"' in line]
    assert undoing
    assert any("folder.remove" in entry for entry in undoing[0]["pending"])
    assert not trial.left()


def test_when_the_guardian_is_killed_too_the_next_start_sweeps(tmp_path: Path, stranger: Process) -> None:
    trial = trial_with_a_stranger(tmp_path, stranger, HELD, until_="60s")
    process = trial.start()
    until(lambda: stranger.state() == "T", "the pause", PATIENCE_S)
    guardian = guardian_of(trial)
    guardian.send(signal.SIGKILL)
    process.kill()
    process.wait()
    assert trial.sandbox.exists()
    undone = sweep()
    assert any("process.resume" in line for line in undone)
    assert stranger.state() == "S"
    assert not trial.left()


def test_sweep_leaves_runs_alone_that_are_still_owned(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", toy_scenario([], until_="60s"))
    process = trial.start()
    trial.wait_for("workload_began")
    assert sweep() == []
    assert trial.sandbox.exists()
    process.terminate()
    process.wait(PATIENCE_S)
    assert not trial.left()


def test_a_target_outside_the_run_is_refused_without_permission(tmp_path: Path, stranger: Process) -> None:
    text = toy_scenario(HELD).replace(str(TOY), adapter_with_a_stranger(tmp_path, stranger))
    result = Trial(tmp_path / "run", text).run()
    assert result.status == "UNKNOWN"
    assert "--allow host" in result.reason
    assert stranger.state() == "S"


def test_the_trial_dies_with_its_parent_and_leaves_nothing(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", toy_scenario(["{at: 0s, fault: process.pause, on: service}"], until_="60s"))
    parent = os.fork()
    if parent == 0:
        trial.start().wait()
        os._exit(0)
    trial.wait_for("fault_proven")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    trial.wait_until_clean()


def guardian_of(trial: Trial) -> Process:
    path = state_directory() / "runs" / f"{trial.label}.json"
    pointer = Pointer(**json.loads(path.read_bytes()))
    assert pointer.guardian is not None
    return Process(*pointer.guardian)
