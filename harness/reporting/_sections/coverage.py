"""What was exercised: operation by fault by check, and the code of the targets. Gaps are shown, never left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.reporting._blocks import Block, Cell, Column, Prose, Section, Table
from harness.reporting._code import SHARED, CodeCoverage
from harness.reporting._material import Material, Told
from harness.reporting._sections.features import GROUNDS
from harness.reporting._words import NOTHING, count, listed, worst

LEAD = (
    "An operation met a fault if it was open between the fault and the recovery from it. A cell counts the trials in "
    "which that happened and the check was judged. Faults count where they proved that they took effect; targets that "
    "are broken on purpose do not count."
)
MISSING = "NOT EXERCISED"
_Met = list[tuple[Told, int]]


def build(material: Material) -> Section | None:
    """Return the matrix of operations, faults and checks, and code coverage where it was given."""
    blocks = tuple(_blocks(material))
    return Section(id="coverage", title="Coverage", lead=LEAD, blocks=blocks, brief=True) if blocks else None


def _blocks(material: Material) -> Iterator[Block]:
    met = _met(material)
    checks = list(dict.fromkeys(_checks(material)))
    if met and checks:
        yield Table(
            caption="Operation by fault by check",
            columns=(Column("fault"), Column("operation"), Column("met", number=True), *map(Column, checks)),
            rows=tuple(_row(key, met[key], checks) for key in sorted(met)),
        )
    planned = {fault.kind for told in material.trials for fault in told.result.faults}
    if absent := [kind for kind in material.known_faults if kind not in planned]:
        yield Prose(f"Faults that no scenario here injects: {listed(absent, len(absent))}.")
    if material.code is not None:
        yield _code(material.code, material.trials)


def _met(material: Material) -> dict[tuple[str, str], _Met]:
    """Return the trials in which a planned fault met an operation that the target offers, and how often it did."""
    found: dict[tuple[str, str], _Met] = {}
    for told, story in material.stories:
        if told.result.convicts:
            continue
        for kind in {fault.kind for fault in told.result.faults}:
            for operation in story.offered:
                met = found.setdefault((kind, operation), [])
                if hits := story.hits.get(kind, {}).get(operation):
                    met.append((told, hits))
    return found


def _checks(material: Material) -> Iterator[str]:
    for told in material.trials:
        yield from (judged.check for judged in told.result.checks if judged.check not in GROUNDS)


def _row(key: tuple[str, str], met: _Met, checks: Sequence[str]) -> tuple[Cell, ...]:
    trials = [told for told, _ in met]
    kind, operation = (Cell(text=name, code=True) for name in key)
    return (kind, operation, Cell(text=count(sum(hits for _, hits in met))), *(_cell(trials, each) for each in checks))


def _cell(trials: Sequence[Told], check: str) -> Cell:
    statuses: list[str] = [each.verdict.status for told in trials for each in told.result.checks if each.check == check]
    if not statuses:
        return Cell(text=MISSING, status="MISSING")
    status = worst(statuses)
    return Cell(text=f"{status} {statuses.count(status)} of {len(statuses)}", status=status)


def _code(code: CodeCoverage, trials: Sequence[Told]) -> Table:
    """Join the coverage of each feature's code with the faults that were proven against it."""
    faults: dict[str, set[str]] = {}
    for told in trials:
        proven = {fault.kind for fault in told.result.faults if fault.proven}
        faults.setdefault(told.result.feature, set()).update(proven)
    names = [*(name for name in code if name != SHARED), *(name for name in faults if name and name not in code)]
    numbers = ("files", "lines", "branches", "faults proven")
    return Table(
        caption="Code coverage of the targets, with the faults proven against them",
        columns=(Column("feature"), *(Column(title, number=True) for title in numbers), Column("kinds of fault")),
        rows=tuple(_code_row(name, code, faults) for name in [*names, *([SHARED] if SHARED in code else [])]),
    )


def _code_row(name: str, code: CodeCoverage, faults: Mapping[str, set[str]]) -> tuple[Cell, ...]:
    covered = code.get(name)
    kinds = sorted(faults.get(name, ()))
    measured = (
        (
            Cell(text=str(covered.files)),
            _share(covered.covered_lines, covered.lines),
            _share(covered.covered_branches, covered.branches),
        )
        if covered
        else (Cell(text=NOTHING), Cell(text="not measured"), Cell(text="not measured"))
    )
    missing = Cell(text=MISSING, status="MISSING")
    last = Cell(text=NOTHING) if name == SHARED else Cell(text=listed(kinds)) if kinds else missing
    return (Cell(text=name), *measured, Cell(text=NOTHING if name == SHARED else str(len(kinds))), last)


def _share(part: int, whole: int) -> Cell:
    if not whole:
        return Cell(text="not measured")
    return Cell(text=f"{100 * part / whole:.1f} %", note=f"{count(part)} of {count(whole)}")
