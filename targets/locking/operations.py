"""What agents can ask of a document: typed operations, read strictly.

An operation says what it means, an increment that it counts, an append that it adds. So it can be repeated on a newer
version than the one it was decided on, which the new value alone could not.

    {"op": "set", "path": .., "value": .., "expected"?: ..}   {"op": "delete", "path": .., "expected"?: ..}
    {"op": "increment", "path": .., "by": number}              {"op": "append", "path": .., "item": ..}
    {"op": "write_file", "path": .., "content": text}          {"op": "move_ref", "path": .., "from": .., "to": ..}
    {"op": "resolve", "id": .., "choice": "mine" | "theirs"}   {"op": "resolve", "id": .., "value": ..}

`path` is a JSON pointer in the document's content, or the plain name of a member of its root, such as a file's path or
a ref's name (see `pointers`); objects that are missing on the way are made. A file is kept as {"content": text,
"sha256": digest of its UTF-8}. A ref's value is text; null for `from` or `to` means that there is none. `expected` is
what must be there; null stands for nothing as well.
"""

from __future__ import annotations

import hashlib
import math
import reprlib
from typing import Any, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from targets.locking.errors import BadRequest
from targets.locking.pointers import DEEPEST, parse

MOST_OPERATIONS = 1000
"""In one submission: all of them are applied in one step, while others wait."""

LARGEST = 1 << 63
"""What integers stay below, and not below the negative of it: 64 bits."""

_UNIQUE_BYTES = 8


class _Operation(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    """Base of all."""


class Set(_Operation, frozen=True, tag="set"):
    """Put `value` at `path`, in place of whatever is there."""

    path: str
    value: Any
    expected: Any = UNSET


class Increment(_Operation, frozen=True, tag="increment"):
    """Add `by` to the number at `path`; none counts as 0. The last digit of a sum of fractions depends on the order."""

    path: str
    by: int | float


class Append(_Operation, frozen=True, tag="append"):
    """Add `item` at the end of the list at `path`; none counts as empty."""

    path: str
    item: Any


class Delete(_Operation, frozen=True, tag="delete"):
    """Remove what is at `path`; in a list the later elements move up."""

    path: str
    expected: Any = UNSET


class WriteFile(_Operation, frozen=True, tag="write_file"):
    """Replace the whole content of the file at `path`."""

    path: str
    content: str


class MoveRef(_Operation, frozen=True, tag="move_ref"):
    """Let the git ref at `path` point to another commit, if it points to `source` (`from` in JSON)."""

    path: str
    source: str | None = msgspec.field(name="from")
    to: str | None


class Resolve(_Operation, frozen=True, tag="resolve"):
    """End the conflict `id`: apply `mine`, leave it at `theirs`, or put `value` there."""

    id: str
    choice: Literal["mine", "theirs"] | UnsetType = UNSET
    value: Any = UNSET


Edit = Set | Increment | Append | Delete | WriteFile | MoveRef
"""The operations that change the content at their `path`."""

Operation = Edit | Resolve

_KNOWN = {
    "set": "path, value and perhaps expected",
    "increment": "path and by (a number)",
    "append": "path and item",
    "delete": "path and perhaps expected",
    "write_file": "path and content (text)",
    "move_ref": "path, from and to (each text or null)",
    "resolve": "id and one of choice ('mine' or 'theirs') and value",
}
_encoder = msgspec.json.Encoder(order="sorted")
_decode = msgspec.json.Decoder(Operation).decode


class Submission(msgspec.Struct, frozen=True):
    """What one agent submits at once. `digest` tells a repetition from another submission with the same `request`."""

    agent: str
    base_version: int
    request: str
    operations: tuple[Operation, ...]
    digest: str


def submission(agent: object, base_version: object, request: object, operations: object) -> Submission:
    """Check everything and return it. Raises `BadRequest`, saying which part is wrong, what it is, and what is needed.

    The result shares nothing with the arguments.
    """
    if not isinstance(base_version, int) or isinstance(base_version, bool) or base_version < 0:
        raise BadRequest(f"base_version is the version that you last inspected, 0 or more, got {base_version!r}")
    if not isinstance(operations, list | tuple) or not 0 < len(operations) <= MOST_OPERATIONS:
        raise BadRequest(f"operations is a list of 1 to {MOST_OPERATIONS}, got {reprlib.repr(operations)}")
    checked = tuple(_operation(number, operation) for number, operation in enumerate(operations))
    agent, request = name("agent", agent), name("request", request)
    digest = hashlib.sha256(_encoder.encode((agent, checked))).hexdigest()[: 2 * _UNIQUE_BYTES]
    return Submission(agent, base_version, request, checked, digest)


def name(what: str, text: object) -> str:
    """Return `text` if it can name something, else raise `BadRequest`."""
    if isinstance(text, str) and 0 < len(text) <= 200 and text.isprintable():  # noqa: PLR2004  as the message says
        return text
    raise BadRequest(f"{what} is text of 1 to 200 printable characters, got {reprlib.repr(text)}")


def decode(operation: object) -> Edit:
    """Return an edit that was checked before and kept as JSON."""
    return cast("Edit", msgspec.convert(operation, Edit))


def same(one: object, other: object) -> bool:
    """Return whether two JSON values are equal. To Python true is 1; to JSON it is not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def _operation(number: int, given: object) -> Operation:
    try:
        _check_json(given, 0)
        operation = cast("Operation", _decode(_encoder.encode(given)))
        _check_meaning(operation)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        op = str(given.get("op")) if isinstance(given, dict) else ""
        need = f"{op} takes {_KNOWN[op]}" if op in _KNOWN else f"op is one of {', '.join(_KNOWN)}"
        raise BadRequest(f"operations[{number}]: {error}; {need}; got {reprlib.repr(given)}") from error
    return operation


def _check_meaning(operation: Operation) -> None:
    if isinstance(operation, Resolve):
        if (operation.choice is UNSET) == (operation.value is UNSET):
            raise ValueError("a resolution is either a choice or a value")
        return
    path = parse(operation.path)
    if isinstance(operation, Delete | MoveRef) and not path:
        raise ValueError("the root is no place for this; set it instead")


def _check_json(value: object, depth: int) -> None:
    """Refuse what JSON cannot hold, or would turn into something else without a word (NaN into null, 1 into "1")."""
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("the members of an object are named by text")
        for member in value.values():
            _check_json(member, depth + 1)
    elif isinstance(value, list | tuple):
        for element in value:
            _check_json(element, depth + 1)
    elif isinstance(value, int | float):
        _check_number(value)
    elif value is not None and not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} is not JSON")


def _check_number(number: float) -> None:
    if isinstance(number, int):
        if not -LARGEST <= number < LARGEST:
            raise ValueError(f"{number:.3g} takes more than 64 bits")
    elif not math.isfinite(number):
        raise ValueError(f"{number} is no JSON number")
