"""The suite in plain text: what `bigfive run` prints at its end, and `summary.txt`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.registry import report
from harness.reporting._base import Suite, Trial
from harness.result import Judged, Result
from harness.statuses import tally


@report("console")
class ConsoleReport:
    """Write `summary.txt`: the verdict of every trial with its reasons, then the summary."""

    def write(self, suite: Suite, folder: Path) -> Path:
        """Write it."""
        path = folder / "summary.txt"
        lines = [line for trial in suite.trials for line in verdict(trial, folder)]
        path.write_text("\n".join([*lines, "", *summary(suite, folder)]) + "\n", encoding="utf-8")
        return path


def verdict(trial: Trial, folder: Path) -> list[str]:
    """Return one line for a trial that passed, and for any other its reasons, its evidence and how to replay it."""
    result = trial.result
    head = f"{result.status:<11} {result.id}  {result.duration_s:.1f} s"
    if result.status == "PASS":
        return [head]
    decisive = [judged.check for judged in result.checks if judged.verdict.status == result.status]
    reason = ", ".join(decisive) or result.reason  # what the checks say comes below
    convicted = " (as this negative scenario should)" if result.convicted else ""
    return [f"{head}  {reason}{convicted}", *(f"    {line}" for line in _details(trial, folder))]


def _details(trial: Trial, folder: Path) -> Iterator[str]:
    result = trial.result
    if result.fix:
        yield f"fix: {result.fix}"
    if result.status == "SKIPPED":
        return
    if result.status != "INTERRUPTED":
        yield from _checks(result.checks)
    yield from (f"not undone: {what}" for what in result.left)
    yield f"replay: bigfive replay {shlex.quote(str(folder / trial.run))}"


def _checks(checks: Iterable[Judged]) -> Iterator[str]:
    for judged in checks:
        if judged.verdict.status != "PASS":
            asked = judged.asked if judged.asked.startswith(judged.check) else f"{judged.check} ({judged.asked})"
            yield f"{judged.verdict.status} {asked}: {judged.verdict.summary}"
            yield from (f"  see {evidence}" for evidence in judged.verdict.evidence)


def summary(suite: Suite, folder: Path) -> list[str]:
    """Return the table of scenarios, the count of verdicts, the seed, and where the report is."""
    status = suite.exit_status
    return [
        *_table(suite),
        "",
        f"{_counts(suite)} in {suite.duration_s:.1f} s",
        f"root seed  {suite.root_seed} (again with --seed {suite.root_seed})",
        f"report     {folder / 'index.html'}",
        f"exit {status.code}     {status.name}: {status.meaning}",
    ]


def _counts(suite: Suite) -> str:
    counts = Counter(result.status for result in suite.results)
    verdicts = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    not_run = suite.planned - len(suite.trials)
    parts = [verdicts, f"{not_run} not run" if not_run else ""]
    return f"{plural(suite.planned, 'trial')}: {', '.join(filter(None, parts)) or 'none'}"


def plural(count: int, noun: str) -> str:
    """Return `1 trial`, `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _table(suite: Suite) -> list[str]:
    rows = [("verdict", "scenario", "took", "operations", "faults proven")]
    for line in tally(suite.results):
        mine = [r for r in suite.results if (r.scenario, r.variant) == (line.scenario, line.variant)]
        name = f"{line.scenario}[{line.variant}]" if line.variant else line.scenario
        rows.append((str(line), name, *_totals(mine)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _totals(results: list[Result]) -> tuple[str, str, str]:
    faults = [fault for result in results for fault in result.faults]
    operations = sum(sum(result.operations.values()) for result in results)
    took = sum(result.duration_s for result in results)
    return f"{took:.1f} s", str(operations), f"{sum(fault.proven for fault in faults)} of {len(faults)}"
