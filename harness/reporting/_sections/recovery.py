"""How long recoveries took, by kind of fault, against the budget."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from harness.reporting._blocks import Block, Cell, Column, Distribution, Section, Spread, Table
from harness.reporting._material import Material
from harness.reporting._story import Recovered
from harness.reporting._words import NOTHING, duration, percentile
from harness.result import Result

LEAD = (
    "Time from a fault to the first of the good probes that follow; for a fault that lasts, from its undo. "
    "It counts only where somebody noticed the damage. "
    "A recovery that never came counts as longer than any other, so percentiles are not flattered by it."
)
_NEVER = float("inf")


def build(material: Material) -> Section | None:
    """Return the distribution over all trials that were asked to recover within a budget."""
    asked = [(told, story) for told, story in material.stories if _asked(told.result)]
    found: dict[str, list[tuple[Recovered, float | None]]] = {}
    for told, story in asked:
        for each in story.recoveries:
            found.setdefault(each.kind, []).append((each, _budget(told.result)))
    if not found:
        return None
    spreads = tuple(_spread(kind, pairs) for kind, pairs in sorted(found.items()))
    low, high = _axis(spreads)
    blocks: tuple[Block, ...] = (Distribution(spreads, low, high), _table(found, spreads))
    return Section(id="recovery", title="Recovery time", lead=LEAD, blocks=blocks, brief=True)


def _budget(result: Result) -> float | None:
    numbers = (judged.verdict.numbers for judged in result.checks if judged.check == "recovered_within")
    return next((each["budget_ms"] / 1000 for each in numbers if "budget_ms" in each), None)


def _asked(result: Result) -> bool:
    """A target that is broken on purpose says nothing about how fast one recovers."""
    return _budget(result) is not None and not result.convicts


def _spread(kind: str, pairs: Sequence[tuple[Recovered, float | None]]) -> Spread:
    noticed = [each for each, _ in pairs if each.noticed is not None]
    times = sorted(each.took_s for each in noticed if each.took_s is not None)
    return Spread(
        name=kind,
        budget_s=min((budget for _, budget in pairs if budget is not None), default=None),
        times_s=tuple(times),
        never=len(noticed) - len(times),
        unnoticed=len(pairs) - len(noticed),
    )


def _axis(spreads: Iterable[Spread]) -> tuple[float, float]:
    """Return whole powers of ten around everything that is drawn."""
    values = [value for each in spreads for value in (*each.times_s, each.budget_s) if value]
    low, high = min(values, default=0.01), max(values, default=10.0)
    return min(_power(low, up=False), 0.1), max(_power(high, up=True), 1.0)


def _power(value: float, *, up: bool) -> float:
    exponent = int(re.sub(r".*e", "", f"{value:e}"))
    power: float = 10.0**exponent
    return power * 10 if up and power < value else power


def _table(found: dict[str, list[tuple[Recovered, float | None]]], spreads: Sequence[Spread]) -> Table:
    numbers = ("n", "budget", "p50", "p95", "max", "never", "unnoticed", "median detect", "restart", "restore")
    return Table(
        caption="Recovery time by kind of fault",
        columns=(Column("fault"), *(Column(title, number=True) for title in numbers)),
        rows=tuple(tuple(_cells(spread, [each for each, _ in found[spread.name]])) for spread in spreads),
    )


def _cells(spread: Spread, back: Sequence[Recovered]) -> Iterator[Cell]:
    ranked = [*spread.times_s, *([_NEVER] * spread.never)]
    budget = spread.budget_s
    yield Cell(text=spread.name, code=True)
    yield Cell(text=str(len(ranked)))
    yield Cell(text="none" if budget is None else duration(budget))
    for share in (0.5, 0.95, 1.0):
        time = percentile(ranked, share) if ranked else None
        late = time is not None and budget is not None and time > budget
        yield Cell(text=_time(time), status="FAIL" if late else "")
    yield Cell(text=str(spread.never), status="FAIL" if spread.never else "")
    yield Cell(text=str(spread.unnoticed), status="UNKNOWN" if spread.unnoticed else "")
    stages = (
        [each.noticed - each.injected for each in back if each.noticed is not None],
        [each.restarted - each.began for each in back if each.restarted is not None],
        [each.restored - each.began for each in back if each.restored is not None],
    )
    for times in stages:
        yield Cell(text=_time(percentile(sorted(times), 0.5) if times else None))


def _time(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "never" if value == _NEVER else duration(value)
