"""Scenario files: finding them, and reading them with every mistake located.

Pure: reads the named files and nothing else, starts nothing, imports no adapter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.errors import ScenarioError
from harness.scenario._assemble import assemble
from harness.scenario._parameters import choices, fill
from harness.scenario._problems import Problem, Problems, ScenarioErrors
from harness.scenario._yaml import MOST_BYTES, read
from harness.scenario.model import Variant

__all__ = ["Problem", "ScenarioErrors", "find", "is_scenario", "load"]

_KEY = re.compile(rb"""^(?:\xef\xbb\xbf)?(["']?)scenario\1\s*:(?:\s|$)""", re.MULTILINE)


def load(path: Path, params: Mapping[str, str] = {}) -> tuple[Variant, ...]:
    """Return every variant of a scenario file, at least one.

    `params` are values as text, read as YAML reads them; they replace those of `params`, and pin an axis of
    `matrix` to one value. Raises `ScenarioErrors` with everything that is wrong with the file, and no other error.
    """
    problems = Problems(str(path))
    root = read(path, problems)
    found = [
        (choice, assemble(fill(root, choice.values, problems), problems)) for choice in choices(root, params, problems)
    ]
    problems.check()
    return tuple(
        Variant(name=choice.name, params=choice.params, scenario=scenario) for choice, scenario in found if scenario
    )


def is_scenario(path: Path) -> bool:
    """Return whether `path` is a file with a top-level key `scenario`, however broken the rest of it may be.

    Never raises, and reads 1 MiB at most: a collector may ask it of any file.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return _KEY.search(file.read(MOST_BYTES)) is not None
    except (OSError, ValueError):
        return False


def find(paths: Sequence[Path]) -> list[Path]:
    """Return the scenario files that `paths` mean, sorted, each once.

    A file is taken as it is. A folder means the scenarios (`*.yaml`, `*.yml`) in and below it, but not those of a
    folder `negative` below it, nor hidden ones: scenarios that must fail run only where they are named. Raises
    `ScenarioError` for a path that does not exist.
    """
    # Path.exists raises for what we may not look at.
    if missing := [path for path in paths if not os.path.exists(path)]:  # noqa: PTH110
        named = ", ".join(map(str, missing))
        raise ScenarioError(f"{named}: no such file or folder here ({Path.cwd()}); name a scenario or a folder of them")
    found = {file.resolve(): file for path in paths for file in (_below(path) if path.is_dir() else [path])}
    return sorted(found.values())


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "negative" and not name.startswith(".")]
        paths = (Path(parent, name) for name in files if name.endswith((".yaml", ".yml")))
        yield from (path for path in paths if is_scenario(path))
