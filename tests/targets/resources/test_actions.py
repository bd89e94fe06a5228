"""What is done at which level: begun once, taken back once, the last resort first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.resources_kit import Dummy
from targets.resources.actions import PLAN, Responder, names
from targets.resources.errors import BadRequest
from targets.resources.levels import Change, Level, Sample

NORMAL, WARNING, CRITICAL, EMERGENCY = Level


def change(old: Level, new: Level, resource: str = "memory") -> Change:
    return Change(resource, old, new, Sample(0, 7, 10), 0.0, None, "threshold")


def asked(*changes: Change) -> list[tuple[str, object]]:
    dummy = Dummy()
    responder = Responder(dummy)
    for each in changes:
        responder(each)
    return dummy.asked


def test_at_warning_it_notifies_writes_a_checkpoint_and_sheds_load() -> None:
    assert asked(change(NORMAL, WARNING)) == [("pressure.warning", "warning"), ("checkpoint", None), ("shed", True)]


def test_when_it_eases_load_is_taken_on_again() -> None:
    assert asked(change(NORMAL, WARNING), change(WARNING, NORMAL))[3:] == [
        ("pressure.eased", "normal"),
        ("shed", False),
    ]


def test_on_a_jump_the_last_resort_comes_first_and_nothing_is_left_out() -> None:
    assert asked(change(NORMAL, CRITICAL)) == [
        ("shut_down", False),
        ("pressure.critical", "critical"),
        ("checkpoint", None),
        ("shed", True),
    ]


def test_an_emergency_after_a_shutdown_has_begun_asks_for_haste() -> None:
    shut_downs = [
        how for what, how in asked(change(NORMAL, CRITICAL), change(CRITICAL, EMERGENCY)) if what == "shut_down"
    ]
    assert shut_downs == [False, True]


def test_load_is_shed_until_the_last_reason_is_gone() -> None:
    sheds = [
        how
        for what, how in asked(
            change(NORMAL, WARNING),
            change(NORMAL, CRITICAL, "pids"),
            change(WARNING, NORMAL),
            change(CRITICAL, NORMAL, "pids"),
        )
        if what == "shed"
    ]
    assert sheds == [True, False]


def test_only_memory_ends_the_service() -> None:
    for resource in ("cpu", "pids", "disk"):
        assert "shut_down" not in dict(asked(change(NORMAL, EMERGENCY, resource)))


def test_log_and_pause_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    dummy = Dummy()
    responder = Responder(dummy, {**PLAN, "memory": {WARNING: names("log, pause")}})
    responder(change(NORMAL, WARNING))
    responder(change(WARNING, NORMAL))
    assert dummy.asked == [("pause", True), ("pause", False)]
    assert capsys.readouterr().err.splitlines() == [
        "memory at 70% of its limit: normal -> warning",
        "memory at 70% of its limit: warning -> normal",
    ]


def test_an_unknown_action_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="unknown action panic; known are checkpoint, log, notify"):
        names("log,panic")


@given(st.lists(st.tuples(st.sampled_from(sorted(PLAN)), st.sampled_from(Level)), max_size=40))
def test_what_was_begun_is_in_force_exactly_while_a_resource_presses(steps: list[tuple[str, Level]]) -> None:
    dummy = Dummy()
    responder = Responder(dummy)
    levels = dict.fromkeys(PLAN, NORMAL)
    for resource, new in steps:
        if new != levels[resource]:
            responder(change(levels[resource], new, resource))
            levels[resource] = new
        sheds = [how for what, how in dummy.asked if what == "shed"]
        due = any("shed_load" in PLAN[r].get(level, ()) for r, now in levels.items() for level in Level if level <= now)
        assert (sheds[-1:] or [False]) == [due]
        assert all(a != b for a, b in pairwise(sheds))
