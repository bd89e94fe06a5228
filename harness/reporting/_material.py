"""What a page is built from: one suite or several, with the story of every trial, read once from their folders."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from harness.errors import ScenarioError
from harness.record import Record
from harness.registry import FAULTS
from harness.reporting._base import Suite, Trial
from harness.reporting._code import CodeCoverage
from harness.reporting._story import Story, tell
from harness.reporting._words import shown
from harness.result import Result
from harness.statuses import ExitStatus, Outcome, exit_status

MAX_STORIES = 200
"""Trials whose record is drawn, those that did not pass first; a page says how many it leaves out."""
_POINTS = 5_000  # columns of all pictures together, within these limits for each
_FEWEST, _MOST = 50, 160
_EVIDENCE = ("result.json", "events.jsonl", "history.jsonl", "probes.jsonl", "scenario.yaml")


@dataclass(frozen=True)
class Source:
    """A suite and the folder that it was read from, as the user wrote it."""

    suite: Suite
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Told:
    """A trial on the page. `files` are the links to those files of its evidence that are there."""

    number: int
    suite: Suite
    trial: Trial
    path: str
    files: dict[str, str] = field(default_factory=dict)
    story: Story | None = None
    unread: str = ""

    @property
    def result(self) -> Result:
        """What it came to."""
        return self.trial.result

    @property
    def status(self) -> str:
        """Its status, for a reader."""
        return shown(self.result)

    @property
    def anchor(self) -> str:
        """Name of its place on the page."""
        return f"t{self.number}"

    @property
    def name(self) -> str:
        """`scenario[variant]`."""
        variant = f"[{self.result.variant}]" if self.result.variant else ""
        return f"{self.result.scenario}{variant}"

    @property
    def command(self) -> str:
        """The command that runs it again."""
        return f"bigfive replay {shlex.quote(self.path)}"


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that the sections are built from. `known_faults` are those that this bigfive has."""

    suites: tuple[Suite, ...]
    trials: tuple[Told, ...]
    known_faults: tuple[str, ...] = ()
    code: CodeCoverage | None = None

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of all suites together."""
        return exit_status(
            Outcome(
                [told.result for told in self.trials],
                interrupted=any(suite.interrupted for suite in self.suites),
                require_all=any(suite.require_all for suite in self.suites),
            )
        )

    @property
    def planned(self) -> int:
        """Number of trials that there should be."""
        return sum(suite.planned for suite in self.suites)

    @cached_property
    def cases(self) -> dict[str, list[Told]]:
        """The trials of each scenario and variant, in order of first appearance."""
        found: dict[str, list[Told]] = {}
        for told in self.trials:
            found.setdefault(told.name, []).append(told)
        return found

    @cached_property
    def stories(self) -> list[tuple[Told, Story]]:
        """The trials whose record was read."""
        return [(told, told.story) for told in self.trials if told.story is not None]


def gather(sources: Sequence[Source], out: Path, *, stories: bool = True, code: CodeCoverage | None = None) -> Material:
    """Read the folders of `sources` for a page in `out`. Without `stories` the records are left unread."""
    pairs = [(source, trial) for source in sources for trial in source.suite.trials]
    drawn = _drawn([trial.result for _, trial in pairs]) if stories else set()
    columns = min(max(_POINTS // max(len(drawn), 1), _FEWEST), _MOST)
    trials = [
        _told(number, source, trial, out, columns if number in drawn else 0)
        for number, (source, trial) in enumerate(pairs, 1)
    ]
    return Material(
        suites=tuple(source.suite for source in sources),
        trials=tuple(trials),
        known_faults=tuple(FAULTS.kinds()),
        code=code,
    )


def _drawn(results: Sequence[Result]) -> set[int]:
    """Return the numbers of the trials that are drawn: those that did not pass, then the first attempts."""
    order = sorted(enumerate(results, 1), key=lambda pair: (pair[1].status == "PASS", pair[1].attempt, pair[0]))
    return {number for number, _ in order[:MAX_STORIES]}


def _told(number: int, source: Source, trial: Trial, out: Path, columns: int) -> Told:
    run = source.folder / trial.run
    story, unread = _read(run, trial.result, columns) if columns else (None, "its record was not drawn")
    return Told(
        number=number,
        suite=source.suite,
        trial=trial,
        path=str(run),
        files=dict(_files(run, out)),
        story=story,
        unread=unread,
    )


def _read(run: Path, result: Result, columns: int) -> tuple[Story | None, str]:
    try:
        story = tell(Record.load(run), result, columns)
    except ScenarioError as error:
        return None, str(error)
    return story, "" if story else "the workload never began"


def _files(run: Path, out: Path) -> Iterator[tuple[str, str]]:
    """Yield the links from a page in `out` to what is there of a run's evidence; "" is the folder itself."""
    if not run.is_dir():
        return
    folder = quote(os.path.relpath(run.resolve(), out.resolve()))
    yield "", f"{folder}/"
    yield from ((name, f"{folder}/{name}") for name in _EVIDENCE if (run / name).exists())
