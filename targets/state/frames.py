"""The frame around every journal record: `<length: 8 hex> <SHA-256 of the body: 64 hex> <body>` and a newline.

Every bit of a frame is guarded: the body and its length by the hash, the hash by the body, the separators by position,
and hexadecimal digits must be lowercase, or flipping 0x20 in them would go unnoticed. A body is JSON and so holds no
newline: no frame can hide inside another one, and each ends where the next newline is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

import msgspec

_DIGEST = 8 + 1
_BODY = _DIGEST + 64 + 1
OVERHEAD = _BODY + 1

# A lookahead finds overlapping candidates: the digits before a true frame may look like the beginning of one.
_CANDIDATE = re.compile(rb"(?=[0-9a-f]{8} [0-9a-f]{64} )")
_PREFIX = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{64}) ")
_BEGINNING = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} [0-9a-f]{0,64}|[0-9a-f]{8} [0-9a-f]{64} .*", re.DOTALL)


class Frame(msgspec.Struct, frozen=True):
    """A whole frame: `offset` and `end` in its file, the body and its hash (hexadecimal)."""

    offset: int
    end: int
    digest: str
    body: bytes


class Gap(msgspec.Struct, frozen=True):
    """A stretch of a file that is no frame."""

    offset: int
    end: int


def encode(body: bytes) -> tuple[bytes, str]:
    """Return the frame around `body`, and the hash of `body`."""
    digest = sha256(body).hexdigest()
    return b"%08x %b %b\n" % (len(body), digest.encode(), body), digest


def walk(data: bytes, offset: int) -> Iterator[tuple[bytes, str, int]]:
    """Yield body, hash and end of one frame after the other, from exactly `offset` on, until something is no frame."""
    while (newline := data.find(b"\n", offset)) >= 0:
        body = data[offset + _BODY : newline]
        digest = sha256(body).hexdigest()
        if not data.startswith(b"%08x %b " % (len(body), digest.encode()), offset):
            return
        offset = newline + 1
        yield body, digest, offset


def frame_at(data: bytes, offset: int) -> Frame | None:
    """Return the frame that begins exactly at `offset`, or None."""
    return next((Frame(offset, end, digest, body) for body, digest, end in walk(data, offset)), None)


def scan(data: bytes) -> tuple[list[Frame], list[Gap]]:
    """Return every whole frame, and the stretches between them, in order; frames after damage are found again."""
    frames: list[Frame] = []
    gaps: list[Gap] = []
    offset = 0
    while offset < len(data):
        for body, digest, end in walk(data, offset):
            frames.append(Frame(offset, end, digest, body))
            offset = end
        if offset < len(data):
            gaps.append(Gap(offset, next_frame(data, offset + 1)))
            offset = gaps[-1].end
    return frames, gaps


def next_frame(data: bytes, offset: int) -> int:
    """Return where the first whole frame from `offset` on begins, or the length of `data`."""
    starts = (candidate.start() for candidate in _CANDIDATE.finditer(data, offset))
    return next((start for start in starts if frame_at(data, start) is not None), len(data))


def digest_at(data: bytes, offset: int) -> str:
    """Return the hash that the frame at `offset` bears."""
    return data[offset + _DIGEST : offset + _BODY - 1].decode()


def is_beginning(data: bytes) -> bool:
    """Return whether `data` is what an interrupted append leaves: a proper beginning of one frame."""
    if _BEGINNING.fullmatch(data) is None:
        return False
    prefix = _PREFIX.match(data)
    return prefix is None or len(data) < int(prefix[1], 16) + OVERHEAD
