"""Where it ran, and on what."""

from __future__ import annotations

from collections.abc import Iterator

from harness.reporting._blocks import Cell, Column, Facts, Section, Table
from harness.reporting._material import Material
from harness.reporting._words import count, duration, listed

_NAMES = {"memory_mib": "memory", "cpus": "CPUs", "cgroup": "cgroup version"}


def build(material: Material) -> Section | None:
    """Return the machine as the runs recorded it, and the suites."""
    suites = Table(
        caption="Suites",
        columns=(
            Column("suite"),
            Column("began"),
            Column("took", number=True),
            Column("trials", number=True),
            Column("root seed", number=True),
            Column("exit status"),
        ),
        rows=tuple(
            (
                Cell(text=suite.name, code=True),
                Cell(text=f"{suite.began:%Y-%m-%d %H:%M:%S} UTC"),
                Cell(text=duration(suite.duration_s)),
                Cell(text=f"{count(len(suite.trials))} of {count(suite.planned)}"),
                Cell(text=str(suite.root_seed)),
                Cell(text=f"{suite.exit_status.code} ({suite.exit_status.name})"),
            )
            for suite in material.suites
        ),
    )
    facts = Facts(tuple(_facts(material)))
    return Section(
        id="environment",
        title="Environment",
        lead="As each run recorded it; several values mean that the runs differ.",
        blocks=(facts, suites) if facts.pairs else (suites,),
    )


def _facts(material: Material) -> Iterator[tuple[str, str]]:
    values: dict[str, dict[str, None]] = {}
    for _, story in material.stories:
        for name, value in story.environment.items():
            text = f"{value:,} MiB" if name == "memory_mib" else str(value)
            values.setdefault(_NAMES.get(name, name), {})[text] = None
        if story.target:
            values.setdefault("target", {})[story.target] = None
    yield from ((name, listed(list(found))) for name, found in values.items())
