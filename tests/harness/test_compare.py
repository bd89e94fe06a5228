"""`bigfive compare`: a change is called one only where chance does not explain it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import exit_code
from harness.comparing import Change, Compared, compare, rank_sum, sign_flip
from harness.result import Result
from support.suites import judged, result, suite

times = st.lists(st.floats(1, 1000), min_size=1, max_size=6)


def runs(recovery: Sequence[float], scenario: str = "flip", **differing: object) -> list[Result]:
    return [
        result(scenario=scenario, attempt=n, checks=(judged("recovered_within", "PASS", recovery_ms=ms),), **differing)
        for n, ms in enumerate(recovery)
    ]


def only(cases: Sequence[Compared]) -> Compared:
    (case,) = cases
    return case


def test_four_runs_that_are_all_slower_have_the_p_of_the_textbook() -> None:
    assert rank_sum([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)
    assert sign_flip([1, 1, 1, 1, 1]) == pytest.approx(2 / 32)


@given(times, times)
def test_the_sides_can_be_exchanged(before: list[float], after: list[float]) -> None:
    assert rank_sum(before, after) == pytest.approx(rank_sum(after, before))


@given(times)
def test_what_is_equal_is_never_a_change(both: list[float]) -> None:
    assert rank_sum(both, both) == 1
    assert only(compare(runs(both), runs(both)).cases).change in {"unchanged", "cannot tell"}


def test_the_level_is_kept_where_nothing_has_changed() -> None:
    rng = random.Random(1)
    draws = [[rng.lognormvariate(5, 0.3) for _ in range(12)] for _ in range(200)]
    rejected = sum(rank_sum(draw[:6], draw[6:]) <= 0.05 for draw in draws)
    assert rejected <= 20  # of 200, 10 expected


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ([100, 101, 102, 103, 104], [200, 201, 202, 203, 204], "slower"),
        ([200, 201, 202, 203, 204], [100, 101, 102, 103, 104], "faster"),
        ([100, 101, 102, 103, 104], [110, 111, 112, 113, 114], "unchanged"),  # significant, but within 20 %
        ([100, 300, 200, 250, 150], [140, 320, 90, 310, 220], "unchanged"),
        ([100], [900], "cannot tell"),
    ],
)
def test_a_change_is_both_significant_and_large(before: list[float], after: list[float], change: Change) -> None:
    assert only(compare(runs(before), runs(after)).cases).change == change


def test_with_too_few_runs_it_says_how_many_would_do() -> None:
    case = only(compare(runs([100, 101]), runs([900, 901])).cases)
    assert case.reason == "2 and 2 runs; 4 a side could tell"


def test_a_run_that_never_recovered_is_slower_than_all_that_did() -> None:
    lost = [
        result("FAIL", attempt=n, checks=(judged("recovered_within", "FAIL", recovery_ms=1, never_recovered=1),))
        for n in range(5)
    ]
    found = compare(runs([100, 101, 102, 103, 104]), lost)
    assert only(found.cases).change == "slower"
    assert only(found.cases).after_ms is None
    assert [(each.case, each.status, each.count) for each in found.worsened] == [("flip", "FAIL", 5)]


def test_many_cases_with_one_run_each_are_told_together() -> None:
    before = [each for n in range(8) for each in runs([100 + n], f"case-{n}")]
    after = [each for n in range(8) for each in runs([150 + n], f"case-{n}")]
    found = compare(before, after)
    assert {case.change for case in found.cases} == {"cannot tell"}
    assert found.overall is not None
    assert found.overall.change == "slower"
    assert found.regressed


def test_the_more_cases_the_stronger_the_evidence_must_be() -> None:
    slower = runs([100, 101, 102, 103]), runs([200, 201, 202, 203])
    assert only(compare(*slower).cases).change == "slower"
    others = [each for n in range(9) for each in runs([100, 101, 102, 103], f"other-{n}")]
    found = {each.case: each for each in compare([*slower[0], *others], [*slower[1], *others]).cases}
    assert found["flip"].change == "cannot tell"


def test_planted_bugs_and_skipped_trials_are_no_cases() -> None:
    left_out = [*runs([1], convicts=("linearizable",)), result("SKIPPED", scenario="skipped")]
    found = compare(left_out, left_out)
    assert (found.cases, found.only_before, found.told) == ((), (), False)


def test_what_only_one_side_has_is_named() -> None:
    found = compare(runs([1], "old"), runs([1], "new"))
    assert (found.only_before, found.only_after) == (("old",), ("new",))


def write(folder: Path, results: Sequence[Result]) -> Path:
    folder.mkdir(parents=True)
    (folder / "suite.json").write_bytes(msgspec.json.encode(suite(*results)))
    return folder


@pytest.mark.parametrize(
    ("after", "gate", "plain", "last"),
    [
        ([200, 201, 202, 203, 204], 1, 0, "REGRESSED"),
        ([100, 101, 102, 103, 104], 0, 0, "no regression"),
        ([900], 5, 0, "CANNOT TELL: too few runs on both sides (bigfive run --repeat 8)"),
    ],
)
def test_the_gate_is_shut_for_a_regression_and_where_nothing_can_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], after: list[float], gate: int, plain: int, last: str
) -> None:
    sides = [str(write(tmp_path / "a", runs([100, 101, 102, 103, 104]))), str(write(tmp_path / "b", runs(after)))]
    assert exit_code(["compare", *sides, "--gate"]) == gate
    assert exit_code(["compare", *sides]) == plain
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_folder_of_suites_counts_as_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for night in range(5):
        write(tmp_path / "before" / str(night), runs([100 + night]))
        write(tmp_path / "after" / str(night), runs([300 + night]))
    (tmp_path / "after" / "latest").symlink_to("4")
    assert exit_code(["compare", str(tmp_path / "before"), str(tmp_path / "after"), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["cases"][0]["runs"] == [5, 5]
    assert found["cases"][0]["change"] == "slower"


def test_a_folder_without_a_suite_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["compare", str(tmp_path), str(tmp_path)]) == 4
    assert "is no suite" in capsys.readouterr().err
