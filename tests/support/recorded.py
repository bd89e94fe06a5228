"""Run folders as a trial leaves them, written by hand: what they come to can be known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.engine.rejudging import judge_again
from harness.engine.suite import Candidate, SuiteFolder, Terms
from harness.record import AnyEvent, Folder, Invoked, PhaseBegan, Returned, RunBegan, RunEnded, WorkloadBegan, Writer
from harness.reporting._base import Suite, Trial
from harness.result import Result
from harness.scenario.load import load
from support.records import MS, History, damage
from support.suites import write_scenario

KILL = ("{at: 100ms, fault: process.kill, on: service}",)
NO_LOSS = "no_acknowledged_write_lost"
SUITE = "20261122T193200Z-1a2b3c4d"


def losing() -> History:
    """Client 0 is told version 1 of k twice."""
    history = History()
    history.write("k", "first", 1)
    history.write("k", "second", 1)
    history.unknown("k", "third")
    return history


def keeping() -> History:
    history = History()
    history.write("k", "first", 1)
    history.read("k", "first", 1, final=True)
    return history


def write_trial(
    suite: SuiteFolder, name: str, history: History, events: Sequence[AnyEvent] = (), expect: str = NO_LOSS
) -> Folder:
    """Write a run folder in `suite`, with the result that it comes to."""
    scenario = write_scenario(suite.path.parent.parent / "scenarios", name, KILL, expect=expect)
    [variant] = load(scenario)
    run = suite.prepare(Candidate(scenario, variant, 0, {}), Terms(root_seed=7))
    write_lines(run.folder.history, history.entries)
    happened = events or (WorkloadBegan(t=0), *damage(100))
    ended = (RunEnded(t=2000 * MS, left=[]),)
    write_lines(
        run.folder.events, (RunBegan(t=0, environment={}), PhaseBegan(t=0, phase="workload"), *happened, *ended)
    )
    save(run.folder, judge_again(run.folder))
    return run.folder


def write_lines(path: Path, records: Sequence[AnyEvent | Invoked | Returned]) -> None:
    writer = Writer(path)
    writer.write(*records)
    writer.close()


def save(folder: Folder, result: Result) -> None:
    folder.result.write_bytes(msgspec.json.encode(result))


def write_suite(folder: SuiteFolder, **trials: Result) -> Suite:
    """Write the `suite.json` of the trials; keywords are paths of run folders in `runs`."""
    suite = Suite(
        name=folder.path.name,
        duration_s=3.0,
        root_seed=7,
        planned=len(trials),
        trials=tuple(Trial(run=f"runs/{run}", result=result) for run, result in trials.items()),
    )
    (folder.path / "suite.json").write_bytes(msgspec.json.encode(suite))
    return suite
