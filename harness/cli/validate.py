"""`bigfive validate`: all mistakes of all files at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli import MISUSED, NOTHING_PROVEN, PASSED
from harness.cli._options import paths_argument, scenario_files, summary_of
from harness.errors import ScenarioError
from harness.scenario.load import load


@click.command("validate", short_help=summary_of("validate"))
@paths_argument
def command(paths: Sequence[Path]) -> int:
    """Check the scenarios in PATHS (./scenarios if none is named) without running or importing anything of theirs.

    Every mistake of every file is one line `file:line:column: where: what`. The exit status is 4 if there is any.
    """
    files = scenario_files(paths)
    valid = [_valid(file) for file in files]
    click.echo(f"{sum(valid)} of {len(files)} scenario files are valid", err=not all(valid))
    if not files:
        return NOTHING_PROVEN
    return PASSED if all(valid) else MISUSED


def _valid(file: Path) -> bool:
    try:
        load(file, {})
    except ScenarioError as error:
        click.echo(str(error))
        return False
    return True
