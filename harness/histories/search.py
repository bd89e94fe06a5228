"""The search for an order that explains a history (Wing & Gong 1993), with what makes it fast.

From Lowe 2017 ("Testing for linearizability") the memory of configurations that were tried, and from Porcupine
(Athalye) the linked list that operations are lifted out of. Beyond these:

- Operations without a return are optional: the search is over when every other one has its place. One that has a
  return but no answer takes its place with or without effect.
- An operation that never changes the state is placed as soon as it is legal and never taken back for its own sake:
  moving it there can only relax what real time asks of the others.
- Optional operations are tried last, never without effect, and of interchangeable ones the earliest first. A
  configuration is not worth trying if one was that is equal but has used up fewer of them.

A configuration is the set of placed operations and the state. The set is stored as the number of operations, in
order of their calls, before the first unplaced one, and a bit mask from there on: small integers, however long the
history is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from harness.histories.models._base import IMPOSSIBLE, Model, State
from harness.histories.operations import Op

_NEVER = 1 << 63
_HEAD = 0
_NOTHING = Op(n=-1, client=-1, name="", call=-1, ret=None)  # both ends of the list


class _Set(NamedTuple):
    """A set of operations: those below `base`, those of `window` (bit 0 is `base`), and the optional ones `spent`."""

    base: int = 1
    window: int = 0
    spent: int = 0

    def plus(self, i: int) -> _Set:
        """Return the set with an operation that must be placed, too."""
        base, window = self.base, self.window | 1 << (i - self.base)
        while window & 1:
            window >>= 1
            base += 1
        return _Set(base, window, self.spent)


@dataclass(slots=True)
class _Frame:
    """A configuration on the way, what was placed last to get there, and what can be tried from there."""

    placed: _Set
    state: State
    last: list[int]
    choices: Iterator[int]


class Search:
    """The search through one partition; it can be interrupted and resumed.

    Operations are numbered in order of their calls: from 1 those that must be placed, from `_end + 1` the optional
    ones. `_after` and `_before` link the former as long as they have no place. Intervals are closed: what is called
    at the very time of a return is concurrent with it.
    """

    def __init__(self, operations: Sequence[Op], model: Model) -> None:
        required = sorted((op for op in operations if op.ret is not None), key=attrgetter("call"))
        optional = sorted((op for op in operations if op.ret is None), key=attrgetter("call"))
        self._ops = [_NOTHING, *required, _NOTHING, *optional]
        focused = model.focused(operations)
        self._step = focused.step
        self._end = len(required) + 1
        self._call = [-1, *(op.call for op in required), _NEVER + 1]
        self._ret = [_NEVER, *(op.ret or 0 for op in required)]
        self._readonly = [False, *map(model.readonly, required)]
        self._silent = [False, *(op.outcome == "info" for op in required)]
        self._after = [*range(1, self._end + 1), self._end]
        self._before = [0, *range(self._end)]
        self._groups = self._interchangeable(optional, model)
        self._order: list[int] = []
        self._longest: list[int] = []
        self._left = len(required)
        self._least_left = len(required) + 1
        self._tried: defaultdict[tuple[int, int, State], list[int]] = defaultdict(list)
        self._frames: list[_Frame] = []
        self.steps = 0
        self.configurations = 0
        self._enter(_Set(), focused.init(), [])

    @property
    def longest(self) -> tuple[int, ...]:
        """The order that was found to explain the most answers: all of them, once the search has succeeded."""
        best = self._order if self._left < self._least_left else self._longest
        return tuple(self._ops[i].n for i in best)

    def advance(self, steps: int, configurations: int) -> bool | None:
        """Search on for so many steps and up to so many configurations in all; None if that was too little."""
        limit = self.steps + steps
        while self._left:
            if not self._frames:
                return False
            if self.steps >= limit or self.configurations >= configurations:
                return None
            frame = self._frames[-1]
            choice = next(frame.choices, None)
            if choice is None:
                self._retreat(self._frames.pop())
            else:
                self._try(frame, choice)
        return True

    def _interchangeable(self, optional: Sequence[Op], model: Model) -> list[list[int]]:
        groups: defaultdict[Hashable, list[int]] = defaultdict(list)
        for i, op in enumerate(optional, self._end + 1):
            groups[model.effect(op)].append(i)
        return list(groups.values())

    def _try(self, frame: _Frame, choice: int) -> None:
        """Place an operation (a negative one without effect) unless that is impossible, useless, or was tried."""
        self.steps += 1
        i = abs(choice)
        state = self._step(frame.state, self._ops[i]) if choice > 0 else frame.state
        if state is IMPOSSIBLE:
            return
        if i < self._end:
            placed = frame.placed.plus(i)
        elif state == frame.state:
            return
        else:
            placed = frame.placed._replace(spent=frame.placed.spent | 1 << (i - self._end))
        tried = self._tried[placed.base, placed.window, state]
        if any(less & placed.spent == less for less in tried):
            return
        tried.append(placed.spent)
        self.configurations += 1
        self._place(i)
        self._enter(placed, state, [i])

    def _enter(self, placed: _Set, state: State, last: list[int]) -> None:
        """Place every reader that is legal now, and collect what can come next: whatever no return forbids."""
        call, ret, after, readonly = self._call, self._ret, self._after, self._readonly
        choices: list[int] = []
        first = _NEVER  # the first return of an operation without a place
        i = after[_HEAD]
        while call[i] <= first:
            if readonly[i]:
                self.steps += 1
                if self._step(state, self._ops[i]) is not IMPOSSIBLE:
                    placed = placed.plus(i)
                    self._place(i)
                    last.append(i)
                    i = after[i]
                    continue
            else:
                choices += (i, -i) if self._silent[i] else (i,)
            first = min(first, ret[i])
            i = after[i]
        later = self._spare(placed.spent, first) if self._groups else ()
        self._frames.append(_Frame(placed, state, last, chain(choices, later)))

    def _spare(self, spent: int, first: int) -> Iterator[int]:
        """Yield the optional operations that can come next, the earliest of each group."""
        for group in self._groups:
            for i in group:
                if not spent >> (i - self._end) & 1:
                    if self._ops[i].call <= first:
                        yield i
                    break

    def _place(self, i: int) -> None:
        self._order.append(i)
        if i < self._end:
            before, after = self._before[i], self._after[i]
            self._after[before], self._before[after] = after, before
            self._left -= 1

    def _retreat(self, frame: _Frame) -> None:
        """Leave a configuration that nothing leads on from."""
        if self._left < self._least_left:
            self._least_left, self._longest = self._left, self._order.copy()
        for i in reversed(frame.last):
            self._order.pop()
            if i < self._end:
                self._after[self._before[i]] = self._before[self._after[i]] = i
                self._left += 1
