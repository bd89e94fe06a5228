"""Verdict and numbers of each feature: the acceptance criteria with their evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from harness.reporting._blocks import Criterion, Feature, Features, Prose, Section
from harness.reporting._material import Material, Told
from harness.reporting._words import listed, measurement, merged, worst
from harness.reporting.console import plural
from harness.result import Judged

FEATURES = ("locking", "resources", "state", "network", "mcp_tools")
GROUNDS = ("faults", "workload")
"""What every verdict stands on; the engine adds these to the checks that a scenario asks for."""
_MOST_NUMBERS = 4
_SHOWN_ELSEWHERE = {"budget_ms", "first_success_ms"}  # as the meter, and as the recovery time


def build(material: Material) -> Section | None:
    """Return a card for each feature that has trials, and name those that have none."""
    by_feature: dict[str, list[Told]] = {}
    for told in material.trials:
        by_feature.setdefault(told.result.feature or "unnamed", []).append(told)
    if not by_feature:
        return None
    names = [*(name for name in FEATURES if name in by_feature), *(name for name in by_feature if name not in FEATURES)]
    absent = [name for name in FEATURES if name not in by_feature]
    note = Prose(f"Not exercised here: {listed(absent)}.") if absent else None
    return Section(
        id="features",
        title="Features",
        lead="What was asked of each feature, and what was measured over all of its trials.",
        blocks=tuple(filter(None, (Features(tuple(_card(name, by_feature[name]) for name in names)), note))),
        brief=True,
    )


def _card(name: str, trials: Sequence[Told]) -> Feature:
    statuses = Counter(told.status for told in trials)
    asked = _asked_of([told for told in trials if not told.result.convicts])
    planted = [told.status for told in trials if told.result.convicts]
    return Feature(
        name=name,
        status=worst(_told_apart(statuses)),
        count=f"{plural(len(trials), 'trial')}: "
        + ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())),
        criteria=tuple(_criterion(pairs) for (check, _), pairs in asked.items() if check not in GROUNDS),
        grounds=tuple(_criterion(pairs) for (check, _), pairs in asked.items() if check in GROUNDS),
        planted=f"{planted.count('CONVICTED')} of {plural(len(planted), 'trial')} with a planted bug convicted it"
        if planted
        else "",
    )


def _asked_of(trials: Sequence[Told]) -> dict[tuple[str, str], list[tuple[Told, Judged]]]:
    """Bring together what was asked in the same words. Planted bugs are left out: they are not the feature."""
    asked: dict[tuple[str, str], list[tuple[Told, Judged]]] = {}
    for told in trials:
        for judged in told.result.checks:
            asked.setdefault((judged.check, judged.asked), []).append((told, judged))
    return asked


def _told_apart(statuses: Counter[str]) -> Iterator[str]:
    """A skip decides only where nothing ran: it is listed among the limits."""
    ran = [status for status in statuses if status != "SKIPPED"]
    yield from ran or ["SKIPPED"]


def _criterion(pairs: Sequence[tuple[Told, Judged]]) -> Criterion:
    statuses: list[str] = [judged.verdict.status for _, judged in pairs]
    status = worst(statuses)
    told, judged = _telling([pair for pair, each in zip(pairs, statuses, strict=True) if each == status])
    numbers = merged(judged.verdict.numbers for _, judged in pairs)
    return Criterion(
        status=status,
        asked=_asked(judged),
        count=f"{statuses.count(status)} of {len(pairs)}",
        measured=" · ".join(_measured(numbers)),
        said=judged.verdict.summary,
        href=f"#{told.anchor}",
        meter=_meter(numbers),
    )


def _telling(pairs: Sequence[tuple[Told, Judged]]) -> tuple[Told, Judged]:
    """Return the pair that took longest, else the first: a criterion is as good as its worst trial."""
    return max(pairs, key=lambda pair: _slowest(pair[1].verdict.numbers))


def _slowest(numbers: Mapping[str, float]) -> float:
    return max((value for name, value in numbers.items() if name.endswith("_ms") and name != "budget_ms"), default=0.0)


def _asked(judged: Judged) -> str:
    return judged.asked if judged.asked.startswith(judged.check) else f"{judged.check}: {judged.asked}"


def _measured(numbers: dict[str, float]) -> Iterator[str]:
    measured = [(name, value) for name, value in numbers.items() if name not in _SHOWN_ELSEWHERE]
    yield from (measurement(name, value) for name, value in measured[:_MOST_NUMBERS])


def _meter(numbers: dict[str, float]) -> float | None:
    """Return the share of its budget that the slowest trial has used."""
    budget, used = numbers.get("budget_ms"), numbers.get("recovery_ms")
    return used / budget if budget and used is not None else None
