"""The `-k` expression: words joined by `and`, `or`, `not` and parentheses, each a substring of a trial's name."""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.errors import ScenarioError

Matcher = Callable[[str], bool]

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


def matcher(expression: str) -> Matcher:
    """Compile an expression; an empty one matches everything, and case does not matter.

    Raises `ScenarioError` with the place of the mistake.
    """
    tokens = _TOKEN.findall(expression.lower())
    return _Parser(expression, tokens).parse() if tokens else lambda _: True


class _Parser:
    """Recursive descent, a method per precedence: `or` < `and` < `not` < word or parentheses."""

    def __init__(self, expression: str, tokens: list[str]) -> None:
        self._expression = expression
        self._tokens = [*tokens, ""]

    def parse(self) -> Matcher:
        parsed = self._or()
        if self._tokens[0]:
            raise self._mistake("expected `and` or `or`")
        return parsed

    def _or(self) -> Matcher:
        left = self._and()
        while self._take("or"):
            left = _either(left, self._and())
        return left

    def _and(self) -> Matcher:
        left = self._not()
        while self._take("and"):
            left = _both(left, self._not())
        return left

    def _not(self) -> Matcher:
        if self._take("not"):
            inner = self._not()
            return lambda name: not inner(name)
        return self._word()

    def _word(self) -> Matcher:
        if self._take("("):
            inner = self._or()
            if not self._take(")"):
                raise self._mistake("expected `)`")
            return inner
        word = self._tokens[0]
        if word in {"", ")", "and", "or"}:
            raise self._mistake("expected a word")
        self._tokens.pop(0)
        return lambda name: word in name.lower()

    def _take(self, token: str) -> bool:
        found = self._tokens[0] == token
        if found:
            self._tokens.pop(0)
        return found

    def _mistake(self, expected: str) -> ScenarioError:
        return ScenarioError(f"-k {self._expression!r}: {expected}, got {self._tokens[0] or 'the end'!r}")


def _either(left: Matcher, right: Matcher) -> Matcher:
    return lambda name: left(name) or right(name)


def _both(left: Matcher, right: Matcher) -> Matcher:
    return lambda name: left(name) and right(name)
