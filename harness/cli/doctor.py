"""`bigfive doctor`: the table of capabilities."""

from __future__ import annotations

import click
import msgspec

from harness.cli import NOTHING_PROVEN, PASSED
from harness.cli._options import json_option, summary_of
from harness.doctor import Finding, examine


@click.command("doctor", short_help=summary_of("doctor"))
@json_option
def command(*, as_json: bool) -> int:
    """Show what this machine can do, what each capability is for, and one line that gets what is missing.

    Scenarios that need a missing capability are skipped. The exit status is 0 unless one is missing that every run
    needs; then it is 5, as nothing can be proven here.
    """
    findings = list(examine())
    if as_json:
        click.echo(msgspec.json.encode([_data(finding) for finding in findings]))
    else:
        for finding in findings:
            _show(finding)
    return NOTHING_PROVEN if any(_blocking(finding) for finding in findings) else PASSED


def _blocking(finding: Finding) -> bool:
    return finding.capability.required and not finding.ok


def _show(finding: Finding) -> None:
    mark = "ok     " if finding.ok else "MISSING" if _blocking(finding) else "missing"
    click.echo(f"{mark}  {finding.capability.name:<17} {finding.detail}")
    if not finding.ok:
        click.echo(f"{'':<27}needed for {finding.capability.why}")
        click.echo(f"{'':<27}fix: {finding.capability.fix}")


def _data(finding: Finding) -> dict[str, object]:
    capability = finding.capability
    return {
        "name": capability.name,
        "ok": finding.ok,
        "detail": finding.detail,
        "why": capability.why,
        "fix": capability.fix,
        "required": capability.required,
    }
