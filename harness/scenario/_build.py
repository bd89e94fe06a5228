"""From a mapping of the file to the dataclass it describes, by pydantic, with its errors in our words and places.

Values are validated as strict JSON: a text is never taken for a number, a list may become a tuple, a number need
not have a point to be a float.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from harness.errors import ScenarioError
from harness.registry import Registry
from harness.scenario._problems import Problems, nearest
from harness.scenario._shapes import adapter, members, shape
from harness.scenario._tree import Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Built = TypeVar("Built")
Path = tuple[int | str, ...]

_UNKNOWN = {"unexpected_keyword_argument", "extra_forbidden"}


def build(kind: type[Built], node: Mapping, problems: Problems, also: Collection[str] = ()) -> Built | None:
    """Return the dataclass, or None and the reasons as problems.

    A member with nothing after its colon is a mistake, even where None is the default. `also` are names that may stand
    beside the members, though not in `node`: an unknown name may be meant as one.
    """
    node = _without_nothing(kind, node, problems)
    try:
        return adapter(kind).validate_json(json.dumps(node.data))
    except ValidationError as error:
        _Report(kind, node, problems, also).add(error)
        return None


def _without_nothing(kind: type[Any], node: Mapping, problems: Problems) -> Mapping:
    """Return `node` with holes where a member has no value, after reporting them."""
    nothing = [
        name
        for name, member in node.members.items()
        if isinstance(member.value, Scalar) and member.value.data is None and name in members(kind)
    ]
    for name in nothing:
        value = node.members[name].value
        problems.add(value, f"expected {shape(kind).inside(name).describe()}", value.shown)
        node = node.adding(name, replace(value, hole=True))
    return node


def plugin(registry: Registry, node: Node | None, problems: Problems) -> type[Any] | None:
    """Return the plug-in that a text names. What is no text is for the caller to report."""
    if not isinstance(node, Scalar) or not isinstance(node.data, str) or node.hole:
        return None
    try:
        return registry.get(node.data)
    except ScenarioError:
        kinds = registry.kinds()
        guess = nearest(node.data, kinds)
        known = "" if guess else f" (known: {', '.join(kinds)})"
        problems.add(node, f"there is no such {registry.noun}{known}", node.shown, guess)
        return None


def misspelt(name: str, node: Mapping, known: Collection[str]) -> str | None:
    """Return the member of `node`, among those that nobody knows, that was meant to be `name`."""
    return next((other for other in node.members if other not in known and nearest(other, known) == name), None)


def is_missing(name: str, node: Mapping, known: Collection[str]) -> bool:
    """Return whether `node` has neither the member nor a misspelling of it, which is reported as such."""
    return name not in node.members and misspelt(name, node, known) is None


class _Report:
    """Turns pydantic's errors into problems, one for each mistake."""

    def __init__(self, kind: type[Any], node: Mapping, problems: Problems, also: Collection[str]) -> None:
        self._shape = shape(kind)
        self._node = node
        self._problems = problems
        self._also = also

    def add(self, error: ValidationError) -> None:
        """Add them all, but not what is missing only because it is misspelt."""
        errors = error.errors(include_url=False, include_input=False)
        meant = {self._unknown(one["loc"]) for one in errors if one["type"] in _UNKNOWN}
        for one in errors:
            if one["type"] == "missing" and one["loc"] not in meant:
                self._missing(one["loc"])
        self._wrong([one for one in errors if one["type"] not in {"missing", *_UNKNOWN}])

    def _unknown(self, path: Path) -> Path:
        """Add it, and return where the member would be that was probably meant."""
        mapping, name = self._mapping(path[:-1]), str(path[-1])
        known = [*self._shape.at(path[:-1]).members, *(self._also if len(path) == 1 else ())]
        guess = nearest(name, known)
        what = "unknown member" if guess else f"unknown member (known: {', '.join(known) or 'none'})"
        self._problems.add(mapping.members[name].key, what, suggestion=guess)
        return (*path[:-1], guess or "")

    def _missing(self, path: Path) -> None:
        parent, purpose = self._mapping(path[:-1]), self._shape.at(path).purpose
        place = parent.lacking(str(path[-1]))
        self._problems.add(place, f"missing ({purpose})" if purpose else "missing")

    def _wrong(self, errors: list[ErrorDetails]) -> None:
        """Add wrong values. A union has an error for every branch: the one with words of its own says it best."""
        seen: set[str] = set()
        for error in sorted(errors, key=lambda error: error["type"] != "value_error"):
            node, path = self._find(error["loc"])
            if error["loc"][-1:] == ("[key]",):
                self._problems.add(node, self._expected(error, node, path), repr(path[-1]))
            elif node.where not in seen:
                seen.add(node.where)
                self._problems.add(node, self._expected(error, node, path), node.shown)

    def _expected(self, error: ErrorDetails, node: Node, path: Path) -> str:
        if error["type"] == "value_error":
            return str(error["ctx"]["error"])
        expected = self._shape.at(path)
        unquoted = expected.is_text and isinstance(node, Scalar) and not isinstance(node.data, str | None)
        return f"expected {expected.describe()}{' (put it in quotes)' if unquoted else ''}"

    def _mapping(self, path: Path) -> Mapping:
        node, _ = self._find(path)
        return node if isinstance(node, Mapping) else self._node

    def _find(self, path: Path) -> tuple[Node, Path]:
        """Return the value at `path`, which ends early where pydantic goes on with the names of its branches."""
        node: Node = self._node
        for depth, step in enumerate(path):
            if isinstance(node, Mapping) and (inner := node.get(str(step))):
                node = inner
            elif isinstance(node, Sequence) and isinstance(step, int):
                node = node.items[step]
            else:
                return node, path[:depth]
        return node, path
