"""The timeline: whatever happens, each step is due exactly once, at its moment, in order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.clock import NS_PER_S
from harness.engine.schedule import Step
from harness.engine.timeline import Timeline

ZERO = 1_000
NAMES = st.sampled_from(["snapshot", "restore"])
TRIGGERS = st.one_of(
    st.fixed_dictionaries({"at_s": st.floats(0, 10)}),
    st.fixed_dictionaries({"operations": st.integers(1, 20)}),
    st.fixed_dictionaries({"event": NAMES, "nth": st.integers(1, 3)}),
    st.fixed_dictionaries({"failpoint": NAMES, "nth": st.integers(1, 3)}),
)


def step(n: int, **trigger: Any) -> Step:  # noqa: ANN401
    return Step(n=n, fault=n, kind="noop", on=None, seed=n, **trigger)


@st.composite
def plans(draw: st.DrawFn) -> list[Step]:
    steps = [step(n, **draw(TRIGGERS)) for n in range(draw(st.integers(0, 6)))]
    after = draw(st.lists(st.floats(0, 3), max_size=3)) if steps else []
    chained = [
        step(n, at_s=delay, after=draw(st.integers(0, n - 1))) for n, delay in enumerate(after, start=len(steps))
    ]
    return [*steps, *chained]


class Conversation(RuleBasedStateMachine):
    """Tell a timeline everything that can happen, in any order, and note what becomes due."""

    @initialize(steps=plans())
    def begin(self, steps: list[Step]) -> None:
        self.steps = steps
        self.timeline = Timeline(steps)
        self.now = ZERO
        self.done: list[int] = []
        self.last = (0, -1)
        self.timeline.start(self.now)

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        self.now += round(seconds * NS_PER_S)
        self.last = (0, -1)  # steps that were scheduled meanwhile may be due before those that are done
        for due in self.timeline.due(self.now):
            assert due.at <= self.now
            assert (due.at, due.n) > self.last
            self.last = (due.at, due.n)
            self.finish(due.step)

    @rule(count=st.integers(0, 25))
    def operations_are_answered(self, count: int) -> None:
        self.timeline.answered(count, self.now)

    @rule(name=NAMES)
    def an_event_is_reported(self, name: str) -> None:
        self.timeline.event(name, self.now)

    @rule(name=NAMES)
    def a_failpoint_is_reached(self, name: str) -> None:
        for held in self.timeline.failpoint(name):
            assert held.failpoint == name
            self.finish(held)

    def finish(self, done: Step) -> None:
        assert done.n not in self.done
        self.done.append(done.n)
        self.timeline.proven(done.n, self.now)

    @invariant()
    def every_step_is_waiting_or_done_and_never_both(self) -> None:
        waiting = [waiting.n for waiting in self.timeline.waiting]
        assert sorted([*waiting, *self.done]) == [step.n for step in self.steps]

    @invariant()
    def the_next_moment_is_that_of_a_waiting_step(self) -> None:
        assert self.timeline.next_at() is None or self.timeline.waiting


TestConversation = Conversation.TestCase


@given(st.lists(st.floats(0, 100), max_size=9))
def test_steps_of_a_time_come_in_order_of_their_time_then_of_the_plan(moments: list[float]) -> None:
    timeline = Timeline([step(n, at_s=moment) for n, moment in enumerate(moments)])
    timeline.start(ZERO)
    due = [each.n for each in timeline.due(ZERO + 101 * NS_PER_S)]
    assert due == sorted(range(len(moments)), key=lambda n: (round(moments[n] * NS_PER_S), n))


def test_nothing_is_due_before_its_moment() -> None:
    timeline = Timeline([step(0, at_s=1.0)])
    timeline.start(ZERO)
    assert timeline.next_at() == ZERO + NS_PER_S
    assert not list(timeline.due(ZERO + NS_PER_S - 1))
    assert [due.at for due in timeline.due(ZERO + 2 * NS_PER_S)] == [ZERO + NS_PER_S]


def test_a_step_after_another_counts_from_the_moment_that_one_was_proven() -> None:
    timeline = Timeline([step(0, at_s=0.0), step(1, at_s=1.0, after=0)])
    timeline.start(ZERO)
    assert [due.n for due in timeline.due(ZERO)] == [0]
    assert timeline.next_at() is None
    timeline.proven(0, 5 * NS_PER_S)
    assert timeline.next_at() == 6 * NS_PER_S


def test_the_nth_event_counts_and_no_other() -> None:
    timeline = Timeline([step(0, event="snapshot", nth=2)])
    timeline.start(ZERO)
    for expected in (0, 1, 1):
        timeline.event("snapshot", ZERO)
        timeline.event("restore", ZERO)
        assert (timeline.next_at() is not None) == (expected == 1)
    assert len(list(timeline.due(ZERO))) == 1


def test_operations_that_jump_over_a_count_still_trigger_it() -> None:
    timeline = Timeline([step(0, operations=100)])
    timeline.start(ZERO)
    timeline.answered(99, ZERO)
    assert timeline.next_at() is None
    timeline.answered(250, ZERO + 7)
    assert timeline.next_at() == ZERO + 7


def test_a_failpoint_hands_out_its_step_once() -> None:
    timeline = Timeline([step(0, failpoint="fsync", nth=1)])
    timeline.start(ZERO)
    assert [each.n for each in timeline.failpoint("fsync")] == [0]
    assert timeline.failpoint("fsync") == []
