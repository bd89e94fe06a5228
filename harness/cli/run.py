"""`bigfive run`: select trials, run them, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from harness import seeds
from harness.cli import PASSED
from harness.cli._options import (
    Assignment,
    Duration,
    Part,
    json_option,
    out_option,
    paths_argument,
    quiet_option,
    scenario_paths,
    summary_of,
    sweep_first,
    verbose_option,
    workers_option,
)
from harness.cli._suite import Manner, run_suite
from harness.engine.schedule import plan
from harness.engine.sharding import Shard
from harness.engine.suite import Candidate, Selection, SuiteFolder, Terms, collect
from harness.reporting.console import plural
from harness.statuses import Outcome, exit_status


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything on the command line of `bigfive run`."""

    paths: Sequence[Path]
    tags: Sequence[str]
    expression: str
    params: Sequence[tuple[str, str]]
    repeat: int | None
    shard: Shard | None
    seed: int | None
    workers: int
    fail_fast: bool
    timeout: float | None
    require_all: bool
    allow: tuple[str, ...]
    keep: bool
    out: Path
    dry_run: bool
    as_json: bool
    verbose: bool
    quiet: bool

    def selection(self) -> Selection:
        """Return which trials are wanted."""
        return Selection(
            paths=scenario_paths(self.paths),
            tags=self.tags,
            expression=self.expression,
            params=dict(self.params),
            repeat=self.repeat,
        )

    def terms(self) -> Terms:
        """Return what all trials have in common, with a fresh root seed unless one is given."""
        return Terms(
            root_seed=seeds.fresh_root() if self.seed is None else self.seed,
            allow=self.allow,
            require_all=self.require_all,
            timeout_s=None if self.timeout is None else float(self.timeout),  # plain, for the record
            keep=self.keep,
        )

    def manner(self) -> Manner:
        """Return how the suite is run and shown."""
        return Manner(
            workers=self.workers,
            fail_fast=self.fail_fast,
            as_json=self.as_json,
            verbose=self.verbose,
            quiet=self.quiet,
        )


@click.command("run", short_help=summary_of("run"))
@paths_argument
@click.option("-t", "--tag", "tags", multiple=True, help="Only scenarios with this tag; several: any of them.")
@click.option(
    "-k", "expression", default="", help="Only trials whose scenario[variant] contains this: 'flip and not big'."
)
@click.option("-p", "params", type=Assignment(), multiple=True, help="Set a parameter of the scenarios.")
@click.option("--repeat", type=click.IntRange(min=1), help="Trials of each variant, instead of what the scenario says.")
@click.option("--shard", type=Part(), help="Only part K of N of the trials; each is in one part, whatever is selected.")
@click.option("--seed", type=click.IntRange(min=0), help="Root seed; drawn, printed and stored if not given.")
@workers_option
@click.option("-x", "--fail-fast", is_flag=True, help="Start no further trial once one did not pass.")
@click.option("--timeout", type=Duration(), help="Timeout of every trial, instead of what the scenario says.")
@click.option("--require-all", is_flag=True, help="A skipped trial proves nothing: exit status 5.")
@click.option("--allow", type=click.Choice(["host"]), multiple=True, help="Let faults reach what no run has made.")
@click.option("--keep", is_flag=True, help="Keep the target's folder for a look at it.")
@out_option
@click.option("--dry-run", is_flag=True, help="Print the plan of every trial and run nothing.")
@json_option
@verbose_option
@quiet_option
def command(**options: Any) -> int:  # noqa: ANN401  click passes what the decorators say
    """Run the scenarios in PATHS (files or folders; ./scenarios if none is named) and judge them.

    A folder called `negative` is left out unless it is named. The exit status is 0 only if everything that was asked
    has been shown; `bigfive explain exit-status` has the others.

    \b
    bigfive run scenarios/state -n auto              as many trials at once as there are CPUs
    bigfive run -t smoke -k 'flip and not journal'   by tag, and by name
    bigfive run a.yaml --repeat 20 -x                until it fails, at most 20 times
    bigfive run --shard 2/4 --seed 7                 the second of four machines
    bigfive run a.yaml -p bits=3 --seed 7 --dry-run  what would happen, and when
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    chosen = Options(**options)
    selected = collect(chosen.selection())
    candidates = [each for each in selected if chosen.shard is None or each.within(chosen.shard)]
    if selected and not candidates:  # the other parts have it all: nothing was asked of this one
        click.echo(f"shard {chosen.shard} has none of the {plural(len(selected), 'trial')}", err=True)
        return PASSED
    if chosen.dry_run:
        return _dry_run(chosen, candidates)
    sweep_first()
    terms = chosen.terms()
    folder = SuiteFolder.create(chosen.out)
    runs = [folder.prepare(candidate, terms) for candidate in candidates]
    return run_suite(folder, runs, terms, chosen.manner()).exit_status.code


def _dry_run(chosen: Options, candidates: Sequence[Candidate]) -> int:
    root = chosen.terms().root_seed
    click.echo(f"{plural(len(candidates), 'trial')}, root seed {root}", err=chosen.as_json)
    for candidate in candidates:
        planned = plan(candidate.variant.scenario, candidate.seed(root))
        if chosen.as_json:
            click.echo(msgspec.json.encode({"trial": candidate.id, "plan": planned}))
        else:
            click.echo("\n    ".join([f"{candidate.id}  (seed {planned.seed})", *map(str, planned.steps)]))
    return PASSED if candidates else exit_status(Outcome()).code
