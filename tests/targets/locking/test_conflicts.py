"""Which pairs of operations conflict, each pair tried both ways round on a document that both writers saw."""

from __future__ import annotations

from typing import Any

import pytest

from targets.locking import edits, merging
from targets.locking.conflicts import collide
from targets.locking.edits import Touch
from targets.locking.merging import Rules
from targets.locking.operations import submission
from targets.locking.record import Document, Json

START = {
    "n": 1,
    "o": {"a": {"x": 1}, "b": 2},
    "l": ["zero", "one", "two"],
    "f": {"content": "old", "sha256": "0" * 64},
    "refs": {"main": "c0"},
}

SET_N = {"op": "set", "path": "/n", "value": 6}
COUNT = {"op": "increment", "path": "/n", "by": 1}
PUSH = {"op": "append", "path": "/l", "item": "new"}
SET_ONE = {"op": "set", "path": "/l/1", "value": "ONE"}
DROP_ZERO = {"op": "delete", "path": "/l/0"}
DROP_TWO = {"op": "delete", "path": "/l/2"}
SET_X = {"op": "set", "path": "/o/a/x", "value": 5}
SET_B = {"op": "set", "path": "/o/b", "value": 5}
SET_A = {"op": "set", "path": "/o/a", "value": {"y": 1}}
DROP_A = {"op": "delete", "path": "/o/a"}
DROP_B = {"op": "delete", "path": "/o/b"}
FILE = {"op": "write_file", "path": "f", "content": "new"}
REF = {"op": "move_ref", "path": "/refs/main", "from": "c0", "to": "c1"}
ALL = {"op": "set", "path": "", "value": {}}


def first_then_second(first: Json, second: Json) -> tuple[list[Json], Any]:
    """Let ann and ben submit on the same base; return the conflicts of ben, and the content."""
    document = Document(content=START, agents={"ann": 0, "ben": 0})
    document, answer = merging.submit(document, submission("ann", 0, "1", [first]), Rules())
    assert not answer.conflicts
    document, answer = merging.submit(document, submission("ben", 0, "2", [second]), Rules())
    return answer.conflicts, document.content


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (SET_N, {**SET_N, "value": 7}, "write/write"),
        (SET_N, SET_N, "write/write"),
        ({**SET_N, "expected": 1}, {**SET_N, "expected": 1}, "write/write"),
        (SET_N, COUNT, "write/write"),
        (SET_B, DROP_B, "delete/write"),
        (DROP_B, DROP_B, "delete/write"),
        (SET_X, SET_A, "path prefix"),
        (SET_X, DROP_A, "path prefix"),
        (SET_N, ALL, "path prefix"),
        (PUSH, {"op": "set", "path": "/l", "value": []}, "write/write"),
        (PUSH, {"op": "delete", "path": "/l"}, "delete/write"),
        (SET_ONE, DROP_ZERO, "path prefix"),
        (SET_ONE, {"op": "set", "path": "/l", "value": []}, "path prefix"),
        (DROP_ZERO, DROP_TWO, "path prefix"),
        (FILE, FILE, "same file"),
        (FILE, {**FILE, "content": "newer"}, "same file"),
        (REF, {**REF, "to": "c2"}, "two moves of one ref"),
        (REF, REF, "two moves of one ref"),
    ],
)
def test_what_both_touch_conflicts_whoever_comes_first(one: Json, other: Json, kind: str) -> None:
    for first, second in ((one, other), (other, one)):
        [conflict], content = first_then_second(first, second)
        alone, _ = edits.apply(START, submission("ann", 0, "1", [first]).operations[0])  # type: ignore[arg-type]
        assert conflict["mine"]["operation"] == second
        assert conflict["theirs"]["writer"] == "ann"
        assert conflict["kind"] == kind
        assert content == alone


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (COUNT, {**COUNT, "by": 5}),
        (COUNT, COUNT),
        (PUSH, {**PUSH, "item": "other"}),
        (PUSH, PUSH),
        (PUSH, SET_ONE),
        (PUSH, DROP_ZERO),
        (SET_X, SET_B),
        (DROP_A, SET_B),
        (SET_N, FILE),
        (FILE, REF),
    ],
)
def test_what_commutes_or_lies_apart_is_applied_on_both_sides(one: Json, other: Json) -> None:
    found = [first_then_second(first, second) for first, second in ((one, other), (other, one))]
    assert [conflicts for conflicts, _ in found] == [[], []]
    contents = [{**content, "l": sorted(content["l"])} for _, content in found]
    assert contents[0] == contents[1] != START


def test_two_increments_that_are_equal_both_count() -> None:
    assert first_then_second(COUNT, COUNT)[1]["n"] == 3


def test_an_item_that_i_took_for_mine_may_be_another_ones() -> None:
    document = Document(content={"l": []}, agents={"ann": 0, "ben": 0})
    document, _ = merging.submit(document, submission("ann", 0, "1", [PUSH]), Rules())
    own = [{**PUSH, "item": "ben's"}, {"op": "set", "path": "/l/0", "value": "ben's, changed"}]
    document, answer = merging.submit(document, submission("ben", 0, "2", own), Rules())
    assert document.content == {"l": ["new", "ben's"]}
    assert [conflict["path"] for conflict in answer.conflicts] == ["/l/0"]


def test_an_agent_does_not_conflict_with_itself() -> None:
    document = Document(agents={"ann": 0})
    for value in (1, 2):
        document, answer = merging.submit(
            document, submission("ann", 0, f"{value}", [{**SET_N, "value": value}]), Rules()
        )
        assert not answer.conflicts
    assert document.content == {"n": 2}


def test_colliding_is_symmetric() -> None:
    paths = [("l",), ("l", "0"), ("l", "0", "x"), ("m",), ()]
    effects = ["write", "add", "append", "shift", "item", "growth"]
    touches = [Touch(path, effect) for path in paths for effect in effects]  # type: ignore[arg-type]
    assert all(collide(one, other) == collide(other, one) for one in touches for other in touches)
