"""Apply one operation to a document's content, and note of it what finding conflicts and undoing it take."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET

from targets.locking.operations import LARGEST, Append, Delete, Edit, Increment, MoveRef, Set, WriteFile, same
from targets.locking.pointers import DoesNotFit, Path, Tree, first_missing, get, insert, kind, parse, put, remove, show

Effect = Literal["write", "add", "append", "shift", "item", "growth"]
"""How a place is touched: replaced or removed; counted up; made longer; elements moved up; came to be by an append.

Growth is items at unknown indices.
"""

LONGEST_KEPT = 2048
"""Bytes of JSON of an overwritten value that a trace keeps; of a longer one it keeps the digest."""

_FILE = {"content", "sha256"}
_encode = msgspec.json.Encoder(order="sorted").encode


class Touch(NamedTuple):
    """One place that an operation touches, and how."""

    path: Path
    effect: Effect


class Trace(msgspec.Struct, frozen=True, array_like=True):
    """What an applied operation did at `path`.

    `index` is where an append put its item. `place`, where it is not `path`, is what the operation made to be; `before`
    holds what was there, if anything was.
    """

    path: str
    effect: Effect
    index: int | None = None
    place: str | None = None
    before: tuple[Tree, ...] = ()

    def touches(self) -> tuple[Touch, ...]:
        """Return all that was touched."""
        path = parse(self.path)
        if self.effect == "append":
            return Touch(path, "append"), Touch((*path, str(self.index)), "item")
        if self.effect == "shift":
            return Touch(path[:-1], "shift"), Touch(path, "write")
        return (Touch(path, self.effect),)

    def undo(self, content: Tree) -> Tree:
        """Return the content as it was before, given the content as it was after. Raises `DoesNotFit` on any other."""
        place = parse(self.path if self.place is None else self.place)
        if self.effect == "shift":
            return insert(content, place, *self.before)
        return put(content, place, *self.before) if self.before else remove(content, place)


def touches(content: Tree, operation: Edit) -> tuple[Touch, ...]:
    """Return what `operation` would touch, as far as that can be said before it is applied."""
    path = parse(operation.path)
    if isinstance(operation, Increment):
        return (Touch(path, "add"),)
    if isinstance(operation, Append):
        return (Touch(path, "append"),)
    if isinstance(operation, Delete) and isinstance(get(content, path[:-1]), list):
        return Touch(path[:-1], "shift"), Touch(path, "write")
    return (Touch(path, "write"),)


def expectation_holds(content: Tree, operation: Edit) -> bool:
    """Return whether what `operation` says must be at its path is there. Nothing there counts as null."""
    if isinstance(operation, MoveRef):
        expected: Tree = operation.source
    elif isinstance(operation, Set | Delete):
        expected = operation.expected
    else:
        return True
    found = get(content, parse(operation.path))
    return expected is UNSET or same(expected, None if found is UNSET else found)


def apply(content: Tree, operation: Edit) -> tuple[Tree, Trace]:
    """Return the content after `operation`, and its trace. Raises `DoesNotFit`, saying what is in the way."""
    path = parse(operation.path)
    _keep_files_whole(content, path)
    if isinstance(operation, Delete) or (isinstance(operation, MoveRef) and operation.to is None):
        return _delete(content, operation.path, path)
    current = get(content, path)
    value, effect, index = _outcome(current, operation)
    changed = put(content, path, value)
    if effect == "append" and current is not UNSET:
        return changed, Trace(operation.path, effect, index, f"{operation.path}/{index}")
    missing = first_missing(content, path)
    before = () if current is UNSET else (_shortened(current),)
    return changed, Trace(operation.path, effect, index, None if missing == path else show(missing), before)


def undo(content: Tree, traces: list[Trace]) -> Tree:
    """Return the content before `traces`, the newest of which is first.

    Where a trace kept a digest only, the result has the digest, and what was changed inside of it is not undone.
    """
    for trace in traces:
        try:
            content = trace.undo(content)
        except DoesNotFit:
            continue
    return content


def _outcome(
    current: Tree, operation: Set | Increment | Append | WriteFile | MoveRef
) -> tuple[Tree, Effect, int | None]:
    """Return what takes the place of `current`."""
    match operation:
        case Increment():
            return _sum(current, operation), "add", None
        case Append():
            if current is not UNSET and not isinstance(current, list):
                raise DoesNotFit(f"{operation.path} is {kind(current)}, to which nothing can be appended")
            elements = [] if current is UNSET else current
            return [*elements, operation.item], "append", len(elements)
        case WriteFile():
            digest = hashlib.sha256(operation.content.encode()).hexdigest()
            return {"content": operation.content, "sha256": digest}, "write", None
        case MoveRef():
            return operation.to, "write", None
        case Set():
            return operation.value, "write", None


def _sum(current: Tree, operation: Increment) -> int | float:
    current = 0 if current is UNSET else current
    if isinstance(current, bool) or not isinstance(current, int | float):
        raise DoesNotFit(f"{operation.path} is {kind(current)}, which cannot be incremented")
    total = current + operation.by
    if not -LARGEST <= total < LARGEST:
        raise DoesNotFit(f"{operation.path} would be {total:.3g}, more than 64 bits hold")
    return total


def _delete(content: Tree, pointer: str, path: Path) -> tuple[Tree, Trace]:
    smaller = remove(content, path)
    effect: Effect = "shift" if isinstance(get(content, path[:-1]), list) else "write"
    return smaller, Trace(pointer, effect, before=(_shortened(get(content, path)),))


def _keep_files_whole(content: Tree, path: Path) -> None:
    """Refuse to change a part of a file: its digest would lie."""
    for depth, token in enumerate(path):
        if isinstance(content, dict) and content.keys() == _FILE:
            raise DoesNotFit(f"{show(path[:depth])} is a file, whose parts cannot be changed; use write_file")
        content = get(content, (token,))


def _shortened(value: Tree) -> Tree:
    """Return `value`, or something short that stands for it."""
    if not isinstance(value, str | list | dict):
        return value
    text = _encode(value)
    if len(text) <= LONGEST_KEPT:
        return value
    return (
        f"({len(text)} bytes, SHA-256 {hashlib.sha256(text).hexdigest()})"  # text: nothing can be undone inside of it
    )
