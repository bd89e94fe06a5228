"""`bigfive report`: the page again, from folders of today or of last year; several suites become one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli._options import summary_of
from harness.errors import ScenarioError
from harness.reporting import _code, html, markdown
from harness.reporting._base import read
from harness.reporting._material import Source, gather
from harness.reporting._page import build

LATEST = Path("reports/latest")
JOINED = "joined"


@click.command("report", short_help=summary_of("report"))
@click.argument("suites", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--coverage",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Output of `coverage json`: adds the line and branch coverage of each feature's code.",
)
@click.option(
    "-o",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the page; the suite's own, or `joined` beside the first of several.",
)
def command(suites: Sequence[Path], out: Path | None, coverage: Path | None, *, show: bool) -> None:
    """Write index.html and summary.md again from the folders SUITES; without any, from reports/latest.

    Several suites become one page: nights, shards, or positive and negative scenarios. Their evidence stays where it
    is, and the page links to it. Nothing is judged again. The exit status says whether the page was written, not what
    is on it.

    \b
    bigfive report --open                                  the newest suite, in a browser
    bigfive report reports/2026* -o public                 many suites on one page
    bigfive report --coverage coverage.json                with the code coverage of targets/
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    found = [_source(path) for path in suites or [_latest()]]
    sources = list({source.folder.resolve(): source for source in found}.values())  # `*` names the latest one twice
    folder = out or (sources[0].folder if len(sources) == 1 else sources[0].folder.parent / JOINED)
    folder.mkdir(parents=True, exist_ok=True)
    code = _code.read(coverage) if coverage else None
    page = build(gather(sources, folder, code=code))
    path = html.write(page, folder)
    click.echo(f"{path}\n{markdown.write(page, folder)}")
    if show:
        _open(path)


def _latest() -> Path:
    if not LATEST.is_dir():
        raise click.UsageError(f"there is no {LATEST} here: name the folders of suites")
    return LATEST


def _source(path: Path) -> Source:
    """Return the suite in a folder, or of a `suite.json`. `latest` is followed: replay commands must stay true."""
    folder = path.parent if path.name == "suite.json" else path
    if folder.is_symlink():
        folder = folder.parent / folder.readlink()
    if not (folder / "suite.json").is_file():
        raise ScenarioError(f"{path} is no suite: it has no suite.json (the folders in reports/ have one)")
    return Source(read(folder / "suite.json"), folder)


def _open(page: Path) -> None:
    import webbrowser  # noqa: PLC0415  needed only here

    if not webbrowser.open(page.resolve().as_uri()):
        click.echo("there is no browser to open it in", err=True)
