"""The one chain of records that leads to the present, and the state at each point of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from targets.state import documents, layout
from targets.state.errors import Unrecoverable
from targets.state.records import Entry, Header, Mark, Point, Put, genesis
from targets.state.survey import Link, Survey

_NOTHING = "journal"


@dataclass(frozen=True)
class History:
    """An unbroken chain: `path` leads from `start` to `head`; `bases` are the documents on it, by file name.

    The empty state before the first record needs no document: it is a base under the name `journal`.
    """

    store: str
    path: tuple[Link, ...]
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
        for link in self.path[base - self.start.seq : seq - self.start.seq]:
            if isinstance(link.record.op, Put):
                entries[link.record.op.key] = (link.record.op.version, link.record.op.value)
        return entries, source

    def _base(self, source: str) -> dict[str, Entry]:
        if source not in self._decoded:
            document = self._survey.documents.get(source)
            self._decoded[source] = documents.entries_of(document) if document else {}
        return self._decoded[source]

    def point(self, seq: int) -> Point | None:
        """Return the point at record `seq`, or None where the path does not lead past it."""
        index = seq - self.start.seq - 1
        return Point(seq, self.path[index].digest) if 0 <= index < len(self.path) else None

    def present(self) -> tuple[dict[str, Entry], str]:
        """Return the state at the head and the file it was built on; there always is one."""
        found = self.entries_at(self.head.seq)
        if found is None:
            raise _lost(self._survey, "no document on the chain", self.start.seq)
        return found

    def headers(self) -> list[Link]:
        """Return the first records of all generations that are known from their beginning."""
        return [link for link in self.path if isinstance(link.record.op, Header)]

    def marked(self) -> int:
        """Return up to where `state.json` was once durable; 0 if no record says so."""
        return max((link.record.op.at for link in self.path if isinstance(link.record.op, Mark)), default=0)


def reconstruct(survey: Survey) -> History:
    """Follow the chain back from the latest record. Raises `Unrecoverable` where it breaks before any document.

    The latest record is found among all copies, and the way back from it is unique, since each record names the one
    before by hash: damage, old copies and foreign records can hide a record but never add or reorder one.
    """
    if not survey.links:
        foreign = f": {', '.join(sorted(survey.foreign))} of another store" if survey.foreign else ""
        raise _lost(survey, f"no journal record survives{foreign}", 1)
    latest = max(survey.links.values(), key=lambda link: link.record.seq)
    path = [latest]
    while (before := survey.links.get(path[-1].record.prev)) is not None:
        path.append(before)
    path.reverse()
    start, head = path[0].record.before, Point(latest.record.seq, latest.digest)
    points = {name: document.point for name, document in survey.documents.items()}
    for name, point in points.items():
        if point.seq > head.seq:
            raise _lost(survey, f"{name} knows record {point.seq}, the journal ends before", head.seq + 1)
    reached = {start, *(Point(link.record.seq, link.digest) for link in path)}
    bases = {name: point for name, point in points.items() if point in reached}
    if start == genesis(survey.store):
        bases[_NOTHING] = start
    if not bases:
        raise _lost(survey, "no intact copy of a record, and no document after it", start.seq)
    return History(survey.store, tuple(path), start, head, bases, survey)


def _lost(survey: Survey, why: str, record: int) -> Unrecoverable:
    """Name the place where the journal is damaged; `record` is the first one that is missing."""
    newest_first = sorted(survey.gaps, key=lambda name: (-(layout.generation_of(name) or 0), name))
    for name in newest_first:
        if survey.gaps[name]:
            return Unrecoverable(why, name, survey.gaps[name][0].offset, record)
    return Unrecoverable(why, newest_first[0] if newest_first else layout.journal(1), 0, record)
