"""`[tool.bigfive]` in the pyproject.toml of the working folder: defaults of options, in a team's repository.

Imported only when a command that has such defaults is called, and light: `--help` waits for it.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

FILE = Path("pyproject.toml")
TABLE = "[tool.bigfive]"


@dataclass(frozen=True)
class Key:
    """A key of the table: the parameter of each of `commands` that it is the default of, and what it may hold."""

    types: tuple[type, ...]
    example: str
    purpose: str
    commands: tuple[str, ...] = ("run",)


_SUITES = ("run", "replay")

KEYS = {
    "out": Key((str,), '"build/reports"', "folder for the suites' folders", ("run", "replay", "prune")),
    "workers": Key((int, str), '"auto"', "trials at once (-n)", _SUITES),
    "verbose": Key((bool,), "true", "say every phase and fault as well (-v)", _SUITES),
    "quiet": Key((bool,), "true", "say nothing of what passed (-q)", _SUITES),
    "tags": Key((list,), '["smoke"]', "only scenarios with one of these tags (-t)"),
    "expression": Key((str,), '"not slow"', "only trials with such a name (-k)"),
    "params": Key((list,), '["bits=3"]', "parameters of the scenarios (-p)"),
    "repeat": Key((int,), "3", "trials of each variant"),
    "seed": Key((int,), "7", "root seed: the same faults at the same times in every run"),
    "timeout": Key((str,), '"90s"', "timeout of every trial"),
    "fail_fast": Key((bool,), "true", "start no further trial once one did not pass (-x)"),
    "require_all": Key((bool,), "true", "a skipped trial proves nothing"),
    "keep": Key((int,), "20", "suites that `bigfive prune` leaves", ("prune",)),
    "older_than": Key((str,), '"14d"', "age of the suites that `bigfive prune` removes", ("prune",)),
    "failed_too": Key((bool,), "true", "`bigfive prune` removes suites with failures as well", ("prune",)),
}
"""Every key. `allow` is none of them: letting faults reach the host is said on the command line, by who runs it."""

_NOUNS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list of texts"}


def configured() -> frozenset[str]:
    """Return the commands that have defaults."""
    return frozenset(command for key in KEYS.values() for command in key.commands)


def defaults(command: str) -> dict[str, Any]:
    """Return what the file of this folder says for a command, by parameter. Raises `UsageError` with every mistake."""
    table = _table()
    if problems := list(_problems(table)):
        raise click.UsageError("\n".join(f"{FILE}: {TABLE}: {problem}" for problem in problems))
    names = {_name(key): value for key, value in table.items()}
    return {name: value for name, value in names.items() if command in KEYS[name].commands}


def describe() -> Iterator[str]:
    """Yield what `bigfive explain configuration` says."""
    yield f"{TABLE} in the {FILE} of the working folder holds defaults of options; the command line wins over them."
    yield ""
    yield f"  {TABLE}"
    for name, key in KEYS.items():
        yield f"  {f'{name} = {key.example}':<24}  # {', '.join(key.commands)}: {key.purpose}"
    yield ""
    yield "A key may have - instead of _. An unknown key or a wrong value is exit status 4. --allow has no key."


def _table() -> Mapping[str, Any]:
    try:
        content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # what is no TOML, and what is no UTF-8
        raise click.UsageError(f"{FILE}: {error}") from error
    table: object = content.get("tool", {})
    table = table.get("bigfive", {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise click.UsageError(f"{FILE}: tool.bigfive: expected a table, got {table!r}")
    return table


def _name(key: str) -> str:
    return key.replace("-", "_")


def _problems(table: Mapping[str, Any]) -> Iterator[str]:
    written: set[str] = set()
    for key, value in table.items():
        name = _name(key)
        if name not in KEYS:
            yield f"unknown key {key!r}{_hint(name)}"
        elif name in written:
            yield f"{key!r} is given twice"
        elif not _fits(value, KEYS[name].types):
            expected = " or ".join(_NOUNS[kind] for kind in KEYS[name].types)
            yield f"{key}: expected {expected} such as {KEYS[name].example}, got {value!r}"
        written.add(name)


def _fits(value: object, types: tuple[type, ...]) -> bool:
    if isinstance(value, list):
        return list in types and all(isinstance(item, str) for item in value)
    return type(value) in types  # True is no whole number here


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, KEYS, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(KEYS)}"
