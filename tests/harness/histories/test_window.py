"""The explanation of an illegal history."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.histories.checking import check
from harness.histories.models import MODELS, named
from harness.histories.operations import Op, forgotten, unanswered
from harness.histories.window import _least, contradiction
from support.tiny import explains, histories, possible


def write(n: int, call: int, ret: int, value: int) -> Op:
    return Op(n=n, client=n, name="write", argument={"value": value}, call=call, ret=ret)


def read(n: int, call: int, ret: int, value: int | None) -> Op:
    return Op(n=n, client=n, name="read", result={"value": value}, call=call, ret=ret)


def contradicts(window: tuple[Op, ...], operations: list[Op], name: str) -> bool:
    """Whether the answers of the window alone are impossible, whatever the others did."""
    model, kept = named(name), {op.n for op in window}
    rest = [op if op.n in kept or op.ret is None else forgotten(op) for op in operations]
    return not possible(rest, model)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"versioned_register"}))
@settings(max_examples=80)
@given(data=st.data())
def test_the_window_contradicts_itself_and_none_of_it_can_be_spared(name: str, data: st.DataObject) -> None:
    operations = data.draw(histories(name))
    verdict = check(operations, named(name))
    assume(verdict.status == "illegal")
    assert verdict.impossible in verdict.window
    assert contradicts(verdict.window, operations, name)
    begun = _known_at(*_end(verdict.impossible), operations)
    for spared in verdict.window:
        assert not contradicts(tuple(op for op in verdict.window if op is not spared), begun, name)


@settings(max_examples=200)
@given(operations=histories("versioned_register"))
def test_the_window_of_versioned_data_contains_the_reason(operations: list[Op]) -> None:
    verdict = check(operations, named("versioned_register"))
    assume(verdict.status == "illegal")
    assert verdict.window
    assert all(f"operation {op.n} " in verdict.reason for op in verdict.window)


@pytest.mark.parametrize("name", sorted(MODELS))
@settings(max_examples=60)
@given(data=st.data())
def test_the_first_impossible_operation_is_the_first_whose_answer_cannot_be(name: str, data: st.DataObject) -> None:
    operations, model = data.draw(histories(name)), named(name)
    verdict = check(operations, model)
    assume(verdict.status == "illegal")
    assert verdict.impossible is not None
    answered = sorted((op for op in operations if op.ret is not None and model.informs(op)), key=_end)
    illegal = [op for op in answered if not possible(_known_at(*_end(op), operations), model)]
    assert verdict.impossible == illegal[0]


def _end(op: Op | None) -> tuple[int, int]:
    assert op is not None
    return op.ret or 0, op.n


def _known_at(now: int, last: int, operations: list[Op]) -> list[Op]:
    """What had been called, with the answers up to that of operation `last` at the time `now`."""
    begun = [op for op in operations if op.call <= now]
    return [op if op.ret is None or _end(op) <= (now, last) else unanswered(op) for op in begun]


def test_a_stale_read_is_told_in_one_sentence() -> None:
    operations = [write(3, 0, 1, 5), write(12, 2, 3, 6), read(15, 2, 9, 6), read(17, 4, 5, 5), read(18, 6, 7, 6)]
    verdict = check(operations, named("register"))
    assert verdict.reason == (
        "operation 17 read 5 after operation 12 wrote 6, which nothing in between can explain: a contradiction"
    )
    assert [op.n for op in verdict.window] == [17, 12]
    assert verdict.impossible == verdict.window[0]
    assert len(verdict.longest) >= 2


def test_the_longest_order_is_a_legal_part() -> None:
    operations = [write(n, 10 * n, 10 * n + 5, n) for n in range(10)] + [read(99, 200, 201, 3)]
    verdict = check(operations, named("register"))
    assert verdict.longest == tuple(range(10))
    assert explains([operations[n] for n in verdict.longest], named("register"))


def test_an_explanation_that_runs_out_of_steps_is_larger_and_still_right() -> None:
    operations = [write(n, 10 * n, 10 * n + 15, n) for n in range(6)] + [read(50, 200, 210, 1)]
    _, small = contradiction(operations, operations[-1], named("register"), 1_000)
    _, large = contradiction(operations, operations[-1], named("register"), 4)
    assert len(small.operations) == 2 < len(large.operations)
    assert contradicts(large.operations, operations, "register")


@given(most=st.integers(1, 200), data=st.data())
def test_bisection_finds_the_least_number_wherever_it_begins(most: int, data: st.DataObject) -> None:
    answer, near = data.draw(st.integers(1, most)), data.draw(st.integers(1, most))
    tried: list[int] = []
    assert _least(most, lambda size: tried.append(size) or size >= answer, near) == answer
    assert len(tried) <= 2 * most.bit_length() + 2
