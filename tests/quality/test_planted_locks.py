"""Each planted lock, or document, is convicted by its negative scenario, and the real one, treated alike, is not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.source import ROOT
from support.trials import Trial

pytestmark = pytest.mark.chaos

SCENARIOS = sorted((ROOT / "scenarios" / "negative").glob("*.yaml"))
LOCKING = [path for path in SCENARIOS if "feature: locking\n" in path.read_text()]
PLANTED = re.compile(r"^target: \.\./\.\./tests/quality/\w+\.py:adapter$", re.MULTILINE)
CONVICTS = re.compile(r"^convicts: .*\n", re.MULTILINE)


@pytest.fixture(params=LOCKING, ids=lambda path: path.stem)
def scenario(request: pytest.FixtureRequest, lacking: Callable[[str], None]) -> Path:
    path: Path = request.param
    if "redis" in path.read_text() and shutil.which("redis-server") is None:
        lacking("there is no redis-server on PATH: apt-get install redis-server")
    return path


def test_a_planted_lock_is_convicted_by_the_check_it_is_planted_for(scenario: Path, tmp_path: Path) -> None:
    result = Trial(tmp_path / "run", scenario.read_text(), source=str(scenario)).run()
    assert result.convicted, result.reason


def test_the_real_locks_are_not_accused_where_the_planted_one_is(scenario: Path, tmp_path: Path) -> None:
    text, replaced = PLANTED.subn("target: targets.locking:adapter", CONVICTS.sub("", scenario.read_text()))
    assert replaced == 1
    result = Trial(tmp_path / "run", text, source=str(scenario)).run()
    assert result.status == "PASS", result.reason
