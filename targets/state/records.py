"""What a journal says: records, each holding the hash of the one before it, so that they form one chain for ever.

A checksum alone cannot see an old copy put back, or a record in the wrong place: both have valid checksums. The chain,
the generation and the store's name in each record can.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from targets.state import frames

FORMAT = 1

Entry = tuple[int, msgspec.Raw]
"""A key's version and value. The value stays encoded: opening 100 MB of state is 3 times faster that way."""


class Point(NamedTuple):
    """A place in the chain: the last record's number and hash."""

    seq: int
    chain: str


def genesis(store: str) -> Point:
    """Return the point before the first record of a store, different for each store."""
    return Point(0, hashlib.sha256(store.encode()).hexdigest())


class Header(msgspec.Struct, frozen=True, gc=False, tag="header", tag_field="is"):
    """The first record of each generation, and the snapshot that was durable before it."""

    format: int
    snapshot: int
    snapshot_chain: str


class Put(msgspec.Struct, frozen=True, gc=False, tag="put", tag_field="is"):
    """A write."""

    key: str
    value: msgspec.Raw
    version: int


class Mark(msgspec.Struct, frozen=True, gc=False, tag="checkpoint", tag_field="is"):
    """A note that `state.json` was durable up to record `at`: one that holds less is an old copy put back."""

    at: int


Op = Header | Put | Mark


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record.

    `ack` is the last record that was in the mirror, and so could be acknowledged, when this one was made: a mirror
    that ends before it has lost something.
    """

    ack: int
    gen: int
    op: Op
    prev: str
    seq: int
    store: str

    @property
    def before(self) -> Point:
        """The point that this record continues."""
        return Point(self.seq - 1, self.prev)


_encoder = msgspec.json.Encoder(order="sorted")
parse = msgspec.json.Decoder(Record).decode
"""Return the record of a frame's body. Raises `msgspec.MsgspecError` where the body is no record."""


def encode(record: Record) -> tuple[bytes, Point]:
    """Return the record's frame and the point that it reaches."""
    frame, digest = frames.encode(_encoder.encode(record))
    return frame, Point(record.seq, digest)


def decode(body: bytes) -> Record | None:
    """Return the record of a frame's body, or None where the body is no record."""
    try:
        return parse(body)
    except msgspec.MsgspecError:
        return None
