"""A strict reading of YAML into a tree.

Refused: duplicate keys, keys that are no text, anchors and aliases, tags, a second document, deep nesting, and files
that are too large to be meant.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from harness.scenario._problems import Problems
from harness.scenario._tree import Mapping, Member, Node, Scalar, Sequence

MOST_BYTES = 1024 * 1024
MOST_VALUES = 20_000
DEEPEST = 100

# Both take their events one by one from a state machine, so that the depth is checked before anything recurses.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_Event = Any  # which attributes an event has depends on what `_refuse` lets through


class _Mark(Protocol):
    """A position of PyYAML's, which counts from 0."""

    line: int
    column: int


def read(path: Path, problems: Problems) -> Mapping:
    """Read a file whose top is a mapping. Raises `ScenarioErrors`; what does not stop the reading is added."""
    root = parse(_text(path, problems), problems)
    if root is None or root.data is None:
        problems.fail(_start(), "the file is empty; it must at least say `scenario: a-name`")
    if not isinstance(root, Mapping):
        problems.fail(root, "expected members such as `scenario: a-name`", root.shown)
    return root


def parse(text: str, problems: Problems) -> Node | None:
    """Return the tree of `text`, None where it has no document. Raises like `read`."""
    if bad := _FORBIDDEN.search(text):
        problems.fail(_position(text, bad.start()), "a character that YAML forbids", repr(bad[0]))
    reader = _Reader(text, problems)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        place = _position_of(error.problem_mark or error.context_mark)
        problems.fail(place, f"not YAML: {error.problem or error.context}{_hint(text, place)}")
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # escapes beyond Unicode, in the pure Python loader
        problems.fail(_start(), f"not YAML: {error}")


def _text(path: Path, problems: Problems) -> str:
    """Return the text of a regular file of bounded size. Anything else (a pipe would block) is a problem."""
    try:
        if not path.is_file():
            problems.fail(_start(), "is a folder, name a file in it" if path.is_dir() else "there is no such file")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        problems.fail(_start(), f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(raw) > MOST_BYTES:
        problems.fail(_start(), f"is larger than {MOST_BYTES // 1024} KiB; is this a scenario?")
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        problems.fail(_position(before, len(before)), "is not UTF-8 text", f"byte 0x{raw[error.start]:02x}")


def _hint(text: str, place: Scalar) -> str:
    """Say what two common mistakes look like, which the parser's own words do not."""
    line = "".join(text.splitlines()[place.line - 1 : place.line])
    if "${" in line:
        return "; inside { } and [ ] a placeholder needs quotes: '${name}'"
    return "; indent with spaces, tabs are not allowed" if "\t" in line else ""


def _start() -> Scalar:
    return Scalar(line=1, column=1, where="file", text="")


def _position(text: str, index: int) -> Scalar:
    before = text[:index]
    return Scalar(line=before.count("\n") + 1, column=index - before.rfind("\n"), where="file", text="")


def _position_of(mark: _Mark | None, where: str = "file") -> Scalar:
    if mark is None:
        return _start()
    return Scalar(line=mark.line + 1, column=mark.column + 1, where=where, text="")


class _Reader:
    """Builds the tree from the parser's events."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._events: Iterator[_Event] = yaml.parse(text, Loader=_LOADER)
        self._problems = problems
        self._values = 0

    def document(self) -> Node | None:
        """Read the only document, and make sure that it is the only one."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), "", 0)
        next(self._events)
        if not isinstance(end := next(self._events), yaml.StreamEndEvent):
            self._problems.fail(_position_of(end.start_mark), "a second document; one scenario a file")
        return root

    def _node(self, event: _Event, where: str, depth: int) -> Node:
        place = _position_of(event.start_mark, where or "file")
        line, column = place.line, place.column
        self._refuse(event, place, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(Mapping(line=line, column=column, where=where, members={}), depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(Sequence(line=line, column=column, where=where, items=()), depth)
        return Scalar(line=line, column=column, where=where, text=event.value, plain=event.implicit[0])

    def _refuse(self, event: _Event, place: Scalar, depth: int) -> None:
        self._values += 1
        if depth > DEEPEST:
            self._problems.fail(place, f"nested more than {DEEPEST} levels deep")
        if self._values > MOST_VALUES:
            self._problems.fail(place, f"more than {MOST_VALUES} values in one file")
        if event.anchor is not None:
            self._problems.fail(
                place, "anchors and aliases are not supported, use `params` and ${name}", repr(event.anchor)
            )
        if event.tag is not None:
            self._problems.fail(place, "tags are not supported, write the plain value", repr(event.tag))

    def _sequence(self, empty: Sequence, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, empty.inside(len(items)), depth + 1))
        return replace(empty, items=tuple(items))

    def _mapping(self, empty: Mapping, depth: int) -> Mapping:
        members = empty.members
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, empty.where or "file", depth + 1)
            name = key.data if isinstance(key, Scalar) else None
            where = empty.inside(name if isinstance(name, str) else key.shown)
            value = self._node(next(self._events), where, depth + 1)
            if not isinstance(key, Scalar) or not isinstance(name, str):
                self._problems.add(key, "expected a name as key (put it in quotes)", key.shown)
            elif name in members:
                first = members[name].key
                self._problems.add(replace(key, where=where), f"given twice, first in line {first.line}")
            else:
                members[name] = Member(replace(key, where=where), value)
        return empty
