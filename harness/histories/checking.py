"""`check` decides whether a history is one that the model could have had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from harness.errors import ScenarioError
from harness.histories.models._base import Model
from harness.histories.operations import Op, Value, show
from harness.histories.search import Search
from harness.histories.versions import Contradiction, Order
from harness.histories.window import contradiction

Status = Literal["ok", "illegal", "unknown"]
_FIRST_TURN, _GROWTH = 20_000, 4


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a search may cost: applications of the model (1 to 3 µs each), and configurations kept (0.3 kB each).

    To explain an illegal history it may cost a quarter of the steps again, and at least `_FIRST_TURN`.
    """

    steps: int = 10_000_000
    configurations: int = 1_000_000


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the checker says, and why.

    `ok`: `orders` has for each partition the numbers of its operations in an order that explains every answer.
    `illegal`: `key` names the partition, `impossible` is the first operation that cannot have been answered as it
    was, `window` the fewest operations that contradict each other, `longest` the order that explains the most.
    `unknown`: neither could be shown. `reason` says all this in English.
    """

    status: Status
    reason: str
    answers: int
    key: Value = None
    orders: Mapping[Value, tuple[int, ...]] = {}
    longest: tuple[int, ...] = ()
    impossible: Op | None = None
    window: tuple[Op, ...] = ()
    steps: int = 0
    configurations: int = 0


_BUDGET = Budget()


def check(operations: Sequence[Op], model: Model, budget: Budget = _BUDGET) -> Verdict:
    """Judge a history. Raises `ScenarioError` for operations that the model does not know or that lack a member.

    A history in which nothing was answered proves nothing: unknown.
    """
    problems = [f"operation {op.n}: {text}" for op in operations for _, text in model.problems(op)]
    if problems:
        raise ScenarioError("\n".join(problems))
    parts: defaultdict[Value, list[Op]] = defaultdict(list)
    for op in operations:
        if model.informs(op):
            parts[model.partition(op)].append(op)
    answers = sum(op.ret is not None for part in parts.values() for op in part)
    if not answers:
        return Verdict(status="unknown", reason="no operation was answered, so there is nothing to judge", answers=0)
    return _Judgment(parts, model, budget).verdict(answers)


class _Judgment:
    """The searches through all partitions, in turns, so that the one that is illegal ends those that are hard."""

    def __init__(self, parts: Mapping[Value, Sequence[Op]], model: Model, budget: Budget) -> None:
        self._parts = parts
        self._model = model
        self._budget = budget
        self._searches: dict[Value, Search] = {}
        self._orders: dict[Value, tuple[int, ...]] = {}
        self._illegal: list[Value] = []
        self._given_up: list[Value] = []
        self._steps = 0
        self._configurations = 0  # the most that were kept at a time

    def verdict(self, answers: int) -> Verdict:
        """Decide what needs no search, then search."""
        for key, part in self._parts.items():
            decided = self._model.decide(part)
            if isinstance(decided, Contradiction):
                return self._convict(key, max(decided.operations, key=_end), answers)
            if isinstance(decided, Order):
                self._orders[key] = decided.order
        self._searches = {
            key: Search(part, self._model) for key, part in self._parts.items() if key not in self._orders
        }
        turn = _FIRST_TURN
        while self._searches and not self._illegal:
            self._round(turn)
            turn *= _GROWTH
        if self._illegal:
            key = self._illegal[0]
            placed = set(self._searches[key].longest)
            left = [op for op in self._parts[key] if op.ret is not None and op.n not in placed]
            return self._convict(key, min(left, key=_end), answers)
        return self._acquit(answers)

    def _round(self, turn: int) -> None:
        for key, search in list(self._searches.items()):
            others = sum(each.configurations for each in self._searches.values()) - search.configurations
            before = search.steps
            legal = search.advance(min(turn, self._budget.steps - self._steps), self._budget.configurations - others)
            self._steps += search.steps - before
            self._configurations = max(self._configurations, others + search.configurations)
            full = others + search.configurations >= self._budget.configurations
            if legal:
                self._orders[key] = search.longest
            elif legal is False:
                self._illegal.append(key)
                return
            elif full or self._steps >= self._budget.steps:
                self._given_up.append(key)
            else:
                continue
            del self._searches[key]

    def _convict(self, key: Value, suspect: Op, answers: int) -> Verdict:
        longest = self._searches[key].longest if key in self._searches else ()
        steps = max(self._budget.steps // 4, _FIRST_TURN)
        impossible, found = contradiction(self._parts[key], suspect, self._model, steps)
        where = "" if key is None else f"key {show(key)}: "
        return Verdict(
            status="illegal",
            reason=f"{where}{found.sentence}: a contradiction",
            answers=answers,
            key=key,
            longest=longest,
            impossible=impossible,
            window=found.operations,
            steps=self._steps,
            configurations=self._configurations,
        )

    def _acquit(self, answers: int) -> Verdict:
        reason = f"an order explains all {answers} answers"
        if self._given_up:
            undecided = ", ".join(map(show, self._given_up[:5]))
            reason = (
                f"undecided after {self._steps} steps and {self._configurations} configurations "
                f"({len(self._given_up)} of {len(self._parts)} partitions: {undecided})"
            )
        return Verdict(
            status="unknown" if self._given_up else "ok",
            reason=reason,
            answers=answers,
            orders=self._orders,
            steps=self._steps,
            configurations=self._configurations,
        )


def _end(op: Op) -> int:
    return op.ret or 0
