"""Faults inside somebody's own test: the object behind the pytest fixture `chaos`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from harness import seeds
from harness.errors import ScenarioError, UndoFailed
from harness.faults._base import Fault, Lasting, Site, Undo
from harness.guardian import Guardian
from harness.registry import FAULTS
from harness.scenario._shapes import adapter
from harness.undo import Entry, UndoLog
from harness.wire import Json

_HANDLES = {"process": {"pid"}, "file": {"path"}, "folder": {"path"}, "link": {"api", "proxy"}}


class Chaos:
    """Injects any registered fault, proves that it took effect, and undoes what lasts.

    A call acts at once. An environment fault is undone at the end of the `with` block that it opens, else at the end of
    the test and, should pytest be killed, by a guardian process. Damage (bytes, kills) is never undone. `seed` and
    `name` decide what a fault draws, so that a test does the same each time.
    """

    def __init__(self, folder: Path, seed: int, name: str) -> None:
        self._folder = folder
        self._seed = seed
        self._name = name
        self._count = 0
        self._guardian: Guardian | None = None
        self._held: list[Injected] = []

    def __enter__(self) -> Self:
        return self

    def __call__(self, kind: str, **arguments: Any) -> Injected:  # noqa: ANN401  the parameters of the fault
        """Inject the fault `kind` into `pid=` or `path=`; every other argument is a parameter of the fault.

        A toxic acts on a proxy of your own Toxiproxy server: `api="127.0.0.1:8474", proxy="its name"`.

        Raises `ScenarioError` for arguments that make no sense, `FaultNotProven` where the fault took no effect.
        """
        self._count += 1
        kind_class = FAULTS.get(kind)
        own = {field.name for field in dataclasses.fields(kind_class)}
        fault = _build(kind_class, {name: value for name, value in arguments.items() if name in own})
        handle = _handle(kind_class, {name: value for name, value in arguments.items() if name not in own})
        site = Site(handle, seeds.stream(self._seed, self._name, self._count))
        if isinstance(fault, Lasting):
            injected = Injected(fault, site, self._journal(kind, fault.undo_plan(site)), self._log())
            self._held.append(injected)
        else:
            injected = Injected(fault, site)
        injected.inject()
        return injected

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo what is still held, newest first, and let the guardian go. Raises `UndoFailed` if anything is left."""
        try:
            for injected in reversed(self._held):
                injected.undo()
        finally:
            self._dismiss()

    def _journal(self, kind: str, undos: Sequence[Undo]) -> list[Entry]:
        guardian = self._guarded()
        guardian.learn(FAULTS.module(kind))
        return [guardian.log.push(undo) for undo in undos]

    def _log(self) -> UndoLog:
        return self._guarded().log

    def _guarded(self) -> Guardian:
        if self._guardian is None:
            label = f"{seeds.derive(seeds.fresh_root(), self._name):016x}"[:12]
            self._guardian = Guardian(UndoLog(self._folder / "undo.jsonl"), label)
        return self._guardian

    def _dismiss(self) -> None:
        if self._guardian is not None:
            self._guardian.dismiss()
            self._guardian.log.close()
            if self._guardian.left:
                raise UndoFailed("; ".join(self._guardian.left))


@dataclass
class Injected:
    """A fault that has been injected. `evidence` says what was done, `proof` shows that it took effect.

    As a context manager it undoes the fault at the end of the block; of damage there is nothing to undo.
    """

    fault: Any
    site: Site
    entries: Sequence[Entry] = ()
    log: UndoLog | None = None
    evidence: Json = dataclasses.field(default_factory=dict)
    proof: Json = dataclasses.field(default_factory=dict)

    def inject(self) -> None:
        """Act and prove; the undo is journaled by now. Raises `FaultNotProven`."""
        self.evidence = self.fault.inject(self.site)
        self.proof = self.fault.prove(self.site, self.evidence)

    def undo(self) -> None:
        """End an environment fault and prove that nothing is left of it; a second time does nothing."""
        entries, self.entries = self.entries, ()
        if self.log is None or not entries:
            return
        for entry in reversed(entries):
            self.log.execute(entry)
        self.fault.prove_undone(self.site, self.evidence)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def _build(kind: type[Any], parameters: Json) -> Fault:
    """Validate the parameters as those of a scenario are: as strict JSON."""
    try:
        built: Fault = adapter(kind).validate_json(json.dumps(parameters, default=str))
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ScenarioError(f"{kind.kind}: {'; '.join(wrong)}") from error
    return built


def _handle(kind: type[Any], members: dict[str, Any]) -> Json:
    wanted = _HANDLES[kind.on] if kind.on else set()
    if members.keys() != wanted:
        asked = ", ".join(sorted(wanted)) or "nothing"
        raise ScenarioError(f"{kind.kind} acts on {asked}, got {', '.join(sorted(members)) or 'nothing'}")
    return {name: str(value) if isinstance(value, Path) else value for name, value in members.items()}
