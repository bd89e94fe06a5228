"""Things that hold several values."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from harness.histories.models._base import IMPOSSIBLE, Form, Model, State
from harness.histories.operations import Op, freeze

_TRUE = freeze(True)


class Set(Model):
    """A set of values.

    add {value} -> {}; remove {value} -> {}; contains {value} -> {present}; read {} -> {values}

    `values` lists each element once, in any order. The initial value is a list.
    """

    forms: ClassVar = {
        "add": Form(did="added {a[value]}", arguments=("value",)),
        "remove": Form(did="removed {a[value]}", arguments=("value",)),
        "contains": Form(
            did="asked for {a[value]} and was told {r[present]}",
            arguments=("value",),
            returns=("present",),
            reads=True,
        ),
        "read": Form(did="read {r[values]}", returns=("values",), reads=True),
    }
    types: ClassVar = {"values": tuple}
    default = ()
    initial_type = tuple

    def init(self) -> State:
        """Start with the initial elements, none unless given."""
        return frozenset(self.initial)

    def step(self, state: State, op: Op) -> State:
        """Hold what was added and not removed since."""
        match op.name:
            case "add":
                return state | {op.argument["value"]}
            case "remove":
                return state - {op.argument["value"]}
            case "contains":
                right = (op.argument["value"] in state) is (op.result["present"] == _TRUE)
            case _:
                values = op.result["values"]
                right = len(values) == len(state) and state.issuperset(values)
        return state if right else IMPOSSIBLE


class Counter(Model):
    """A number that is counted up and down.

    add {by?} -> {value?}; read {} -> {value}

    `by` is 1 unless given. An add may answer the number after it.
    """

    forms: ClassVar = {
        "add": Form(did="added to the counter"),
        "read": Form(did="read {r[value]}", returns=("value",), reads=True),
    }
    types: ClassVar = {"by": (int, float), "value": (int, float)}
    default = 0
    initial_type = (int, float)

    def init(self) -> State:
        """Start with the initial value, 0 unless given."""
        return self.initial

    def step(self, state: State, op: Op) -> State:
        """Read the sum of what was added."""
        if op.name == "read":
            return state if op.result["value"] == state else IMPOSSIBLE
        by = op.argument.get("by", 1)
        return state + by if op.result.get("value", state + by) == state + by else IMPOSSIBLE


class KeyValue(Model):
    """Texts by key, which can be appended to.

    get {key} -> {value}; put {key, value} -> {}; append {key, value} -> {}

    The initial value, the empty text unless given, is that of every key; null counts as the empty text.
    """

    forms: ClassVar = {
        "get": Form(did="got {r[value]}", arguments=("key",), returns=("value",), reads=True),
        "put": Form(did="put {a[value]}", arguments=("key", "value")),
        "append": Form(did="appended {a[value]}", arguments=("key", "value")),
    }
    types: ClassVar = {"value": (str, type(None))}
    default = ""
    initial_type = (str, type(None))

    def init(self) -> State:
        """Start with the initial value."""
        return self.initial or ""

    def step(self, state: State, op: Op) -> State:
        """Get what was put last, with what was appended since."""
        if op.name == "get":
            return state if (op.result["value"] or "") == state else IMPOSSIBLE
        text = op.argument["value"] or ""
        if op.name == "put":
            return text
        return state + text

    def focused(self, operations: Sequence[Op]) -> Model:
        """Tell apart only the texts that were got, and their beginnings."""
        return _SeenTexts(self.initial, sorted({op.result["value"] or "" for op in operations if op.name == "get"}))


class _SeenTexts(KeyValue):
    """All texts that nobody got, now or longer, are the same: None, until the next put."""

    def __init__(self, initial: object, seen: Sequence[str]) -> None:
        super().__init__(initial)
        self._seen = seen

    def init(self) -> State:
        return self._focus(super().init())

    def step(self, state: State, op: Op) -> State:
        if state is None and op.name == "append":
            return None
        new = super().step(state, op)
        return new if new is state or new is IMPOSSIBLE else self._focus(new)

    def _focus(self, text: str) -> State:
        at = bisect_left(self._seen, text)
        return text if at < len(self._seen) and self._seen[at].startswith(text) else None
