"""Plug-ins by kind: one file each, found by name, imported only when asked for.

`harness/faults/process_kill.py` is the fault `process.kill`: in a plug-in folder every plain file is a plug-in and
every file with a leading underscore is machinery, so `ls` is the catalogue. Third parties add their own through the
entry point groups `bigfive.faults`, `bigfive.checks`, `bigfive.runners` and `bigfive.reports` (name = kind, value =
`pkg.mod:Class`).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import HarnessBug, ScenarioError

Plugin = TypeVar("Plugin", bound=type[Any])


class Registry:
    """All plug-ins of one noun, singular: "fault", "check", "runner", "report"."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._package = "harness.reporting" if noun == "report" else f"harness.{noun}s"
        self._found: dict[str, type[Any]] = {}

    def register(self, kind: str) -> Callable[[Plugin], Plugin]:
        """Class decorator: make the class known as `kind`, and give it that name as its attribute `kind`."""

        def decorate(plugin: Plugin) -> Plugin:
            plugin.kind = kind
            self._found[kind] = plugin
            return plugin

        return decorate

    def kinds(self) -> list[str]:
        """Return every known kind, sorted, without importing any plug-in."""
        return sorted({*self._built_in(), *self._external(), *self._found})

    def get(self, kind: str) -> type[Any]:
        """Return the class of `kind`. Raises `ScenarioError` with the nearest known kinds."""
        if kind not in self._found:
            self._load(kind)
        return self._found[kind]

    def all(self) -> Iterator[type[Any]]:
        """Import and return every plug-in, by kind."""
        return (self.get(kind) for kind in self.kinds())

    def module(self, kind: str) -> str:
        """Name of the module that defines `kind`: importing it is enough to use the plug-in."""
        return str(self.get(kind).__module__)

    def _load(self, kind: str) -> None:
        if kind in (built_in := self._built_in()):
            importlib.import_module(built_in[kind])
        elif kind in (external := self._external()):
            self._found[kind] = self.register(kind)(external[kind].load())
        else:
            raise ScenarioError(self._unknown(kind))
        if kind not in self._found:
            raise HarnessBug(f"{self._package} has a file for {kind!r} that does not register it")

    def _unknown(self, kind: str) -> str:
        near = difflib.get_close_matches(kind, self.kinds(), n=3)
        hint = f", did you mean {' or '.join(map(repr, near))}?" if near else f"; known: {', '.join(self.kinds())}"
        return f"there is no {self.noun} {kind!r}{hint}"

    def _built_in(self) -> dict[str, str]:
        """Map each kind to its module. A fault's kind is dotted, so its first underscore stands for the dot."""
        folder = Path(__file__).parent / self._package.rpartition(".")[2]
        stems = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")]
        return {self._kind_of(stem): f"{self._package}.{stem}" for stem in stems}

    def _kind_of(self, stem: str) -> str:
        return stem.replace("_", ".", 1) if self.noun == "fault" else stem

    def _external(self) -> dict[str, metadata.EntryPoint]:
        return {entry.name: entry for entry in metadata.entry_points(group=f"bigfive.{self.noun}s")}


FAULTS = Registry("fault")
CHECKS = Registry("check")
RUNNERS = Registry("runner")
REPORTS = Registry("report")

fault = FAULTS.register
check = CHECKS.register
runner = RUNNERS.register
report = REPORTS.register
