"""The summary in Markdown: brief, below GitHub's limit, and safe whatever the results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.reporting import markdown
from harness.reporting._page import build
from support.pages import HOSTILE, material, recovered
from support.suites import judged, result

FAILED = result("FAIL", checks=(judged("x", "FAIL", HOSTILE),), summary=HOSTILE, feature=HOSTILE)


def test_the_summary_has_verdict_features_findings_and_tables(tmp_path: Path) -> None:
    text = markdown.render(build(material(tmp_path, recovered(), result("FAIL", scenario="lost")))).decode()
    assert text.startswith("## ❌ FAIL: 1 of 2 trials failed a check.")
    assert "root seed **7**" in text
    assert "| **state** |  | ❌ FAIL | 2 trials: 1 FAIL, 1 PASS |" in text
    assert "|  | recovered\\_within: 5s | ✅ PASS 1 of 1 | recovery 301 ms" in text
    assert f"`bigfive replay {tmp_path}/runs/lost/1`" in text
    assert "| `process.kill` | 1 | 5 s | 301 ms |" in text
    assert "Known limits" not in text


def test_rows_have_as_many_cells_as_their_table(tmp_path: Path) -> None:
    lines = markdown.render(build(material(tmp_path, recovered(), FAILED))).decode().splitlines()
    tables = "\n".join(line if line.startswith("|") else "" for line in lines).split("\n\n")
    for table in filter(None, (each.strip("\n").split("\n") for each in tables)):
        assert len({line.replace("\\|", "").count("|") for line in table if line}) <= 1


def test_hostile_text_is_no_markup(tmp_path: Path) -> None:
    text = markdown.render(build(material(tmp_path, FAILED))).decode()
    assert "<script>" not in text
    assert "https://" not in text
    assert "\n::error" not in text
    assert " @someone" not in text


@pytest.mark.parametrize(
    ("value", "code"), [("a b", "`a b`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("a\nb", "`a b`")]
)
def test_code_has_as_many_backticks_as_it_takes(value: str, code: str) -> None:
    assert markdown.code(value) == code


def test_a_summary_that_is_too_long_is_cut_at_a_line_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markdown, "MAX_BYTES", 600)
    data = markdown.render(build(material(tmp_path, recovered(), FAILED)))
    assert len(data) <= 600
    assert data.decode().rstrip().endswith("the rest is in `index.html`.")
