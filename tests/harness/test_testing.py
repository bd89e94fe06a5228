"""The kit for authors: the clock that stands still, and the examples that parameters give by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.clock import Clock
from harness.engine.loop import Loop
from harness.registry import CHECKS, FAULTS, RUNNERS, Registry
from harness.testing import FakeClock, check_fault, example


def test_a_fake_clock_moves_only_when_told() -> None:
    clock: Clock = FakeClock()
    assert clock.monotonic_ns() == clock.monotonic_ns()
    assert clock.utc_now() == clock.utc_now()


def test_a_fake_clock_moves_both_times_together() -> None:
    clock = FakeClock()
    began_ns, began = clock.monotonic_ns(), clock.utc_now()
    clock.advance(1.5)
    assert clock.monotonic_ns() - began_ns == 1_500_000_000
    assert clock.utc_now() - began == timedelta(seconds=1.5)


def test_a_fake_clock_never_goes_back() -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        FakeClock().advance(-1)


def test_a_loop_runs_on_a_fake_clock() -> None:
    clock = FakeClock()
    loop, fired = Loop(clock), []
    loop.after(60, lambda: fired.append("timer"))
    loop.post(lambda: clock.advance(60))
    loop.run_until(lambda: fired, "the timer", deadline=clock.monotonic_ns() + 61 * 10**9)
    assert fired == ["timer"]


@pytest.mark.parametrize("registry", [FAULTS, CHECKS, RUNNERS], ids=lambda registry: registry.noun)
def test_every_required_parameter_has_an_example(registry: Registry) -> None:
    for kind in registry.kinds():
        example(registry, kind)


def test_parameters_are_those_of_the_yaml() -> None:
    check_fault("file.truncate", drop="1kB")
    with pytest.raises(AssertionError, match="cannot be built from"):
        check_fault("file.truncate", drop=1000)
