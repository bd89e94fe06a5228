"""`bigfive compare`: whether healing got slower."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec

from harness.cli import FAILED, NOTHING_PROVEN, PASSED
from harness.cli._options import json_option, summary_of
from harness.comparing import Compared, Comparison, Terms, compare
from harness.errors import ScenarioError
from harness.reporting._base import read
from harness.result import Result

_EXISTING = click.Path(exists=True, path_type=Path)


@click.command("compare", short_help=summary_of("compare"))
@click.argument("before", type=_EXISTING)
@click.argument("after", type=_EXISTING)
@click.option("--gate", is_flag=True, help="Exit with 1 on a regression, with 5 where nothing can be told.")
@click.option(
    "--threshold",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    metavar="PERCENT",
    help="Differences of the medians up to this are no change.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(min=0.0001, max=0.5),
    default=0.05,
    show_default=True,
    help="Chance of seeing a change where there is none.",
)
@json_option
def command(before: Path, after: Path, threshold: float, alpha: float, *, gate: bool, as_json: bool) -> int:
    """Compare the recovery times, and the verdicts, of BEFORE and AFTER.

    Each is a suite's folder, or a folder of many suites, which are taken together. A case counts as slower only if a
    rank test says that chance does not explain it and its median is beyond the threshold; all cases together are
    tested as well. With too few runs the answer is "cannot tell": `bigfive run --repeat 8` gives enough.

    \b
    bigfive compare reports/20261121T020000Z-1a2b3c4d reports/latest
    bigfive compare nights/last-month nights/this-week --gate
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    found = compare(_results(before), _results(after), Terms(alpha=alpha, threshold=threshold / 100))
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        for line in _lines(found):
            click.echo(line)
    if not gate:
        return PASSED
    if found.regressed:
        return FAILED
    return PASSED if found.told else NOTHING_PROVEN


def _results(path: Path) -> list[Result]:
    """Return the results of the suite at `path`, or of all suites right below it. Raises `ScenarioError`."""
    files = [path] if path.is_file() else [path / "suite.json"]
    if not files[0].is_file():
        below = {file.parent.resolve(): file for file in sorted(path.glob("*/suite.json"))}  # `latest` is one of them
        files = list(below.values())
    if not files:
        raise ScenarioError(f"{path} is no suite, and there is none right below it: no suite.json")
    return [result for file in files for result in read(file).results]


def _lines(found: Comparison) -> Iterator[str]:
    rows = [*found.cases, *filter(None, [found.overall])]
    if rows:
        width = max(len(row.case) for row in rows)
        yield f"{'':{width}}    before     after   ratio      p  runs"
        yield from (_row(row, width) for row in rows)
    else:
        yield "no case has recovery times on both sides"
    for worse in found.worsened:
        yield f"{worse.case} passed before; now {worse.status} {worse.count} of {worse.total}"
    yield from _missing("before", found.only_before)
    yield from _missing("after", found.only_after)
    yield _verdict(found)


def _row(row: Compared, width: int) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    p = "" if row.p is None else f"{row.p:.3f}"
    numbers = f"{_ms(row.before_ms):>10}{_ms(row.after_ms):>10}{ratio:>8}{p:>7}"
    return f"{row.case:{width}}{numbers}  {row.runs[0]}+{row.runs[1]}  {row.change}: {row.reason}"


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} ms"


def _missing(side: str, cases: Iterable[str]) -> Iterator[str]:
    if cases:
        yield f"only {side}: {', '.join(cases)}"


def _verdict(found: Comparison) -> str:
    if found.regressed:
        return "REGRESSED"
    return "no regression" if found.told else "CANNOT TELL: too few runs on both sides (bigfive run --repeat 8)"
