"""Clients read and write a versioned store while its files and processes are broken."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Interval, Le

from harness.registry import runner
from harness.runners._base import Call, Conversation, Until
from harness.units import Rate


@runner("state_corruption")
@dataclass(frozen=True, kw_only=True)
class StateCorruption:
    """Writers update shared keys of a versioned store, half of the time on the version they last saw.

    Every value is unique, so a read shows which write it came from. Versions are what the checks judge: an
    acknowledged one must never be handed out twice, nor go back.
    """

    contracts: ClassVar[tuple[str, ...]] = ("versioned_store",)
    handles: ClassVar[dict[str, str]] = {
        "state.json": "file",
        "journal": "file",
        "journal.mirror": "file",
        "snapshot": "file",
        "folder": "folder",
        "service": "process",
        "supervisor": "process",
        "client": "process",
    }
    client_handles: ClassVar[frozenset[str]] = frozenset({"client"})
    contract: ClassVar[str] = "versioned_store"
    writes: ClassVar[frozenset[str]] = frozenset({"write"})

    writers: Annotated[int, Interval(ge=1, le=200)] = 10
    """Number of client processes."""
    rate: Rate = Rate(50)
    """Operations a second, all writers together."""
    until: Until = Until(after_faults_s=1.0)
    """When to stop: `faults_done + 2s`, a duration, or `500 operations`."""
    keys: Annotated[int, Interval(ge=1, le=100_000)] = 20
    """Number of keys they share."""
    reads: Annotated[float, Ge(0), Le(0.9)] = 0.25
    """Share of operations that only read."""

    @property
    def clients(self) -> int:
        """One process a writer."""
        return self.writers

    def converse(self, client: int, rng: random.Random) -> Conversation:
        """Read, write blindly, or write on the version last seen."""
        seen: dict[str, int] = {}
        count = 0
        while True:
            key = f"k{rng.randrange(self.keys)}"
            draw = rng.random()
            if draw < self.reads:
                call = Call("read", {"key": key})
            else:
                count += 1
                expected = {"expected_version": seen[key]} if key in seen and draw > (1 + self.reads) / 2 else {}
                call = Call("write", {"key": key, "value": f"{client}:{count}", **expected})
            reply = yield call
            if isinstance(version := reply.result.get("version"), int):
                seen[key] = version

    def final(self) -> Iterable[Call]:
        """Read every key once."""
        return (Call("read", {"key": f"k{number}"}) for number in range(self.keys))
