"""Reports: pure functions of a suite's folder."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.errors import ScenarioError
from harness.registry import REPORTS
from harness.reporting._base import Suite, read, write_all
from harness.reporting._terminal import paint
from harness.reporting.console import summary, verdict
from harness.reporting.junit import MAX_OUTPUT_BYTES
from support.suites import fault, judged, result, suite

FAILED = result(
    "FAIL",
    variant="bits=2",
    attempt=3,
    checks=(judged("recovered_within", "FAIL", "it never recovered", recovery_ms=1234.5), judged("no_orphans", "PASS")),
    faults=(fault(proven=True),),
    operations={"ok": 90, "info": 10},
)


def junit(folder: Path, made: Suite) -> ET.Element:
    write_all(made, folder)
    return ET.parse(folder / "junit.xml").getroot()  # noqa: S314  we have just written it


def test_every_report_writes_a_file_into_the_folder(tmp_path: Path) -> None:
    names = {"suite.json", "index.html", "junit.xml", "summary.md", "summary.txt", "annotations.txt"}
    assert {path.name for path in write_all(suite(result()), tmp_path)} == names
    assert set(REPORTS.kinds()) >= {"console", "github", "html", "json", "junit", "markdown"}


def test_the_suite_survives_json(tmp_path: Path) -> None:
    made = suite(FAILED, result("SKIPPED"), planned=5, interrupted=True, require_all=True)
    write_all(made, tmp_path)
    assert read(tmp_path / "suite.json") == made


def test_what_is_no_suite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text("[]")
    with pytest.raises(ScenarioError, match="is not a suite"):
        read(tmp_path / "suite.json")


def test_a_verdict_in_one_line_is_enough_for_a_pass() -> None:
    assert verdict(suite(result()).trials[0], Path("reports/x")) == ["PASS        flip  1.5 s"]


def test_a_failure_shows_its_checks_its_evidence_and_how_to_replay_it() -> None:
    lines = verdict(suite(FAILED).trials[0], Path("my reports/x"))
    assert lines == [
        "FAIL        flip[bits=2]#3  1.5 s  recovered_within",
        "    FAIL recovered_within: 5s: it never recovered",
        "      see events.jsonl: fault 0",
        "    replay: bigfive replay 'my reports/x/runs/flip/0'",
    ]


def test_a_skip_shows_how_to_get_what_is_missing() -> None:
    skipped = result("SKIPPED", reason="docker: no engine answers", fix="install docker.io")
    assert verdict(suite(skipped).trials[0], Path()) == [
        "SKIPPED     flip  1.5 s  docker: no engine answers",
        "    fix: install docker.io",
    ]


def test_what_is_left_over_is_named() -> None:
    lines = verdict(suite(result("ERROR", left=("rule 7",))).trials[0], Path())
    assert "    not undone: rule 7" in lines


def test_the_summary_has_repeats_seed_place_and_exit_status() -> None:
    text = "\n".join(summary(suite(FAILED, result(variant="bits=2"), planned=3), Path("reports/x")))
    assert re.search(r"FAIL 1 of 2 +flip\[bits=2\] +3\.0 s +100 +1 of 1", text)
    assert "3 trials: 1 FAIL, 1 PASS, 1 not run in 3.0 s" in text
    assert "--seed 7" in text
    assert "reports/x" in text
    assert "exit 1 " in text


def test_an_empty_suite_has_a_summary_too() -> None:
    assert "0 trials: none in 3.0 s" in summary(suite(), Path())


def test_status_words_are_coloured_only_at_the_beginning_of_a_line() -> None:
    assert paint("no FAIL here") == "no FAIL here"
    assert paint("  FAIL x: PASS") == "  \x1b[31m\x1b[1mFAIL\x1b[0m x: PASS"


def test_junit_has_one_case_a_trial_with_its_class_and_numbers(tmp_path: Path) -> None:
    root = junit(tmp_path, suite(FAILED))
    [case] = root.iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("chaos.state.flip", "flip[bits=2]#3")
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties == {"seed": "42", "run": "runs/flip/0", "recovered_within.recovery_ms": "1234.5"}


def test_junit_counts_and_names_what_did_not_pass(tmp_path: Path) -> None:
    statuses = [result(status) for status in ("PASS", "SKIPPED", "UNKNOWN", "ERROR", "INTERRUPTED")]
    root = junit(tmp_path, suite(FAILED, *statuses))
    [element] = root.iter("testsuite")
    counts = {name: element.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "1", "errors": "3", "skipped": "1"}
    [failure] = root.iter("failure")
    assert failure.get("type") == "recovered_within"
    assert "replay: bigfive replay" in (failure.text or "")


def test_junit_never_repeats_a_name(tmp_path: Path) -> None:
    root = junit(tmp_path, suite(result(), result()))
    assert [case.get("name") for case in root.iter("testcase")] == ["flip", "flip (2)"]


def test_junit_drops_characters_that_xml_forbids_and_caps_the_output(tmp_path: Path) -> None:
    logs = tmp_path / "runs" / "flip" / "0" / "logs"
    logs.mkdir(parents=True)
    (logs / "host.log").write_bytes(b"\x00\x1b\xff" + b"x" * 200_000 + b"the end")
    (logs / "trial.log").write_bytes(b"y" * 200_000)
    root = junit(tmp_path, suite(result("ERROR", reason="bell \x07 & <tag>")))
    [output] = root.iter("system-err")
    assert len((output.text or "").encode()) <= MAX_OUTPUT_BYTES
    assert "the end" in (output.text or "")
    [error] = root.iter("error")
    assert error.get("message") == "bell  & <tag>"
