"""`bigfive adapter check`: tell the author of an adapter what is missing."""

from __future__ import annotations

from pathlib import Path

import click

from harness.adapter import Launch
from harness.adapter_check import Step, check
from harness.cli import FAILED, NOTHING_PROVEN, PASSED
from harness.cli._options import summary_of
from harness.reporting._terminal import coloured, paint


@click.group("adapter", short_help=summary_of("adapter"))
def command() -> None:
    """Help authors of adapters. The protocol is described by `python -m pydoc harness.wire`."""


@command.command("check", context_settings={"ignore_unknown_options": True})
@click.argument("adapter", nargs=-1, required=True, type=click.UNPROCESSED)
def check_command(adapter: tuple[str, ...]) -> int:
    """Speak with ADAPTER in every role and say what it does not do, or does wrong.

    ADAPTER is a command, or a Python object as in a scenario's `target`. The exit status is 1 if a step failed.

    \b
    bigfive adapter check node adapter.js
    bigfive adapter check targets.state:adapter
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    steps = check(_launch(adapter), _show)
    statuses = {step.status for step in steps}
    if "FAIL" in statuses:
        return FAILED
    return PASSED if "PASS" in statuses else NOTHING_PROVEN


def _launch(adapter: tuple[str, ...]) -> Launch:
    """Start it here; a single word with a colon is a Python object."""
    here = Path.cwd()
    return Launch.python(adapter[0], here, {}) if len(adapter) == 1 and ":" in adapter[0] else Launch(adapter, here)


def _show(step: Step) -> None:
    line = f"{step.status} {step.name}" + (f": {step.detail}" if step.detail else "")
    click.echo(paint(line) if coloured() else line, color=coloured())
