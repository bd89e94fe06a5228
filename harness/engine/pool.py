"""Trials as child processes: started, listened to, and waited for, whatever happens.

Each trial is a process group of its own, so a Ctrl-C reaches only the suite, which asks every trial to unwind and waits
until each has undone and reported. One thread and one selector: a trial's output, its end (by pidfd) and our own
signals are all file descriptors.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

import msgspec

from harness.clock import SystemClock, seconds
from harness.doctor import missing
from harness.engine.watching import SILENT, Heard, Watcher
from harness.errors import EnvironmentLacks, HarnessBug, Interrupted, ScenarioError, UndoFailed
from harness.record import Folder, TrialSpec
from harness.result import Result, read
from harness.scenario.model import Variant
from harness.undo import sweep
from harness.wire import Lines

_GRACE_S = 60.0
"""How long set-up, judging and tear-down may take on top of a trial's own timeout before it counts as hung."""

_clock = SystemClock()


@dataclass(frozen=True)
class Run:
    """A trial that is ready to start: its scenario and its run folder, which holds `scenario.yaml` and `trial.json`."""

    variant: Variant
    spec: TrialSpec
    folder: Folder

    def result(self, **differing: Any) -> Result:  # noqa: ANN401  the fields of `Result`
        """Return a result that nobody measured: what is known before the trial began, with `differing` fields."""
        scenario = self.variant.scenario
        return Result(
            scenario=self.spec.scenario,
            feature=scenario.feature,
            summary=scenario.summary,
            tags=tuple(scenario.tags),
            variant=self.spec.variant,
            attempt=self.spec.attempt,
            root_seed=self.spec.root_seed,
            seed=self.spec.seed,
            source=self.spec.source,
            convicts=tuple(scenario.convicts),
            **differing,
        )

    def skipped(self, lacks: EnvironmentLacks) -> Result:
        """Write and return the result of a trial that this machine cannot run."""
        reason = f"{lacks.capability}: {lacks.reason}"
        return self.write(self.result(status="SKIPPED", reason=reason, fix=lacks.fix))

    def write(self, result: Result) -> Result:
        """Write the result of a trial that could not write its own, and return it."""
        self.folder.result.write_bytes(msgspec.json.encode(result) + b"\n")
        return result

    @property
    def limit_s(self) -> float:
        """Seconds after which the trial's process counts as hung."""
        return (self.spec.timeout_s or float(self.variant.scenario.timeout)) + _GRACE_S


class Pool:
    """Runs trials, at most `workers` at once; good for one `run`.

    While `run` is active, SIGINT, SIGTERM and SIGHUP stop it: no further trial starts and the running ones unwind. A
    second signal makes them say what they are still undoing. Call it from the main thread only.
    """

    def __init__(self, workers: int = 1, watcher: Watcher = SILENT, *, fail_fast: bool = False) -> None:
        self.interrupted = False
        self.results: list[tuple[Run, Result]] = []
        self._workers = workers
        self._watcher = watcher
        self._fail_fast = fail_fast
        self._waiting: deque[Run] = deque()
        self._running: list[_Child] = []
        self._selector = selectors.DefaultSelector()

    def run(self, runs: Iterable[Run]) -> list[tuple[Run, Result]]:
        """Run trials until all have ended; return their results in order of their end."""
        self._waiting.extend(runs)
        with self._selector, Signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ, lambda: self._interrupt(signals))
            try:
                self._loop()
            except BaseException:  # a watcher raised: nobody listens any more, and still everything is undone
                self._watcher = SILENT
                self._stop()
                self._loop()
                raise
        return self.results

    def _loop(self) -> None:
        while self._fill():
            for key, _ in self._selector.select(self._watcher.tick_s):
                if key.fileobj in self._selector.get_map():  # else another event of this round has ended it
                    key.data()
            for child in self._running:
                child.hurry()
            self._watcher.tick()

    def _fill(self) -> bool:
        """Start what there is room for; return whether anything runs."""
        while self._waiting and len(self._running) < self._workers:
            run = self._waiting.popleft()
            if lacks := missing(run.variant.scenario):
                self._finish(run, run.skipped(lacks))
            else:
                self._start(run)
        return bool(self._running)

    def _start(self, run: Run) -> None:
        child = _Child(run)
        self._running.append(child)
        self._selector.register(child.output, selectors.EVENT_READ, lambda: self._hear(child))
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._end(child))
        self._watcher.began(run)

    def _hear(self, child: _Child) -> None:
        heard, ended = child.read()
        if ended:
            self._selector.unregister(child.output)
        for event in heard:
            self._watcher.heard(child.run, event)

    def _end(self, child: _Child) -> None:
        if child.output in self._selector.get_map():
            self._hear(child)
        for fileno in {child.output, child.pidfd} & set(self._selector.get_map()):
            self._selector.unregister(fileno)
        self._running.remove(child)
        self._finish(child.run, child.end())

    def _finish(self, run: Run, result: Result) -> None:
        self.results.append((run, result))
        if self._fail_fast and result.status not in {"PASS", "SKIPPED"}:
            self._waiting.clear()
        self._watcher.finished(run, result)

    def _interrupt(self, signals: Signals) -> None:
        signals.take()
        again, self.interrupted = self.interrupted, True
        self._stop()
        self._watcher.interrupted(len(self._running), again=again)

    def _stop(self) -> None:
        self._waiting.clear()
        for child in self._running:
            child.stop()


def run_one(run: Run, watcher: Watcher = SILENT) -> Result:
    """Run one trial to its end. Raises `Interrupted`, after it has unwound, if a signal asked for that."""
    pool = Pool(watcher=watcher)
    [(_, result)] = pool.run([run])
    if pool.interrupted:
        raise Interrupted(f"{result.id} was interrupted; {'; '.join(result.left) or 'everything is undone'}")
    return result


class _Child:
    """A trial's process."""

    def __init__(self, run: Run) -> None:
        self.run = run
        run.folder.logs.mkdir(exist_ok=True)
        with (run.folder.logs / "trial.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.engine.trial", str(run.folder.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # the installed package, not what lies in this folder
            )
        if self.process.stdout is None:
            raise HarnessBug("a trial was started without a pipe")
        self.output = self.process.stdout.fileno()
        self.pidfd = os.pidfd_open(self.process.pid)
        os.set_blocking(self.output, False)
        self._lines = Lines()
        self._stopped = False
        self._began = self._deadline = _clock.monotonic_ns()
        self._measures: deque[Callable[[], None]] = deque([self.process.terminate, self.process.kill])
        self._extend(run.limit_s)

    def read(self) -> tuple[list[Heard], bool]:
        """Return what the trial has said since the last call, and whether that was the end of it."""
        heard: list[Heard] = []
        try:
            while data := os.read(self.output, 65536):
                heard += filter(None, map(_decode, self._lines.feed(data)))
        except BlockingIOError:
            return heard, False
        return heard, True

    def stop(self) -> None:
        """Ask it to unwind; asked again, it says what it is still undoing."""
        self._stopped = True
        self.process.terminate()

    def hurry(self) -> None:
        """Ask a process that hangs to unwind, and kill one that hangs there too; its guardian then undoes."""
        if _clock.monotonic_ns() > self._deadline and self._measures:
            self._measures.popleft()()
            self._extend(_GRACE_S)

    def end(self) -> Result:
        """Reap the process and return its result; the one of a process that died without any is an ERROR."""
        status = self.process.wait()
        os.close(self.pidfd)
        if self.process.stdout is not None:
            self.process.stdout.close()
        try:
            return read(self.run.folder.result)
        except ScenarioError:
            return self._died(status)

    def _died(self, status: int) -> Result:
        """Wait until the guardian has undone what the dead trial could not, and say what happened."""
        try:
            sweep()
            left: tuple[str, ...] = ()
        except UndoFailed as error:
            left = (str(error),)
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
        result = self.run.result(
            # A process that has only just started has no handlers yet: our own signal ends it.
            status="INTERRUPTED" if self._stopped and status == -signal.SIGTERM else "ERROR",
            reason=f"the trial process died {how} before it had a result",
            fix=f"see {self.run.folder.logs}",
            duration_s=seconds(_clock.monotonic_ns() - self._began),
            left=left,
        )
        return self.run.write(result)

    def _extend(self, by_s: float) -> None:
        self._deadline += int(by_s * 1e9)


_heard: msgspec.json.Decoder[Heard] = msgspec.json.Decoder(Heard)


def _decode(line: bytes) -> Heard | None:
    """Read one line of a trial; None for what this version does not know."""
    try:
        return _heard.decode(line)
    except msgspec.MsgspecError:
        return None


class Signals:
    """While active, SIGINT, SIGTERM and SIGHUP make `fileno` readable and do nothing else.

    A signal that was ignored before (`nohup`) stays ignored.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        heeded = [n for n in self._NUMBERS if signal.getsignal(n) != signal.SIG_IGN]
        self._old = {number: signal.signal(number, _note) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        """Return the descriptor that a selector watches."""
        return self._read

    def take(self) -> bytes:
        """Return the numbers of the signals that have come, a byte each, and forget them."""
        return os.read(self._read, 1024)


def _note(number: int, frame: FrameType | None) -> None:
    """Leave it to the wake-up descriptor: with a handler, the signal does not end the process."""
