"""Records that stand one behind the other in a file: read and verified in one pass. Pure.

Nearly always a whole journal is one run. Of each record only what it did is kept, and where it is: to touch new memory
costs a replay more than parsing does (measured).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import msgspec

from targets.state import frames, records
from targets.state.frames import Gap
from targets.state.records import Header, Op, Point, Record


@dataclass(frozen=True, eq=False)
class Run:
    """Records of one generation, each of which continues the one before.

    They begin at the offsets `bounds` of `data`; the last of `bounds` is where the last record ends. `ops` is what they
    did, `first` the first one in full.
    """

    data: bytes
    bounds: list[int]
    ops: list[Op]
    first: Record

    @cached_property
    def start(self) -> Point:
        """The point that the first record continues."""
        return self.first.before

    @cached_property
    def head(self) -> Point:
        """The point that the last record reaches."""
        return self.point(self.start.seq + len(self.ops))

    @property
    def last(self) -> Record:
        """The last record."""
        body, _, _ = next(frames.walk(self.data, self.bounds[-2]))
        return records.parse(body)

    @property
    def content(self) -> bytes:
        """The frames of all records."""
        return self.data[self.bounds[0] : self.bounds[-1]]

    def __contains__(self, point: Point) -> bool:
        """Return whether one of the records reaches this point."""
        return self.start.seq < point.seq <= self.head.seq and self.point(point.seq) == point

    def point(self, seq: int) -> Point:
        """Return the point that record `seq`, which must be one of these, reaches."""
        return Point(seq, frames.digest_at(self.data, self.bounds[seq - self.first.seq]))

    def upto(self, seq: int) -> Run:
        """Return the run that ends with record `seq`, which must be one of these."""
        count = seq - self.start.seq
        return replace(self, bounds=self.bounds[: count + 1], ops=self.ops[:count])

    def between(self, after: int, seq: int) -> list[Op]:
        """Return what its records from the one behind `after` up to `seq` did."""
        return self.ops[max(after - self.start.seq, 0) : max(seq - self.start.seq, 0)]

    def length_to(self, seq: int) -> int:
        """Return how many bytes its records up to `seq` take."""
        count = min(max(seq - self.start.seq, 0), len(self.ops))
        return self.bounds[count] - self.bounds[0]


class Log(NamedTuple):
    """A journal or a mirror: its runs, and the stretches between them that are no records, in order."""

    runs: list[Run]
    gaps: list[Gap]


def read(data: bytes) -> Log:
    """Read a journal or a mirror; behind damage, records are found again.

    A record's hash vouches for its whole body, so where it names the hash of the one before, its number, generation and
    store continue as well.
    """
    log = Log([], [])
    offset, chain = 0, ""
    bounds: list[int] = []
    ops: list[Op] = []
    while offset < len(data):
        with suppress(msgspec.MsgspecError):  # a whole frame that holds no record
            for body, digest, end in frames.walk(data, offset):
                record = records.parse(body)
                if record.prev != chain or isinstance(record.op, Header):  # which begins a generation
                    bounds, ops = [offset], []
                    log.runs.append(Run(data, bounds, ops, record))
                ops.append(record.op)
                bounds.append(end)
                offset, chain = end, digest
        if offset < len(data):
            log.gaps.append(Gap(offset, frames.next_frame(data, offset + 1)))
            offset, chain = log.gaps[-1].end, ""
    return log
