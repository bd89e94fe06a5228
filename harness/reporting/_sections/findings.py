"""What did not go as it should, in plain English, with the smallest command that shows it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.reporting._blocks import Finding, Findings, Prose, Section
from harness.reporting._material import Material, Told
from harness.reporting._words import SHOWN_STATUSES, duration, listed
from harness.reporting.console import plural
from harness.result import FaultResult

_SILENT = {"PASS", "SKIPPED"}  # skips are listed among the limits
_FILE = re.compile(r"^(\w+\.jsonl?)\b")
_MOST_FAULTS = 5


def build(material: Material) -> Section | None:
    """Return one finding for all trials of a scenario that came to the same, the worst first."""
    groups: dict[tuple[str, str, str], list[Told]] = {}
    for told in material.trials:
        if told.status not in _SILENT:
            groups.setdefault((told.name, told.status, _deciding(told)), []).append(told)
    if not groups:
        return None
    order = sorted(groups.items(), key=lambda item: SHOWN_STATUSES.index(item[0][1]))
    planted = [Prose("A convicted target is broken on purpose: finding it is what the trial was for.")]
    return Section(
        id="findings",
        title="Findings",
        lead="Each with the run that shows it with the fewest faults in the shortest time.",
        blocks=(
            *(planted if any(status == "CONVICTED" for _, status, _ in groups) else []),
            Findings(tuple(_finding(n, trials, material) for n, (_, trials) in enumerate(order, 1))),
        ),
        brief=True,
    )


def _deciding(told: Told) -> str:
    """Name the checks that made it what it is."""
    names = [each.check for each in told.result.checks if each.verdict.status == told.result.status]
    return ", ".join(names)


def _finding(number: int, trials: Sequence[Told], material: Material) -> Finding:
    smallest = min(trials, key=lambda told: (len(told.result.faults), told.result.duration_s, told.number))
    return Finding(
        anchor=f"f{number}",
        status=smallest.status,
        title=_title(smallest),
        sentences=tuple(_sentences(smallest, len(trials), len(material.cases[smallest.name]))),
        evidence=tuple(_evidence(smallest)),
        command=smallest.command,
        timeline=smallest.anchor,
        fix=smallest.result.fix,
        expected=smallest.status == "CONVICTED",
        source=smallest.result.source,
    )


def _title(told: Told) -> str:
    verb = {"FAIL": "failed", "CONVICTED": "was convicted", "UNKNOWN": "proved nothing"}.get(told.status, "broke off")
    checks = _deciding(told)
    return f"{told.name} {verb}" + (f": {checks}" if checks else "")


def _sentences(told: Told, count: int, total: int) -> Iterator[str]:
    result = told.result
    said = [each for each in result.checks if each.verdict.status == result.status]
    if result.faults:
        yield _faults(result.faults)
    for each in said:
        asked = each.asked if each.asked.startswith(each.check) else f"{each.check} ({each.asked})"
        yield f"Asked was {asked}; {each.verdict.summary}."
    if not said or result.status not in {"FAIL", "UNKNOWN"}:
        yield f"{result.reason.rstrip('.')}."
    if (context := _context(told)) is not None:
        yield context
    if result.left:
        yield f"Not undone: {listed(result.left)}."
    yield f"It happened in {count} of {total} trials." if total > 1 else "It was tried once."


def _faults(faults: Sequence[FaultResult]) -> str:
    injected = [_fault(fault, fault.began_s) for fault in faults if fault.began_s is not None]
    never = len(faults) - len(injected)
    said = f"The target met {listed(injected, _MOST_FAULTS)}." if injected else "No fault was injected."
    return f"{said} {plural(never, 'planned fault')} never came." if injected and never else said


def _fault(fault: FaultResult, began_s: float) -> str:
    where = f" on {fault.on}" if fault.on else ""
    held = f" to {duration(fault.undone_s)}" if fault.undone_s is not None else ""
    doubt = "" if fault.proven else ", not proven"
    return f"{fault.kind}{where} at {duration(max(began_s, 0.0))}{held}{doubt}"


def _context(told: Told) -> str | None:
    """Say how the first operation that a check names lies to the faults before it."""
    if told.story is None or not told.story.accused:
        return None
    first = told.story.accused[0]
    before = [window for window in told.story.windows if window.begin <= first.at]
    if not before:
        return f"The first operation that is named, {first.n}, was called before any fault."
    last = before[-1]
    where = f" on {last.on}" if last.on else ""
    return (
        f"The first operation that is named, {first.n}, was called {duration(first.at - last.begin)} after "
        f"{last.kind}{where}."
    )


def _evidence(told: Told) -> Iterator[tuple[str, str]]:
    for each in told.result.checks:
        if each.verdict.status == told.result.status:
            for text in each.verdict.evidence:
                named = _FILE.match(text)
                yield (told.files.get(named[1], "") if named else "", text)
