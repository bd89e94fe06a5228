"""`bigfive list`: scenarios and the catalogue of plug-ins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import msgspec

from harness.cli._options import json_option, paths_argument, scenario_paths, summary_of
from harness.engine.suite import Selection, collect
from harness.registry import CHECKS, FAULTS, REPORTS, RUNNERS, Registry

Row = dict[str, str]


def _scenarios(paths: Sequence[Path]) -> Iterator[Row]:
    names = set()
    for candidate in collect(Selection(paths=scenario_paths(paths))):
        if candidate.name not in names:
            names.add(candidate.name)
            scenario = candidate.variant.scenario
            yield {"name": candidate.name, "summary": scenario.summary, "file": str(candidate.source)}


def _plugins(registry: Registry) -> Callable[[Sequence[Path]], Iterator[Row]]:
    def rows(paths: Sequence[Path]) -> Iterator[Row]:
        del paths
        for plugin in registry.all():
            yield {"name": plugin.kind, "summary": (inspect.getdoc(plugin) or "").partition("\n")[0]}

    return rows


NOUNS = {
    "scenarios": _scenarios,
    "faults": _plugins(FAULTS),
    "checks": _plugins(CHECKS),
    "runners": _plugins(RUNNERS),
    "reports": _plugins(REPORTS),
}


@click.command("list", short_help=summary_of("list"))
@click.argument("noun", type=click.Choice(list(NOUNS)), default="scenarios")
@paths_argument
@json_option
def command(noun: str, paths: Sequence[Path], *, as_json: bool) -> None:
    """List scenarios (below ./scenarios, or in PATHS) or the plug-ins of one NOUN.

    \b
    bigfive list
    bigfive list scenarios scenarios/negative
    bigfive list faults --json
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    rows = list(NOUNS[noun](paths))
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['summary']}")
