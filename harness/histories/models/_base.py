"""What a model is: a sequential object, and which of its operations could be told apart from doing nothing.

A model is immutable; its states are hashable values. To add one: a class in this folder and its line in
`harness.histories.models.MODELS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from harness.errors import ScenarioError
from harness.histories.operations import Op, Value, freeze, show
from harness.histories.versions import Contradiction, Order

State = Any  # hashable; each model knows its own
IMPOSSIBLE: Final = object()
"""What `step` returns where the operation cannot have happened in this state."""

Place = Literal["call", "answer"]


class _Shown(dict[str, str]):
    """Members as text for a phrase; one that is absent reads as "something"."""

    def __init__(self, members: Mapping[str, Value]) -> None:
        super().__init__({name: show(value) for name, value in members.items()})

    def __missing__(self, name: str) -> str:
        return "something"


@dataclass(frozen=True, kw_only=True)
class Form:
    """An operation of a model: the members it needs, and what it did in words, after "operation 17 ".

    The words may show arguments as {a[member]} and the answer as {r[member]}.
    """

    did: str
    arguments: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    reads: bool = False
    """It never changes the state, whatever it is. A write of the value that is there already does not count: later, it
    could have replaced another value."""
    error: str = ""
    """The `error` of a `fail` that says something about the state; any other says nothing."""
    refused: str = ""
    """What such a failed one saw, in words."""


class Model(ABC):
    """A sequential object. Subclasses say what they are in tables; only `init` and `step` are code."""

    forms: ClassVar[Mapping[str, Form]]
    """The operations by name."""
    types: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}
    """By member of arguments and answers: the type of its value, where not any JSON value will do."""
    default: ClassVar[object] = None
    """The initial value where none is given."""
    initial_type: ClassVar[type | tuple[type, ...]] = object
    """The type of a frozen initial value."""

    def __init__(self, initial: object = ...) -> None:
        self.initial = freeze(self.default if initial is ... else initial)
        if not isinstance(self.initial, self.initial_type):
            raise ScenarioError(f"the initial value of this model cannot be {show(self.initial)}")

    @abstractmethod
    def init(self) -> State:
        """Return the state before the first operation."""

    @abstractmethod
    def step(self, state: State, op: Op) -> State:
        """Return the state after `op` gave its answer in `state`, or `IMPOSSIBLE`.

        Of an operation with unknown outcome there is no answer: whatever it would have been is right.
        """

    def readonly(self, op: Op) -> bool:
        """Return whether the operation never changes any state, so that it may be placed as soon as it is legal."""
        return self.forms[op.name].reads or op.outcome == "fail"

    def informs(self, op: Op) -> bool:
        """Return whether the operation says anything: a failed one seldom does, an unanswered read never."""
        form = self.forms[op.name]
        if op.outcome == "fail":
            return bool(form.error) and op.result.get("error") == form.error
        return op.outcome == "ok" or not form.reads

    def partition(self, op: Op) -> Value:
        """Return which of several independent objects it is about: its argument `key`, if it has one.

        A history is linearizable exactly if each object's part is (Herlihy & Wing's locality; as a means against
        the explosion of the search: Horn & Kroening 2015, "P-compositionality").
        """
        return op.argument.get("key")

    def effect(self, op: Op) -> Hashable:
        """Return what tells its effect from that of other operations: nothing of its answer, nothing of its time."""
        return op.name, tuple(sorted(op.argument.items()))

    def focused(self, operations: Sequence[Op]) -> Model:
        """Return a model that judges these operations alike and tells apart no more states than they can.

        The search tries nothing twice from the same state, so the fewer there are, the better.
        """
        return self

    def decide(self, operations: Sequence[Op]) -> Order | Contradiction | None:
        """Decide without a search, where the model knows how; None where it does not."""
        return None

    def describe(self, op: Op) -> str:
        """Say what it did, in the past tense, to be read after "operation 17 "."""
        if op.outcome == "info":
            return f"called {op.name}({', '.join(map(show, op.argument.values()))}), outcome unknown,"
        form = self.forms[op.name]
        words = form.refused if op.outcome == "fail" else form.did
        return words.format(a=_Shown(op.argument), r=_Shown(op.result))

    def problems(self, op: Op) -> Iterator[tuple[Place, str]]:
        """Say what keeps the operation from being judged, and whether its call or its answer is at fault."""
        form = self.forms.get(op.name)
        if form is None:
            yield "call", f"there is no operation {op.name!r}; there are {', '.join(self.forms)}"
            return
        answer = form.returns if op.outcome == "ok" else ()
        places: list[tuple[Place, tuple[str, ...], Mapping[str, Value]]] = [
            ("call", form.arguments, op.argument),
            ("answer", answer, op.result),
        ]
        for place, needed, given in places:
            noun = "args" if place == "call" else "result"
            missing = [name for name in needed if name not in given]
            yield from ((place, f"{noun} of {op.name} lacks {name!r}") for name in missing)
            for name, kind in self.types.items():
                if name in given and not isinstance(given[name], kind):
                    yield place, f"{name} of {op.name} cannot be {show(given[name])}"
