from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks._base import Verdict
from harness.checks.recovered_within import RecoveredWithin
from harness.record import AnyEvent
from harness.units import Seconds
from support.records import MS, damage, held, probes, record, speaks_of_damage, told


def judge(events: list[AnyEvent], bad: list[tuple[int, int]], budget: float = 1.0) -> Verdict:
    return RecoveredWithin(budget=Seconds(budget)).judge(record(events, probes=probes(4000, bad)))


def test_a_kill_that_probes_saw_is_recovered_from_at_the_first_good_probe() -> None:
    verdict = judge(damage(1000), [(1000, 1300)])
    assert verdict.status == "PASS"
    assert verdict.numbers["recovery_ms"] == pytest.approx(301)
    assert verdict.numbers["detect_ms"] == pytest.approx(1)


def test_a_recovery_over_the_budget_fails() -> None:
    assert judge(damage(1000), [(1000, 2500)]).status == "FAIL"


def test_a_target_that_is_never_well_again_fails_and_is_counted() -> None:
    verdict = judge(damage(1000), [(1000, 4000)])
    assert (verdict.status, verdict.numbers["never_recovered"]) == ("FAIL", 1)


def test_damage_that_nobody_noticed_was_not_recovered_from() -> None:
    assert judge(damage(1000), []).status == "UNKNOWN"


def test_flapping_is_not_recovery() -> None:
    flapping = [(1000, 1100), (1140, 1200), (1240, 1300)]  # two good probes between the bad ones, never three
    assert judge(damage(1000), flapping).numbers["recovery_ms"] == pytest.approx(301)


def test_damaged_bytes_are_noticed_only_by_the_targets_own_word_if_it_gives_one() -> None:
    flip = damage(1000, "file.bit_flip", "state.json")
    kill = damage(1100, fault=1)
    assert judge([speaks_of_damage(), *flip, *kill], [(1100, 1400)]).status == "UNKNOWN"
    detected = told(1300, "damage.detected", handle="state.json")
    assert judge([speaks_of_damage(), *flip, *kill, detected], [(1100, 1400)]).status == "PASS"


def test_damage_detected_in_another_file_does_not_count() -> None:
    flip = damage(1000, "file.bit_flip", "state.json")
    detected = told(1300, "damage.detected", handle="journal")
    assert judge([speaks_of_damage(), *flip, detected], []).status == "UNKNOWN"


def test_a_restore_under_way_is_no_recovery_however_good_the_probes_look() -> None:
    flip = damage(1000, "file.bit_flip", "state.json")
    begin = told(1100, "restore.begin")
    seen = [speaks_of_damage(), *flip, told(1100, "damage.detected", handle="state.json"), begin]
    assert judge(seen, []).status == "FAIL"
    verdict = judge([*seen, told(1500, "restore.end")], [])
    assert verdict.numbers["recovery_ms"] == pytest.approx(501)
    assert verdict.numbers["restore_ms"] == pytest.approx(500)


def test_a_later_restore_is_not_charged_to_an_earlier_fault() -> None:
    faults = [*damage(1000), *damage(3000, fault=1)]
    restores = [
        told(t, f"restore.{what}") for t, what in ((1100, "begin"), (1200, "end"), (3100, "begin"), (3200, "end"))
    ]
    verdict = judge([*faults, *restores], [(1000, 1200), (3000, 3300)])
    assert verdict.numbers["recovery_ms"] == pytest.approx(301)


def test_a_restore_that_was_killed_ends_where_the_next_begins() -> None:
    restores = [told(1100, "restore.begin"), told(1400, "restore.begin"), told(1500, "restore.end")]
    assert judge([*damage(1000), *restores], [(1000, 1450)]).numbers["recovery_ms"] == pytest.approx(501)


def test_a_held_fault_counts_from_its_end_and_is_noticed_while_it_lasts() -> None:
    verdict = judge(held(1000, 2000), [(1000, 2100)])
    assert verdict.status == "PASS"
    assert verdict.numbers["detect_ms"] == pytest.approx(1)
    assert verdict.numbers["recovery_ms"] == pytest.approx(101)


def test_without_a_fault_there_is_nothing_to_recover_from() -> None:
    assert judge([], []).status == "UNKNOWN"


def test_a_late_recovery_is_not_excused_by_another_fault_that_nobody_noticed() -> None:
    faults = [*damage(1000), *damage(3900, fault=1)]
    assert judge(faults, [(1000, 2500)]).status == "FAIL"


@given(start=st.integers(0, 2000), length=st.integers(20, 1500))
def test_recovery_never_ends_before_the_last_bad_probe(start: int, length: int) -> None:
    end = start + length
    window = [(start, end)]
    bad = [probe for probe in probes(4000, window) if not probe.good]
    verdict = judge(damage(start), window, budget=60)
    if bad:
        assert verdict.numbers["recovery_ms"] * MS + start * MS >= bad[-1].end
