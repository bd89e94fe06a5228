"""Waiting: for a condition, never for a time."""

from __future__ import annotations

import time

import pytest

from harness.errors import TimedOut
from harness.waiting import until


def test_a_condition_that_holds_is_returned_at_once() -> None:
    assert until(lambda: "found", "anything", 0) == "found"


def test_the_first_truthy_answer_is_returned() -> None:
    answers = iter([0, "", None, [7], "later"])
    assert until(lambda: next(answers), "a list", 5) == [7]


def test_a_condition_that_never_holds_times_out_with_what_was_seen() -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"waited 0\.05 s for rain; last seen: \[\]") as raised:
        until(list, "rain", 0.05)
    assert 0.05 <= time.monotonic() - began < 1
    assert (raised.value.what, raised.value.waited_s, raised.value.evidence) == ("rain", 0.05, "[]")


def test_a_condition_is_asked_once_more_at_the_deadline() -> None:
    deadline = time.monotonic() + 0.03
    assert until(lambda: time.monotonic() >= deadline, "the deadline", 0.03)


def test_an_error_of_the_condition_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        until(lambda: 1 // 0, "nothing", 5)
