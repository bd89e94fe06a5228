"""JSON pointers (RFC 6901), and trees that change by copying the way from the root to one place, and nothing else.

Text that does not begin with "/" is no pointer, but the name of one member of the root, as the path of a file or the
name of a git ref is: `src/main.py` means `/src~1main.py`.

No function here alters what it is given: a change that fails half-way, or is tried again, leaves no trace.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from msgspec import UNSET

Tree = Any
"""A JSON value; from `get`, `UNSET` as well."""
Path = tuple[str, ...]
DEEPEST = 100
"""Levels of a path, and of a value: far below where parsers give up."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


class DoesNotFit(Exception):
    """The tree has no such place, or something there that cannot be changed in this way."""


@lru_cache(4096)
def parse(pointer: str) -> Path:
    """Return the tokens of `pointer`; none for "", the root. Raises `ValueError`, saying what is wrong with it."""
    if not pointer.startswith("/"):
        return (pointer,) if pointer else ()
    tokens = tuple(pointer[1:].split("/"))
    if any("~" in token.replace("~0", "").replace("~1", "") for token in tokens):
        raise ValueError(f"in a JSON pointer '~' is written '~0' and a '/' inside a name '~1': got {pointer!r}")
    if len(tokens) > DEEPEST:
        raise ValueError(f"a path has at most {DEEPEST} levels, got {len(tokens)}")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def show(path: Path) -> str:
    """Return the pointer that `parse` reads as `path`."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)


def kind(value: object) -> str:
    """Name what `value` is, for people."""
    return "nothing" if value is UNSET else _KINDS.get(type(value), "a number")


def get(tree: Tree, path: Path) -> Tree:
    """Return what is at `path`, or `UNSET`."""
    for token in path:
        if isinstance(tree, dict):
            tree = tree.get(token, UNSET)
        elif isinstance(tree, list):
            index = _index(token)
            tree = tree[index] if index is not None and index < len(tree) else UNSET
        else:
            return UNSET
    return tree


def put(tree: Tree, path: Path, value: Tree) -> Tree:
    """Return `tree` with `value` at `path`; objects that are missing on the way are made. Raises `DoesNotFit`."""
    trail, _ = _descend(tree, path)
    return _rebuild(trail, value)


def remove(tree: Tree, path: Path) -> Tree:
    """Return `tree` without what is at `path`; in a list the later elements move up. Raises `DoesNotFit`."""
    if not path:
        raise DoesNotFit("the root cannot be deleted; set it to {} instead")
    trail, found = _descend(tree, path)
    if found is UNSET:
        raise DoesNotFit(f"there is nothing at {show(path)}")
    container, key = trail.pop()
    smaller = container.copy()
    del smaller[key]
    return _rebuild(trail, smaller)


def insert(tree: Tree, path: Path, value: Tree) -> Tree:
    """Return `tree` with `value` before the list element at `path`: what undoes `remove`. Raises `DoesNotFit`."""
    trail, found = _descend(tree, path[:-1])
    index = _index(path[-1])
    if not isinstance(found, list) or index is None:
        raise DoesNotFit(f"{show(path)} is no place in a list")
    return _rebuild(trail, [*found[:index], value, *found[index:]])


def first_missing(tree: Tree, path: Path) -> Path:
    """Return the shortest beginning of `path` that leads to nothing, or all of `path` where everything is there."""
    for depth, token in enumerate(path):
        tree = get(tree, (token,))
        if tree is UNSET:
            return path[: depth + 1]
    return path


def _descend(tree: Tree, path: Path) -> tuple[list[tuple[Tree, Tree]], Tree]:
    """Return each container on the way with the key taken in it, and what is at the end."""
    trail: list[tuple[Tree, Tree]] = []
    for depth, token in enumerate(path):
        key: str | int = token
        if tree is UNSET:
            tree = {}
        elif isinstance(tree, list):
            key = _existing(tree, path, depth)
        elif not isinstance(tree, dict):
            raise DoesNotFit(f"{show(path[:depth]) or 'the root'} is {kind(tree)}, so that it has no {token!r}")
        trail.append((tree, key))
        tree = tree[key] if isinstance(key, int) else tree.get(key, UNSET)
    return trail, tree


def _rebuild(trail: list[tuple[Tree, Tree]], value: Tree) -> Tree:
    for container, key in reversed(trail):
        copy = container.copy()
        copy[key] = value
        value = copy
    return value


def _index(token: str) -> int | None:
    return int(token) if _INDEX.fullmatch(token) else None


def _existing(elements: list[Any], path: Path, depth: int) -> int:
    index = _index(path[depth])
    if index is None or index >= len(elements):
        raise DoesNotFit(
            f"{show(path[:depth]) or 'the root'} is a list of {len(elements)} and has no element {path[depth]!r}; "
            "append makes it longer"
        )
    return index
