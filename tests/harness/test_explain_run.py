"""`bigfive explain PATH`: a past trial in plain English."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from harness.cli import exit_code
from harness.engine.suite import SuiteFolder
from harness.record import FaultInjecting, FaultUnproven, Folder, Invoked, Problem, WorkloadBegan
from harness.result import Result, read
from support.recorded import NO_LOSS, SUITE, keeping, losing, save, write_suite, write_trial
from support.records import MS, History
from support.suites import result


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SuiteFolder:
    monkeypatch.chdir(tmp_path)
    return SuiteFolder.create(tmp_path / "reports", SUITE)


def explained(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert exit_code(["explain", str(path)]) == 0
    return capsys.readouterr().out


def differing(folder: Folder, **fields: object) -> Result:
    """Store a result that differs from what the record comes to."""
    changed = msgspec.structs.replace(read(folder.result), **fields)
    save(folder, changed)
    return changed


def test_a_failure_is_told_from_what_was_tried_to_what_to_do_next(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trial(suite, "loses", losing())
    said = explained(folder.path, capsys)
    near = f"reports/{SUITE}/runs/loses/0"
    assert said.startswith("FAIL  loses: A toy.\n  The target did not do what was asked of it.")
    assert "2 clients (state_corruption) worked on " in said
    assert "3 operations (2 ok, 1 info) in 2 s" in said
    assert "fault 0, process.kill on service at 100 ms: proven to have taken effect" in said
    assert f"FAIL {NO_LOSS}: version 1 of k was acknowledged to operation 1 and again to 2" in said
    assert "it asks: No acknowledged write" in said
    assert f"where it shows, in {near}" in said
    assert f"\n  bigfive replay {near}\n" in said
    assert f"bigfive explain {NO_LOSS}" in said
    assert "bigfive run" in said
    assert "-k loses --seed 7 --keep" in said


def test_the_evidence_is_shown_with_its_very_lines(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_trial(suite, "loses", losing())
    said = explained(folder.result, capsys)
    shown = re.findall(r"^    history\.jsonl:(\d+): (.*)$", said, re.MULTILINE)
    lines = folder.history.read_text().splitlines()
    assert {int(number) for number, _ in shown} == {1, 2, 3, 4}
    assert all(lines[int(number) - 1] == text for number, text in shown)


def test_a_line_that_is_too_long_is_cut(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    history = History()
    history.write("k", "x" * 5000, 1)
    history.write("k", "second", 1)
    said = explained(write_trial(suite, "loses", history).path, capsys)
    assert max(map(len, said.splitlines())) < 300
    assert "…" in said


def test_the_failures_of_a_suite_are_told_once_of_each_sort_by_the_smallest(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    slow, fast, other = (write_trial(suite, name, losing()) for name in ("loses", "loses", "other"))
    keeps = write_trial(suite, "keeps", keeping())
    write_suite(
        suite,
        **{
            "loses/0": differing(slow, duration_s=9.0),
            f"loses/{fast.path.name}": differing(fast, duration_s=1.0),
            "other/0": read(other.result),
            "keeps/0": read(keeps.result),
        },
    )
    said = explained(suite.path, capsys)
    assert said.count("FAIL  loses:") == 1
    assert "It happened in 2 trials; this is the smallest." in said
    assert f"bigfive replay reports/{SUITE}/runs/loses/{fast.path.name}\n" in said
    assert "FAIL  other:" in said
    assert "PASS" not in said


def test_a_suite_without_failures_says_so(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    keeps = write_trial(suite, "keeps", keeping())
    write_suite(suite, **{"keeps/0": read(keeps.result)})
    assert "nothing failed in" in explained(suite.path, capsys)


def test_what_passed_is_told_as_well(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    said = explained(write_trial(suite, "keeps", keeping()).path, capsys)
    assert said.startswith("PASS  keeps: A toy.\n  Everything that was asked was shown.")
    assert "what to look at next" not in said


def test_a_fault_that_proved_nothing_is_named_with_its_reason(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    events = (
        WorkloadBegan(t=0),
        FaultInjecting(t=100 * MS, fault=0, kind="process.kill", on="service", due=100 * MS),
        FaultUnproven(t=101 * MS, fault=0, reason="it was gone already"),
    )
    said = explained(write_trial(suite, "doubt", keeping(), events).path, capsys)
    assert said.startswith("UNKNOWN")
    assert "process.kill on service at 100 ms: NOT PROVEN: it was gone already" in said
    assert "bigfive explain process.kill" in said


def test_a_trial_that_broke_off_says_in_which_phase_and_what_its_logs_say(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    events = (Problem(t=0, phase="set_up", error="HarnessBug", message="no clients", fix="report it"),)
    folder = write_trial(suite, "broke", History(), events)
    folder.logs.mkdir(exist_ok=True)
    (folder.logs / "host.log").write_text("first\nOSError: no space\n\n")
    (folder.logs / "prober.log").write_text("")
    said = explained(folder.path, capsys)
    assert said.startswith("ERROR")
    assert "HarnessBug in phase set_up: no clients" in said
    assert "\n  report it\n" in said
    assert "logs/host.log ends with: OSError: no space" in said
    assert "prober.log" not in said


def test_what_was_skipped_says_how_to_get_what_is_missing(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trial(suite, "skipped", keeping())
    save(folder, result("SKIPPED", scenario="skipped", reason="docker: no engine", fix="start it"))
    said = explained(folder.path, capsys)
    assert "docker: no engine" in said
    assert said.rstrip().endswith("start it")


def test_a_conviction_is_good_news_and_a_missing_one_is_not(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trial(suite, "planted", losing())
    differing(folder, convicts=(NO_LOSS,), convicted=True)
    assert "broken on purpose, and that was found" in explained(folder.path, capsys)
    differing(folder, status="ERROR", convicts=("linearizable",), convicted=False)
    assert "linearizable should have failed" in explained(folder.path, capsys)


def test_a_scenario_that_no_longer_loads_and_a_damaged_record_are_told_as_far_as_they_go(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trial(suite, "loses", losing())
    folder.scenario.write_text("scenario: loses\nexpect: [gone]\n")
    lines = folder.history.read_text().splitlines()
    folder.history.write_text("\n".join(["not json", "[1]", *lines[2:]]))
    said = explained(folder.path, capsys)
    assert "worked on" not in said
    assert f"FAIL {NO_LOSS}" in said


def test_a_line_that_a_check_names_is_shown_alone(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    said = explained(write_trial(suite, "loses", losing(), expect="linearizable").path, capsys)
    shown = re.findall(r"^    history\.jsonl:\d+: (.*)$", said, re.MULTILINE)
    assert shown
    assert all(msgspec.json.decode(text, type=Invoked) for text in shown)


@pytest.mark.parametrize("path", [".", "pyproject.toml", "nowhere/at/all"])
def test_a_path_to_something_else_is_4(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert exit_code(["explain", path]) == 4
    assert path in capsys.readouterr().err
