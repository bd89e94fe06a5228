"""One trial, as a process: `python -m harness.engine.trial RUN_FOLDER`.

Reads `scenario.yaml` and `trial.json` of the run folder, writes everything else, and echoes the events on standard
output for whoever shows progress, with {"type": "progress", "operations": n} lines between them. The first SIGTERM,
SIGINT or SIGHUP unwinds through the same phases; a second one says what is still being undone. The process dies with
its parent; then the guardian undoes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from harness.adapter import Launch
from harness.clock import NS_PER_S, SystemClock
from harness.engine import schedule
from harness.engine.environment import environment
from harness.engine.failpoints import FailpointServer, LetGo
from harness.engine.host import Host, sandbox_of
from harness.engine.injector import Injector
from harness.engine.judging import judge
from harness.engine.links import Links, links_of, undo_modules
from harness.engine.loop import Loop
from harness.engine.observers import OBSERVERS
from harness.engine.phases import PHASES, reach
from harness.engine.preflight import check_description, choose_variant, equip, launch_of, lock_scope, prepare
from harness.engine.timeline import Timeline
from harness.engine.workers import Workers
from harness.errors import BigfiveError, HarnessBug, TimedOut, made
from harness.faults._base import Undo
from harness.guardian import Guardian
from harness.record import (
    Described,
    Event,
    Folder,
    Observed,
    Phase,
    PhaseBegan,
    Problem,
    Record,
    RunBegan,
    RunEnded,
    TargetEvent,
    WorkloadBegan,
    Writer,
)
from harness.registry import FAULTS
from harness.result import Result
from harness.scenario.model import Scenario
from harness.undo import UndoLog
from harness.wire import LABEL_VARIABLE, Emitted

_ACT_PATIENCE_S = 20.0
_STOP_PATIENCE_S = 15.0
_PR_SET_PDEATHSIG = 1


class Trial:
    """Runs the phases of one trial over its folder."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self.spec = self.folder.spec()
        self.folder.logs.mkdir(exist_ok=True)
        self._writer = Writer(self.folder.events)
        self._clock = SystemClock()
        self._loop = Loop(self._clock)
        self._loop.handle_signals()
        self._phase: Phase = "preflight"
        self._trouble: BigfiveError | None = None
        self._deadline = 0
        self._sandbox = sandbox_of(self.spec.label)
        self._acting = 0
        self._ending: set[int] = set()  # held steps whose end is scheduled
        self._faults_over: int | None = None
        self._zero: int | None = None
        self._answered_before = 0
        self._guardian: Guardian | None = None
        self._links: Links | None = None
        self._host: Host | None = None
        self._injector: Injector | None = None
        self._workers: Workers | None = None
        self._scenario: Scenario | None = None

    @property
    def scenario(self) -> Scenario:
        """The scenario, from preflight on."""
        return made(self._scenario, "the scenario")

    def run(self) -> Result:
        """Go through the phases and return the result, which is on disk by then."""
        self._emit(RunBegan(t=self._clock.monotonic_ns(), environment=environment()))
        self._loop.on_again = self._say_what_is_pending
        failed = False
        for rule in PHASES[:-1]:
            if failed and not rule.always:
                continue
            self._phase = rule.name
            self._emit(PhaseBegan(t=self._clock.monotonic_ns(), phase=rule.name))
            reach(rule.name)
            try:
                getattr(self, f"_{rule.name}")()
            except Exception as error:  # noqa: BLE001  the always-phases must run whatever happened
                failed = True
                self._note(error)
        return self._judge()

    def _preflight(self) -> None:
        spec = self.spec
        self._scenario = choose_variant(self.folder.scenario, spec)
        self._deadline = self._clock.monotonic_ns() + round((spec.timeout_s or self.scenario.timeout) * NS_PER_S)
        self.plan = schedule.plan(self.scenario, spec.seed)
        self.folder.plan.write_bytes(schedule.encode(self.plan))
        self._timeline = Timeline(self.plan.steps)
        scope = self._loop.act(partial(lock_scope, spec))
        self._await(scope.done, "the host's lock, which another trial holds")
        log = UndoLog(self.folder.undo)
        self._guardian = Guardian(log, spec.label)
        for module in [*(FAULTS.module(step.kind) for step in self.plan.steps), *undo_modules(self.scenario)]:
            self._guardian.learn(module)
        if not spec.keep:
            log.push(Undo("folder.remove", {"path": str(self._sandbox)}))
        log.push(Undo("label.sweep", {"label": spec.label}))
        for folder in (self._sandbox, self._sandbox / "target", self._sandbox / "run"):
            folder.mkdir(mode=0o700)
        prepare(self.scenario, self._sandbox / "target", log)
        self._equipment = equip(self.scenario, self._sandbox / "run")
        self._links = Links(links_of(self.scenario), spec.label, self.folder.logs / "toxiproxy.log")
        self._start_host(log)

    def _start_host(self, log: UndoLog) -> None:
        self._failpoints = FailpointServer(self._loop, self._sandbox / "run" / "failpoints", self._arrived)
        names = sorted({step.failpoint for step in self.plan.steps if step.failpoint})
        extra = {LABEL_VARIABLE: self.spec.label, **(self._failpoints.environment(names) if names else {})}
        self._launch: Launch = launch_of(self.scenario, self.spec, extra)
        self._host = Host(self._loop, self._launch, self.folder.logs / "host.log")
        self._host.on_event = self._reported
        self._host.on_death = self._break
        description = self._host.call("describe", {}, self._left_s()).result
        self._emit(Described(t=self._clock.monotonic_ns(), description=description))
        check_description(self.scenario, description)
        self._injector = Injector(self._clock, self._host, log, self.spec, self._emit)
        self._injector.folder = self._sandbox / "target"
        self._injector.links = self._links

    def _set_up(self) -> None:
        host = made(self._host, "the host")
        runner = self.scenario.workload
        launch = self._launch.adding(self._equipment)
        self._workers = Workers(self._loop, launch, self.folder, self._sandbox / "run")
        self._workers.on_trouble = self._break
        self._workers.on_answered = self._answered
        self._workers.on_progress = self._show_progress
        injector = made(self._injector, "the injector")
        injector.client_handles, injector.locate_client = runner.client_handles, self._workers.locate
        self._workers.start(runner, self.plan.workload_seed, {LABEL_VARIABLE: self.spec.label})
        arguments = {
            "folder": str(self._sandbox / "target"),
            "label": self.spec.label,
            "options": self.scenario.with_,
            **made(self._links, "the links").arguments,
        }
        answer = host.call("start", arguments, self._left_s())
        if "links" in arguments:
            made(self._links, "the links").follow(host.call("describe", {}, self._left_s()).result)
        self._workers.open(answer.result.get("connect"))
        self._await(lambda: made(self._workers, "the workers").ready, "the clients and the prober to connect")

    def _steady_state(self) -> None:
        steady, workers = self.scenario.steady_state, made(self._workers, "the workers")
        deadline = min(self._deadline, self._clock.monotonic_ns() + round(steady.within * NS_PER_S))
        wanted = f"{steady.good_probes} good probes in a row"
        self._await(lambda: workers.streak >= steady.good_probes, wanted, deadline)

    def _workload(self) -> None:
        workers = made(self._workers, "the workers")
        workers.begin()
        self._pause(self.scenario.warm_up, "the warm-up")
        self._zero = self._clock.monotonic_ns()
        self._answered_before = workers.answered
        self._emit(WorkloadBegan(t=self._zero, clients=self.scenario.workload.clients))
        self._timeline.start(self._zero)
        self._arm()
        self._await(self._over, "the end of the workload")
        workers.stop()
        self._await(lambda: workers.stopped, "the answers to the last operations")

    def _heal(self) -> None:
        if self._injector is None:
            return
        for n in self._injector.held:
            self._act(partial(self._injector.undo, n))
        deadline = self._clock.monotonic_ns() + round(_ACT_PATIENCE_S * NS_PER_S)
        self._loop.run_until(lambda: not self._acting, "the undoing of every fault", deadline, shielded=True)

    def _quiet(self) -> None:
        workers = made(self._workers, "the workers")
        self._pause(self.scenario.quiet, "the quiet period")
        good = self.scenario.steady_state.good_probes
        self._await(lambda: workers.streak >= good, "the target to serve again")
        workers.ask_final()
        self._await(lambda: workers.finished, "the final reads")

    def _stop(self) -> None:
        if self._workers is not None:
            self._workers.close()
        if self._host is None:
            return
        try:
            self._host.call("stop", {}, _STOP_PATIENCE_S, shielded=True)
        finally:
            self._host.close()
            self._host = None
            if self._links is not None:
                self._links.close()
            self._observe()

    def _observe(self) -> None:
        for name in sorted({name for each in self.scenario.expect for name in each.parameters.observes}):
            data = OBSERVERS[name](self.spec.label)
            self._emit(Observed(t=self._clock.monotonic_ns(), name=name, data=data))

    def _tear_down(self) -> None:
        left: list[str] = []
        if self._guardian is not None:
            self._guardian.dismiss()
            left = self._guardian.left
        self._emit(RunEnded(t=self._clock.monotonic_ns(), left=left))
        self._writer.sync()

    def _judge(self) -> Result:
        result = judge(Record.load(self.folder.path), self._scenario)
        temporary = self.folder.result.with_suffix(".new")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
        temporary.replace(self.folder.result)
        return result

    def _over(self) -> bool:
        """Return whether the workload is over: all faults are, and what `until` says has come."""
        if self._timeline.waiting or self._acting or self._ending:
            return False
        now = self._clock.monotonic_ns()
        if self._faults_over is None:
            self._faults_over = now
        until = self.scenario.workload.until
        if until.operations is not None:
            return made(self._workers, "the workers").answered - self._answered_before >= until.operations
        start = self._faults_over if until.seconds is None else made(self._zero, "time zero")
        end = start + round((until.seconds or until.after_faults_s or 0.0) * NS_PER_S)
        if now < end:
            self._loop.at(end, lambda: None)
        return now >= end

    def _arm(self) -> None:
        """Begin what is due and come back for what is next."""
        for due in self._timeline.due(self._clock.monotonic_ns()):
            self._begin(due.step, due.at, self._injected)
        following = self._timeline.next_at()
        if following is not None:
            self._loop.at(following, self._arm)

    def _begin(self, step: schedule.Step, due: int, then: Callable[[schedule.Step], None]) -> None:
        injector = made(self._injector, "the injector")
        fault = self.scenario.faults[step.fault].parameters
        self._act(partial(injector.inject, step, fault, due), partial(then, step))

    def _injected(self, step: schedule.Step) -> None:
        now = self._clock.monotonic_ns()
        injector = made(self._injector, "the injector")
        if step.hold_s is not None and step.n in injector.held:
            self._ending.add(step.n)
            self._loop.after(step.hold_s, partial(self._end, step.n))
        self._timeline.proven(step.n, now)
        self._arm()

    def _end(self, n: int) -> None:
        self._ending.discard(n)
        self._act(partial(made(self._injector, "the injector").undo, n))

    def _act(self, function: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        self._acting += 1

        def finished(_future: object) -> None:
            self._acting -= 1
            if then is not None:
                then()

        self._loop.act(function, finished)

    def _arrived(self, name: str, let_go: LetGo) -> None:
        """The target is held at a failpoint: inject what waits for it, then let the target go."""
        steps = self._timeline.failpoint(name) if self._zero is not None else []
        injecting = len(steps)
        if not steps:
            let_go()

        def injected(step: schedule.Step) -> None:
            nonlocal injecting
            injecting -= 1
            if not injecting:
                let_go()
            self._injected(step)

        for step in steps:
            self._begin(step, self._clock.monotonic_ns(), injected)

    def _reported(self, event: Emitted) -> None:
        now = self._clock.monotonic_ns()
        self._emit(TargetEvent(t=now, name=event.event, data=event.data))
        if self._links is not None and self._host is not None:
            self._links.ask(self._loop, self._host)  # what was restarted may listen elsewhere
        if self._zero is not None:
            self._timeline.event(event.event, now)
            self._arm()

    def _answered(self, count: int) -> None:
        if self._zero is not None:
            self._timeline.answered(count - self._answered_before, self._clock.monotonic_ns())
            self._arm()

    def _await(self, condition: Callable[[], bool], what: str, deadline: int | None = None) -> None:
        self._loop.run_until(lambda: self._trouble is not None or condition(), what, deadline or self._deadline)
        if self._trouble is not None:
            raise self._trouble

    def _pause(self, duration_s: float, what: str) -> None:
        end = self._clock.monotonic_ns() + round(duration_s * NS_PER_S)
        self._loop.at(end, lambda: None)
        self._await(lambda: self._clock.monotonic_ns() >= end, what)

    def _left_s(self) -> float:
        return max(0.0, (self._deadline - self._clock.monotonic_ns()) / NS_PER_S)

    def _break(self, error: BigfiveError) -> None:
        """Something failed behind our back: the phase that is waiting raises it."""
        self._trouble = self._trouble or error

    def _note(self, error: Exception) -> None:
        if not isinstance(error, BigfiveError):
            trace = self.folder.logs / "harness.log"
            trace.write_text("".join(traceback.format_exception(error)))
            error = HarnessBug(f"{type(error).__name__}: {error} (see {trace})")
        message = str(error)
        if isinstance(error, TimedOut) and self._phase == "workload" and self._timeline.waiting:
            pending = "; ".join(str(step) for step in self._timeline.waiting)
            message += f"; faults still waiting for their moment: {pending}"
        fix = str(getattr(error, "fix", ""))
        name = type(error).__name__
        self._emit(Problem(t=self._clock.monotonic_ns(), phase=self._phase, error=name, message=message, fix=fix))

    def _show_progress(self, operations: int) -> None:
        now = self._clock.monotonic_ns()
        self._echo(msgspec.json.encode({"type": "progress", "t": now, "operations": operations}))

    def _say_what_is_pending(self) -> None:
        pending = self._guardian.log.pending() if self._guardian is not None else []
        self._echo(msgspec.json.encode({"type": "undoing", "pending": [str(entry) for entry in pending]}))

    def _emit(self, event: Event) -> None:
        self._writer.write(event)
        self._echo(msgspec.json.encode(event))

    @staticmethod
    def _echo(line: bytes) -> None:
        try:
            os.write(1, line + b"\n")
        except BrokenPipeError:
            return  # nobody is looking any more


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the suite died before the trial began")


def main() -> None:
    """Run the trial of the folder named on the command line."""
    _die_with_parent()
    Trial(Path(sys.argv[1])).run()
    os._exit(0)  # threads of acts that hang must not keep us


if __name__ == "__main__":
    main()
