"""`bigfive prune`: make room."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from harness.cli import PASSED
from harness.cli._options import summary_of
from harness.engine.pruning import Aged, Policy, aged, remains, remove
from harness.reporting.console import plural

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_STEP = 1000


class Age(click.ParamType[timedelta]):
    """An age in hours, days or weeks."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401
        """Return the age."""
        match = re.fullmatch(r"(\d{1,5})\s*([hdw])", str(value))
        if match is None:
            self.fail(f"{value!r}: expected hours, days or weeks such as 12h, 14d, 8w", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


@click.command("prune", short_help=summary_of("prune"))
@click.option("--keep", type=click.IntRange(min=1), help="Remove all suites but the newest N.", metavar="N")
@click.option("--older-than", type=Age(), help="Remove the suites that began longer ago: 12h, 14d, 8w.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Folder of the suites' folders.",
)
@click.option("--failed-too", is_flag=True, help="Remove suites with failures as well.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
def command(keep: int | None, older_than: timedelta | None, out: Path, *, failed_too: bool, dry_run: bool) -> int:
    """Remove old suites from the reports folder, and say what that frees.

    The newest one stays whatever is said, and so does any that runs or is still to be undone; suites with failures, or
    cut short, stay unless --failed-too is given. What else is in the folder is left alone.

    \b
    bigfive prune --keep 20 --dry-run
    bigfive prune --older-than 14d --failed-too
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    if (keep is None) == (older_than is None):
        raise click.UsageError("say what is old: either --keep N or --older-than AGE")
    old = aged(out, Policy(keep=keep, older_than=older_than, failed_too=failed_too))
    gone = [suite for suite in old if not suite.reason]
    freed = 0
    for suite in old:
        freed += _one(suite, dry_run=dry_run)
    for path in () if dry_run else remains(out):
        shutil.rmtree(path, ignore_errors=True)
    stays = f", {plural(len(old) - len(gone), 'old one')} kept" if len(old) > len(gone) else ""
    verb = "would be removed" if dry_run else "removed"
    click.echo(f"{plural(len(gone), 'suite')} {verb}, {_size(freed)} {'to free' if dry_run else 'freed'}{stays}")
    return PASSED


def _one(suite: Aged, *, dry_run: bool) -> int:
    """Remove a suite, or say why it stays; return the bytes that it took."""
    if suite.reason:
        click.echo(f"kept     {suite.path}  {suite.reason}")
        return 0
    size = suite.size
    if not dry_run:
        remove(suite)
    click.echo(f"{'old' if dry_run else 'removed':<8} {suite.path}  {_size(size)}")
    return size


def _size(number: float) -> str:
    """Return `812 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if number < _STEP:
            return f"{number:.3g} {unit}"
        number /= _STEP
    return f"{number:.3g} GB"
