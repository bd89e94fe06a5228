"""Numbers as people read them, the same in every report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from harness.result import Result

_WORST = ("_ms", "_s")  # of durations the slowest counts, of everything else the sum

SHOWN_STATUSES = ("FAIL", "ERROR", "INTERRUPTED", "UNKNOWN", "SKIPPED", "PASS", "CONVICTED")
"""Every status that a reader meets, the worst first. CONVICTED is a FAIL that a negative scenario asked for."""


NOTHING = "\N{EN DASH}"
_MINUTE_S = 60
_DIGITS = 3


def shown(result: Result) -> str:
    """Return the status of a trial for a reader: a planted bug that was found is no bad news."""
    return "CONVICTED" if result.status == "FAIL" and result.convicted else result.status


def worst(statuses: Iterable[str]) -> str:
    """Return the worst of `statuses`. Raises `ValueError` where there are none."""
    return min(statuses, key=SHOWN_STATUSES.index)


def count(number: float) -> str:
    """Return `12,345`."""
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Return `241 ms`, `5 s`, `1.25 s` or `2 min 5 s`, with three significant digits below a minute."""
    if seconds >= _MINUTE_S:
        minutes, rest = divmod(round(seconds), _MINUTE_S)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    rounded = float(f"{seconds:.{_DIGITS}g}")
    unit, value = ("s", rounded) if rounded >= 1 else ("ms", rounded * 1000)
    text = f"{value:.{max(_DIGITS - len(str(int(value))), 0)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted `values`: always one that was measured.

    Raises `IndexError` where there are none.
    """
    return values[max(math.ceil(share * len(values)) - 1, 0)]


def merged(numbers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Bring the measurements of several trials together: the longest duration, the sum of everything else."""
    total: dict[str, float] = {}
    for each in numbers:
        for name, value in each.items():
            total[name] = value if name not in total else _both(name, total[name], value)
    return total


def _both(name: str, one: float, other: float) -> float:
    if name.startswith("budget"):
        return min(one, other)
    return max(one, other) if name.endswith(_WORST) else one + other


def measurement(name: str, value: float) -> str:
    """Return `recovery 241 ms` for `recovery_ms`, `lost 0` for `lost`."""
    words = name.replace("_", " ")
    if name.endswith("_ms"):
        return f"{words.removesuffix(' ms')} {duration(value / 1000)}"
    if name.endswith("_s"):
        return f"{words.removesuffix(' s')} {duration(value)}"
    return f"{words} {count(value) if value == int(value) else f'{value:g}'}"


def listed(words: Sequence[str], most: int = 12) -> str:
    """Return `a, b and c`; of more than `most`, say how many are left out."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
