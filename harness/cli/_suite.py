"""Run prepared trials under the eyes of the user: what `run` and `replay` have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
import msgspec

from harness.engine.pool import Pool, Run
from harness.engine.suite import SuiteFolder, Terms
from harness.reporting._base import Suite
from harness.reporting._hush import hush
from harness.reporting._terminal import Lines, coloured, interactive, paint
from harness.reporting.console import plural, summary
from harness.reporting.github import annotate


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a suite is run and shown, whatever it consists of. With `as_json` all lines go to standard error."""

    workers: int = 1
    fail_fast: bool = False
    as_json: bool = False
    verbose: bool = False
    quiet: bool = False

    @property
    def verbosity(self) -> int:
        """1, 0 or -1."""
        return int(self.verbose) - int(self.quiet)

    def say(self, line: str) -> None:
        """Write a line for people. If nobody reads it, the suite goes on: its reports are wanted all the same."""
        try:
            click.echo(paint(line) if coloured() else line, err=self.as_json, color=coloured())
        except OSError:
            hush(sys.stderr if self.as_json else sys.stdout)


def run_suite(folder: SuiteFolder, runs: Sequence[Run], terms: Terms, manner: Manner) -> Suite:
    """Run the trials, say what happens and what they came to, and return it."""
    manner.say(f"{plural(len(runs), 'trial')}, root seed {terms.root_seed}, report in {folder.path}")
    with _watching(folder, len(runs), manner) as watcher:
        pool = Pool(manner.workers, watcher, fail_fast=manner.fail_fast)
        suite = folder.execute(runs, pool, terms)
    manner.say("")
    for line in summary(suite, folder.path):
        manner.say(line)
    for line in annotate(suite) if os.environ.get("GITHUB_ACTIONS") == "true" else ():
        manner.say(line)
    if manner.as_json:
        click.echo(msgspec.json.encode(suite))
    return suite


@contextmanager
def _watching(folder: SuiteFolder, total: int, manner: Manner) -> Iterator[Lines]:
    if not interactive() or manner.quiet or manner.as_json:
        yield Lines(folder, total, manner.say, manner.verbosity)
        return
    from harness.reporting._live import live_view  # noqa: PLC0415  rich costs 100 ms: only where it draws

    with live_view(folder, total, manner.verbosity) as view:
        yield view
