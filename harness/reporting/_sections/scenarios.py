"""All scenarios in one table: how often each came to what, and how much was done meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from harness.reporting._blocks import Cell, Column, Section, Table
from harness.reporting._material import Material, Told
from harness.reporting._words import count, duration, worst


def build(material: Material) -> Section | None:
    """Return the table."""
    if not material.cases:
        return None
    columns = ("verdict", "scenario", "feature")
    numbers = ("trials", "took", "operations", "faults proven")
    return Section(
        id="scenarios",
        title="Scenarios",
        lead="The verdict of a scenario is that of its worst trial.",
        blocks=(
            Table(
                caption="Scenarios",
                columns=(*map(Column, columns), *(Column(title, number=True) for title in numbers)),
                rows=tuple(_row(name, trials) for name, trials in material.cases.items()),
                filters=True,
            ),
        ),
        brief=True,
    )


def _row(name: str, trials: Sequence[Told]) -> tuple[Cell, ...]:
    status = worst(told.status for told in trials)
    of = sum(told.status == status for told in trials)
    first = next(told for told in trials if told.status == status)
    faults = [fault for told in trials for fault in told.result.faults]
    operations = sum(sum(told.result.operations.values()) for told in trials)
    return (
        Cell(text=status if len(trials) == 1 else f"{status} {of} of {len(trials)}", status=status),
        Cell(text=name, href=f"#{first.anchor}", note=first.result.summary),
        Cell(text=first.result.feature),
        Cell(text=count(len(trials))),
        Cell(text=duration(sum(told.result.duration_s for told in trials))),
        Cell(text=count(operations)),
        Cell(text=f"{sum(fault.proven for fault in faults)} of {len(faults)}"),
    )
