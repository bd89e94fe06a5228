"""Parameter types and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.cli import COMMANDS
from harness.engine.sharding import Shard
from harness.engine.suite import sources
from harness.undo import sweep
from harness.units import Seconds

DEFAULT_FOLDER = Path("scenarios")


class Workers(click.ParamType[int]):
    """A number of trials at once, or `auto`: one for each CPU that this process may use."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Return the number."""
        if value == "auto":
            return len(os.sched_getaffinity(0))
        number: int = click.IntRange(min=1).convert(value, param, ctx)
        return number


class Duration(click.ParamType[Seconds]):
    """A duration with its unit."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Seconds:  # noqa: ANN401
        """Return seconds."""
        try:
            return Seconds.parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class Part(click.ParamType[Shard]):
    """A part of a suite."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:  # noqa: ANN401
        """Return the part."""
        try:
            return Shard.parse(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class Assignment(click.ParamType[tuple[str, str]]):
    """`key=value`; the value is text that the loader reads as YAML."""

    name = "KEY=VALUE"

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, str]:
        """Return key and value."""
        key, equals, text = str(value).partition("=")
        if not equals or not key:
            self.fail(f"{value!r}: expected key=value", param, ctx)
        return key, text


out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Folder for the suite's folder.",
)
workers_option = click.option(
    "-n", "workers", type=Workers(), default="1", show_default=True, help="Trials at once; auto: one for each CPU."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Say every phase and fault as well.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing of what passed.")
paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


def summary_of(name: str) -> str:
    """Return a command's line in `bigfive --help`."""
    return COMMANDS[name][1]


def scenario_paths(paths: Sequence[Path]) -> list[Path]:
    """Return the paths given, else ./scenarios. Raises `UsageError` where there is no such folder."""
    if not paths and not DEFAULT_FOLDER.is_dir():
        raise click.UsageError("there is no folder ./scenarios here: name scenario files or folders")
    return list(paths) or [DEFAULT_FOLDER]


def scenario_files(paths: Sequence[Path]) -> list[Path]:
    """Return the scenario files below `paths`, else below ./scenarios."""
    return sources(scenario_paths(paths))


def sweep_first() -> None:
    """Undo what killed runs have left, as every start does, and say so. Raises `UndoFailed`."""
    for undone in sweep():
        click.echo(f"bigfive: undone, left by a killed run: {undone}", err=True)
