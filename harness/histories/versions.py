"""Versioned data: the answers order the writes, so that linearizability needs no search.

Where every acknowledged write returned its version, an operation's place in the order is forced: first the write
that made version v, then whatever saw v, then the write that made v+1. Such an order respects real time exactly if
no operation in it was called after one that comes later in it had returned, which one pass over the versions decides
(the idea is that of etcd's robustness tests, which order writes by revision). Versions that nobody was acknowledged
for must have been made by writes whose outcome is unknown; which of them, `_Fillers` decides exactly. O(n log n).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter

import msgspec

from harness.histories.operations import Op, Value, show

_NEVER = 1 << 63
_by_call = attrgetter("call")
Describe = Callable[[Op], str]


class Order(msgspec.Struct, frozen=True):
    """An order that explains every answer: numbers of operations."""

    order: tuple[int, ...]


class Contradiction(msgspec.Struct, frozen=True):
    """Operations that cannot all have happened, whatever else did, and the sentence that says so."""

    sentence: str
    operations: tuple[Op, ...]


@dataclass
class _Sorted:
    """A history by version. `made` has the acknowledged writes, `saw` the reads and refusals, `unknown` the rest."""

    made: defaultdict[int, list[Op]] = field(default_factory=lambda: defaultdict(list))
    saw: defaultdict[int, list[Op]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[Op] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The highest version that anybody was told of."""
        return max(chain(self.made, self.saw), default=0)

    def told(self, version: int) -> list[Op]:
        """Return everybody who was told of a version."""
        return [*self.made.get(version, ()), *self.saw.get(version, ())]


def decide(operations: Sequence[Op], initial: Value, describe: Describe) -> Order | Contradiction | None:
    """Decide one key's history of `read` and `write`, which starts as version 0 with the value `initial`.

    None where an answer leaves out its version, or an operation without answer is known to be over: then the order
    is not forced.
    """
    history = _Sorted()
    for op in operations:
        if op.ret is None:
            history.unknown.append(op)
        elif not isinstance(version := op.result.get("version"), int):
            return None
        else:
            (history.made if op.outcome == "ok" and op.name == "write" else history.saw)[version].append(op)
    wrong = chain(_alone(history, describe), _twice(history, describe), _values(history, initial, describe))
    return next(wrong, None) or _ordered(history, describe)


def _alone(history: _Sorted, describe: Describe) -> Iterator[Contradiction]:
    """Answers that no history can explain."""
    for version, writes in history.made.items():
        for write in writes:
            expected = write.argument.get("expected_version")
            if version < 1 or (expected is not None and expected != version - 1):
                asked = "" if expected is None else f", which expected version {show(expected)}"
                yield Contradiction(f"operation {write.n} {describe(write)}{asked}", (write,))
    for version, seen in history.saw.items():
        for op in seen:
            if version < 0 or (op.outcome == "fail" and op.argument.get("expected_version") == version):
                asked = ", the very version that it expected" if op.outcome == "fail" else ""
                yield Contradiction(f"operation {op.n} {describe(op)}{asked}", (op,))


def _twice(history: _Sorted, describe: Describe) -> Iterator[Contradiction]:
    for writes in history.made.values():
        if len(writes) > 1:
            one, two = sorted(writes, key=_by_call)[:2]
            sentence = f"operation {one.n} {describe(one)}, and operation {two.n} {describe(two)}"
            yield Contradiction(f"{sentence}: an update is lost", (one, two))


def _values(history: _Sorted, initial: Value, describe: Describe) -> Iterator[Contradiction]:
    """Reads of a version show what its write wrote; where that is unknown, all show the same."""
    for version, seen in history.saw.items():
        reads = [op for op in seen if op.outcome == "ok"]
        wrong: Iterator[Op]
        if version == 0:
            wrong = (op for op in reads if op.result["value"] != initial)
            yield from (
                Contradiction(f"operation {op.n} {describe(op)}, which is {show(initial)}", (op,)) for op in wrong
            )
        elif version in history.made:
            write = history.made[version][0]
            wrong = (op for op in reads if op.result["value"] != write.argument["value"])
            yield from (_differ(op, write, describe) for op in wrong)
        elif reads:
            wrong = (op for op in reads if op.result["value"] != reads[0].result["value"])
            yield from (_differ(op, reads[0], describe) for op in wrong)


def _differ(one: Op, two: Op, describe: Describe) -> Contradiction:
    return Contradiction(f"operation {one.n} {describe(one)}, but operation {two.n} {describe(two)}", (one, two))


def _ordered(history: _Sorted, describe: Describe) -> Order | Contradiction:
    """Give each version its write, then compare the order with real time."""
    last, holes = history.last, history.last - len(history.made)
    if holes > len(history.unknown):  # before anything counts up to a version that may be astronomical
        op = history.told(last)[0]
        known = f"only {len(history.made)} acknowledged and {len(history.unknown)} other writes"
        return Contradiction(f"operation {op.n} {describe(op)}, but there were {known}", (op,))
    fillers = _Fillers(history).assign() if holes else {}
    if isinstance(fillers, int):
        op = next(op for version in range(fillers, last + 1) for op in history.told(version))
        sentence = f"operation {op.n} {describe(op)}, but no write that was called in time is left to have made"
        return Contradiction(f"{sentence} version {fillers}", (op,))
    return _sweep(history, fillers, describe)


def _sweep(history: _Sorted, fillers: dict[int, Op], describe: Describe) -> Order | Contradiction:
    """Walk through the versions; nobody may have returned before somebody earlier in the order was called."""
    order: list[int] = []
    latest: Op | None = None  # of all that come earlier in the order, the one that was called last
    for version in range(history.last + 1):
        seen = sorted(history.saw.get(version, ()), key=_by_call)
        made = history.made[version][:1] if version in history.made else [fillers[version]] if version else []
        for group in (made, seen):
            for op in group:
                if latest is not None and op.ret is not None and latest.call > op.ret:
                    sentence = f"operation {latest.n} {describe(latest)} after operation {op.n} {describe(op)}"
                    return Contradiction(sentence, (op, latest))
            order += [op.n for op in group]
            newest = group[-1] if group else None
            if newest is not None and (latest is None or newest.call > latest.call):
                latest = newest
    return Order(tuple(order))


class _Fillers:
    """Which write of unknown outcome made which version that nobody was acknowledged for.

    Such a write has no return, so the order asks one thing of its time: that it was called before anybody returned
    who comes later in the order, which is a deadline that depends on the version alone. Deadlines never fall from
    version to version, so a write that is early enough for one is early enough for all that follow. Hence greedy
    choices are exact: first the writes that only fit here (they expected the version before), then for versions
    whose value was read the *latest* write of that value that is early enough, and what is left for the others.
    """

    def __init__(self, history: _Sorted) -> None:
        self._history = history
        self._deadlines = self._by_version()
        self._fitting: defaultdict[int, list[Op]] = defaultdict(list)
        self._free: defaultdict[Value, list[Op]] = defaultdict(list)  # by value, in order of their calls
        for op in sorted(history.unknown, key=_by_call):
            expected = op.argument.get("expected_version")
            if expected is None:
                self._free[op.argument["value"]].append(op)
            elif isinstance(expected, int):
                self._fitting[expected + 1].append(op)

    def assign(self) -> dict[int, Op] | int:
        """Return the write of each missing version, or the first version that none is left for."""
        found: dict[int, Op] = {}
        missing = [version for version in sorted(self._deadlines) if version not in self._history.made]
        read = {version: self._read(version) for version in missing}
        for version in missing:
            if op := self._fit(version, read[version]):
                found[version] = op
        for version in missing:
            if version not in found and (values := read[version]):
                if not (op := self._take(self._free[values[0]], version)):
                    return version
                found[version] = op
        rest = sorted(chain.from_iterable(self._free.values()), key=_by_call)
        for version in missing:
            if version not in found:
                if not (op := self._take(rest, version)):
                    return version
                found[version] = op
        return found

    def _by_version(self) -> dict[int, int]:
        """For each version but 0: the first return of anybody who must come after its write."""
        deadlines, first = {}, _NEVER
        for version in range(self._history.last, 0, -1):
            first = min([first, *(op.ret or 0 for op in self._history.saw.get(version, ()))])
            deadlines[version] = first
            first = min([first, *(op.ret or 0 for op in self._history.made.get(version, ()))])
        return deadlines

    def _read(self, version: int) -> list[Value]:
        return [op.result["value"] for op in self._history.saw.get(version, ()) if op.outcome == "ok"][:1]

    def _fit(self, version: int, read: list[Value]) -> Op | None:
        early = [op for op in self._fitting.get(version, ()) if op.call <= self._deadlines[version]]
        return next((op for op in early if not read or op.argument["value"] == read[0]), None)

    def _take(self, candidates: list[Op], version: int) -> Op | None:
        early = bisect_right(candidates, self._deadlines[version], key=_by_call)
        return candidates.pop(early - 1) if early else None
