"""What the faults that end a process share: a signal to exactly this one, and its death as the proof."""

from __future__ import annotations

import signal

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.processes import Process, command_line
from harness.wire import Json

_DEATH_PATIENCE_S = 5.0


def end(site: Site, number: signal.Signals) -> Json:
    """Send a fatal signal to the site's process, by pidfd: never to one that got its pid since."""
    process = site.process()
    command = command_line(process.pid)
    process.send(number)
    name = number.name.removeprefix("SIG")
    return {"pid": process.pid, "started": process.started, "command": command, "signal": name}


def prove_gone(evidence: Json) -> Json:
    """Wait until that very process is gone. Raises `FaultNotProven`."""
    process = Process(evidence["pid"], evidence["started"])
    if not process.wait(_DEATH_PATIENCE_S):
        signal_ = evidence["signal"]
        raise FaultNotProven(f"process {process.pid} was still running {_DEATH_PATIENCE_S:g} s after SIG{signal_}")
    return {"gone": process.pid}
