"""What a running suite says on a terminal or in a log: whole lines here, the live view in `_live`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from harness.clock import SystemClock, seconds
from harness.engine.pool import Run
from harness.engine.suite import SuiteFolder
from harness.engine.watching import Heard, Progress, Undoing
from harness.record import FaultInjected, FaultInjecting, FaultProven, FaultUndone, FaultUnproven, PhaseBegan
from harness.reporting.console import plural, verdict
from harness.result import Result

Say = Callable[[str], None]

_COLOURS = {
    "PASS": "green",
    "FAIL": "red",
    "ERROR": "red",
    "UNKNOWN": "yellow",
    "SKIPPED": "cyan",
    "INTERRUPTED": "magenta",
}
_STATUS = re.compile(rf"^(\s*)({'|'.join(_COLOURS)})\b", re.MULTILINE)
_SILENCE_S = 10.0

_clock = SystemClock()


def paint(text: str) -> str:
    """Colour every status word at the beginning of a line."""
    return _STATUS.sub(lambda match: match[1] + click.style(match[2], fg=_COLOURS[match[2]], bold=True), text)


def coloured() -> bool:
    """Return whether standard output wants colours: NO_COLOR, then FORCE_COLOR, then what it is."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def interactive() -> bool:
    """Return whether somebody watches who can be shown a picture that changes. Colours alone are no sign of that."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "CI" not in os.environ


@dataclass
class Active:
    """A running trial as it is seen from outside."""

    run: Run
    began: int = field(default_factory=_clock.monotonic_ns)
    phase: str = "starting"
    operations: int = 0
    faults: dict[int, str] = field(default_factory=dict)

    def hear(self, event: Heard) -> None:
        """Take in what the trial says."""
        match event:
            case PhaseBegan(phase=phase):
                self.phase = phase
            case Progress(operations=operations):
                self.operations = operations
            case FaultInjecting(fault=fault, kind=kind):
                self.faults[fault] = kind
            case _:
                pass

    @property
    def elapsed_s(self) -> float:
        """Seconds since its start."""
        return seconds(_clock.monotonic_ns() - self.began)

    def __str__(self) -> str:
        """Return it in a line."""
        faults = f", {', '.join(self.faults.values())}" if self.faults else ""
        phase = self.phase.replace("_", " ")
        return f"{name(self.run)} ({phase}, {self.elapsed_s:.0f} s, {self.operations} operations{faults})"


def name(run: Run) -> str:
    """Return `scenario[variant]#attempt` of a trial that has no result yet."""
    return run.result(status="UNKNOWN", reason="").id


class Lines:
    """A watcher that writes whole lines: each verdict, and every ten seconds what is going on.

    `verbosity` is 0 for that, 1 for every phase and fault too, -1 for nothing but what did not pass.
    """

    tick_s = 1.0

    def __init__(self, folder: SuiteFolder, total: int, say: Say, verbosity: int = 0) -> None:
        self.running: dict[str, Active] = {}
        self.done = 0
        self.total = total
        self._folder = folder
        self._write = say
        self._verbosity = verbosity
        self._last_ns = _clock.monotonic_ns()

    def began(self, run: Run) -> None:
        """Take note."""
        self.running[run.spec.label] = Active(run)

    def heard(self, run: Run, event: Heard) -> None:
        """Say what is still being undone and, if asked to be verbose, everything."""
        self.running[run.spec.label].hear(event)
        if isinstance(event, Undoing):
            self.say(f"{name(run)} is still undoing: {', '.join(event.pending) or 'nothing'}")
        elif self._verbosity > 0 and (line := _narrate(event)):
            self.say(f"  {name(run)}: {line}")

    def finished(self, run: Run, result: Result) -> None:
        """Say the verdict."""
        self.running.pop(run.spec.label, None)
        self.done += 1
        if self._verbosity >= 0 or result.status != "PASS":
            for line in verdict(self._folder.trial(run, result), self._folder.path):
                self.say(line)

    def interrupted(self, running: int, *, again: bool) -> None:
        """Say what happens now."""
        if not again:
            trials = plural(running, "running trial")
            self.say(f"interrupted: {trials} to undo what was changed; interrupt again to see what is left")

    def tick(self) -> None:
        """Say what is going on if nothing was said for long."""
        if self._verbosity >= 0 and seconds(_clock.monotonic_ns() - self._last_ns) >= _SILENCE_S:
            self.say(f"… {self.done} of {self.total} done; {'; '.join(map(str, self.running.values()))}")

    def say(self, line: str) -> None:
        """Write a line."""
        self._last_ns = _clock.monotonic_ns()
        self._write(line)


def _narrate(event: Heard) -> str:
    """Return what a phase or a fault does now; of anything else, nothing."""
    line = ""
    match event:
        case PhaseBegan(phase=phase):
            line = phase.replace("_", " ")
        case FaultInjecting(kind=kind, on=on):
            line = f"injecting {kind}" + (f" on {on}" if on else "")
        case FaultInjected(fault=fault):
            line = f"fault {fault} injected"
        case FaultProven(fault=fault):
            line = f"fault {fault} proven"
        case FaultUnproven(fault=fault, reason=reason):
            line = f"fault {fault} not proven: {reason}"
        case FaultUndone(fault=fault):
            line = f"fault {fault} undone"
        case _:
            pass
    return line
