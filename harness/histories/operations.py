"""One operation as the checker sees it, with values that can be compared and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from harness import record
from harness.wire import Outcome

Value = Any  # frozen: hashable, and equal only to the same JSON value


class Compound(msgspec.Struct, frozen=True):
    """A JSON object or boolean, by its canonical text: Python has `True == 1`, and objects that cannot be hashed."""

    text: str


_FROZEN = (str, int, float, type(None), Compound)


def freeze(value: object) -> Value:
    """Return a JSON value in a form that is hashable and equal exactly to the same JSON value (1 equals 1.0).

    What is frozen stays as it is.
    """
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    if isinstance(value, _FROZEN) and not isinstance(value, bool):
        return value
    return Compound(msgspec.json.encode(value, order="sorted").decode())


def show(value: object) -> str:
    """Return the JSON text of a frozen value."""
    if isinstance(value, Compound):
        return value.text
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    return msgspec.json.encode(value).decode()


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """An operation: what was asked of whom, when, and what came of it. All values are frozen (`freeze`).

    `ok` is done, at a moment from `call` to `ret`, with `result`. `fail` is certainly not done, now or later; its
    `result` may say what it saw in that time. `info` is unknown: done or not, from `call` to `ret`, or for ever if
    `ret` is None, as it is wherever nobody knows that the operation is over.
    """

    n: int
    client: int
    name: str
    argument: Mapping[str, Value] = {}
    result: Mapping[str, Value] = {}
    call: int
    ret: int | None
    outcome: Outcome = "ok"


def from_record(operation: record.Operation) -> Op:
    """Return an operation of a run folder, of whatever contract, as the checker sees it."""
    return Op(
        n=operation.n,
        client=operation.client,
        name=operation.op,
        argument=_frozen(operation.args),
        result=_frozen(operation.result),
        call=operation.called,
        ret=operation.returned,
        outcome=operation.outcome,
    )


def unanswered(op: Op) -> Op:
    """Return the operation as it was before its return: it may take effect at any time from its call on, or never."""
    return msgspec.structs.replace(op, result={}, ret=None, outcome="info")


def forgotten(op: Op) -> Op:
    """Return the operation without its answer: in its time it may have taken effect, or not."""
    return msgspec.structs.replace(op, result={}, outcome="info")


def _frozen(members: Mapping[str, object]) -> dict[str, Value]:
    return {name: freeze(value) for name, value in members.items()}
