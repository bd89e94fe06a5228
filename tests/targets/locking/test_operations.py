"""What agents may ask: read strictly, and refused with what is wrong, what was got and what is needed."""

from __future__ import annotations

import math

import pytest

from targets.locking.errors import BadRequest
from targets.locking.operations import MOST_OPERATIONS, name, same, submission
from targets.locking.pointers import DEEPEST, DoesNotFit, get, insert, parse, remove, show


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def refusal(operation: object) -> str:
    with pytest.raises(BadRequest) as error:
        submission("ann", 0, "r1", [operation])
    assert error.value.certainly_not_done
    return str(error.value)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("set", "op is one of set, increment"),
        ({"op": "frobnicate", "path": "/a"}, "op is one of set, increment"),
        ({"op": ["set"], "path": "/a"}, "op is one of set, increment"),
        ({"op": "set", "path": "/a"}, "set takes path, value and perhaps expected"),
        ({"op": "set", "path": 5, "value": 1}, "Expected `str`, got `int`"),
        ({"op": "set", "path": "/a", "value": 1, "by": 1}, "unknown field `by`"),
        ({"op": "set", "path": "/a~2", "value": 1}, "'~' is written '~0'"),
        ({"op": "set", "path": "/a" * (DEEPEST + 1), "value": 1}, "at most 100 levels"),
        ({"op": "set", "path": "/a", "value": math.nan}, "nan is no JSON number"),
        ({"op": "set", "path": "/a", "value": [math.inf]}, "inf is no JSON number"),
        ({"op": "set", "path": "/a", "value": {1: 2}}, "named by text"),
        ({"op": "set", "path": "/a", "value": {"x": b"bytes"}}, "bytes is not JSON"),
        ({"op": "set", "path": "/a", "value": "\ud800"}, "surrogates not allowed"),
        ({"op": "set", "path": "/a", "value": 1 << 63}, "more than 64 bits"),
        ({"op": "set", "path": "/a", "value": deep(1000)}, "nested deeper than 100"),
        ({"op": "increment", "path": "/a", "by": True}, "increment takes path and by"),
        ({"op": "increment", "path": "/a", "by": "1"}, "increment takes path and by"),
        ({"op": "append", "path": "/a"}, "append takes path and item"),
        ({"op": "delete", "path": ""}, "the root is no place for this"),
        ({"op": "write_file", "path": "a.txt", "content": 5}, "content (text)"),
        ({"op": "move_ref", "path": "refs/main", "to": "c1"}, "missing required field `from`"),
        ({"op": "resolve", "id": "1.0"}, "either a choice or a value"),
        ({"op": "resolve", "id": "1.0", "choice": "mine", "value": 1}, "either a choice or a value"),
        ({"op": "resolve", "id": "1.0", "choice": "both"}, "choice ('mine' or 'theirs')"),
    ],
)
def test_an_operation_that_is_none_is_refused_with_what_is_needed(operation: object, said: str) -> None:
    text = refusal(operation)
    assert "operations[0]" in text
    assert said in text
    assert len(text) < 500


@pytest.mark.parametrize("operations", [[], "set", {"op": "set"}, [{}] * (MOST_OPERATIONS + 1), None])
def test_operations_are_a_list_with_something_in_it(operations: object) -> None:
    with pytest.raises(BadRequest, match="list of 1 to 1000"):
        submission("ann", 0, "r1", operations)


@pytest.mark.parametrize("base", [-1, True, 1.0, "1", None])
def test_a_base_version_is_a_whole_number_from_zero(base: object) -> None:
    with pytest.raises(BadRequest, match="base_version"):
        submission("ann", base, "r1", [{"op": "delete", "path": "/a"}])


@pytest.mark.parametrize("text", ["", "a\nb", "\ud800", 5, None, "x" * 201])
def test_names_are_short_and_printable(text: object) -> None:
    with pytest.raises(BadRequest, match="agent is text of 1 to 200 printable characters"):
        name("agent", text)


def test_a_submission_shares_nothing_with_what_it_was_made_of() -> None:
    value = {"x": [1]}
    made = submission("ann", 0, "r1", [{"op": "set", "path": "/a", "value": value}])
    value["x"].append(2)
    assert made.operations[0].value == {"x": [1]}  # type: ignore[union-attr]


def test_the_order_of_members_makes_no_other_submission_and_another_agent_does() -> None:
    one = submission("ann", 0, "r", [{"op": "set", "path": "/a", "value": {"x": 1, "y": 2}}])
    two = submission("ann", 7, "r", [{"value": {"y": 2, "x": 1}, "path": "/a", "op": "set"}])
    other = submission("ben", 0, "r", [{"op": "set", "path": "/a", "value": {"x": 1, "y": 2}}])
    assert one.digest == two.digest != other.digest


def test_true_is_not_one_though_python_says_so() -> None:
    assert same(1, 1.0)
    assert same({"a": [1, None]}, {"a": [1, None]})
    assert not same(1, True)
    assert not same([False], [0])
    assert not same({"a": 1}, {"a": 1, "b": 1})
    assert not same([1], [1, 1])


def test_pointers_are_read_as_their_standard_says() -> None:
    """The examples of RFC 6901, section 5."""
    document = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "m~n": 8, " ": 7}
    examples = {
        "": document,
        "/foo": ["bar", "baz"],
        "/foo/0": "bar",
        "/": 0,
        "/a~1b": 1,
        "/c%d": 2,
        "/m~0n": 8,
        "/ ": 7,
    }
    assert {pointer: get(document, parse(pointer)) for pointer in examples} == examples
    assert all(show(parse(pointer)) == pointer for pointer in examples)


def test_text_without_a_slash_in_front_names_a_member_of_the_root() -> None:
    assert parse("src/main.py") == ("src/main.py",) == parse("/src~1main.py")


def test_the_root_cannot_be_removed() -> None:
    with pytest.raises(DoesNotFit, match=r"set it to \{\} instead"):
        remove({"a": 1}, ())


def test_only_lists_have_places_to_insert_at() -> None:
    assert insert({"l": [1, 3]}, ("l", "1"), 2) == {"l": [1, 2, 3]}
    for path in (("o", "0"), ("l", "x")):
        with pytest.raises(DoesNotFit, match="is no place in a list"):
            insert({"l": [], "o": {}}, path, 1)
