"""Each planted bug is convicted by its negative scenario, and the real store, treated alike, is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.result import Result
from support.source import ROOT
from support.trials import Trial

pytestmark = pytest.mark.chaos

SCENARIOS = sorted((ROOT / "scenarios" / "negative").glob("*.yaml"))
STATE = [path for path in SCENARIOS if "feature: state\n" in path.read_text()]
PLANTED = re.compile(r"^target: \.\./\.\./tests/quality/\w+\.py:adapter$", re.MULTILINE)


def run(folder: Path, source: Path, text: str) -> Result:
    return Trial(folder / "run", text, source=str(source)).run()


@pytest.mark.parametrize("path", STATE, ids=lambda path: path.stem)
def test_a_planted_bug_is_convicted_by_the_check_it_is_planted_for(path: Path, tmp_path: Path) -> None:
    result = run(tmp_path, path, path.read_text())
    assert result.convicted, result.reason
    assert result.convicts == ("no_acknowledged_write_lost",)


@pytest.mark.parametrize("path", STATE, ids=lambda path: path.stem)
def test_the_real_store_is_not_accused_where_the_planted_bug_is(path: Path, tmp_path: Path) -> None:
    text, replaced = PLANTED.subn("target: targets.state:adapter", path.read_text())
    assert replaced == 1
    result = run(tmp_path, path, re.sub(r"^convicts: .*\n", "", text, flags=re.MULTILINE))
    assert result.status == "PASS", result.reason
