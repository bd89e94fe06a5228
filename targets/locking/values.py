"""What both backends do with values: JSON, tokens, and the conflict that a writer is told of."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec

from targets.locking.backend import Versioned
from targets.locking.errors import BadRequest, LockingError, VersionConflict

COUNTER_BITS = 36
_LARGEST_EPOCH = 2 ** (53 - COUNTER_BITS) - 1
_strict = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_encode = msgspec.json.Encoder().encode  # a tenth of that one's time, but it turns NaN into null and bytes into text
_decode = msgspec.json.Decoder().decode
_RETRY_S = 0.001, 0.010  # a commit takes 0.2 ms; ten colliding writers spread over this meet again rarely


def encode(value: object) -> str:
    """Return `value` as JSON. Raises `BadRequest` where it is none: NaN, infinities, half a surrogate pair included."""
    try:
        return _quickly(value) or _strictly(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"a value is JSON: {error}") from error


def decode(text: str | bytes) -> Any:  # noqa: ANN401  any JSON
    """Return what `encode` was given; keys of objects that were no text are text now, and tuples are lists."""
    return _decode(text)


def _quickly(value: object) -> str | None:
    """Return `value` as JSON if what that says is equal to it: then nothing was turned into something else."""
    try:
        encoded = _encode(value)
        return encoded.decode() if _decode(encoded) == value else None
    except (TypeError, msgspec.MsgspecError):
        return None


def _strictly(value: object) -> str:
    """Return `value` as JSON, such as that of tuples and of numbers as keys, or say why it is none."""
    text = _strict(value)
    _decode(text.encode())
    return text


def pack(epoch: int, counter: int) -> int:
    """Return the token of a grant: the epoch decides, then the counter. Below 2^53, which every JSON reader keeps.

    An epoch begins only after a backend lost its memory: there is room for 131,071 of them, and in each for
    68 thousand million grants.
    """
    if not 0 <= epoch <= _LARGEST_EPOCH:
        raise LockingError(f"epoch {epoch} is beyond {_LARGEST_EPOCH}: this resource has outlived too many backends")
    return (epoch << COUNTER_BITS) + counter


def check_expected(expected: object) -> None:
    """Raise `BadRequest` for an expected version that no key can have."""
    if expected is not None and (isinstance(expected, bool) or not isinstance(expected, int) or expected < 0):
        raise BadRequest(f"an expected version is a whole number from 0, got {expected!r}")


def conflict(key: str, expected: int, current: Versioned) -> VersionConflict:
    """Return the error for a writer that was too late."""
    return VersionConflict(key, expected, current, round(random.uniform(*_RETRY_S), 4))  # noqa: S311  jitter
