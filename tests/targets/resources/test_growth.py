"""The slope and the time that is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.resources.growth import ENOUGH, REMEMBERED, Growth

slopes = st.floats(-1e9, 1e9).map(round)


def fed(*samples: tuple[float, float]) -> Growth:
    growth = Growth()
    for at, used in samples:
        growth.add(at, used)
    return growth


@given(slopes, st.integers(ENOUGH, 30))
def test_a_straight_line_has_its_slope(slope: int, count: int) -> None:
    assert fed(*((n, slope * n) for n in range(count))).per_s == pytest.approx(slope)


@given(
    slopes,
    st.sets(st.integers(0, REMEMBERED - 1), max_size=2),
    st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=2),
)
def test_any_two_of_the_samples_may_lie(slope: int, wrong: set[int], lies: list[float]) -> None:
    samples = [(float(n), float(slope * n)) for n in range(REMEMBERED)]
    for index, lie in zip(sorted(wrong), lies, strict=False):
        samples[index] = (samples[index][0], lie)
    assert fed(*samples).per_s == pytest.approx(slope, abs=1)


@given(slopes, st.floats(0, 1e6), st.floats(0, 1e9))
def test_when_it_began_and_how_much_there_was_makes_no_difference(slope: int, later: float, more: float) -> None:
    plain = fed(*((n, slope * n) for n in range(6)))
    moved = fed(*((n + later, slope * n + more) for n in range(6)))
    assert moved.per_s == pytest.approx(plain.per_s, rel=1e-3, abs=1e-3)


def test_what_was_seen_at_a_slower_pace_does_not_dampen_a_sudden_rise() -> None:
    """An hour of rest, then 2 GiB/s: three samples a millisecond apart must be enough."""
    rest = [(float(n), 1e8) for n in range(9)]
    rise = [(8 + 0.001 * n, 1e8 + 2e6 * n) for n in range(1, 4)]
    assert fed(*rest, *rise).per_s == pytest.approx(2e9)


def test_the_time_left_is_room_by_slope() -> None:
    growth = fed((0, 0), (1, 10), (2, 20))
    assert growth.seconds_to(50) == pytest.approx(3)
    assert growth.seconds_to(5) == 0


@pytest.mark.parametrize(
    "samples", [[], [(0, 1)], [(0, 1), (1, 2)], [(0, 2), (1, 2), (2, 2)], [(0, 3), (1, 2), (2, 1)]]
)
def test_what_does_not_grow_or_is_not_known_to_has_all_the_time(samples: list[tuple[float, float]]) -> None:
    assert fed(*samples).seconds_to(100) is None


def test_samples_of_the_past_and_of_the_same_moment_are_left_out() -> None:
    assert fed((1, 1), (1, 99), (0, 99), (2, 2), (3, 3)).per_s == pytest.approx(1)
