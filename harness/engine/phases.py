"""The phases of a trial, as a table with its rules on top.

1. Phases run in the order of the table. Whatever happens, `heal`, `stop` and `tear_down` run; the others are left
out once
   something went wrong or a signal came.
2. What goes wrong before the workload proves nothing about the target: UNKNOWN (or SKIPPED, where the machine lacks
   something). From the workload on, running out of time is a FAIL of every check that has not passed yet.
3. Judging comes last. It is a pure function of the record, and the record is complete only when the target was stopped
   (orphans show themselves then) and everything was undone.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from harness.record import Phase


@dataclass(frozen=True)
class PhaseRule:
    """One row of the table. `doc` is what `bigfive explain phases` says."""

    name: Phase
    always: bool
    accuses: bool
    doc: str


PHASES: tuple[PhaseRule, ...] = (
    PhaseRule("preflight", always=False, accuses=False, doc="read, plan, look for what is missing, start the guardian"),
    PhaseRule("set_up", always=False, accuses=False, doc="start the target, its clients and the prober"),
    PhaseRule("steady_state", always=False, accuses=False, doc="the target must serve before anything is broken"),
    PhaseRule("workload", always=False, accuses=True, doc="clients work while the faults come and go"),
    PhaseRule("heal", always=True, accuses=True, doc="undo every fault that still lasts"),
    PhaseRule("quiet", always=False, accuses=True, doc="no faults, no load: then read the end state"),
    PhaseRule("stop", always=True, accuses=True, doc="stop the target and look at what it leaves"),
    PhaseRule("tear_down", always=True, accuses=False, doc="undo everything else, remove the run's folder"),
    PhaseRule("judge", always=True, accuses=False, doc="turn the record into verdicts"),
)

ACCUSES = {rule.name: rule.accuses for rule in PHASES}

_DIE_AT = "BIGFIVE_DIE_AT"


def reach(point: str) -> None:
    """Die by SIGKILL here if the environment names this point: how our own tests kill the harness anywhere.

    Points are the phases' names, "undo.journaled" and "fault.injected".
    """
    if os.environ.get(_DIE_AT) == point:
        os.kill(os.getpid(), signal.SIGKILL)
