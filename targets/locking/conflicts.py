"""Which operations truly conflict with what others committed since, and which only happen at the same time.

Rules, on the places that two operations touch (`edits.Touch`):

- Apart from each other, places never conflict.
- At the same place, increments do not conflict with each other, nor do appends, nor an append with an element that is
  removed elsewhere in the list. Everything else does: write/write, delete/write, write/increment, the same file, two
  moves of one ref.
- A place inside another conflicts with it: one writes below what the other replaced or removed. Exceptions: an append
  leaves the elements alone that were there; where elements moved up, *all* places inside that list have a new name.

**Equal edits conflict too.** A merge that compares contents, as git does, takes "both sides made the same change" for
agreement. Two writers who both turn 5 into 6 then lose one update without a word: 250 to 275 of 600 in our
measurement. What a writer *meant* is in the operation alone: whoever counts says increment, and both count.

An agent never conflicts with itself: it knows what it did. So `base_version` stays what the agent last *read*, and is
not the version that its own submission was answered with, below which there may be edits that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from targets.locking.edits import Effect, Touch, Trace
from targets.locking.pointers import Path, parse, show
from targets.locking.record import Commit, Sighting

_COMMUTE: frozenset[tuple[Effect, Effect]] = frozenset(
    {("add", "add"), ("append", "append"), ("append", "shift"), ("append", "growth")}
)


class Collision(NamedTuple):
    """An edit by another agent that is in the way."""

    version: int
    writer: str
    trace: Trace


def collide(one: Touch, other: Touch) -> bool:
    """Return whether two touches, neither of whose authors knew of the other's, conflict."""
    if len(one.path) > len(other.path):
        one, other = other, one
    if other.path[: len(one.path)] != one.path:
        return False
    if len(one.path) == len(other.path):
        return not {(one.effect, other.effect), (other.effect, one.effect)} & _COMMUTE
    if one.effect == "append":
        return False
    return one.effect != "shift" or other.effect != "item"


def overlap(one: Path, other: Path) -> bool:
    """Return whether one path is, or leads to, the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


class ConflictDetector:
    """Holds operations of `agent` against what all others committed since its base, the oldest commit first.

    `older` are places that others touched since, in commits that are not among them any more.
    """

    def __init__(self, agent: str, since: Sequence[Commit], older: Iterable[Sighting] = ()) -> None:
        self._foreign = [
            (Collision(commit.version, commit.writer, trace), touched)
            for commit, trace, touched in _standing(since)
            if commit.writer != agent
        ]
        for version, writer, touch in older:
            trace = Trace(show(touch.path), touch.effect)
            self._foreign.append((Collision(version, writer, trace), (touch,)))

    def collisions(self, touches: Iterable[Touch]) -> list[Collision]:
        """Return the edits that conflict with these touches, the newest first."""
        mine = tuple(touches)
        return [
            collision
            for collision, theirs in self._foreign
            if any(collide(touch, touched) for touch in mine for touched in theirs)
        ]

    def near(self, path: Path) -> list[Collision]:
        """Return the edits at `path`, below it or on the way to it, the newest first."""
        return [collision for collision, _ in self._foreign if overlap(parse(collision.trace.path), path)]


def _standing(since: Sequence[Commit]) -> Iterable[tuple[Commit, Trace, tuple[Touch, ...]]]:
    """Yield the edits, newest first, that no later one replaced as a whole: who replaced them knew, or was told."""
    replaced: set[Path] = set()
    for commit in reversed(since):
        for trace in reversed(commit.traces):
            path = parse(trace.path)
            if not any(path[:depth] in replaced for depth in range(len(path) + 1)):
                yield commit, trace, trace.touches()
            if trace.effect == "write":
                replaced.add(path)
            elif trace.effect == "shift":  # before it, the same paths in this list meant other elements
                replaced = {place for place in replaced if place[: len(path) - 1] != path[:-1]}
