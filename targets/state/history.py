"""The one chain of records that leads to the present, and the state at each point of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from targets.state import documents, layout
from targets.state.errors import Unrecoverable
from targets.state.records import Entry, Header, Mark, Point, Put, Record, genesis
from targets.state.runs import Run
from targets.state.survey import Survey

_NOTHING = "journal"


@dataclass(frozen=True)
class History:
    """An unbroken chain: `path` leads from `start` to `head`; `bases` are the documents on it, by file name.

    The empty state before the first record needs no document: it is a base under the name `journal`.
    """

    store: str
    path: tuple[Run, ...]
    start: Point
    head: Point
    bases: Mapping[str, Point]
    _survey: Survey
    _decoded: dict[str, dict[str, Entry]] = field(default_factory=dict)  # 100 MB take most of a second each time

    def entries_at(self, seq: int) -> tuple[dict[str, Entry], str] | None:
        """Return the state after record `seq` and the file it was built on, or None where no document leads there."""
        reachable = [(point.seq, name) for name, point in self.bases.items() if point.seq <= seq]
        if not reachable:
            return None
        base, source = max(reachable)
        entries = self._base(source).copy()
        for run in self.path:
            for op in run.between(base, seq):
                if isinstance(op, Put):
                    entries[op.key] = (op.version, op.value)
        return entries, source

    def _base(self, source: str) -> dict[str, Entry]:
        if source not in self._decoded:
            document = self._survey.documents.get(source)
            self._decoded[source] = documents.entries_of(document) if document else {}
        return self._decoded[source]

    def point(self, seq: int) -> Point | None:
        """Return the point at record `seq`, or None where the path does not lead past it."""
        return next((run.point(seq) for run in self.path if run.start.seq < seq <= run.head.seq), None)

    def present(self) -> tuple[dict[str, Entry], str]:
        """Return the state at the head and the file it was built on; there always is one."""
        found = self.entries_at(self.head.seq)
        if found is None:
            raise _lost(self._survey, "no document on the chain", self.start.seq)
        return found

    def headers(self) -> list[Record]:
        """Return the first records of all generations that are known from their beginning."""
        return [run.first for run in self.path if isinstance(run.first.op, Header)]

    @cached_property
    def marked(self) -> int:
        """Return up to where `state.json` was once durable; 0 if no record says so."""
        backwards = (op for run in reversed(self.path) for op in reversed(run.ops))
        return next((op.at for op in backwards if isinstance(op, Mark)), 0)


def reconstruct(survey: Survey) -> History:
    """Follow the chain back from the latest record. Raises `Unrecoverable` where it breaks before any document.

    The latest record is found among all copies, and the way back from it is unique, since each record names the one
    before by hash: damage, old copies and foreign records can hide a record but never add or reorder one.
    """
    if not survey.runs:
        foreign = f": {', '.join(sorted(survey.foreign))} of another store" if survey.foreign else ""
        raise _lost(survey, f"no journal record survives{foreign}", 1)
    path = _path(survey.runs)
    start, head = path[0].start, path[-1].head
    points = {name: document.point for name, document in survey.documents.items()}
    for name, point in points.items():
        if point.seq > head.seq:
            raise _lost(survey, f"{name} knows record {point.seq}, the journal ends before", head.seq + 1)
    bases = {name: point for name, point in points.items() if point == start or any(point in run for run in path)}
    if start == genesis(survey.store):
        bases[_NOTHING] = start
    if not bases:
        raise _lost(survey, "no intact copy of a record, and no document after it", start.seq)
    return History(survey.store, path, start, head, bases, survey)


def _path(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return the parts of runs that lead to the latest record, from as far back as they do."""
    ending = {run.head: run for run in runs}
    path = [max(runs, key=lambda run: run.head.seq)]
    while before := ending.get(path[0].start) or _leading_to(path[0].start, runs):
        path.insert(0, before)
    return tuple(path)


def _leading_to(point: Point, runs: Sequence[Run]) -> Run | None:
    return next((run.upto(point.seq) for run in runs if point in run), None)


def _lost(survey: Survey, why: str, record: int) -> Unrecoverable:
    """Name the place where the journal is damaged; `record` is the first one that is missing."""
    newest_first = sorted(survey.gaps, key=lambda name: (-(layout.generation_of(name) or 0), name))
    for name in newest_first:
        if survey.gaps[name]:
            return Unrecoverable(why, name, survey.gaps[name][0].offset, record)
    return Unrecoverable(why, newest_first[0] if newest_first else layout.journal(1), 0, record)
