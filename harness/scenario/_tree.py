"""The tree of a YAML file: values with their positions, and with none of the format's surprises.

Of YAML 1.1 only what everybody expects is a value: decimal numbers, `true`, `false` and `null`. `no`, `on`, `012`,
`1:30`, `2024-01-01` are text, so they fail loudly where a number or a truth value is wanted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_LONGEST_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class _Node:
    """A value of the file: `where` is its path from the root, such as `faults[0].bits`.

    A hole stands for a value that nobody knows, after the reason was reported; nothing more is said of it.
    """

    line: int
    column: int
    where: str
    hole: bool = False

    def inside(self, step: str | int) -> str:
        """Return the path of a member or an item."""
        if isinstance(step, int):
            return f"{self.where}[{step}]"
        return f"{self.where}.{clip(step)}" if self.where else clip(step)


@dataclass(frozen=True, kw_only=True)
class Scalar(_Node):
    """A single value. `origin` is the parameter it was filled in from."""

    text: str
    plain: bool = True
    origin: str = ""

    @property
    def data(self) -> str | float | bool | None:
        """The value: text unless it is plainly a number, `true`, `false` or `null`."""
        if not self.plain:
            return self.text
        if self.text.lower() in _WORDS:
            return _WORDS[self.text.lower()]
        if _INTEGER.fullmatch(self.text):
            return int(self.text)
        if _NUMBER.fullmatch(self.text) and math.isfinite(number := float(self.text)):
            return number
        return self.text

    @property
    def shown(self) -> str:
        """The value in an error message."""
        value = "nothing" if self.data is None else clip(repr(self.data) if isinstance(self.data, str) else self.text)
        return f"{value} from ${{{self.origin}}}" if self.origin else value


@dataclass(frozen=True, kw_only=True)
class Sequence(_Node):
    """A list."""

    items: tuple[Node, ...]
    shown: ClassVar[str] = "a list"

    @property
    def data(self) -> list[Any]:
        """The values of the items."""
        return [item.data for item in self.items]


@dataclass(frozen=True)
class Member:
    """A key of a mapping and its value."""

    key: Scalar
    value: Node


@dataclass(frozen=True, kw_only=True)
class Mapping(_Node):
    """Named members, in the order of the file."""

    members: dict[str, Member]
    shown: ClassVar[str] = "a mapping"

    @property
    def data(self) -> dict[str, Any]:
        """The values of the members."""
        return {name: member.value.data for name, member in self.members.items()}

    def get(self, name: str) -> Node | None:
        """Return the value of a member, or None."""
        return self.members[name].value if name in self.members else None

    def lacking(self, name: str) -> Scalar:
        """Return where to complain that a member is missing."""
        return Scalar(line=self.line, column=self.column, where=self.inside(name), text="")

    def adding(self, name: str, value: Node) -> Mapping:
        """Return the mapping with one more member, which stands where its value does."""
        key = Scalar(line=value.line, column=value.column, where=value.where, text=name)
        return replace(self, members={**self.members, name: Member(key, value)})

    def only(self, names: Collection[str]) -> Mapping:
        """Return the mapping with no other members."""
        return replace(self, members={name: member for name, member in self.members.items() if name in names})

    def without(self, names: Collection[str]) -> Mapping:
        """Return the mapping with all other members."""
        return self.only(self.members.keys() - set(names))


Node = Scalar | Sequence | Mapping


def clip(text: str) -> str:
    """Return `text`, cut to what a line of an error message can bear."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def one_line(node: Node) -> str:
    """Return `node` as one line of YAML in flow style."""
    if isinstance(node, Scalar):
        return node.text if node.plain or node.text == replace(node, plain=True).data else json.dumps(node.text)
    if isinstance(node, Sequence):
        return f"[{', '.join(map(one_line, node.items))}]"
    return f"{{{', '.join(f'{name}: {one_line(member.value)}' for name, member in node.members.items())}}}"
