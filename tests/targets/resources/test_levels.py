"""The state machine: samples in, changes out. Laws first, then the rules one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.resources.errors import BadRequest
from targets.resources.levels import Change, Gauge, Level, Pace, Sample, Thresholds
from targets.resources.units import GIB, MIB

LIMIT = 1000
STEPS = st.lists(st.tuples(st.floats(0.001, 5), st.integers(0, LIMIT)), max_size=60)
QUIET = Thresholds(horizon_s=0)


def run(steps: Sequence[tuple[float, float]], thresholds: Thresholds = QUIET, limit: float = LIMIT) -> list[Change]:
    """Feed steps of (seconds since the last, used); return the changes."""
    gauge, at, changes = Gauge("memory", thresholds), 0.0, []
    for step, used in steps:
        at += step
        change = gauge.feed(Sample(at, used, limit))
        changes += [change] if change else []
    return changes


@given(STEPS)
def test_the_level_is_never_below_what_the_share_calls_for(steps: list[tuple[float, int]]) -> None:
    gauge, at = Gauge("memory", Thresholds()), 0.0
    for step, used in steps:
        at += step
        gauge.feed(Sample(at, used, LIMIT))
        assert gauge.level >= gauge.thresholds.level(used / LIMIT)


@given(STEPS)
def test_changes_form_a_chain_and_nothing_is_said_twice(steps: list[tuple[float, int]]) -> None:
    level = Level.NORMAL
    for change in run(steps, Thresholds()):
        assert change.old == level
        assert change.new != level
        level = change.new


@given(STEPS)
def test_a_level_is_left_only_well_below_its_threshold(steps: list[tuple[float, int]]) -> None:
    for change in run(steps):
        if change.new < change.old:
            for level in Level:
                if change.new < level <= change.old:
                    assert change.sample.share <= QUIET.at(level) - QUIET.hysteresis


@given(st.lists(st.integers(0, LIMIT), max_size=60))
def test_what_only_rises_is_never_relieved(used: list[int]) -> None:
    changes = run([(1.0, each) for each in sorted(used)], Thresholds())
    assert all(change.new > change.old for change in changes)


@given(st.lists(st.tuples(st.floats(0.001, 5), st.integers(660, 720)), max_size=60))
def test_going_to_and_fro_around_a_threshold_is_said_once(steps: list[tuple[float, int]]) -> None:
    assert len(run(steps)) <= 1


@given(STEPS, st.integers(1, 10**9))
def test_only_the_share_of_the_limit_counts(steps: list[tuple[float, int]], unit: int) -> None:
    plain = [(change.old, change.new) for change in run(steps)]
    scaled = [(change.old, change.new) for change in run([(s, u * unit) for s, u in steps], limit=LIMIT * unit)]
    assert plain == scaled


@given(STEPS)
def test_without_a_limit_nothing_presses(steps: list[tuple[float, int]]) -> None:
    gauge = Gauge("memory", Thresholds())
    at = 0.0
    for step, used in steps:
        at += step
        assert gauge.feed(Sample(at, used, None)) is None


class TestRules:
    def test_each_threshold_begins_its_level(self) -> None:
        changes = run([(1, 699), (1, 700), (1, 849), (1, 850), (1, 949), (1, 950)])
        assert [(c.new, c.sample.used) for c in changes] == [
            (Level.WARNING, 700),
            (Level.CRITICAL, 850),
            (Level.EMERGENCY, 950),
        ]

    def test_levels_in_between_may_be_skipped(self) -> None:
        (change,) = run([(1, 0), (1, 990)])
        assert (change.old, change.new, change.cause) == (Level.NORMAL, Level.EMERGENCY, "threshold")

    def test_growth_that_fills_the_rest_within_the_horizon_is_critical_already_at_warning(self) -> None:
        changes = run([(0.1, 500), (0.1, 600), (0.1, 710)], Thresholds(horizon_s=0.5))
        assert [(c.new, c.cause) for c in changes] == [(Level.CRITICAL, "growth")]
        assert changes[0].seconds_left == pytest.approx(0.276, abs=0.01)

    def test_below_warning_even_the_fastest_growth_is_normal_work(self) -> None:
        assert run([(0.001, 100), (0.001, 400), (0.001, 699)], Thresholds()) == []

    def test_relief_takes_calm_and_goes_to_the_level_that_still_holds(self) -> None:
        changes = run([(1, 860), (1, 790), (0.5, 680), (0.6, 680)])
        assert [(c.new, c.cause) for c in changes] == [(Level.CRITICAL, "threshold"), (Level.WARNING, "relief")]

    def test_a_fright_in_between_starts_the_calm_anew(self) -> None:
        assert len(run([(1, 860), (0.6, 700), (0.6, 840), (0.6, 700), (0.6, 700)])) == 1

    def test_a_limit_that_is_lowered_below_the_use_is_an_emergency(self) -> None:
        gauge = Gauge("memory", Thresholds())
        assert gauge.feed(Sample(0, 100, 1000)) is None
        change = gauge.feed(Sample(1, 100, 90))
        assert change is not None
        assert change.new == Level.EMERGENCY

    def test_a_limit_of_zero_is_full(self) -> None:
        assert Sample(0, 0, 0).share == 1


def test_a_change_can_be_told_to_people_and_machines() -> None:
    (change,) = run([(0.1, 500), (0.1, 600), (0.1, 710)], Thresholds())
    assert str(change) == "memory at 71% of its limit: normal -> critical, full in 0.28 s if it goes on"
    assert change.details()["level"] == "critical"
    assert change.details()["share"] == 0.71
    (slow,) = run([(1, 710)])
    assert str(slow) == "memory at 71% of its limit: normal -> warning"
    assert slow.details()["seconds_left"] is None


@pytest.mark.parametrize(
    "wrong",
    [{"warning": 0.9}, {"emergency": 1.1}, {"warning": 0}, {"hysteresis": 0.7}, {"hysteresis": -0.1}],
)
def test_thresholds_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadRequest, match="must"):
        Thresholds(**wrong)


class TestPace:
    pace = Pace()

    def pause(self, used: float, *, woken: bool = False, limit: float | None = 256 * MIB, per_s: float = 0) -> float:
        gauge = Gauge("memory", Thresholds())
        sample = Sample(0, used, limit)
        for n in (3, 2, 1, 0):
            sample = Sample(-0.001 * n, used - 0.001 * n * per_s, limit)
            gauge.feed(sample)
        return self.pace.pause(gauge, sample, woken=woken)

    def test_at_rest_it_looks_rarely_where_the_kernel_wakes_it(self) -> None:
        assert self.pause(10 * MIB, woken=True) == self.pace.longest_s
        assert self.pause(10 * MIB, limit=None) == self.pace.longest_s

    def test_alone_it_looks_so_often_that_nothing_can_pass_it_by(self) -> None:
        assert self.pause(10 * MIB) * self.pace.fastest_per_s < 0.7 * 256 * MIB - 10 * MIB

    def test_at_rest_it_never_looks_more_often_than_a_hundredth_of_a_processor_pays_for(self) -> None:
        assert self.pause(0.69 * 256 * MIB) == self.pace.rest_s

    @given(st.floats(0, 1), st.floats(0, 1), st.booleans())
    def test_the_nearer_the_next_threshold_the_sooner(self, a: float, b: float, woken: bool) -> None:  # noqa: FBT001
        near, far = sorted((a * 0.15, b * 0.15), reverse=True)
        low = 0.70 * 256 * MIB
        sooner = self.pause(low + near * 255 * MIB, woken=woken)
        assert sooner <= self.pause(low + far * 255 * MIB, woken=woken)

    def test_growth_is_followed_even_where_the_kernel_wakes_it(self) -> None:
        quarter = (0.85 - 0.75) * 256 * MIB / GIB / 4
        assert self.pause(0.75 * 256 * MIB, woken=True, per_s=GIB) == pytest.approx(quarter, rel=0.05)
