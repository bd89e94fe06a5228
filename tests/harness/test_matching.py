"""The `-k` expression."""

from __future__ import annotations

import pytest

from harness.engine.matching import matcher
from harness.errors import ScenarioError

NAMES = ["bit-flip[bits=1]", "bit-flip[bits=8]", "kill-service", "Pause-Service"]


@pytest.mark.parametrize(
    ("expression", "matched"),
    [
        ("", NAMES),
        ("bit", NAMES[:2]),
        ("SERVICE", NAMES[2:]),
        ("[bits=8]", NAMES[1:2]),
        ("not bit", NAMES[2:]),
        ("bit and not bits=8", NAMES[:1]),
        ("kill or bits=1 and flip", [NAMES[0], NAMES[2]]),
        ("(kill or bits=1) and flip", NAMES[:1]),
        ("not (kill or pause)", NAMES[:2]),
        ("not not kill", NAMES[2:3]),
    ],
)
def test_words_are_substrings_joined_by_and_or_not(expression: str, matched: list[str]) -> None:
    assert [name for name in NAMES if matcher(expression)(name)] == matched


@pytest.mark.parametrize("expression", ["and", "a and", "a b", "(a", "a)", "()", "not", "or a"])
def test_a_malformed_expression_is_refused_with_the_place_of_the_mistake(expression: str) -> None:
    with pytest.raises(ScenarioError, match=r"expected .*, got"):
        matcher(expression)
