"""The frame around every journal record: `<length: 8 hex> <SHA-256 of the body: 64 hex> <body>` and a newline.

Every bit of a frame is guarded: the body and its length by the hash, the hash by the body, the separators by position,
and hexadecimal digits must be lowercase, or flipping 0x20 in them would go unnoticed. A body is JSON and so holds no
newline: no frame can hide inside another one.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

OVERHEAD = 8 + 1 + 64 + 1 + 1

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
    digest = hashlib.sha256(body).hexdigest()
    return b"%08x %s %s\n" % (len(body), digest.encode(), body), digest


def frame_at(data: bytes, offset: int) -> Frame | None:
    """Return the frame that begins exactly at `offset`, or None."""
    prefix = _PREFIX.match(data, offset)
    if prefix is None:
        return None
    start = prefix.end()
    end = start + int(prefix[1], 16)
    body = data[start:end]
    digest = hashlib.sha256(body).hexdigest()
    if data[end : end + 1] != b"\n" or digest.encode() != prefix[2]:
        return None
    return Frame(offset, end + 1, digest, body)


def scan(data: bytes) -> tuple[list[Frame], list[Gap]]:
    """Return every whole frame, and the stretches between them, in order; frames after damage are found again."""
    frames: list[Frame] = []
    gaps: list[Gap] = []
    offset = 0
    while offset < len(data):
        frame = frame_at(data, offset)
        if frame is None:
            frame = _next_frame(data, offset + 1)
            gaps.append(Gap(offset, len(data) if frame is None else frame.offset))
        if frame is None:
            break
        frames.append(frame)
        offset = frame.end
    return frames, gaps


def _next_frame(data: bytes, offset: int) -> Frame | None:
    found = (frame_at(data, candidate.start()) for candidate in _CANDIDATE.finditer(data, offset))
    return next((frame for frame in found if frame is not None), None)


def is_beginning(data: bytes) -> bool:
    """Return whether `data` is what an interrupted append leaves: a proper beginning of one frame."""
    if _BEGINNING.fullmatch(data) is None:
        return False
    prefix = _PREFIX.match(data)
    return prefix is None or len(data) < int(prefix[1], 16) + OVERHEAD
