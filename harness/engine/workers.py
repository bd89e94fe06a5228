"""Recorder and prober, as the trial sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from harness import errors
from harness.adapter import Launch
from harness.clock import NS_PER_S
from harness.engine.loop import Loop
from harness.engine.worker import Task, Worker
from harness.errors import BigfiveError, HarnessBug
from harness.record import Folder
from harness.wire import Json

_FAREWELL_PATIENCE_S = 5.0
_PROGRESS_EVERY_NS = NS_PER_S // 10


class Workers:
    """What the two processes have reported so far. `streak` counts good probes in a row."""

    def __init__(self, loop: Loop, launch: Launch, folder: Folder, place: Path) -> None:
        self.on_trouble: Callable[[BigfiveError], None] = lambda _error: None
        self.on_answered: Callable[[int], None] = lambda _count: None
        self.on_progress: Callable[[int], None] = lambda _count: None
        self.streak = 0
        self.answered = 0
        self.stopped = False
        self.finished = False
        self._loop = loop
        self._launch = launch
        self._folder = folder
        self._place = place
        self._workers: dict[str, Worker] = {}
        self._ready: set[str] = set()
        self._sought: list[Future[Json]] = []
        self._progress_at = 0

    def start(self, runner: Any, seed: int, environment: Mapping[str, str]) -> None:  # noqa: ANN401
        """Start both processes; they start their adapters at once, in parallel with the target."""
        for name, output in (("recorder", self._folder.history), ("prober", self._folder.probes)):
            task = Task(self._launch, output, self._folder.logs, seed, runner)
            worker = Worker(f"harness.engine.{name}", task, self._place, environment)
            self._workers[name] = worker
            self._loop.watch(worker.fileno(), lambda worker=worker: self._hear(worker))  # type: ignore[misc]

    def open(self, connect: object) -> None:
        """Tell them where the target is."""
        for worker in self._workers.values():
            worker.tell("open", connect=connect)

    @property
    def ready(self) -> bool:
        """Return whether all clients and the prober are connected."""
        return len(self._ready) == len(self._workers)

    def begin(self) -> None:
        """Let the clients work."""
        self._workers["recorder"].tell("start")

    def stop(self) -> None:
        """Let them finish what they have begun; then `stopped` is true."""
        self._workers["recorder"].tell("stop")

    def ask_final(self) -> None:
        """Ask the runner's final questions; then `finished` is true."""
        self._workers["recorder"].tell("final")

    def locate(self, handle: str, draw: float) -> Future[Json]:
        """Ask for the process of a client handle, as soon as there is one; callable from any thread.

        `draw`, from 0 to 1, chooses among several.
        """
        future: Future[Json] = Future()

        def ask() -> None:
            self._sought.append(future)
            if "recorder" in self._workers:
                self._workers["recorder"].tell("locate", handle=handle, ask=len(self._sought) - 1, draw=draw)

        self._loop.post(ask)
        return future

    def close(self) -> None:
        """End both."""
        for worker in self._workers.values():
            self._loop.unwatch(worker.fileno())
            worker.close(_FAREWELL_PATIENCE_S)
        self._workers.clear()

    def _hear(self, worker: Worker) -> None:
        reports = worker.reports()
        if reports is None:
            self._loop.unwatch(worker.fileno())
            self._workers.pop(worker.name).close(_FAREWELL_PATIENCE_S)
            log = self._folder.logs / f"{worker.name}.log"
            self.on_trouble(HarnessBug(f"the {worker.name} process ended by itself, see {log}"))
            return
        for report in reports:
            self._take(worker.name, report)

    def _take(self, name: str, report: Json) -> None:
        if "good" in report:
            self.streak = self.streak + 1 if report["good"] else 0
        elif "answered" in report:
            self.answered = report["answered"]
            self.on_answered(self.answered)
            self._show_progress()
        elif "located" in report:
            self._sought[report["located"]].set_result(report["handle"])
        elif "ready" in report:
            self._ready.add(name)
        elif "problem" in report:
            kind: type[BigfiveError] = getattr(errors, report["error"], HarnessBug)
            self.on_trouble(kind.__new__(kind, report["problem"]))  # some are made of more than their message
        self.stopped = self.stopped or "stopped" in report
        self.finished = self.finished or "finished" in report

    def _show_progress(self) -> None:
        now = self._loop.clock.monotonic_ns()
        if now >= self._progress_at:
            self._progress_at = now + _PROGRESS_EVERY_NS
            self.on_progress(self.answered)
