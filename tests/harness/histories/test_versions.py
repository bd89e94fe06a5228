"""The linear-time check, sentence by sentence."""

from __future__ import annotations

import pytest

from harness.histories.checking import check
from harness.histories.models import named
from harness.histories.operations import Op


def write(n: int, call: int, ret: int | None, version: int | None = None, **argument: object) -> Op:
    result = {} if version is None else {"version": version}
    outcome = "info" if ret is None else "ok"
    argument = {"value": f"v{n}", **argument}
    return Op(n=n, client=n, name="write", argument=argument, result=result, call=call, ret=ret, outcome=outcome)


def read(n: int, call: int, ret: int, version: int, value: str | None) -> Op:
    return Op(n=n, client=n, name="read", result={"value": value, "version": version}, call=call, ret=ret)


def conflict(n: int, call: int, ret: int, expected: int, version: int) -> Op:
    argument, result = {"value": f"v{n}", "expected_version": expected}, {"error": "conflict", "version": version}
    return Op(n=n, client=n, name="write", argument=argument, result=result, call=call, ret=ret, outcome="fail")


ONE, TWO = write(1, 0, 10, 1), write(2, 20, 30, 2)

CONTRADICTIONS = {
    'operation 3 read "v1" as version 1 after operation 2 was acknowledged version 2': [read(3, 40, 50, 1, "v1")],
    'operation 3 read "v2" as version 2, but there were only 1 acknowledged and 0 other': [read(3, 12, 15, 2, "v2")],
    'operation 3 read "other" as version 2, but operation 2 was': [read(3, 40, 50, 2, "other")],
    'operation 3 read "v9" as version 0, which is null': [read(3, 0, 5, 0, "v9")],
    'and operation 3 was acknowledged version 2 for writing "v3": an update is lost': [write(3, 20, 50, 2)],
    "which expected version 7": [write(3, 40, 50, 3, expected_version=7)],
    "operation 3 was refused because of version 2, the very version that it expected": [conflict(3, 40, 50, 2, 2)],
    "operation 3 was refused because of version 1 after operation 2": [conflict(3, 40, 50, 0, 1)],
    'operation 3 was acknowledged version 9 for writing "v3", but there were only 3': [write(3, 40, 50, 9)],
    "no write that was called in time is left to have made version 3": [
        write(3, 40, 50, 4),
        write(4, 12, None, expected_version=0),
    ],
    'operation 4 read "b" as version 3, but operation 3 read "a"': [
        read(3, 40, 50, 3, "a"),
        read(4, 40, 50, 3, "b"),
        write(5, 35, None, value="a"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("sentence", CONTRADICTIONS, ids=range(len(CONTRADICTIONS)))
def test_every_contradiction_has_its_sentence(sentence: str) -> None:
    verdict = check([ONE, TWO, *CONTRADICTIONS[sentence]], named("versioned_register"))
    assert verdict.status == "illegal"
    assert sentence in verdict.reason
    assert verdict.steps == 0


def test_a_version_that_nobody_was_acknowledged_for_is_that_of_an_unanswered_write() -> None:
    lost = write(7, 12, None, value="x")
    verdict = check([ONE, lost, write(2, 20, 30, 3), read(3, 40, 50, 3, "v2")], named("versioned_register"))
    assert verdict.orders == {None: (1, 7, 2, 3)}


def test_of_two_unanswered_writes_each_makes_the_version_that_only_it_can_have_made() -> None:
    late, early = write(7, 45, None), write(8, 12, None)
    verdict = check([ONE, late, early, write(2, 20, 30, 3), read(3, 50, 60, 4, "v7")], named("versioned_register"))
    assert verdict.orders == {None: (1, 8, 2, 7, 3)}


def test_a_conflict_counts_as_having_seen_its_version() -> None:
    legal = [ONE, TWO, conflict(3, 5, 25, 0, 1)]
    assert check(legal, named("versioned_register")).orders == {None: (1, 3, 2)}


def test_where_an_answer_leaves_out_its_version_the_search_decides() -> None:
    silent = write(3, 15, 25)
    legal = [ONE, silent, write(2, 20, 30, 3), read(4, 40, 50, 3, "v2")]
    verdict = check(legal, named("versioned_register"))
    assert verdict.status == "ok"
    assert verdict.steps > 0
    illegal = [ONE, silent, TWO, read(4, 40, 50, 2, "v2")]
    assert check(illegal, named("versioned_register")).status == "illegal"


def test_an_astronomical_version_costs_no_time() -> None:
    verdict = check([ONE, read(3, 40, 50, 10**15, "x")], named("versioned_register"))
    assert verdict.status == "illegal"
