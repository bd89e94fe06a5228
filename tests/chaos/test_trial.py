"""Whole trials against small targets: triggers, overlaps, and who is blamed for what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.engine.judging import judge
from harness.record import FaultInjected, FaultInjecting, FaultProven, FaultUndone, Record
from harness.scenario.load import load
from support.trials import TOY, Trial, odd_toy, toy_scenario

pytestmark = pytest.mark.chaos

STATE = f"{TOY}:adapter", "targets.state:adapter"


def test_faults_come_in_time_overlap_and_are_all_undone(tmp_path: Path) -> None:
    faults = [
        "{at: 100ms, fault: noop, for: 600ms}",
        "{at: 200ms, fault: process.pause, on: service, for: 300ms}",
        "{at: 300ms, fault: noop, every: 100ms, times: 3, for: 50ms}",
        "{at: +50ms, fault: process.kill, on: service}",
    ]
    trial = Trial(tmp_path / "run", toy_scenario(faults, expect="no_acknowledged_write_lost"))
    assert trial.run().status == "PASS"
    record = Record.load(trial.folder.path)
    assert [event.fault for event in record.of(FaultProven)] == [0, 1, 2, 3, 4, 5]
    assert {event.fault for event in record.of(FaultUndone)} == {0, 1, 2, 3, 4}
    began = {event.fault: event.t for event in record.of(FaultInjecting)}
    assert began[5] - record.of(FaultProven)[4].t >= 50_000_000
    assert all(event.t >= event.due for event in record.of(FaultInjecting))


def test_a_fault_may_wait_for_operations(tmp_path: Path) -> None:
    text = toy_scenario(["{at: {operations: 30}, fault: process.kill, on: service}"], until_="60 operations")
    trial = Trial(tmp_path / "run", text)
    assert trial.run().status == "PASS"
    record = Record.load(trial.folder.path)
    killed = record.of(FaultInjected)[0].began
    assert sum((operation.returned or killed) < killed for operation in record.operations) >= 30


def test_a_fault_may_wait_for_an_event_and_for_a_failpoint(tmp_path: Path) -> None:
    faults = [
        "{at: {failpoint: journal.before_fsync, hit: 3}, fault: process.kill, on: service}",
        "{at: {event: service.started}, fault: noop}",
    ]
    text = toy_scenario(faults, expect="no_acknowledged_write_lost").replace(*STATE)
    trial = Trial(tmp_path / "run", text)
    assert trial.run().status == "PASS"
    record = Record.load(trial.folder.path)
    assert [event.fault for event in record.of(FaultProven)] == [0, 1]


def test_a_store_that_forgets_is_convicted(tmp_path: Path) -> None:
    fault = ["{at: 300ms, fault: process.kill, on: service}"]
    text = toy_scenario(fault, expect="no_acknowledged_write_lost", more="with: {forgetful: true}")
    result = Trial(tmp_path / "run", text).run()
    assert result.status == "FAIL"
    assert "lost" in result.reason


def test_a_service_that_nobody_restarts_never_recovers(tmp_path: Path) -> None:
    target = odd_toy(tmp_path, "    pass\nHost._supervise = lambda self, command: None")
    fault = ["{at: 100ms, fault: process.kill, on: service}"]
    text = toy_scenario(fault, expect="recovered_within: 1s", more="timeout: 4s").replace(str(TOY), target)
    result = Trial(tmp_path / "run", text).run()
    assert result.status == "FAIL"
    assert "never well again after fault 0 (process.kill)" in result.reason


def test_a_target_that_does_not_serve_before_the_faults_proves_nothing(tmp_path: Path) -> None:
    target = odd_toy(tmp_path, "    pass\ndef probe(self): raise OSError('no')\nClient.probe = probe")
    text = toy_scenario([], more="steady_state: {within: 500ms}").replace(str(TOY), target)
    result = Trial(tmp_path / "run", text).run()
    assert result.status == "UNKNOWN"
    assert "3 good probes in a row" in result.reason


def test_a_fault_that_cannot_take_effect_makes_the_trial_unknown(tmp_path: Path) -> None:
    text = toy_scenario(["{at: 0s, fault: file.bit_flip, on: journal, bits: 99999}"])
    result = Trial(tmp_path / "run", text).run()
    assert result.status == "UNKNOWN"
    assert "too few to flip" in result.reason


def test_everything_that_the_target_does_not_offer_is_named_at_once(tmp_path: Path) -> None:
    faults = ["{at: {event: moon.full}, fault: noop}", "{at: {failpoint: x.y}, fault: process.pause, on: supervisor}"]
    result = Trial(tmp_path / "run", toy_scenario(faults)).run()
    assert result.status == "UNKNOWN"
    assert all(name in result.reason for name in ("'moon.full'", "'x.y'", "'supervisor'"))


def test_a_target_that_cannot_be_imported_says_why(tmp_path: Path) -> None:
    result = Trial(tmp_path / "run", toy_scenario([]).replace(f"{TOY}:adapter", "no.such.module:adapter")).run()
    assert result.status == "UNKNOWN"
    assert "No module named 'no'" in result.reason


def test_a_host_adapter_that_dies_under_the_workload_fails_the_target(tmp_path: Path) -> None:
    body = """    pass
def describe(self):
    described = toy.Host.describe(self)
    described["handles"]["supervisor"] = {"type": "process", "pid": os.getpid()}
    return described
Host.describe = describe
"""
    text = toy_scenario(["{at: 100ms, fault: process.kill, on: supervisor}"], until_="30s")
    trial = Trial(tmp_path / "run", text.replace(str(TOY), odd_toy(tmp_path, body)))
    result = trial.run()
    assert result.status == "FAIL"
    assert "ended with status -9" in result.reason
    assert not trial.left()


def test_orphans_are_seen_named_and_removed(tmp_path: Path) -> None:
    body = "    pass\nimport subprocess\ndef stop(self):\n    toy.Host.stop(self)\n"
    body += "    subprocess.Popen(['sleep', '600'], start_new_session=True)\nHost.stop = stop"
    trial = Trial(tmp_path / "run", toy_scenario([]).replace(str(TOY), odd_toy(tmp_path, body)))
    result = trial.run()
    assert result.status == "FAIL"
    assert "(sleep 600)" in result.reason
    assert not trial.left()


def test_an_old_run_judged_again_gives_the_same_result(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", toy_scenario(["{at: 100ms, fault: process.kill, on: service}"]))
    first = trial.run()
    assert judge(Record.load(trial.folder.path), load(trial.folder.scenario)[0].scenario) == first


def test_the_same_seed_gives_the_same_plan_byte_for_byte(tmp_path: Path) -> None:
    text = toy_scenario(["{at: 0s..300ms, fault: noop, for: 10ms}"])
    plans = []
    for name in ("one", "two"):
        trial = Trial(tmp_path / name, text, seed=7)
        trial.run()
        plans.append(trial.folder.plan.read_bytes())
    assert plans[0] == plans[1]
    assert 0 <= json.loads(plans[0])["steps"][0]["at_s"] <= 0.3


def test_keep_leaves_the_targets_folder_for_a_look(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", toy_scenario([]), keep=True)
    trial.run()
    assert trial.left() == [str(trial.sandbox)]
    assert (trial.sandbox / "target" / "journal").exists()
    shutil.rmtree(trial.sandbox)
