"""Real libraries under the scenarios of locking: each is convicted of what it is known to break, and of that alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.result import Result
from support.source import ROOT
from support.trials import Trial

pytestmark = pytest.mark.chaos

LIBRARIES = ROOT / "tests" / "quality" / "libraries.py"
PAUSED = """
runner: concurrent_writers
workload: {writers: 6, rate: 60/s, keys: 1, hold: 50ms, lease: 300ms, until: faults_done + 500ms}
faults:
  - {at: 500ms, fault: process.pause, on: holder, for: 1500ms}
expect: [no_lost_updates, mutual_exclusion, fencing_tokens_increase, no_deadlock: 500ms]
"""
OPTIMISTIC = """
runner: concurrent_writers
workload: {mode: optimistic, writers: 10, rate: 500/s, keys: 3, until: 2s}
expect: [no_lost_updates, all_writers_succeed]
"""
# By adapter: the scenario, the checks that it must fail, and those that it may fail as well.
KNOWN = {
    # A lock of the kernel has no lease: while its holder stands still, nobody gets on. Nor has it a token.
    f"{LIBRARIES}:filelock_": (PAUSED, {"fencing_tokens_increase", "no_deadlock"}, set()),
    # A lease without a token: whoever wakes up late overwrites what was written since.
    f"{LIBRARIES}:redis_lock": (PAUSED, {"fencing_tokens_increase", "no_lost_updates"}, set()),
    # BEGIN is deferred: who read cannot write any more if anybody else has, and is told that the database is locked.
    f"{LIBRARIES}:sqlite": (OPTIMISTIC, {"all_writers_succeed"}, set()),
    # Nobody locks the file, so the later of two writers wins, or the file is broken for good.
    f"{LIBRARIES}:shelf": (OPTIMISTIC, {"no_lost_updates"}, {"all_writers_succeed"}),
    "targets.locking:adapter": (PAUSED, set(), set()),
    "targets.locking:adapter ": (OPTIMISTIC, set(), set()),
}


def run(folder: Path, target: str, rest: str) -> Result:
    frame = f"scenario: library\nfeature: locking\nsummary: A library.\ntarget: {target}\ntimeout: 25s\n"
    return Trial(folder / "run", frame + rest).run()


@pytest.mark.parametrize("target", KNOWN, ids=lambda target: target.rpartition("/")[2])
def test_a_library_breaks_what_it_is_known_to_break(
    target: str, tmp_path: Path, lacking: Callable[[str], None]
) -> None:
    if "redis" in target and shutil.which("redis-server") is None:
        lacking("there is no redis-server on PATH: apt-get install redis-server")
    scenario, broken, perhaps = KNOWN[target]
    result = run(tmp_path, target, scenario)
    verdicts = {each.check: each.verdict.summary for each in result.checks}
    failed = {each.check for each in result.checks if each.verdict.status == "FAIL"}
    assert broken <= failed <= broken | perhaps, verdicts
    assert result.status == ("FAIL" if broken else "PASS"), verdicts
