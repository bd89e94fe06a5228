"""From what a check points at to the very lines of the record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.wire import Json

_LINE = re.compile(r"^(\w+\.jsonl):(\d+)")
_FILE = re.compile(r"^(\w+\.jsonl)\b")
_OPERATION = re.compile(r"\b(?:operation|again to) (\d+)")
_FAULT = re.compile(r"\bfault (\d+)")
_LONG = 240


@dataclass(frozen=True)
class Excerpt:
    """A line of a file in the run folder, counted from 1, cut where it is too long to read."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        """Return it as editors understand it."""
        return f"{self.file}:{self.line}: {self.text}"


class Evidence:
    """The record of one run, to look things up in; each file is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, list[str]] = {}

    def excerpts(self, pointer: str) -> list[Excerpt]:
        """Return the lines that a check's evidence means: a line that it names, an operation's, or those of a fault."""
        if match := _LINE.match(pointer):
            return list(self._at(match[1], [int(match[2])]))
        if match := _FILE.match(pointer):
            operations = {int(number) for number in _OPERATION.findall(pointer)}
            faults = {int(number) for number in _FAULT.findall(pointer)}
            return list(self._at(match[1], self._about(match[1], operations, faults)))
        return []

    def problems(self) -> Iterator[Json]:
        """Yield what kept the trial from going on, as it was recorded."""
        lines = map(_decoded, self._lines("events.jsonl"))
        return (line for line in lines if line.get("type") == "problem")

    def _about(self, file: str, operations: set[int], faults: set[int]) -> Iterator[int]:
        problem = not operations | faults  # what names neither is about what went wrong
        for number, line in enumerate(self._lines(file), 1):
            data = _decoded(line)
            wanted = data.get("type") == "problem" if problem else data.get("fault") in faults
            if wanted or (file == "history.jsonl" and data.get("n") in operations):
                yield number

    def _at(self, file: str, numbers: Iterator[int] | list[int]) -> Iterator[Excerpt]:
        lines = self._lines(file)
        for number in numbers:
            if 0 < number <= len(lines):
                yield Excerpt(file, number, cut(lines[number - 1]))

    def _lines(self, file: str) -> list[str]:
        if file not in self._files:
            path = self._folder / file
            self._files[file] = path.read_text(errors="replace").splitlines() if path.exists() else []
        return self._files[file]


def cut(text: str, most: int = _LONG) -> str:
    """Return the beginning of a text that is too long for a line."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _decoded(line: str) -> Json:
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
