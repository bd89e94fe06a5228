"""Values as JSON: what comes back, and what is refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.locking.errors import BadRequest
from targets.locking.values import decode, encode

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Struct(msgspec.Struct):
    """What msgspec would take for JSON."""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "Out of range float values are not JSON compliant"),
        ([{"a": -math.inf}], "Out of range float values are not JSON compliant"),
        ({"a": "\ud800"}, "surrogates not allowed"),
        ({"\udc00": 1}, "surrogates not allowed"),
        (("\ud800",), "surrogates not allowed"),
        (b"bytes", "Object of type bytes is not JSON serializable"),
        ({"a": {1}}, "Object of type set is not JSON serializable"),
        (datetime(2026, 1, 1, tzinfo=UTC), "Object of type datetime is not JSON serializable"),
        (Struct(), "Object of type Struct is not JSON serializable"),
    ],
    ids=str,
)
def test_what_json_cannot_say_is_refused_with_the_reason(value: object, why: str) -> None:
    with pytest.raises(BadRequest, match=f"a value is JSON: .*{why}"):
        encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(BadRequest, match="a value is JSON: "):
        encode(endless)


@given(JSON)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert decode(encode(value)) == value == decode(encode(value).encode())
    assert json.loads(encode(value)) == value


def test_tuples_and_keys_that_are_numbers_become_what_json_has_for_them() -> None:
    assert decode(encode((1, {2: None, 1.5: True, None: "é"}))) == [1, {"2": None, "1.5": True, "null": "é"}]
    assert decode(encode([2**64, -(10**400)])) == [2**64, -(10**400)]
