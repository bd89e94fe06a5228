"""What a report is: a class registered with `@report("kind")` that writes one file into the suite's folder.

It may read everything below that folder and nothing else, so that an old suite can be rendered again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from harness.errors import ScenarioError
from harness.record import FORMAT
from harness.registry import REPORTS
from harness.result import Result
from harness.statuses import ExitStatus, Outcome, exit_status


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A result and where its evidence is: `run` is the run folder, relative to the suite's."""

    run: str
    result: Result


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `suite.json`. `planned` counts the trials that never began, too."""

    name: str
    duration_s: float
    root_seed: int
    planned: int
    trials: tuple[Trial, ...]
    interrupted: bool = False
    require_all: bool = False
    format: int = FORMAT

    @property
    def began(self) -> datetime:
        """When it began, in UTC: its name says it."""
        return datetime.strptime(self.name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    @property
    def results(self) -> tuple[Result, ...]:
        """The results alone."""
        return tuple(trial.result for trial in self.trials)

    @property
    def exit_status(self) -> ExitStatus:
        """The status that follows from the results."""
        return exit_status(Outcome(self.results, interrupted=self.interrupted, require_all=self.require_all))


class Report(Protocol):
    """The contract of every report."""

    kind: ClassVar[str]

    def write(self, suite: Suite, folder: Path) -> Path:
        """Write the report into `folder` and return its path."""
        ...


def write_all(suite: Suite, folder: Path) -> list[Path]:
    """Write every registered report; return their paths in order of kind."""
    return [report().write(suite, folder) for report in REPORTS.all()]


def read(path: Path) -> Suite:
    """Read a `suite.json`. Raises `ScenarioError` where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Suite)
    except (OSError, msgspec.MsgspecError) as error:
        raise ScenarioError(f"{path} is not a suite: {error}") from error
