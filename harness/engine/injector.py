"""The life of a fault: journal the undo, inject, prove, hold, undo, prove undone. Runs in threads of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import seeds
from harness.clock import Clock
from harness.engine.host import Host, expect_ok
from harness.engine.links import Links
from harness.engine.phases import reach
from harness.engine.schedule import Step
from harness.errors import BigfiveError, FaultNotProven, TimedOut
from harness.faults._base import Fault, Lasting, Site, Tooled
from harness.processes import carries
from harness.record import Event, FaultInjected, FaultInjecting, FaultProven, FaultUndone, FaultUnproven, TrialSpec
from harness.undo import Entry, UndoLog
from harness.waiting import until
from harness.wire import Answer, Json

ANSWER_PATIENCE_S = 5.0
PRESENCE_PATIENCE_S = 5.0


@dataclass(frozen=True)
class _Held:
    fault: Any
    site: Site
    evidence: Json
    entries: tuple[Entry, ...]


class Injector:
    """Carries out steps. `inject` and `undo` block, so they get threads of their own; they record, and never raise."""

    def __init__(self, clock: Clock, host: Host, log: UndoLog, spec: TrialSpec, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._host = host
        self._log = log
        self._spec = spec
        self._emit = emit
        self._held: dict[int, _Held] = {}
        self.folder = Path()
        self.client_handles: frozenset[str] = frozenset()
        self.locate_client: Callable[[str, float], Future[Json]] = lambda _handle, _draw: Future()
        self.links: Links | None = None

    def inject(self, step: Step, fault: Fault, due: int) -> None:
        """Journal, inject, prove. What was only half injected is undone at once."""
        entries: tuple[Entry, ...] = ()
        try:
            site = self._site(step, fault)
            plan = fault.undo_plan(site) if isinstance(fault, Tooled) else ()
            entries = tuple(self._log.push(undo) for undo in plan)
            reach("undo.journaled")
            began = self._clock.monotonic_ns()
            self._emit(FaultInjecting(t=began, fault=step.n, kind=step.kind, on=step.on, due=due))
            evidence = {**_who(site), **fault.inject(site)}
            began = evidence.get("began_ns", began)
            if isinstance(fault, Lasting):
                self._held[step.n] = _Held(fault, site, evidence, entries)
            else:
                self._execute(entries)
            self._emit(FaultInjected(t=self._clock.monotonic_ns(), fault=step.n, began=began, evidence=evidence))
            reach("fault.injected")
            self._emit(FaultProven(t=self._clock.monotonic_ns(), fault=step.n, proof=fault.prove(site, evidence)))
        except (BigfiveError, OSError) as error:
            self._unproven(step.n, error)
            if step.n not in self._held:
                self._execute(entries)

    def undo(self, n: int) -> None:
        """End a held fault and prove that nothing is left of it."""
        held = self._held.pop(n, None)
        if held is None:
            return
        try:
            self._execute(held.entries)
            undone = self._clock.monotonic_ns()
            proof = held.fault.prove_undone(held.site, held.evidence)
            self._emit(FaultUndone(t=undone, fault=n, proof=proof))
        except (BigfiveError, OSError) as error:
            self._unproven(n, error)

    @property
    def held(self) -> list[int]:
        """Steps that still last, newest first."""
        return sorted(self._held, reverse=True)

    def _execute(self, entries: Sequence[Entry]) -> None:
        for entry in reversed(entries):
            self._log.execute(entry)

    def _unproven(self, n: int, error: Exception) -> None:
        self._emit(FaultUnproven(t=self._clock.monotonic_ns(), fault=n, reason=str(error)))

    def _site(self, step: Step, fault: Fault) -> Site:
        rng = seeds.stream(step.seed)
        if fault.on is None or step.on is None:
            return Site({}, rng, self.folder)
        handle = self._client(step) if step.on in self.client_handles else self._located(step.on)
        self._refuse_foreign(handle)
        if self.links is not None:
            handle = self.links.beside(step.on, handle)
        return Site(handle, rng, self.folder, lambda: self._layout(str(step.on)))

    def _client(self, step: Step) -> Json:
        """Ask the recorder for a client; nobody may be in that role just now, so that is waited for."""
        draw = seeds.stream(step.seed, "client").random()
        try:
            return self.locate_client(str(step.on), draw).result(PRESENCE_PATIENCE_S)
        except TimeoutError as error:
            raise FaultNotProven(f"no client was {step.on} within {PRESENCE_PATIENCE_S:g} s") from error

    def _located(self, name: str) -> Json:
        """Ask where a handle is; a process that is just being restarted, or a file not yet written, is waited for."""

        def look() -> Json | None:
            described = expect_ok("describe", self._answer(self._host.ask("describe", {})))
            handle: Json | None = described.result.get("handles", {}).get(name)
            if handle is None:
                raise FaultNotProven(f"the target offers no handle {name!r}")
            return handle if handle.keys() & {"pid", "path", "address"} else None

        try:
            return until(look, f"{name} to be there", PRESENCE_PATIENCE_S) or {}
        except TimedOut as error:
            raise FaultNotProven(f"{error}, so there is nothing to act on") from error

    def _refuse_foreign(self, handle: Json) -> None:
        """Scope `run`: a process must carry the run's label, unless the user allowed the host.

        Files are held to the same scope by `Site.path`.
        """
        pid = handle.get("pid")
        if isinstance(pid, int) and "host" not in self._spec.allow and not carries(pid, self._spec.label):
            raise FaultNotProven(f"process {pid} was not started by this run; --allow host lets faults reach it")

    def _layout(self, handle: str) -> Sequence[tuple[int, int]]:
        answer = expect_ok("layout", self._answer(self._host.ask("layout", {"handle": handle})))
        return [(offset, length) for offset, length in answer.result["records"]]

    @staticmethod
    def _answer(future: Future[Answer]) -> Answer:
        try:
            return future.result(ANSWER_PATIENCE_S)
        except TimeoutError as error:
            raise FaultNotProven(f"the target did not answer within {ANSWER_PATIENCE_S:g} s") from error


def _who(site: Site) -> Json:
    """Say for the checks which client a fault was about to meet."""
    return {"client": site.handle["client"]} if "client" in site.handle else {}
