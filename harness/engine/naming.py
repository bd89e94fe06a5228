"""Names of suites and of the folders in them."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path

from harness import seeds
from harness.clock import SystemClock
from harness.errors import HarnessBug

_UNSAFE = re.compile(r"[^\w.,=+-]+")
_LONGEST = 80


def new_suite() -> str:
    """Return the name of a suite that begins now; names sort by time, and no two are equal."""
    return f"{SystemClock().utc_now():%Y%m%dT%H%M%SZ}-{seeds.fresh_root():08x}"


def file_name(name: str) -> str:
    """Return `name` as the name of one file; what had to be changed or cut is replaced by a digest."""
    safe = _UNSAFE.sub("_", name)[:_LONGEST]
    if safe == name and not name.startswith("."):
        return name
    return f"{safe.lstrip('.')}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def claim(path: Path) -> Path:
    """Make the first folder of `path`, `path.2`, `path.3` that nobody has: the same trial may be run again."""
    path.parent.mkdir(exist_ok=True)
    names = itertools.chain([path.name], (f"{path.name}.{number}" for number in itertools.count(2)))
    for name in names:
        try:
            path.with_name(name).mkdir()
        except FileExistsError:
            continue
        return path.with_name(name)
    raise HarnessBug("there is no last number")
