"""Every trial as a picture: operations, faults, recoveries, probes and events on one axis of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.reporting._blocks import ScenarioCard, Section, Timelines, TrialCard
from harness.reporting._material import Material, Told
from harness.reporting._words import count, duration, worst
from harness.reporting.console import plural
from harness.result import Result

LEAD = "Zero is the start of the workload. Shaded is what was broken; rest the pointer on anything to read what it was."
_OPENED = 12  # pages of no more trials show all pictures at once
_BRIEF = 40  # pages of more trials say less about those that passed
_BRIEF_LINKS = {"", "result.json", "history.jsonl"}


def build(material: Material) -> Section | None:
    """Return the trials by scenario; those that did not pass are open, on a short page all of them."""
    if not material.trials:
        return None
    total = len(material.trials)
    return Section(
        id="timelines",
        title="Timelines",
        lead=LEAD,
        blocks=(Timelines(tuple(_scenario(name, trials, total) for name, trials in material.cases.items())),),
    )


def _scenario(name: str, trials: Sequence[Told], total: int) -> ScenarioCard:
    counts = Counter(told.status for told in trials)
    status = worst(counts)
    return ScenarioCard(
        title=name,
        summary=trials[0].result.summary,
        status=status,
        count=f"{counts[status]} of {len(trials)}",
        trials=tuple(_trial(told, total) for told in trials),
    )


def _trial(told: Told, total: int) -> TrialCard:
    result = told.result
    brief = total > _BRIEF and told.status == "PASS"
    return TrialCard(
        anchor=told.anchor,
        title=result.id,
        status=told.status,
        opened=total <= _OPENED or told.status not in {"PASS", "SKIPPED"},
        brief=brief,
        line=_line(result, brief=brief),
        checks=() if brief else tuple(_checks(result)),
        links=tuple((name or "folder", href) for name, href in told.files.items() if not brief or name in _BRIEF_LINKS),
        command=told.command,
        story=told.story,
        note=told.unread,
    )


def _line(result: Result, *, brief: bool) -> str:
    operations = plural(sum(result.operations.values()), "operation")
    outcomes = ", ".join(f"{count(number)} {outcome}" for outcome, number in result.operations.items())
    more = result.reason if brief else outcomes
    return " · ".join(filter(None, [duration(result.duration_s), operations, more]))


def _checks(result: Result) -> Iterator[tuple[str, str, str]]:
    yield from ((each.verdict.status, each.asked, each.verdict.summary) for each in result.checks)
    if not result.checks:
        yield result.status, "", result.reason
