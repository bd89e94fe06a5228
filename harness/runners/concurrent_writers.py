"""Many writers change the same few things at once: under a lock, on a version, or together in one document."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Interval

from harness.registry import runner
from harness.runners import _writers
from harness.runners._base import Call, Conversation, Until
from harness.units import Rate, Seconds

_CONTRACTS = {"exclusive": "locks", "optimistic": "versioned_store", "collaborative": "documents"}
_WRITES = {"exclusive": "store", "optimistic": "write", "collaborative": "submit"}
_HOT = 0.8  # share of the edits that are about the hot key


@runner("concurrent_writers")
@dataclass(frozen=True, kw_only=True)
class ConcurrentWriters:
    """Writers change shared keys, each edit once, so that one which is lost or done twice shows in the end.

    `exclusive` writers take a lock, read, hold it for a while, write with its fencing token, and release it;
    `optimistic` ones read, think, write on the version that they read, and try again after a conflict;
    `collaborative` ones submit operations on documents that they all are attached to.
    """

    contracts: ClassVar[tuple[str, ...]] = ("locks", "versioned_store", "documents")
    handles: ClassVar[dict[str, str]] = {
        "holder": "process",
        "client": "process",
        "backend": "process",
        "supervisor": "process",
        "database": "file",
        "folder": "folder",
        "link": "link",
    }
    client_handles: ClassVar[frozenset[str]] = frozenset({_writers.HOLDER, "client"})

    mode: Literal["exclusive", "optimistic", "collaborative"] = "exclusive"
    """How they write together."""
    writers: Annotated[int, Interval(ge=1, le=200)] = 10
    """Number of client processes."""
    rate: Rate = Rate(50)
    """Edits a second that are begun, all writers together; who is still at one begins no other."""
    until: Until = Until(after_faults_s=1.0)
    """When to stop: `faults_done + 2s`, a duration, or `500 operations`. Edits that were begun are finished."""
    keys: Annotated[int, Interval(ge=1, le=100_000)] = 5
    """Number of keys, or documents, that they share."""
    distribution: Literal["uniform", "zipf", "hot"] = "uniform"
    """How edits fall on keys: alike, in proportion to 1, 1/2, 1/3, …, or most of them on one."""
    think: Annotated[Seconds, Ge(0)] = Seconds(0)
    """Mean time from reading to writing, in the optimistic and the collaborative mode."""
    hold: Annotated[Seconds, Ge(0)] = Seconds(0.01)
    """Mean time from reading to writing under a lock."""
    lease: Annotated[Seconds, Gt(0)] = Seconds(2)
    """How long a lock is granted for."""
    wait: Annotated[Seconds, Interval(ge=0, le=4)] = Seconds(4)
    """How long a writer waits for a lock before it gives the edit up."""
    renew: bool = False
    """Whether a lock is renewed three times a lease for as long as it is held."""
    batch: Annotated[int, Interval(ge=1, le=100)] = 1
    """Number of keys under lock at a time, asked for in random order; no more than there are."""

    @property
    def contract(self) -> str:
        """The mode's."""
        return _CONTRACTS[self.mode]

    @property
    def writes(self) -> frozenset[str]:
        """The mode's one operation that changes something."""
        return frozenset({_WRITES[self.mode]})

    @property
    def clients(self) -> int:
        """One process a writer."""
        return self.writers

    def converse(self, client: int, rng: random.Random) -> Conversation:
        """Make one edit after the other; times are drawn from half their mean to half as much again."""
        mean = self.hold if self.mode == "exclusive" else self.think
        writer = _writers.Writer(
            client=client, rng=rng, keys=lambda: self._draw(rng), pause=lambda: mean * rng.uniform(0.5, 1.5)
        )
        if self.mode == "exclusive":
            terms = _writers.Terms(wait_s=float(self.wait), lease_s=float(self.lease), renew=self.renew)
            return _writers.exclusive(writer, terms)
        return _writers.optimistic(writer) if self.mode == "optimistic" else _writers.collaborative(writer)

    def final(self) -> Iterable[Call]:
        """Look at every key, or document, once."""
        op = {"exclusive": "fetch", "optimistic": "read", "collaborative": "inspect"}[self.mode]
        member = "document" if self.mode == "collaborative" else "key"
        return (Call(op, {member: f"k{number}"}) for number in range(self.keys))

    def _draw(self, rng: random.Random) -> Sequence[str]:
        """Draw the keys of an edit, each once, in the order in which they happen to come."""
        wanted = min(self.batch, self.keys) if self.mode == "exclusive" else 1
        drawn: dict[int, None] = {}
        while len(drawn) < wanted:
            drawn[self._one(rng)] = None
        return [f"k{number}" for number in drawn]

    def _one(self, rng: random.Random) -> int:
        if self.distribution == "zipf":
            weights = list(accumulate(1 / rank for rank in range(1, self.keys + 1)))
            return rng.choices(range(self.keys), cum_weights=weights)[0]
        hot = self.distribution == "hot" and rng.random() < _HOT
        return 0 if hot else rng.randrange(self.keys)
