"""From a record to one status: any FAIL, else any UNKNOWN, else PASS, and who is to blame."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.judging import judge
from harness.record import AnyEvent, FaultUnproven, Observed, Phase, PhaseBegan, Problem, RunEnded, WorkloadBegan
from harness.result import Result, worst
from harness.scenario.load import load
from harness.scenario.model import Scenario
from support.records import MS, History, damage, record
from support.trials import toy_scenario

KILL = "{at: 0s, fault: process.kill, on: service}"
BEGAN: list[AnyEvent] = [WorkloadBegan(t=0)]
CLEAN = Observed(t=9 * MS, name="left_processes", data={"processes": []})


def scenario(tmp_path: Path, *faults: str, expect: str = "no_orphans", more: str = "") -> Scenario:
    path = tmp_path / "toy.yaml"
    path.write_text(toy_scenario(faults, expect=expect, more=more))
    return load(path)[0].scenario


def worked() -> History:
    history = History()
    history.write("k", "a", 1)
    history.read("k", "a", 1, final=True)
    return history


def run(scenario: Scenario, *events: AnyEvent, history: History | None = None) -> Result:
    return judge(record([*BEGAN, *events], (history or worked()).entries), scenario)


def trouble(error: str, phase: Phase = "workload", message: str = "trouble") -> Problem:
    return Problem(t=5 * MS, phase=phase, error=error, message=message, fix="do this")


def test_all_checks_passed_and_all_faults_proven_is_a_pass(tmp_path: Path) -> None:
    result = run(scenario(tmp_path, KILL), *damage(1), CLEAN)
    assert (result.status, result.reason) == ("PASS", "all 3 checks passed")
    assert result.faults[0].jitter_ms == 0
    assert result.operations == {"ok": 2}


def test_a_failed_check_is_a_fail_even_if_a_fault_was_not_proven(tmp_path: Path) -> None:
    orphan = Observed(t=9, name="left_processes", data={"processes": [{"pid": 1, "command": "x"}]})
    result = run(scenario(tmp_path, KILL), FaultUnproven(t=1, fault=0, reason="no"), orphan)
    assert result.status == "FAIL"
    assert "outlived" in result.reason


def test_a_fault_that_was_not_proven_is_unknown(tmp_path: Path) -> None:
    result = run(scenario(tmp_path, KILL), FaultUnproven(t=1, fault=0, reason="it was too small"), CLEAN)
    assert result.status == "UNKNOWN"
    assert "it was too small" in result.reason


def test_a_fault_that_never_came_is_unknown(tmp_path: Path) -> None:
    result = run(scenario(tmp_path, KILL), CLEAN)
    assert result.status == "UNKNOWN"
    assert "never injected; it was due 0.000s" in result.reason


def test_a_workload_that_changed_nothing_proves_nothing(tmp_path: Path) -> None:
    result = run(scenario(tmp_path), CLEAN, history=History())
    assert result.status == "UNKNOWN"
    assert "nothing was tested" in result.reason


def test_without_an_observation_nothing_is_proven(tmp_path: Path) -> None:
    assert run(scenario(tmp_path)).status == "UNKNOWN"


@pytest.mark.parametrize("phase", ["preflight", "set_up", "steady_state"])
def test_time_running_out_before_the_workload_accuses_nobody(tmp_path: Path, phase: Phase) -> None:
    result = judge(record([trouble("TimedOut", phase)]), scenario(tmp_path))
    assert (result.status, result.reason, result.fix) == ("UNKNOWN", "trouble", "do this")


def test_time_running_out_later_fails_the_checks_that_are_still_open(tmp_path: Path) -> None:
    result = run(scenario(tmp_path), trouble("TimedOut", "quiet", "waited 60 s for the target"))
    assert result.status == "FAIL"
    assert "waited 60 s for the target" in result.reason


def test_time_running_out_while_a_fault_waits_for_its_cue_is_unknown(tmp_path: Path) -> None:
    cue = "{at: {event: moon.full}, fault: process.kill, on: service}"
    assert run(scenario(tmp_path, cue), trouble("TimedOut")).status == "UNKNOWN"


def test_a_target_that_fails_under_the_workload_fails_its_open_checks(tmp_path: Path) -> None:
    assert run(scenario(tmp_path), trouble("AdapterDied")).status == "FAIL"


@pytest.mark.parametrize(
    ("error", "status"),
    [("EnvironmentLacks", "SKIPPED"), ("Interrupted", "INTERRUPTED"), ("HarnessBug", "ERROR"), ("UndoFailed", "ERROR")],
)
def test_what_is_not_the_targets_fault_is_said_to_be_so(tmp_path: Path, error: str, status: str) -> None:
    assert run(scenario(tmp_path), trouble(error), CLEAN).status == status


def test_the_right_conviction_of_a_planted_bug_is_a_fail_that_convicts(tmp_path: Path) -> None:
    orphan = Observed(t=9, name="left_processes", data={"processes": [{"pid": 1, "command": "x"}]})
    negative = scenario(tmp_path, more="convicts: [no_orphans]")
    assert run(negative, orphan).convicted is True
    assert run(negative, orphan).status == "FAIL"


def test_a_planted_bug_that_is_not_convicted_is_a_failure_of_ours(tmp_path: Path) -> None:
    result = run(scenario(tmp_path, more="convicts: [no_orphans]"), CLEAN)
    assert (result.status, result.convicted) == ("ERROR", False)
    assert "should have been convicted by no_orphans, but failed by nothing" in result.reason


def test_what_could_not_be_undone_is_in_the_result(tmp_path: Path) -> None:
    assert run(scenario(tmp_path), CLEAN, RunEnded(t=9, left=["a rule"])).left == ("a rule",)


def test_a_scenario_that_could_not_be_loaded_is_still_reported() -> None:
    result = judge(record([trouble("ScenarioErrors", "preflight", "x.yaml:1:1: no")]), None)
    assert (result.status, result.reason) == ("ERROR", "x.yaml:1:1: no")


def test_the_duration_spans_the_whole_record(tmp_path: Path) -> None:
    result = run(scenario(tmp_path), CLEAN, PhaseBegan(t=2_000 * MS, phase="judge"))
    assert result.duration_s == pytest.approx(2.0)


def test_the_worst_of_nothing_is_unknown() -> None:
    assert worst([]) == "UNKNOWN"
    assert worst(["PASS", "UNKNOWN", "FAIL"]) == "FAIL"
    assert worst(["PASS", "UNKNOWN"]) == "UNKNOWN"
    assert worst(["PASS"]) == "PASS"
