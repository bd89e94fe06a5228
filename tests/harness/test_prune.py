"""`bigfive prune`: what goes, and what stays whatever is said."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from harness.cli import exit_code
from harness.clock import SystemClock
from harness.result import TrialStatus
from harness.undo import Pointer, state_directory
from support.suites import result, suite

OLD = [f"2020010{day}T000000Z-0000000{day}" for day in range(1, 6)]


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with five old suites that passed."""
    monkeypatch.chdir(tmp_path)
    for name in OLD:
        write(tmp_path / "reports" / name)
    (tmp_path / "reports" / "latest").symlink_to(OLD[-1])
    return tmp_path / "reports"


def write(folder: Path, status: TrialStatus = "PASS", **differing: object) -> Path:
    made = suite(result(status), planned=1, **differing)
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / "evidence").write_bytes(b"x" * 5000)
    (folder / "suite.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(made, name=folder.name)))
    return folder


def left(reports: Path) -> list[str]:
    return sorted(path.name for path in reports.iterdir() if path.name != "latest")


def test_all_but_the_newest_n_go_and_the_space_is_named(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["prune", "--keep", "2"]) == 0
    assert left(reports) == OLD[-2:]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"removed  reports/{OLD[0]}  5.")
    assert said[-1].startswith("3 suites removed, 1")
    assert said[-1].endswith(" kB freed")


def test_what_is_old_goes_and_what_is_not_stays(reports: Path) -> None:
    today = write(reports / f"{SystemClock().utc_now():%Y%m%dT%H%M%SZ}-00000009")
    assert exit_code(["prune", "--older-than", "14d"]) == 0
    assert left(reports) == [OLD[-1], today.name]  # `latest` leads to the former


def test_a_dry_run_removes_nothing(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["prune", "--keep", "2", "--dry-run"]) == 0
    assert left(reports) == OLD
    assert "3 suites would be removed" in capsys.readouterr().out


def test_the_newest_stays_even_if_it_is_old_and_nothing_leads_to_it(reports: Path) -> None:
    (reports / "latest").unlink()
    assert exit_code(["prune", "--older-than", "1h", "--failed-too"]) == 0
    assert left(reports) == OLD[-1:]


@pytest.mark.parametrize(
    ("status", "differing", "reason"),
    [
        ("FAIL", {}, "1 FAIL"),
        ("UNKNOWN", {}, "1 UNKNOWN"),
        ("ERROR", {}, "1 ERROR"),
        ("PASS", {"planned": 2}, "cut short"),
        ("PASS", {"interrupted": True}, "cut short"),
    ],
)
def test_what_somebody_may_want_to_look_at_stays_unless_told(
    status: TrialStatus,
    differing: dict[str, object],
    reason: str,
    reports: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (reports / OLD[1] / "suite.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(suite(result(status)), name=OLD[1], **differing))
    )
    assert exit_code(["prune", "--keep", "1"]) == 0
    assert left(reports) == [OLD[1], OLD[-1]]
    assert reason in capsys.readouterr().out
    assert exit_code(["prune", "--keep", "1", "--failed-too"]) == 0
    assert left(reports) == OLD[-1:]


def test_a_conviction_that_was_asked_for_is_no_failure(reports: Path) -> None:
    convicted = suite(result("FAIL", convicts=("linearizable",), convicted=True))
    (reports / OLD[1] / "suite.json").write_bytes(msgspec.json.encode(convicted))
    assert exit_code(["prune", "--keep", "1"]) == 0
    assert left(reports) == OLD[-1:]


def test_a_suite_that_runs_or_is_still_to_be_undone_stays_whatever_is_said(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = reports / OLD[2] / "runs" / "a" / "0" / "undo.jsonl"
    Pointer("toy", str(log), (os.getpid(), 1)).write()
    assert exit_code(["prune", "--keep", "1", "--failed-too"]) == 0
    assert left(reports) == [OLD[2], OLD[-1]]
    assert "it runs, or is still to be undone" in capsys.readouterr().out


def test_a_damaged_pointer_keeps_everything(reports: Path) -> None:
    (state_directory() / "runs").mkdir(parents=True)
    (state_directory() / "runs" / "x.json").write_text("{")
    assert exit_code(["prune", "--keep", "1", "--failed-too"]) == 0
    assert left(reports) == OLD


def test_a_suite_that_has_not_ended_stays_for_a_day_whatever_is_said(reports: Path) -> None:
    began = SystemClock().utc_now()
    names = [f"{began:%Y%m%dT%H%M%SZ}-0000000{number}" for number in (1, 2)]
    for name in names:
        write(reports / name)
    (reports / names[0] / "suite.json").unlink()
    (reports / OLD[0] / "suite.json").unlink()
    assert exit_code(["prune", "--keep", "1", "--failed-too"]) == 0
    assert left(reports) == [OLD[-1], *names]


def test_what_is_no_suite_is_left_alone(reports: Path) -> None:
    (reports / "README.md").write_text("how to read a report")
    (reports / "joined").mkdir()
    (reports / "20200101T000000Z-linked00").symlink_to(reports / OLD[0])
    (reports / "20200101T000000Z-abcdef01").symlink_to(reports / OLD[0])
    assert exit_code(["prune", "--keep", "5"]) == 0
    assert len(left(reports)) == 5 + 4


def test_what_a_killed_removal_left_goes_with_the_next(reports: Path) -> None:
    (reports / OLD[0]).rename(reports / f".pruned-{OLD[0]}")
    assert exit_code(["prune", "--keep", "5"]) == 0
    assert left(reports) == OLD[1:]


def test_an_empty_or_missing_folder_is_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["prune", "--keep", "1", "--out", str(tmp_path / "nowhere")]) == 0
    assert capsys.readouterr().out == "0 suites removed, 0 B freed\n"


@pytest.mark.parametrize(
    "arguments", [[], ["--keep", "0"], ["--keep", "1", "--older-than", "1d"], ["--older-than", "5 minutes"]]
)
def test_what_says_not_clearly_what_is_old_is_4_and_removes_nothing(arguments: list[str], reports: Path) -> None:
    assert exit_code(["prune", *arguments]) == 4
    assert left(reports) == OLD
