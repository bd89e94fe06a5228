"""Tiny histories of anything whatever, and the plainest possible judge of them: try every order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

from hypothesis import strategies as st

from harness.histories.models._base import IMPOSSIBLE, Model
from harness.histories.operations import Op, freeze

SMALL = st.integers(0, 2)
TEXTS = st.text("ab", max_size=2)
Members = dict[str, st.SearchStrategy[Any]]

# By model and operation: arguments, answers, and the error of a failure that says something.
VOCABULARY: dict[str, dict[str, tuple[Members, Members, str]]] = {
    "register": {"read": ({}, {"value": SMALL | st.none()}, ""), "write": ({"value": SMALL}, {}, "")},
    "cas_register": {
        "read": ({}, {"value": SMALL | st.none()}, ""),
        "write": ({"value": SMALL}, {}, ""),
        "cas": ({"expected": SMALL, "value": SMALL}, {}, "conflict"),
    },
    "versioned_register": {
        "read": ({}, {"value": SMALL | st.none(), "version": st.integers(0, 3)}, ""),
        "write": ({"value": SMALL, "expected_version": SMALL | st.none()}, {"version": st.integers(1, 3)}, "conflict"),
    },
    "mutex": {"acquire": ({}, {}, "held"), "release": ({}, {}, "not_held")},
    "owner_mutex": {"acquire": ({}, {}, "held"), "release": ({}, {}, "not_owner")},
    "reentrant_mutex": {"acquire": ({}, {}, "held"), "release": ({}, {}, "not_owner")},
    "fenced_mutex": {
        "acquire": ({}, {"token": SMALL}, "held"),
        "renew": ({"token": SMALL}, {}, "not_owner"),
        "release": ({"token": SMALL}, {}, "not_owner"),
        "expire": ({"token": SMALL}, {}, ""),
        "write": ({"token": SMALL}, {}, "stale"),
    },
    "set": {
        "add": ({"value": SMALL}, {}, ""),
        "remove": ({"value": SMALL}, {}, ""),
        "contains": ({"value": SMALL}, {"present": st.booleans()}, ""),
        "read": ({}, {"values": st.lists(SMALL, max_size=3, unique=True)}, ""),
    },
    "counter": {"read": ({}, {"value": SMALL}, ""), "add": ({"by": SMALL}, {}, "")},
    "kv": {
        "get": ({"key": st.just("k")}, {"value": TEXTS}, ""),
        "put": ({"key": st.just("k"), "value": TEXTS}, {}, ""),
        "append": ({"key": st.just("k"), "value": TEXTS}, {}, ""),
    },
}


@st.composite
def histories(draw: st.DrawFn, name: str, most: int = 5) -> list[Op]:
    """Up to `most` operations with any answers, at times so few that many things coincide."""
    return [draw(_operation(name, n)) for n in range(draw(st.integers(1, most)))]


@st.composite
def _operation(draw: st.DrawFn, name: str, n: int) -> Op:
    op = draw(st.sampled_from(sorted(VOCABULARY[name])))
    arguments, answers, error = VOCABULARY[name][op]
    outcome = draw(st.sampled_from(["ok", "ok", "ok", "info", "fail"] if error else ["ok", "ok", "ok", "info"]))
    result = {member: draw(values) for member, values in answers.items()} if outcome == "ok" else {}
    if outcome == "fail":
        seen = {"version": draw(st.integers(0, 3))} if "version" in answers else {}
        result = {"error": error, **seen}
    call = draw(st.integers(0, 8))
    ret = None if outcome == "info" else draw(st.integers(call, 9))
    argument = {member: freeze(draw(values)) for member, values in arguments.items()}
    frozen = {member: freeze(value) for member, value in result.items()}
    client = draw(st.integers(0, 1))
    return Op(n=n, client=client, name=op, argument=argument, result=frozen, call=call, ret=ret, outcome=outcome)


def possible(operations: Sequence[Op], model: Model) -> bool:
    """Whether any order of the answered operations and of any others explains the history (Herlihy & Wing 1990)."""
    known = [op for op in operations if model.informs(op)]
    answered = [op for op in known if op.outcome != "info"]
    return any(
        explains(order, model) for others in _subsets(known) for order in permutations([*answered, *others])
    )  # fmt: skip


def _subsets(known: Sequence[Op]) -> Iterator[tuple[Op, ...]]:
    unknown = [op for op in known if op.outcome == "info"]
    return (chosen for size in range(len(unknown) + 1) for chosen in combinations(unknown, size))


def explains(order: Sequence[Op], model: Model) -> bool:
    """Whether the order respects real time, and the model gives these answers in it."""
    for at, op in enumerate(order):
        if any(later.ret is not None and later.ret < op.call for later in order[at + 1 :]):
            return False
    state = model.init()
    for op in order:
        state = model.step(state, op)
        if state is IMPOSSIBLE:
            return False
    return True
