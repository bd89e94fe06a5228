"""`bigfive sweep`: the last line of defence of "nothing broken stays broken"."""

from __future__ import annotations

import click

from harness.cli import PASSED
from harness.cli._options import summary_of
from harness.undo import sweep


@click.command("sweep", short_help=summary_of("sweep"))
@click.option(
    "--engine", is_flag=True, help="Also what owners whose undo log is lost have left in the container engine."
)
def command(*, engine: bool) -> int:
    """Undo what killed runs have left behind, their guardians included.

    Runs that are still going on are left alone. Every `bigfive run` does this first; the exit status is 3 if something
    could not be undone, and the message says how to do it by hand.
    """
    undone = [*sweep(), *(_orphans() if engine else ())]
    for what in undone:
        click.echo(f"undone: {what}")
    if not undone:
        click.echo("nothing was left")
    return PASSED


def _orphans() -> list[str]:
    """Remove what is in the engine of owners on this machine that live no more."""
    from harness.containers.engine import Engine  # noqa: PLC0415  the SDK costs 200 ms

    with Engine.connect() as engine:
        return [f"{found.label}: {found}" for found in engine.remove_all(engine.orphans())]
