"""What is wrong with a scenario file: everything at once, each thing at its line and column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from harness.errors import ScenarioError

MOST = 100  # a file with more mistakes than this is no scenario, and nobody reads on
_LONGEST_GUESS = 80  # comparing is quadratic in the length


@dataclass(frozen=True)
class Problem:
    """One mistake. `got` is shown as it stands (strings come with their quotes), lines and columns count from 1."""

    file: str
    line: int
    column: int
    where: str
    what: str
    got: str | None = None
    suggestion: str | None = None

    @property
    def message(self) -> str:
        """The problem without its position."""
        got = f", got {self.got}" if self.got else ""
        hint = f", did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.where}: {self.what}{got}{hint}"

    def __str__(self) -> str:
        """Return it in the form that editors and CI annotations understand."""
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ScenarioErrors(ScenarioError):
    """Every problem of one file, sorted by position; the message is one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__("\n".join(map(str, self.problems)))


class Place(Protocol):
    """Where a problem can be. Nothing is reported of a hole: what made it one has been reported already."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def where(self) -> str: ...
    @property
    def hole(self) -> bool: ...


class Problems:
    """Collects the problems of one file; the same one, found in several variants, counts once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[Problem, None] = {}

    def add(self, place: Place, what: str, got: str | None = None, suggestion: str | None = None) -> None:
        """Note a problem. Raises `ScenarioErrors` where there are too many to go on."""
        if place.hole:
            return
        self._found[self._at(place, what, got, suggestion)] = None
        if len(self._found) >= MOST:
            self.fail(place, f"{MOST} problems so far, the rest is not looked at")

    def fail(self, place: Place, what: str, got: str | None = None) -> NoReturn:
        """Raise `ScenarioErrors` with what was found before and this, after which nothing else can be said."""
        raise ScenarioErrors([*self._found, self._at(place, what, got)])

    def check(self) -> None:
        """Raise `ScenarioErrors` if anything was found."""
        if self._found:
            raise ScenarioErrors(self._found)

    def _at(self, place: Place, what: str, got: str | None, suggestion: str | None = None) -> Problem:
        return Problem(self.file, place.line, place.column, place.where, what, got, suggestion)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    if len(word) > _LONGEST_GUESS:
        return None
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)
