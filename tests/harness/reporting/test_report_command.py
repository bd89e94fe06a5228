"""`bigfive report`: pages from folders of any age, one or several, with the coverage of the code."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from harness.cli import exit_code
from harness.errors import ScenarioError
from harness.reporting import _code
from support.pages import Outline, recovered, written_suite
from support.suites import result

SUMMARY = {"covered_lines": 90, "num_statements": 100, "covered_branches": 30, "num_branches": 40}
COVERAGE = {
    "meta": {"format": 3},
    "files": {
        "targets/state/store.py": {"summary": SUMMARY},
        "/opt/venv/site-packages/targets/state/journal.py": {"summary": SUMMARY},
        "targets/locking/lock.py": {"summary": {**SUMMARY, "covered_lines": 100}},
        "targets/durable.py": {"summary": {"covered_lines": 1, "num_statements": 2}},
        "tests/targets/test_store.py": {"summary": SUMMARY},
        "harness/record.py": {"summary": SUMMARY},
    },
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    written_suite(tmp_path / "reports" / "a", recovered())
    written_suite(tmp_path / "reports" / "b", result("FAIL", scenario="lost"))
    (tmp_path / "reports" / "latest").symlink_to("b")
    return tmp_path


def text(path: Path) -> str:
    return " ".join(Outline(path.read_text()).text.split())


def test_without_suites_it_is_the_newest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["report"]) == 0
    assert capsys.readouterr().out.splitlines() == ["reports/b/index.html", "reports/b/summary.md"]
    assert "bigfive replay reports/b/runs/lost/0" in text(here / "reports/b/index.html")


def test_several_suites_become_one_page_whose_links_land(here: Path) -> None:
    assert exit_code(["report", "reports/a", "reports/b/suite.json", "reports/latest"]) == 0
    page = here / "reports/joined/index.html"
    assert "1 of 2 trials failed a check." in text(page)
    links = [link for link in Outline(page.read_text()).links if not link.startswith("#")]
    assert all((page.parent / link).exists() for link in links)


def test_the_folder_can_be_chosen(here: Path) -> None:
    assert exit_code(["report", "reports/a", "-o", "public/night"]) == 0
    assert "1 of 1 trial passed." in text(here / "public/night/index.html")
    assert not (here / "reports/a/index.html").exists()


def test_code_coverage_is_joined_with_fault_coverage_by_feature(here: Path) -> None:
    (here / "coverage.json").write_text(json.dumps(COVERAGE))
    assert exit_code(["report", "reports/a", "--coverage", "coverage.json"]) == 0
    page = text(here / "reports/a/index.html")
    assert "state 2 90.0 % 180 of 200 75.0 % 60 of 80 1 process.kill" in page
    assert "locking 1 100.0 % 100 of 100 75.0 % 30 of 40 0 NOT EXERCISED" in page
    assert "shared 1 50.0 % 1 of 2 not measured" in page
    assert "state | 2 | 90.0 %" in (here / "reports/a/summary.md").read_text()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {}}', '{"files": {"src/a.py": {"summary": {}}}}'])
def test_what_is_no_coverage_is_refused(here: Path, content: str) -> None:
    (here / "coverage.json").write_text(content)
    with pytest.raises(ScenarioError, match=r"coverage\.json"):
        _code.read(here / "coverage.json")
    assert exit_code(["report", "--coverage", "coverage.json"]) == 4


def test_what_is_no_suite_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["report", str(here)]) == 4
    assert "is no suite" in capsys.readouterr().err


def test_without_any_report_it_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    monkeypatch.chdir(here / "empty")
    assert exit_code(["report"]) == 4
    assert "there is no reports/latest here" in capsys.readouterr().err


def test_it_opens_the_page_in_the_browser_of_the_user(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = here / "opened"
    monkeypatch.setenv("BROWSER", f"sh -c {shlex.quote(f'echo %s > {opened}')}")
    monkeypatch.setattr("webbrowser._tryorder", None)  # it remembers the browser of the first call
    assert exit_code(["report", "--open"]) == 0
    assert opened.read_text().strip() == (here / "reports/b/index.html").resolve().as_uri()
