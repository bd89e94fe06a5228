"""Nothing is promised twice."""

from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.resources.admission import Admission
from targets.resources.errors import Refused


@given(st.integers(0, 100), st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=40))
def test_use_and_promises_never_add_up_to_more_than_the_ceiling(used: int, steps: list[tuple[bool, int]]) -> None:
    admission, held = Admission(lambda: (used, 100)), list[tuple[int, contextlib.ExitStack]]()
    for give_back, count in steps:
        if give_back and held:
            held.pop(count % len(held))[1].close()
            continue
        stack = contextlib.ExitStack()
        try:
            stack.enter_context(admission.take(count))
        except Refused:
            assert used + admission.promised + count > 100
        else:
            held.append((count, stack))
        assert admission.promised == sum(each for each, _ in held)
        assert used + admission.promised <= max(used, 100)


def test_ten_that_ask_at_once_get_no_more_than_there_is() -> None:
    admission, together, granted = Admission(lambda: (0, 100)), threading.Barrier(10), list[int]()

    def ask() -> None:
        together.wait()
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(Refused):
                stack.enter_context(admission.take(30))
                granted.append(30)
            together.wait()  # nobody gives back before all have asked

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert granted == [30] * 3
    assert admission.promised == 0


def test_without_a_limit_everything_is_admitted() -> None:
    with Admission(lambda: (10**12, None)).take(10**12):
        pass


def test_a_refusal_says_how_much_there_is() -> None:
    with pytest.raises(Refused, match=r"asked, 0\.0 MiB left") as refused, Admission(lambda: (90, 100)).take(11):
        pass
    assert refused.value.details == {"error": "full", "left": 10}


def test_closed_it_says_why_and_opened_it_takes_again() -> None:
    admission = Admission(lambda: (0, 100))
    admission.close("memory at 71%")
    with pytest.raises(Refused, match="no new work: memory at 71%"), admission.take(0):
        pass
    admission.open()
    with admission.take(100):
        assert admission.promised == 100
