from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks._base import Verdict
from harness.checks.no_acknowledged_write_lost import NoAcknowledgedWriteLost
from support.records import History, record


def judge(history: History) -> Verdict:
    return NoAcknowledgedWriteLost().judge(record(history=history.entries))


@pytest.fixture
def history() -> History:
    return History()


def test_writes_that_the_end_state_shows_are_all_there(history: History) -> None:
    history.write("k", "a", 1)
    history.write("k", "b", 2)
    history.read("k", "b", 2, final=True)
    assert judge(history).status == "PASS"


def test_an_end_state_older_than_an_acknowledged_write_has_lost_it(history: History) -> None:
    history.write("k", "a", 1)
    history.write("k", "b", 2)
    history.read("k", "a", 1, final=True)
    verdict = judge(history)
    assert verdict.status == "FAIL"
    assert "operation 3 (read) got version 1 of k after operation 2 (write) had got version 2" in verdict.summary


def test_a_version_acknowledged_twice_means_that_one_of_them_is_lost(history: History) -> None:
    history.write("k", "a", 1)
    history.write("k", "b", 1)
    history.read("k", "b", 1, final=True)
    assert "acknowledged to operation 1 and again to 2" in judge(history).summary


def test_an_acknowledged_value_that_reads_differently_was_changed(history: History) -> None:
    history.write("k", "a", 1)
    history.read("k", "A", 1, final=True)
    assert judge(history).status == "FAIL"


def test_an_open_write_may_have_happened(history: History) -> None:
    history.write("k", "a", 1)
    history.unknown("k", "b")
    history.read("k", "b", 2, final=True)
    assert judge(history).status == "PASS"


def test_an_open_write_may_not_have_happened(history: History) -> None:
    history.write("k", "a", 1)
    history.unknown("k", "b")
    history.read("k", "a", 1, final=True)
    assert judge(history).status == "PASS"


def test_a_version_that_nobody_can_have_written_is_a_contradiction(history: History) -> None:
    history.write("k", "a", 1)
    history.read("k", "z", 3, final=True)
    assert "reached version 3" in judge(history).summary


def test_concurrent_operations_may_be_answered_in_any_order(history: History) -> None:
    first = history.call("write", {"key": "k", "value": "a"})
    second = history.call("write", {"key": "k", "value": "b"})
    history.back(second, version=1)
    history.back(first, version=2)
    history.read("k", "a", 2, final=True)
    assert judge(history).status == "PASS"


def test_without_a_final_read_or_a_write_nothing_is_known(history: History) -> None:
    assert judge(history).status == "UNKNOWN"
    history.write("k", "a", 1)
    assert judge(history).status == "UNKNOWN"


def _honest(seed: int, steps: int) -> History:
    """A store that keeps its word."""
    draws, store, history = random.Random(seed), dict.fromkeys("abc", (None, 0)), History()
    for number in range(steps):
        key = draws.choice("abc")
        value, version = store[key]
        if draws.random() < 0.3:
            history.read(key, value, version)
        else:
            store[key] = (str(number), version + 1)
            history.write(key, str(number), version + 1)
    for key, (value, version) in store.items():
        history.read(key, value, version, final=True)
    return history


@given(seed=st.integers(), steps=st.integers(1, 60))
def test_an_honest_store_is_never_accused(seed: int, steps: int) -> None:
    assert judge(_honest(seed, steps)).status != "FAIL"


@given(seed=st.integers(), steps=st.integers(5, 60), data=st.data())
def test_a_forgotten_last_write_of_any_key_is_always_found(seed: int, steps: int, data: st.DataObject) -> None:
    history = _honest(seed, steps)
    written = sorted(entry.n for entry in history.entries if getattr(entry, "op", "") == "write")
    victim = data.draw(st.sampled_from(written)) if written else None
    if victim is None:
        return
    last = {e.args["key"]: e.n for e in history.entries if getattr(e, "op", "") == "write"}
    key = next(k for k, n in last.items() if n >= victim and k in last)
    finals = {e.n for e in history.entries if getattr(e, "final", False) and e.args["key"] == key}
    for index, entry in enumerate(history.entries):
        if entry.n in finals and hasattr(entry, "result"):
            older = {**entry.result, "version": entry.result["version"] - 1}
            history.entries[index] = type(entry)(n=entry.n, t=entry.t, outcome="ok", result=older)
    assert judge(history).status == "FAIL"
