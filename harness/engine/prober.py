"""The prober: a process of its own that asks the target, all the time, whether it serves.

Its view is the recovery time's measure, so it is independent of the workload: one client that sends `probe` every
20 ms, and writes when it asked, when it knew, and what. A probe that takes longer than 250 ms is a bad one.

Commands: open {connect}. Reports: ready, and every probe as it is written.
"""

from __future__ import annotations

import select
import time

from harness.adapter import HELLO_PATIENCE_S, AdapterProcess
from harness.clock import NS_PER_S, seconds
from harness.engine.worker import Commands, Task, load_task, report
from harness.errors import BigfiveError, TargetFailed, TimedOut
from harness.record import Probed, Writer

INTERVAL_S = 0.02
PROBE_TIMEOUT_S = 0.25
_GRACE_S = 0.25
PROBER_CLIENT = -1


class Prober:
    """Probes until its commands end."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._writer = Writer(task.output)
        self._adapter = self._spawn()
        self._connect: object = None
        self._open = False
        self._commands = Commands({"open": self.open})

    def open(self, connect: object) -> None:
        """Connect, and probe from now on."""
        self._connect = connect
        self._introduce()
        self._open = True
        report(ready=True)

    def run(self) -> None:
        """Probe every `INTERVAL_S` until the end of the commands."""
        due = time.monotonic_ns()
        while True:
            pause = max(0.0, seconds(due - time.monotonic_ns())) if self._open else None
            if select.select([0], [], [], pause)[0] and not self._commands.receive():
                break
            if self._open and time.monotonic_ns() >= due:
                self._probe()
                due = max(due + round(INTERVAL_S * NS_PER_S), time.monotonic_ns())
        self._adapter.kill()

    def _spawn(self) -> AdapterProcess:
        launch = self._task.launch.for_client(PROBER_CLIENT)
        return AdapterProcess(launch, "client", self._task.logs / "prober-adapter.log")

    def _introduce(self) -> None:
        self._adapter.greet()
        arguments = {"connect": self._connect, "client": PROBER_CLIENT, "timeout_s": PROBE_TIMEOUT_S}
        answer = self._adapter.call("open", arguments, HELLO_PATIENCE_S)
        if answer.outcome != "ok":
            raise TargetFailed(f"the prober could not open: {answer.result}")

    def _probe(self) -> None:
        began = time.monotonic_ns()
        error = self._ask()
        probed = Probed(t=began, end=time.monotonic_ns(), good=not error, error=error)
        self._writer.write(probed)
        report(good=probed.good, t=probed.t, end=probed.end)

    def _ask(self) -> str:
        """Return what was wrong, or "" for a good probe."""
        try:
            answer = self._adapter.call("probe", {}, PROBE_TIMEOUT_S + _GRACE_S)
        except (TargetFailed, TimedOut) as error:
            self._adapter.kill()
            self._adapter = self._spawn()
            self._introduce()
            return str(error)
        return "" if answer.outcome == "ok" else f"{answer.outcome}: {answer.result}"


def main() -> None:
    """Probe as the task says."""
    task = load_task()
    try:
        Prober(task).run()
    except BigfiveError as error:
        report(problem=str(error), error=type(error).__name__)


if __name__ == "__main__":
    main()
