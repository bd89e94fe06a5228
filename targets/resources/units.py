"""Sizes, durations and rates as people write them: `512MiB`, `250ms`, `2GiB/s`. What is printed reads back the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_SIZES: Mapping[str, int] = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": GIB,
}
_DURATIONS: Mapping[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z/]+)\s*")


def size(text: object) -> int:
    """Return the bytes of `512MiB`, or of a whole number of bytes. Raises `ValueError` that says what is expected."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    return int(_quantity(text, _SIZES, "512MiB"))


def duration(text: object) -> float:
    """Return the seconds of `250ms`, or of a number of seconds. Raises `ValueError` that says what is expected."""
    if isinstance(text, int | float) and not isinstance(text, bool) and text >= 0:
        return float(text)
    return float(_quantity(text, _DURATIONS, "5s"))


def rate(text: object) -> float:
    """Return the bytes a second of `2GiB/s`, or of a number. Raises `ValueError` that says what is expected."""
    if isinstance(text, int | float) and not isinstance(text, bool) and text >= 0:
        return float(text)
    return float(_quantity(text, {f"{unit}/s": each for unit, each in _SIZES.items()}, "100MiB/s"))


def show_size(count: float) -> str:
    """Write a size in the largest unit that fits exactly: what `size` reads back as the same."""
    whole = round(count)
    for unit, each in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if whole and whole % each == 0:
            return f"{whole // each}{unit}"
    return f"{whole}B"


def about(count: float) -> str:
    """Write a size for people, in MiB with one decimal."""
    return f"{count / MIB:.1f} MiB"


def _quantity(text: object, units: Mapping[str, int | Fraction], example: str) -> Fraction:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"expected a number with a unit ({', '.join(units)}) such as {example}")
    return Fraction(match[1]) * units[match[2]]
