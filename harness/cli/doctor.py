"""`bigfive doctor`: the table of capabilities, and what gets the missing ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
import msgspec

from harness.cli import BROKEN, NOTHING_PROVEN, PASSED
from harness.cli._options import json_option, summary_of
from harness.doctor import CAPABILITIES, Capability, Finding, examine_again
from harness.errors import EngineFailed, EnvironmentLacks
from harness.fixes import FIXES, Machine, Step, Tell, chosen, plan, take
from harness.reporting._terminal import interactive


class _Name(click.ParamType[str]):
    """A capability's name, completed by the shell."""

    name = "NAME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        return click.Choice(list(CAPABILITIES)).convert(value, param, ctx)


@click.command("doctor", short_help=summary_of("doctor"))
@click.argument("names", nargs=-1, type=_Name())
@click.option("--fix", is_flag=True, help="Get what is missing: print the steps, ask, take them, look again.")
@click.option("-y", "--yes", is_flag=True, help="With --fix: do not ask.")
@click.option(
    "--private-engine", "private", is_flag=True, help="Prove that an engine of our own comes, works and goes."
)
@json_option
def command(*, names: Sequence[str], fix: bool, yes: bool, private: bool, as_json: bool) -> int:
    """Show what this machine can do, what each capability is for, and one line that gets what is missing.

    Scenarios that need a missing capability are skipped. The exit status is 0 unless one is missing that every run
    needs; then it is 5, as nothing can be proven here. NAMEs narrow it down to some capabilities.

    With --fix, on Debian and Ubuntu and as root, it installs, starts and makes what is missing (the NAMEs, else all
    that it knows how to get). The exit status is then 0 if everything is there, 2 if you said no, 3 if something is
    still missing, 5 where it cannot help; then it says what to do by hand.
    """
    if private:
        return _prove_private_engine()
    if fix:
        return _fix(names, ask=not yes)
    findings = examine_again([CAPABILITIES[name] for name in names or CAPABILITIES])
    if as_json:
        click.echo(msgspec.json.encode([_data(finding) for finding in findings]))
    else:
        for finding in findings:
            _show(finding)
    return NOTHING_PROVEN if any(_blocking(finding) for finding in findings) else PASSED


def _fix(names: Sequence[str], *, ask: bool) -> int:
    capabilities = chosen(names)
    lacking = [finding for finding in examine_again(capabilities) if not finding.ok]
    if not lacking:
        click.echo("nothing is missing")
        return PASSED
    for finding in lacking:
        if finding.capability.name not in FIXES:
            raise finding.raised()
    machine = Machine.here()
    missing = [finding.capability for finding in lacking]
    if refusal := machine.refusal(missing):
        raise refusal
    steps = plan([capability.name for capability in missing], machine)
    _announce(missing, machine, steps)
    if ask:
        click.confirm("Take these steps?", abort=True)
    for number, step in enumerate(steps, 1):
        click.echo(f"{number}/{len(steps)}  {step}")
        _take(step)
    return _verdict(capabilities)


def _take(step: Step) -> None:
    """Take a step; if it fails, say so: the ones after it may well be about something else."""
    try:
        with _progress() as tell:
            take(step, tell)
    except (EnvironmentLacks, EngineFailed) as error:
        click.echo(f"bigfive: {error}", err=True)


def _announce(missing: Sequence[Capability], machine: Machine, steps: Sequence[Step]) -> None:
    names = ", ".join(capability.name for capability in missing)
    click.echo(f"missing on {machine.name}: {names}. What gets them:")
    for number, step in enumerate(steps, 1):
        click.echo(f"{number:>4}  {step}")


def _verdict(capabilities: Sequence[Capability]) -> int:
    findings = examine_again(capabilities)
    for finding in findings:
        _show(finding)
    return PASSED if all(finding.ok for finding in findings) else BROKEN


@contextmanager
def _progress() -> Iterator[Tell]:
    """Draw a bar where somebody watches; elsewhere the steps are enough."""
    if not interactive():
        yield lambda _what, _part: None
        return
    from rich.progress import Progress  # noqa: PLC0415  rich costs 100 ms: only where it draws

    with Progress(transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, part: bar.update(task, description=what[:60], completed=part)


def _prove_private_engine() -> int:
    from harness.containers.private import prove  # noqa: PLC0415  brings the SDK

    prove(click.echo)
    return PASSED


def _blocking(finding: Finding) -> bool:
    return finding.capability.required and not finding.ok


def _show(finding: Finding) -> None:
    mark = "ok     " if finding.ok else "MISSING" if _blocking(finding) else "missing"
    click.echo(f"{mark}  {finding.capability.name:<17} {finding.detail}")
    if not finding.ok:
        click.echo(f"{'':<27}needed for {finding.capability.why}")
        click.echo(f"{'':<27}fix: {_hint(finding.capability)}")


def _hint(capability: Capability) -> str:
    ours = f"bigfive doctor --fix {capability.name}"
    return capability.fix if capability.name not in FIXES or capability.fix == ours else f"{ours}; or {capability.fix}"


def _data(finding: Finding) -> dict[str, object]:
    capability = finding.capability
    return {
        "name": capability.name,
        "ok": finding.ok,
        "detail": finding.detail,
        "why": capability.why,
        "fix": _hint(capability),
        "required": capability.required,
    }
