"""What each file of a store must hold, to the byte, given its history. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from targets.state import documents, layout, records
from targets.state.history import History
from targets.state.records import FORMAT, Entry, Header, Point, Record

SNAPSHOTS_KEPT = 2


@dataclass(frozen=True)
class Blueprint:
    """`files` is what each must hold; None where nothing is left to rebuild it from.

    `checkpoint` is the record up to which `state.json` goes. What an interrupted write explains is limited by
    `acknowledged`, the length that the current mirror must have at least, and `marked`, the record up to which
    `state.json` must go at least.
    """

    generation: int
    head: Point
    files: Mapping[str, bytes | None]
    checkpoint: int
    acknowledged: int = 0
    marked: int = 0


def draw(history: History, files: Mapping[str, bytes]) -> Blueprint | None:
    """Return the blueprint of a folder with this history, or None where not even its beginning can be told.

    A document that is good is kept as it is: it need not be younger than it is.
    """
    headers = history.headers()
    snapshots = [_snapshot_before(header) for header in headers[-SNAPSHOTS_KEPT:]]
    oldest = min((point.seq for point in snapshots), default=0)
    first = max((header.seq for header in headers if header.seq <= oldest + 1), default=None)
    if first is None:
        return None
    wanted = {layout.snapshot(point.seq): _snapshot(history, point, files) for point in snapshots}
    kept = [run for run in history.path if run.first.seq >= first]
    for generation, runs in groupby(kept, key=lambda run: run.first.gen):
        wanted[layout.journal(generation)] = b"".join(run.content for run in runs)
        wanted[layout.mirror(generation)] = wanted[layout.journal(generation)]
    wanted[layout.STATE], checkpoint = _state(history, files)
    last = kept[-1].last
    acknowledged = sum(run.length_to(last.ack) for run in kept if run.first.gen == last.gen)
    return Blueprint(last.gen, history.head, wanted, checkpoint, acknowledged, history.marked)


def _state(history: History, files: Mapping[str, bytes]) -> tuple[bytes, int]:
    """Return `state.json` and the record up to which it goes.

    As it is, if it is good; else as it was when last marked, so that it equals the one lost; else as it would be now.
    """
    marked, have = history.marked, history.bases.get(layout.STATE)
    if have is not None and have.seq >= marked:
        return files[layout.STATE], have.seq
    at = history.point(marked) or history.head
    found = history.entries_at(at.seq)
    if found is None:
        at, found = history.head, history.present()
    return documents.encode(history.store, at, found[0]), at.seq


def _snapshot_before(record: Record) -> Point:
    if not isinstance(record.op, Header):
        raise TypeError(f"record {record.seq} is no header")
    return Point(record.op.snapshot, record.op.snapshot_chain)


def _snapshot(history: History, point: Point, files: Mapping[str, bytes]) -> bytes | None:
    name = layout.snapshot(point.seq)
    if history.bases.get(name) == point:
        return files[name]
    found = history.entries_at(point.seq)
    return None if found is None else documents.encode(history.store, point, found[0])


def fresh_start(store: str, generation: int, head: Point, entries: Mapping[str, Entry]) -> Blueprint:
    """Return the smallest folder that holds `entries`: one snapshot, one generation, `state.json`."""
    header = Header(FORMAT, head.seq, head.chain)
    frame, point = records.encode(Record(head.seq, generation, header, head.chain, head.seq + 1, store))
    wanted: dict[str, bytes | None] = {
        layout.snapshot(head.seq): documents.encode(store, head, entries),
        layout.journal(generation): frame,
        layout.mirror(generation): frame,
        layout.STATE: documents.encode(store, point, entries),
    }
    return Blueprint(generation, point, wanted, point.seq)
