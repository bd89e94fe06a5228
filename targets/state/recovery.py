"""From whatever bytes a crash, or somebody's finger, left: the state, what was wrong, and what the files must hold.

A pure function on bytes, so that every flip of every bit can be tried, at thousands of recoveries a second. The rules:

1. The present is the latest record found in any copy; the way to it must be unbroken from some document on.
2. What the files *must* hold follows from that chain, to the byte. Repair is the difference, so it can be repeated.
3. A bad end of the journal is cut only where the mirror bears witness that it was never acknowledged: a record is in
   the mirror before it is acknowledged, and durable in the journal before it is in the mirror.
4. What redundancy cannot mend, a search for a single flipped bit may. The hashes decide.
5. What is lost but not needed for the present (an older recovery point) is replaced by a fresh start: a new snapshot
   and generation. What is lost and needed: `Unrecoverable`, and nothing is changed.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from targets.state import blueprint
from targets.state.blueprint import Blueprint
from targets.state.diagnosis import Finding, check_end, diagnose, suspects
from targets.state.errors import Unrecoverable
from targets.state.history import History, reconstruct
from targets.state.records import Entry, Point, genesis
from targets.state.survey import corrected, examine

NOTHING = "nothing"
MEMORY = "memory"


@dataclass(frozen=True)
class Recovery:
    """The state, and what to do with the folder.

    `reached` is the last record found, `entries` the state there, and `source` the file that it was built on.
    `certain` says that nothing had to be cut off or given up. `history` is the chain that led there, where one did.
    """

    store: str
    reached: Point
    entries: dict[str, Entry]
    source: str
    findings: tuple[Finding, ...]
    plan: Blueprint
    names: AbstractSet[str]
    certain: bool
    history: History | None = None

    @property
    def generation(self) -> int:
        """The generation to go on in."""
        return self.plan.generation

    @property
    def head(self) -> Point:
        """The record to go on from: `reached`, or the header that a fresh start puts after it."""
        return self.plan.head

    @cached_property
    def files(self) -> dict[str, bytes]:
        """What each file must hold."""
        return {name: data for name, data in self.plan.files.items() if data is not None}

    @cached_property
    def surplus(self) -> list[str]:
        """The files that must go."""
        return sorted(self.names - self.files.keys())


def recover(files: Mapping[str, bytes]) -> Recovery:
    """Recover from the contents of a folder's files, by name. Raises `Unrecoverable` or `UnknownFormat`."""
    with _collector_paused():
        try:
            recovery = _recover(files, files)
        except Unrecoverable:
            return _recover(corrected(files), files)
        if recovery.certain:
            return recovery
        try:
            return _recover(corrected(files), files)
        except Unrecoverable:
            return recovery


def create(store: str) -> Recovery:
    """Return the plan of a new, empty store with this id."""
    return replace(anew(store, 1, genesis(store), {}, {}), source=NOTHING)


def anew(store: str, generation: int, head: Point, entries: dict[str, Entry], files: Mapping[str, bytes]) -> Recovery:
    """Return the plan that replaces all `files` by a fresh start from `entries`, the state in memory at `head`."""
    plan = blueprint.fresh_start(store, generation, head, entries)
    return Recovery(store, head, entries, MEMORY, (), plan, files.keys(), certain=True)


def _recover(evidence: Mapping[str, bytes], files: Mapping[str, bytes]) -> Recovery:
    """Recover from `evidence`, which is `files` or a corrected copy of them."""
    history = reconstruct(examine(evidence))
    entries, source = history.present()
    plan = blueprint.draw(history, evidence)
    certain = plan is not None and check_end(plan, evidence)
    findings = tuple(suspects(files) if plan is None else diagnose(plan, files))
    if plan is None or None in plan.files.values():
        generation = history.path[-1].last.gen + 1
        plan, certain = blueprint.fresh_start(history.store, generation, history.head, entries), False
    return Recovery(history.store, history.head, entries, source, findings, plan, files.keys(), certain, history)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking millions of new objects that all stay: 3.5 times faster, measured."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
