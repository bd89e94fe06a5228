"""Scenario files under pytest: the same trials, the same verdicts."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.reporting._base import Suite, read
from harness.waiting import until
from support.suites import FORGETFUL, LASTING, remains, write_scenario

pytest_plugins = ["pytester"]

KILL = ["{at: 100ms, fault: process.kill, on: service}"]
NO_LOSS = "no_acknowledged_write_lost"


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def latest(pytester: pytest.Pytester) -> Suite:
    return read(pytester.path / "reports" / "latest" / "suite.json")


def test_only_scenario_files_are_collected_an_item_a_trial(pytester: pytest.Pytester) -> None:
    write_scenario(pytester.path, "a", more="matrix: {speed: [1, 2]}\nrepeat: 2")
    write_scenario(pytester.path / "negative", "bad")
    (pytester.path / "other.yaml").write_text("name: no scenario\n")
    (pytester.path / "broken.yaml").write_bytes(b"\xff\xfe scenario")
    collected = run(pytester, "--collect-only", "-q")
    assert collected.ret == 0
    ids = [line for line in collected.outlines if "::" in line]
    assert ids == [f"a.yaml::a[speed={speed}]{attempt}" for speed in (1, 2) for attempt in ("", "#1")]


def test_negative_scenarios_and_copies_are_collected_where_they_are_named(pytester: pytest.Pytester) -> None:
    write_scenario(pytester.path / "negative", "bad")
    copies = pytester.path / "reports" / "x"
    write_scenario(copies, "copy")
    (copies / "trial.json").write_text("{}")
    assert run(pytester, "--collect-only").ret == 5
    assert "negative/bad.yaml::bad" in run(pytester, "--collect-only", "-q", "negative").stdout.str()


def test_all_mistakes_of_a_file_are_one_collection_error(pytester: pytest.Pytester) -> None:
    path = write_scenario(pytester.path, "a")
    path.write_text(path.read_text().replace("fault: noop", "fault: nop") + "retries: 3\n")
    done = run(pytester)
    assert done.ret == 2
    said = done.stdout.str()
    assert "did you mean 'noop'" in said
    assert "retries" in said
    assert "Traceback" not in said


def test_tags_and_names_can_be_selected(pytester: pytest.Pytester) -> None:
    write_scenario(pytester.path, "a", more="tags: [smoke]")
    write_scenario(pytester.path, "b")
    for expression, name in (("smoke", "a"), ("b", "b")):
        ids = [line for line in run(pytester, "--collect-only", "-q", "-k", expression).outlines if "::" in line]
        assert ids == [f"{name}.yaml::{name}"]


def test_a_run_without_scenarios_imports_nothing_of_the_harness(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_it(): assert not [m for m in sys.modules if m.startswith('harness.e')]")
    (pytester.path / "other.yaml").write_text("name: nothing\n")
    assert run(pytester).ret == 0
    assert not (pytester.path / "reports").exists()


@pytest.mark.chaos
def test_verdicts_are_those_of_the_command_line_with_and_without_workers(pytester: pytest.Pytester) -> None:
    settings = {"until_": "faults_done + 300ms", "expect": NO_LOSS}
    write_scenario(pytester.path, "heals", KILL, **settings)
    write_scenario(pytester.path, "loses", KILL, **settings, more=FORGETFUL)
    write_scenario(pytester.path, "unnoticed", expect="recovered_within: 5s")
    foreign = write_scenario(pytester.path, "foreign")
    lines = [line for line in foreign.read_text().splitlines() if not line.startswith("target")]
    foreign.write_text("\n".join([*lines, "command: [no-such-program-anywhere]"]))
    done = run(pytester, "-n", "2", "--bigfive-seed", "9", "-rs")
    done.assert_outcomes(passed=1, failed=2, skipped=1)
    said = done.stdout.str()
    assert "replay: bigfive replay" in said
    assert "install no-such-program-anywhere" in said
    assert "runtest" not in said  # no traceback through the harness
    assert "root seed 9" in said
    statuses = {result.scenario: result.status for result in latest(pytester).results}
    assert statuses == {"heals": "PASS", "loses": "FAIL", "unnoticed": "UNKNOWN"} | {"foreign": "SKIPPED"}
    assert {result.root_seed for result in latest(pytester).results} == {9}
    assert latest(pytester).duration_s >= max(result.duration_s for result in latest(pytester).results)
    assert not remains(pytester.path)
    run(pytester, "foreign.yaml", "--require-all").assert_outcomes(failed=1)


@pytest.mark.chaos
def test_the_right_conviction_is_a_passed_item_and_any_other_a_failed_one(pytester: pytest.Pytester) -> None:
    settings = {"until_": "faults_done + 300ms", "expect": NO_LOSS}
    convicts = f"convicts: [{NO_LOSS}]\n"
    write_scenario(pytester.path / "negative", "loses", KILL, **settings, more=FORGETFUL + convicts)
    write_scenario(pytester.path / "negative", "keeps", KILL, **settings, more=convicts)
    done = run(pytester, "negative", "-v", "--junitxml=junit.xml")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*keeps FAILED*", "*loses PASSED*"])
    assert 'name="seed"' in (pytester.path / "junit.xml").read_text()


@pytest.mark.chaos
def test_an_interrupted_session_undoes_and_reports(pytester: pytest.Pytester) -> None:
    write_scenario(pytester.path, "held", [LASTING], until_="60s")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s"],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: "fault_proven" in events(pytester.path), "the fault", 30)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert latest(pytester).interrupted
    assert not remains(pytester.path)


def events(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("**/events.jsonl"))
