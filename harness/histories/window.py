"""Why a history is illegal: the first operation that cannot be, and the fewest others it takes to see that.

Leaving an operation out of a history can make it illegal (a read of what nobody wrote). So nothing is left out: where
an operation is not needed, its answer is *forgotten*, and it may have taken effect in its time, or not. Whatever is
illegal then was illegal before, and the few operations whose answers are left contradict each other, whatever all
the others did.

Keeping one answer more never makes an illegal history legal. Hence the fewest are found by bisection: k of n in
about k log n trials (Hemery et al. 2006, "Extracting MUCs from constraint networks"), where delta debugging, which
cannot count on that, takes up to n².
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from harness.histories.models._base import Model
from harness.histories.operations import Op, forgotten, unanswered
from harness.histories.search import Search
from harness.histories.versions import Contradiction

_SHOWN = 8


def contradiction(operations: Sequence[Op], suspect: Op, model: Model, steps: int) -> tuple[Op, Contradiction]:
    """Return the first impossible operation of an illegal partition, and the contradiction.

    What had been called by its return, and without its answer, is a legal history; with its answer, it is not. None
    of the contradiction's operations can be forgotten, and they are the latest possible. Where `steps` do not
    suffice to show so, both may be larger than they need to be; neither is ever wrong. To begin near `suspect` saves
    steps.
    """
    return _Explanation(model, steps).of(operations, suspect)


class _Explanation:
    """Tries parts of a history, with so many steps for all of them."""

    def __init__(self, model: Model, steps: int) -> None:
        self._model = model
        self._steps = steps

    def of(self, operations: Sequence[Op], suspect: Op) -> tuple[Op, Contradiction]:
        """Find the first operation that cannot be, then the others."""
        answered = sorted((op for op in operations if op.ret is not None), key=_end)
        near = 1 + next(at for at, op in enumerate(answered) if op.n == suspect.n)
        known = _least(len(answered), lambda size: self._refuted(_until(answered[:size], operations)), near)
        first, history = answered[known - 1], _until(answered[:known], operations)
        decided = self._model.decide(self._informing(history))
        if isinstance(decided, Contradiction):
            return first, decided
        window = self._fewest(first, answered[: known - 1], history)
        return first, Contradiction(self._sentence(window), window)

    def _fewest(self, first: Op, others: Sequence[Op], history: Sequence[Op]) -> tuple[Op, ...]:
        """Return `first` and the fewest and latest of `others` that it contradicts, latest first."""
        needed, candidates = [first], others[::-1]
        while candidates and not self._suffice(history, needed, candidates, 0):
            if not self._steps:
                needed += candidates
                break
            size = _least(len(candidates), partial(self._suffice, history, needed, candidates), 1)
            needed.append(candidates[size - 1])  # without it, all the later ones are not enough
            candidates = candidates[: size - 1]
        return tuple(sorted(needed, key=_end, reverse=True))

    def _suffice(self, history: Sequence[Op], needed: Sequence[Op], candidates: Sequence[Op], size: int) -> bool:
        """Return whether the answers of `needed` and of the first `size` candidates contradict each other."""
        kept = {op.n for op in (*needed, *candidates[:size])}
        return self._refuted([op if op.n in kept or op.ret is None else forgotten(op) for op in history])

    def _refuted(self, history: Sequence[Op]) -> bool:
        """Return whether the history is shown to be illegal; false where the steps do not suffice."""
        part = self._informing(history)
        decided = self._model.decide(part)
        if decided is not None:
            return isinstance(decided, Contradiction)
        search = Search(part, self._model)
        share = -(-self._steps // 4)
        legal = search.advance(share, share)
        self._steps = max(0, self._steps - search.steps)
        return legal is False

    def _informing(self, history: Sequence[Op]) -> list[Op]:
        return [op for op in history if self._model.informs(op)]

    def _sentence(self, window: Sequence[Op]) -> str:
        told, later = "", None
        for op in window[:_SHOWN]:
            link = "" if later is None else " after " if (op.ret or 0) < later.call else " while "
            told += f"{link}operation {op.n} {self._model.describe(op)}"
            later = op
        more = f" (and {len(window) - _SHOWN} more)" if len(window) > _SHOWN else ""
        return f"{told}{more}, which nothing{' in between' if len(window) > 1 else ''} can explain"


def _least(most: int, enough: Callable[[int], bool], near: int) -> int:
    """Return the least number that is enough, out of 1 to `most`, which is; look around `near` first."""
    low, high, size, stride = 0, most, near, 1
    while high - low > 1:
        if low and high < most:
            size = (low + high) // 2
        size = min(max(size, low + 1), high - 1)
        if enough(size):
            high, size = size, size - stride
        else:
            low, size = size, size + stride
        stride *= 2
    return high


def _until(answered: Sequence[Op], operations: Sequence[Op]) -> list[Op]:
    """Return the history as it was when the last of `answered` returned: what was under way had no answer yet."""
    known, (now, _) = {op.n for op in answered}, _end(answered[-1])
    begun = (op for op in operations if op.call <= now)
    return [op if op.n in known or op.ret is None else unanswered(op) for op in begun]


def _end(op: Op) -> tuple[int, int]:
    """Order by return; of those at the same time, by number."""
    return op.ret or 0, op.n
