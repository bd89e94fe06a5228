"""A past trial in plain English: what was tried, what came of it, where that shows, and what to do next."""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cli._evidence import Evidence, cut
from harness.engine.rejudging import recorded_variant
from harness.engine.suite import recorded_trials
from harness.errors import ScenarioError
from harness.record import Folder
from harness.registry import CHECKS
from harness.reporting._words import duration, shown
from harness.reporting.console import plural
from harness.result import FaultResult, Judged, Result, read
from harness.scenario.model import Scenario

_MOST_LINES = 12
_HEADLINES = {
    "PASS": "Everything that was asked was shown.",
    "FAIL": "The target did not do what was asked of it.",
    "CONVICTED": "The target is broken on purpose, and that was found: all is well.",
    "UNKNOWN": "Nothing was shown against the target, and nothing for it.",
    "ERROR": "The harness or its environment broke; this says nothing about the target.",
    "SKIPPED": "It was not tried: this machine lacks something.",
    "INTERRUPTED": "A signal ended it before it could come to anything.",
}


@dataclass(frozen=True)
class Trial:
    """A trial and its result. `path` is how to name it from here."""

    folder: Folder
    result: Result
    path: str

    @property
    def status(self) -> str:
        """Its status, for a reader."""
        return shown(self.result)

    @property
    def deciding(self) -> list[Judged]:
        """The checks that made it what it is; of what passed, none."""
        status = self.result.status
        return [each for each in self.result.checks if each.verdict.status == status and status != "PASS"]

    @property
    def kind(self) -> tuple[str, ...]:
        """What is the same in trials that came to the same."""
        return (self.result.scenario, self.result.variant, self.status, *(each.check for each in self.deciding))


def explain(path: Path) -> Iterator[str]:
    """Yield the lines about a run folder, a `result.json`, or the failures of a suite.

    Failures of one kind are explained once, by the trial with the fewest faults in the shortest time. Raises
    `ScenarioError` where it is none of these.
    """
    trials = [Trial(folder, read(folder.result), _near(folder.path)) for folder in recorded_trials(path)]
    if not trials:
        yield f"nothing failed in {path}"
    groups: dict[tuple[str, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.kind, []).append(trial)
    for number, group in enumerate(groups.values()):
        yield from [""] if number else []
        smallest = min(group, key=lambda trial: (len(trial.result.faults), trial.result.duration_s))
        yield from _explained(smallest, len(group))


def _near(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _explained(trial: Trial, count: int) -> Iterator[str]:
    result = trial.result
    yield f"{trial.status}  {result.id}: {result.summary}"
    yield f"  {_HEADLINES[trial.status]}" + (f" It happened in {count} trials; this is the smallest." * (count > 1))
    yield from _section("what was tried", _tried(trial))
    yield from _section("what came of it", _outcome(trial))
    yield from _section(f"where it shows, in {trial.path}", _shows(trial))
    yield from _section("again", _again(trial))
    yield from _section("what to look at next", _next(trial))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    if found := list(lines):
        yield ""
        yield title
        yield from (f"  {line}" for line in found)


def _tried(trial: Trial) -> Iterator[str]:
    result = trial.result
    if scenario := _scenario(trial.folder):
        target = scenario.target or shlex.join(scenario.command or ())
        yield f"{plural(scenario.workload.clients, 'client')} ({scenario.runner}) worked on {target}"
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(result.operations.items(), key=_order))
    operations = plural(sum(result.operations.values()), "operation")
    yield f"{operations}{f' ({counts})' if counts else ''} in {duration(result.duration_s)}"
    yield from map(_fault, result.faults)


def _order(counted: tuple[str, int]) -> int:
    return ("ok", "fail", "info").index(counted[0])


def _scenario(folder: Folder) -> Scenario | None:
    """Return what was tried; None where the scenario is none any more, which is no reason to say nothing."""
    try:
        return recorded_variant(folder).scenario
    except ScenarioError:
        return None


def _fault(fault: FaultResult) -> str:
    name = f"fault {fault.fault}, {fault.kind}" + (f" on {fault.on}" if fault.on else "")
    if fault.began_s is None:
        return f"{name}: {fault.reason}"
    held = f" until {duration(fault.undone_s)}" if fault.undone_s is not None else ""
    proof = "proven to have taken effect" if fault.proven else f"NOT PROVEN: {fault.reason}"
    return f"{name} at {duration(max(fault.began_s, 0.0))}{held}: {proof}"


def _outcome(trial: Trial) -> Iterator[str]:
    result = trial.result
    for judged in trial.deciding:
        yield f"{judged.verdict.status} {judged.asked}: {judged.verdict.summary}"
        if meaning := _meaning(judged.check):
            yield f"     it asks: {meaning}"
    passed = [judged.asked for judged in result.checks if judged.verdict.status == "PASS"]
    if passed:
        yield f"held: {'; '.join(passed)}"
    if not trial.deciding:
        yield result.reason
    yield from (f"not undone: {what}" for what in result.left)


def _meaning(check: str) -> str:
    """Return the first line of a check's documentation; the grounds that are always asked for have none."""
    return (inspect.getdoc(CHECKS.get(check)) or "").partition("\n")[0] if check in CHECKS.kinds() else ""


def _shows(trial: Trial) -> Iterator[str]:
    evidence = Evidence(Path(trial.path))
    told = [pointer for judged in trial.deciding for pointer in judged.verdict.evidence]
    found = {pointer: evidence.excerpts(pointer) for pointer in told}
    seen: dict[str, None] = {}
    for pointer, excerpts in found.items():
        new = [str(excerpt) for excerpt in excerpts if str(excerpt) not in seen]
        if len(seen) + len(new) > _MOST_LINES:
            yield "more in result.json"
            break
        seen.update(dict.fromkeys(new))
        yield pointer
        yield from (f"  {line}" for line in new)
    for problem in evidence.problems():
        yield f"{problem.get('error')} in phase {problem.get('phase')}: {problem.get('message')}"


def _again(trial: Trial) -> Iterator[str]:
    path = shlex.quote(trial.path)
    yield f"bigfive replay {path}"
    if trial.status in {"FAIL", "UNKNOWN"}:
        yield f"bigfive replay {path} --times 20 -n auto   how often it happens"


def _next(trial: Trial) -> Iterator[str]:
    result = trial.result
    if result.fix:
        yield result.fix
    if result.left:
        yield "bigfive sweep: undo what is left"
    if result.convicts and not result.convicted:
        yield f"{', '.join(result.convicts)} should have failed: is the planted bug still in the target?"
    if trial.status == "UNKNOWN":
        yield from (f"bigfive explain {kind}" for kind in _doubtful(result.faults))
    for judged in trial.deciding:
        if judged.check in CHECKS.kinds():
            yield f"bigfive explain {judged.check}"
    if trial.status in {"FAIL", "UNKNOWN"}:
        name = f"{result.scenario}[{result.variant}]" if result.variant else result.scenario
        chosen = f"-k {shlex.quote(name)} --seed {result.root_seed}"
        yield f"bigfive run {shlex.quote(result.source)} {chosen} --keep   keeps the target's folder for a look"
        yield f"bigfive judge {shlex.quote(trial.path)}   by the checks of today"
    if trial.status not in {"PASS", "SKIPPED", "INTERRUPTED"}:
        yield from _logs(Path(trial.path) / "logs")


def _doubtful(faults: Sequence[FaultResult]) -> list[str]:
    return list(dict.fromkeys(fault.kind for fault in faults if not fault.proven))


def _logs(folder: Path) -> Iterator[str]:
    """Yield the last words of every process that had any."""
    for path in sorted(folder.glob("*.log")):
        if lines := path.read_text(errors="replace").strip().splitlines():
            yield f"logs/{path.name} ends with: {cut(lines[-1].strip(), 120)}"
