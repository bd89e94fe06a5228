"""The names of the files in a store's folder.

lock                      who owns the folder
state.json                the latest checkpoint
snapshot-<seq>.json       recovery points, the newest two
journal-<generation>.log  what happened since the older one, and …
journal-<generation>.mirror   … the same again
damaged/                  bytes that were found damaged, kept for people; never read by the store
"""

from __future__ import annotations

import re
from functools import lru_cache

STATE = "state.json"
DAMAGED = "damaged"

_JOURNAL = re.compile(r"journal-(\d{8})\.(?:log|mirror)")
_SNAPSHOT = re.compile(r"snapshot-(\d{12})\.json")


def journal(generation: int) -> str:
    """Name of a generation's journal."""
    return f"journal-{generation:08}.log"


def mirror(generation: int) -> str:
    """Name of the journal's mirror."""
    return f"journal-{generation:08}.mirror"


def snapshot(seq: int) -> str:
    """Name of the snapshot up to record `seq`."""
    return f"snapshot-{seq:012}.json"


@lru_cache
def generation_of(name: str) -> int | None:
    """Return the generation if `name` is a journal or a mirror."""
    match = _JOURNAL.fullmatch(name)
    return int(match[1]) if match else None


def is_mirror(name: str) -> bool:
    """Return whether `name` is a mirror."""
    return name.endswith(".mirror")


def is_snapshot(name: str) -> bool:
    """Return whether `name` is a snapshot."""
    return _SNAPSHOT.fullmatch(name) is not None


def seq_of(name: str) -> int:
    """Return the record up to which the snapshot `name` goes."""
    match = _SNAPSHOT.fullmatch(name)
    return int(match[1]) if match else 0


def is_ours(name: str) -> bool:
    """Return whether the store reads and writes a file of this name."""
    return name == STATE or is_snapshot(name) or generation_of(name) is not None


def handle_of(name: str) -> str:
    """Return the handle by which the harness knows such a file."""
    if name == STATE:
        return STATE
    if is_snapshot(name):
        return "snapshot"
    return "journal.mirror" if is_mirror(name) else "journal"
