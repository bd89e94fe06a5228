"""Registers: one value."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Final

from harness.histories.models._base import IMPOSSIBLE, Form, Model, State
from harness.histories.operations import Op, Value
from harness.histories.versions import Contradiction, Order, decide

_OTHER: Final = object()


class Register(Model):
    """A value that is read and written.

    read {} -> {value}; write {value} -> {}
    """

    forms: ClassVar = {
        "read": Form(did="read {r[value]}", returns=("value",), reads=True),
        "write": Form(did="wrote {a[value]}", arguments=("value",)),
    }

    def init(self) -> State:
        """Start with the initial value, null unless given."""
        return self.initial

    def step(self, state: State, op: Op) -> State:
        """Read what was written last."""
        if op.name == "write":
            return op.argument["value"]
        return state if op.result["value"] == state else IMPOSSIBLE

    def focused(self, operations: Sequence[Op]) -> Model:
        """Tell apart only the values that were read or expected."""
        read = {op.result["value"] for op in operations if op.name == "read"}
        return _Seen(self, read | {op.argument["expected"] for op in operations if op.name == "cas"})


class _Seen(Model):
    """A register whose other values are all the same."""

    def __init__(self, register: Register, values: Collection[Value]) -> None:
        super().__init__(register.initial)
        self._step = register.step
        self._values = values

    def init(self) -> State:
        return self._seen(self.initial)

    def step(self, state: State, op: Op) -> State:
        new = self._step(state, op)
        return new if new is state or new is IMPOSSIBLE else self._seen(new)

    def _seen(self, value: Value) -> State:
        return value if value in self._values else _OTHER


class CasRegister(Register):
    """A register with compare-and-swap.

    read {} -> {value}; write {value} -> {}; cas {expected, value} -> {}

    A cas that fails with the error "conflict" saw another value than it expected. Any other failure only says that
    it was not done.
    """

    forms: ClassVar = {
        **Register.forms,
        "cas": Form(
            did="replaced {a[expected]} by {a[value]}",
            arguments=("expected", "value"),
            error="conflict",
            refused="found another value than {a[expected]}",
        ),
    }

    def step(self, state: State, op: Op) -> State:
        """Swap if the value is the expected one, and only then."""
        if op.name != "cas":
            return super().step(state, op)
        same = state == op.argument["expected"]
        if op.outcome == "fail":
            return IMPOSSIBLE if same else state
        return op.argument["value"] if same else IMPOSSIBLE


class VersionedRegister(Model):
    """A value whose version counts its writes: the contract `versioned_store`, key by key (Jepsen's etcd model).

    read {} -> {value, version}; write {value, expected_version?} -> {version}

    A write makes the next version, if the version is the expected one. One that fails with the error "conflict" saw
    another version than it expected, and its answer's `version` is the one it saw. Where every answer has its
    version, the verdict takes no search; a write may leave it out.
    """

    forms: ClassVar = {
        "read": Form(did="read {r[value]} as version {r[version]}", returns=("value", "version"), reads=True),
        "write": Form(
            did="was acknowledged version {r[version]} for writing {a[value]}",
            arguments=("value",),
            error="conflict",
            refused="was refused because of version {r[version]}",
        ),
    }
    types: ClassVar = {"version": int, "expected_version": (int, type(None))}

    def init(self) -> State:
        """Start as version 0 with the initial value, null unless given."""
        return 0, self.initial

    def step(self, state: State, op: Op) -> State:
        """Read the newest version, or make the next one."""
        if op.name == "read":
            return state if (op.result["version"], op.result["value"]) == state else IMPOSSIBLE
        version, expected = state[0], op.argument.get("expected_version")
        told = op.result.get("version")
        if op.outcome == "fail":
            return IMPOSSIBLE if version == expected or told not in {None, version} else state
        if expected not in {None, version} or told not in {None, version + 1}:
            return IMPOSSIBLE
        return version + 1, op.argument["value"]

    def decide(self, operations: Sequence[Op]) -> Order | Contradiction | None:
        """Let the versions decide."""
        return decide(operations, self.initial, self.describe)
