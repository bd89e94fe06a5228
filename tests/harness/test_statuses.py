"""The exit status: every line of the table, and the order of the lines."""

from __future__ import annotations

import pytest

from harness import cli
from harness.result import Result, TrialStatus
from harness.statuses import TABLE, Outcome, exit_status, tally
from support.suites import result

LEFT = ("the rule 7 of the table is still there",)


@pytest.mark.parametrize(
    ("code", "results"),
    [
        (0, [result("PASS")]),
        (0, [result("PASS"), result("SKIPPED")]),
        (1, [result("PASS"), result("FAIL"), result("UNKNOWN"), result("ERROR")]),
        (1, [result("FAIL", convicts=("linearizable",), convicted=True)]),
        (2, [result("INTERRUPTED"), result("FAIL"), result("ERROR")]),
        (3, [result("ERROR"), result("UNKNOWN")]),
        (3, [result("PASS", left=LEFT)]),
        (3, [result("FAIL", left=LEFT)]),
        (3, [result("INTERRUPTED", left=LEFT)]),
        (3, [result("ERROR", convicts=("linearizable",), convicted=False)]),
        (5, [result("UNKNOWN"), result("PASS")]),
        (5, [result("SKIPPED")]),
        (5, []),
    ],
)
def test_the_status_follows_from_the_results(code: int, results: list[Result]) -> None:
    assert exit_status(Outcome(results)).code == code


def test_a_signal_that_came_after_the_last_trial_still_counts() -> None:
    assert exit_status(Outcome([result("PASS")], interrupted=True)).code == 2


def test_a_skip_proves_nothing_where_all_is_required() -> None:
    assert exit_status(Outcome([result("PASS"), result("SKIPPED")], require_all=True)).code == 5


def test_misuse_has_a_status_of_its_own() -> None:
    assert exit_status(Outcome(misused=True)).code == 4


def test_every_status_of_a_trial_leads_to_a_line() -> None:
    statuses: list[TrialStatus] = ["PASS", "FAIL", "UNKNOWN", "SKIPPED", "ERROR", "INTERRUPTED"]
    assert [exit_status(Outcome([result(status)])).code for status in statuses] == [0, 1, 5, 5, 3, 2]


def test_the_command_line_knows_the_codes_of_the_table() -> None:
    named = {cli.PASSED, cli.FAILED, cli.INTERRUPTED, cli.BROKEN, cli.MISUSED, cli.NOTHING_PROVEN}
    assert {line.code for line in TABLE} == named


def test_repeats_are_brought_together_by_their_worst_with_k_of_n() -> None:
    results = [
        result("PASS"),
        result("FAIL", attempt=1),
        result("FAIL", attempt=2),
        result("UNKNOWN", attempt=3),
        result("PASS", variant="bits=2"),
    ]
    assert [str(line) for line in tally(results)] == ["FAIL 2 of 4", "PASS"]
