"""`state.json` and the snapshots: the whole state in one line of JSON that guards itself.

    {"chain": "<hash of record seq>", "entries": {"<key>": [<version>, <value>]}, "format": 1, "seq": <number>,
     "store": "<id>", "sha256": "<hash of this object without this member>"}

The bytes are a function of the content (sorted keys, no blanks), so a copy that was rebuilt equals the one lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from targets.state.records import FORMAT, Entry, Point

_SEAL = b',"sha256":"%s"}\n'
_SEAL_LENGTH = len(_SEAL % bytes(64))


class Document(msgspec.Struct, frozen=True):
    """A document that passed its checksum; the entries are still encoded."""

    chain: str
    entries: msgspec.Raw
    format: int
    seq: int
    store: str

    @property
    def point(self) -> Point:
        """The record up to which it holds everything."""
        return Point(self.seq, self.chain)


class _Content(msgspec.Struct, frozen=True):
    chain: str
    entries: Mapping[str, Entry]
    format: int
    seq: int
    store: str


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Document)
_entries_decoder = msgspec.json.Decoder(dict[str, tuple[int, msgspec.Raw]])


def encode(store: str, point: Point, entries: Mapping[str, Entry]) -> bytes:
    """Return the document of `entries` at `point`."""
    body = _encoder.encode(_Content(point.chain, entries, FORMAT, point.seq, store))
    return b"".join((memoryview(body)[:-1], _seal(hashlib.sha256(body))))


def decode(data: bytes) -> Document | None:
    """Return the document, or None unless every byte of it is as it was written."""
    content = hashlib.sha256(memoryview(data)[:-_SEAL_LENGTH])
    content.update(b"}")
    if not data.endswith(_seal(content)):
        return None
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None


def entries_of(document: Document) -> dict[str, Entry]:
    """Decode the entries. The values refer to the document's bytes and keep them in memory."""
    return _entries_decoder.decode(document.entries)


def _seal(content: hashlib._Hash) -> bytes:
    return _SEAL % content.hexdigest().encode()
