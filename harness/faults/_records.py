"""What record faults share: damage by the target's own `layout`, so that it falls on record boundaries or inside one.

Not promised: that nothing is lost which a target appends in the microseconds between our last look at the file and our
write. A scenario that must be exact to the record stops the target meanwhile, at a failpoint or by `process.pause`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import FaultNotProven, TargetFailed
from harness.faults._base import Site
from harness.faults._files import damage
from harness.wire import Json

Spans = Sequence[tuple[int, int]]

_ATTEMPTS = 20


class _Moved(Exception):
    """The target has written since we asked for the layout."""


def damage_records(site: Site, act: Callable[[int, Spans], Json]) -> Json:
    """Let `act(file descriptor, [(offset, length), …])` damage the site's file and return the evidence.

    The layout is that of the file at this very moment: where the target has written since it was asked, it is asked
    again. Raises `FaultNotProven` where it offers no layout, or never holds still.
    """
    path = site.path()
    for _ in range(_ATTEMPTS):
        version = _version(path.stat())
        spans = _layout(site, path)

        def on_this_version(file: int, size: int, version: object = version, spans: Spans = spans) -> Json:
            if _version(os.fstat(file)) != version or spans[-1][0] + spans[-1][1] > size:
                raise _Moved
            return act(file, spans)

        try:
            return damage(site, on_this_version)
        except _Moved:
            continue
    raise FaultNotProven(f"{path} changed {_ATTEMPTS} times in a row between its layout and the damage")


def edit_records(site: Site, edit: Callable[[list[bytes]], Json]) -> Json:
    """Let `edit` change the list of the file's records, each with the padding behind it, and write the file anew.

    In place: a target that has the file open reads and writes the damaged one.
    """

    def rewrite(file: int, spans: Spans) -> Json:
        content = os.pread(file, os.fstat(file).st_size, 0)
        bounds = [offset for offset, _ in spans] + [sum(spans[-1])]
        records = [content[start:end] for start, end in itertools.pairwise(bounds)]
        done = edit(records)
        edited = b"".join(records) + content[bounds[-1] :]
        os.pwrite(file, edited, bounds[0])
        os.ftruncate(file, bounds[0] + len(edited))
        return {"records": len(spans), **done}

    return damage_records(site, rewrite)


def chosen(site: Site, record: int | None, count: int) -> int:
    """Return the index of `record`, negative from the end, or a random one. Raises `FaultNotProven`."""
    index = site.random.randrange(count) if record is None else record + count * (record < 0)
    if not 0 <= index < count:
        raise FaultNotProven(f"there is no record {record}: the file has {count}")
    return index


def _layout(site: Site, path: Path) -> Spans:
    try:
        spans = site.layout()
    except TargetFailed as error:
        raise FaultNotProven(f"the target does not say where the records of {path} are: {error}") from error
    if not spans:
        raise FaultNotProven(f"the target names no record in {path}, so there is none to damage")
    return spans


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
