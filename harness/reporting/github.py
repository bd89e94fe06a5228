"""Annotations for GitHub's runners: a line for each finding, which the runner shows beside the scenario's file.

GitHub shows ten annotations of a kind in each step and drops the rest, so the tenth says how many there are and where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.registry import report
from harness.reporting._base import Suite, Trial
from harness.reporting._words import shown
from harness.result import Result
from harness.statuses import tally

MOST = 10
_KINDS = {"FAIL": "error", "ERROR": "error", "UNKNOWN": "warning", "INTERRUPTED": "warning", "SKIPPED": "notice"}
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


@report("github")
class GithubReport:
    """Write `annotations.txt`: workflow commands, at most ten of a kind. `cat` it in a step to see them."""

    def write(self, suite: Suite, folder: Path) -> Path:
        """Write it."""
        path = folder / "annotations.txt"
        text = "".join(f"{line}\n" for line in annotate(suite))
        path.write_text(text, encoding="utf-8")
        return path


def annotate(suite: Suite) -> list[str]:
    """Return the workflow commands of a suite: errors first, one for all trials of a scenario that came to the same.

    A planted bug that was found is none.
    """
    by_kind: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for kind, line in _all(suite):
        by_kind[kind].append(line)
    return [line for kind, lines in by_kind.items() for line in _capped(kind, lines)]


def _all(suite: Suite) -> Iterator[tuple[str, str]]:
    for line in tally(suite.results):
        mine = [t for t in suite.trials if (t.result.scenario, t.result.variant) == (line.scenario, line.variant)]
        first = next(trial for trial in mine if trial.result.status == line.status)
        if kind := _KINDS.get(shown(first.result)):
            yield kind, _annotation(kind, first, str(line))


def _annotation(kind: str, trial: Trial, verdict: str) -> str:
    result = trial.result
    fix = f"\nfix: {result.fix}" if result.fix else ""
    title = f"{verdict}: {result.scenario}{f'[{result.variant}]' if result.variant else ''}"
    place = f"file={_escape(_file(result), _PROPERTY)},line=1,title={_escape(title, _PROPERTY)}"
    message = f"{result.reason}\nrun: {trial.run}, root seed {result.root_seed}{fix}"
    return f"::{kind} {place}::{_escape(message, _DATA)}"


def _file(result: Result) -> str:
    """Return the scenario file as the repository has it: GitHub knows no absolute path."""
    parts = Path(result.source).parts
    return (
        "/".join(parts[parts.index("scenarios") :])
        if Path(result.source).is_absolute() and "scenarios" in parts
        else result.source
    )


def _capped(kind: str, lines: Sequence[str]) -> list[str]:
    if len(lines) <= MOST:
        return list(lines)
    rest = len(lines) - MOST + 1
    return [*lines[: MOST - 1], f"::{kind} title=bigfive::{rest} more, all of them in summary.md"]


def _escape(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(character, character) for character in text)
