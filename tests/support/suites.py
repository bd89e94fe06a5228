"""Suites, results and the command line, made by tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.checks._base import Status, Verdict
from harness.engine.host import sandbox_of
from harness.processes import labelled
from harness.record import Folder
from harness.reporting._base import Suite, Trial
from harness.result import FaultResult, Judged, Result, TrialStatus
from harness.undo import state_directory
from support.trials import toy_scenario

BIGFIVE = [sys.executable, "-m", "harness.cli"]
LASTING = "{at: 0s, fault: process.pause, on: service}"
FORGETFUL = "with: {forgetful: true}\n"


def write_scenario(folder: Path, name: str, faults: Sequence[str] = ("{at: 0s, fault: noop}",), **more: str) -> Path:
    """Write a scenario around the toy into `folder`; `more` goes to `toy_scenario`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    more = {"until_": "faults_done + 200ms", **more}  # long enough for an operation, without which nothing is proven
    path.write_text(toy_scenario(faults, **more).replace("scenario: toy", f"scenario: {name}"))
    return path


def bigfive(
    *arguments: object, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*BIGFIVE, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def result(status: TrialStatus = "PASS", **differing: object) -> Result:
    """A result of which only `differing` matters."""
    fields: dict[str, Any] = {
        "scenario": "flip",
        "feature": "state",
        "summary": "A bit flips.",
        "tags": ("smoke",),
        "variant": "",
        "attempt": 0,
        "root_seed": 7,
        "seed": 42,
        "source": "scenarios/flip.yaml",
        "status": status,
        "reason": "because",
        "duration_s": 1.5,
        **differing,
    }
    return Result(**fields)


def judged(check: str, status: Status, summary: str = "so it was seen", **numbers: float) -> Judged:
    verdict = Verdict(status=status, summary=summary, numbers=numbers, evidence=("events.jsonl: fault 0",))
    return Judged(check=check, asked=f"{check}: 5s", verdict=verdict)


def fault(*, proven: bool) -> FaultResult:
    return FaultResult(
        fault=0, kind="process.kill", on="service", began_s=1.0, undone_s=None, jitter_ms=0.5, proven=proven, reason=""
    )


def suite(*results: Result, **differing: object) -> Suite:
    trials = tuple(Trial(run=f"runs/{each.scenario}/{number}", result=each) for number, each in enumerate(results))
    fields: dict[str, Any] = {"planned": len(results), "duration_s": 3.0, **differing}
    return Suite(name="20261122T193200Z-1a2b3c4d", root_seed=7, trials=trials, **fields)


class Started:
    """The command line, running."""

    def __init__(self, *arguments: object, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [*BIGFIVE, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = ""

    def wait_for(self, text: str) -> None:
        """Read its output until a line contains `text`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return
        raise AssertionError(f"{text!r} was never said, but:\n{self.said}")

    def end(self) -> int:
        """Read the rest, and return the exit status."""
        rest, _ = self.process.communicate(timeout=60)
        self.said += rest
        return self.process.returncode


def remains(folder: Path) -> list[str]:
    """What is left of all runs below `folder`: processes, sandboxes, pointers."""
    specs = [Folder(path.parent).spec() for path in folder.glob("**/trial.json")]
    places = [place for spec in specs for place in (sandbox_of(spec.label), pointer_of(spec.label))]
    processes = [f"process {process.pid}" for spec in specs for process in labelled(spec.label)]
    return [*processes, *(str(place) for place in places if place.exists())]


def pointer_of(label: str) -> Path:
    return state_directory() / "runs" / f"{label}.json"
