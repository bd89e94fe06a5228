"""Faults on scratch files and processes, without an engine around them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from harness.errors import FaultNotProven
from harness.faults._base import Equips, Fault, Lasting, Prepares, Site, Undo
from harness.registry import FAULTS
from harness.undo import UndoLog
from harness.wire import Json

Spans = Sequence[tuple[int, int]]


class AnyFault(Fault, Lasting, Prepares, Equips, Protocol):
    """A fault with every optional part; which of them it has is for the test to know."""


def make(kind: str, **parameters: object) -> AnyFault:
    """A fault with its parameters as the scenario model has them after parsing."""
    fault: AnyFault = FAULTS.get(kind)(**parameters)
    return fault


def site_of(path: Path, *, seed: int = 1, folder: Path | None = None, spans: Spans | None = None) -> Site:
    handle = {"type": "file", "path": str(path)}
    return Site(handle, random.Random(seed), folder or path.parent, *([] if spans is None else [lambda: spans]))


def site_of_process(pid: int, folder: Path | None = None) -> Site:
    return Site({"type": "process", "pid": pid}, random.Random(1), folder)


def broken(fault: Fault, site: Site) -> Json:
    """Inject and prove; the evidence must survive being recorded."""
    evidence = fault.inject(site)
    recorded: Json = msgspec.json.decode(msgspec.json.encode(evidence))
    assert fault.prove(site, recorded)
    return recorded


def refusal(fault: Fault, site: Site) -> str:
    """Why the fault cannot be injected or proven here; fails where it can."""
    try:
        if hasattr(fault, "undo_plan"):
            fault.undo_plan(site)
        fault.prove(site, fault.inject(site))
    except FaultNotProven as error:
        return str(error)
    raise AssertionError(f"{fault} was not refused")


def executed(undos: Sequence[Undo], log: Path) -> None:
    """Undo as the engine does, twice, since twice must equal once."""
    for attempt in range(2):
        undo_log = UndoLog(log.with_suffix(f".{attempt}"))
        for undo in undos:
            undo_log.push(undo)
        assert undo_log.execute_all() == []
        undo_log.close()
