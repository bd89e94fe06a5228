from __future__ import annotations

from harness.checks.no_orphans import NoOrphans
from harness.record import Observed
from support.records import record


def test_a_target_that_leaves_nothing_passes() -> None:
    sample = Observed(t=1, name="left_processes", data={"processes": []})
    assert NoOrphans().judge(record([sample])).status == "PASS"


def test_a_process_that_outlives_the_target_is_named() -> None:
    sample = Observed(t=1, name="left_processes", data={"processes": [{"pid": 7, "command": "sleep 9"}]})
    verdict = NoOrphans().judge(record([sample]))
    assert verdict.status == "FAIL"
    assert "7 (sleep 9)" in verdict.summary


def test_nobody_looked_means_nobody_knows() -> None:
    assert NoOrphans().judge(record()).status == "UNKNOWN"
