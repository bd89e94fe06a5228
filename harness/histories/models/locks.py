"""Locks: who may go on. A lock's owner is the argument `owner` of the operation, or else its client."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, NamedTuple

from harness.histories.models._base import IMPOSSIBLE, Form, Model, State
from harness.histories.operations import Op, Value


class Mutex(Model):
    """A lock that anybody may release.

    acquire {} -> {}; release {} -> {}

    An acquire that fails with "held" found it held, a release that fails with "not_held" found it free. A refusal
    after a timeout says nothing.
    """

    forms: ClassVar = {
        "acquire": Form(did="acquired the lock", error="held", refused="found the lock held"),
        "release": Form(did="released the lock", error="not_held", refused="found the lock free"),
    }
    initial_type = type(None)

    def init(self) -> State:
        """Start free."""
        return False

    def step(self, state: State, op: Op) -> State:
        """Acquire what is free, release what is held."""
        wants = op.name == "acquire"
        if op.outcome == "fail":
            return state if state is wants else IMPOSSIBLE
        return IMPOSSIBLE if state is wants else wants


class OwnerMutex(Model):
    """A lock that only its owner may release, and that its owner cannot acquire again.

    acquire {owner?} -> {}; release {owner?} -> {}

    An acquire that fails with "held" found it held, a release that fails with "not_owner" was not the owner's.
    """

    forms: ClassVar = {
        "acquire": Form(did="acquired the lock", error="held", refused="found the lock held"),
        "release": Form(did="released the lock", error="not_owner", refused="was told that it did not own the lock"),
    }
    initial_type = type(None)

    def init(self) -> State:
        """Start without owner."""
        return None

    def effect(self, op: Op) -> Hashable:
        """Whose operation it is matters, too."""
        return super().effect(op), _owner(op)

    def step(self, state: State, op: Op) -> State:
        """Acquire what nobody owns, release one's own."""
        acquire, legal = op.name == "acquire", state == (None if op.name == "acquire" else (_owner(op),))
        if op.outcome == "fail":
            return IMPOSSIBLE if legal else state
        if not legal:
            return IMPOSSIBLE
        return (_owner(op),) if acquire else None


class ReentrantMutex(Model):
    """A lock that its owner may acquire again and must release as often.

    acquire {owner?} -> {}; release {owner?} -> {}; refusals as those of owner_mutex
    """

    forms: ClassVar = OwnerMutex.forms
    initial_type = type(None)

    def init(self) -> State:
        """Start without owner."""
        return None, 0

    def effect(self, op: Op) -> Hashable:
        """Whose operation it is matters, too."""
        return super().effect(op), _owner(op)

    def step(self, state: State, op: Op) -> State:
        """Count up what is free or one's own, count down one's own."""
        (owner, depth), me = state, _owner(op)
        legal = (depth == 0 and op.name == "acquire") or (depth > 0 and owner == me)
        if op.outcome == "fail":
            return IMPOSSIBLE if legal else state
        if not legal:
            return IMPOSSIBLE
        depth += 1 if op.name == "acquire" else -1
        return (me, depth) if depth else (None, 0)


class _Grant(NamedTuple):
    """State of a fenced mutex. `exact` is false where the last grant's answer is missing: `token` or more."""

    held: bool = False
    owner: Value = None
    token: int = 0
    exact: bool = True
    written: int = 0

    def belongs(self, token: Value) -> bool:
        """Return whether the current grant can have this token."""
        return isinstance(token, int) and (token == self.token or (not self.exact and token > self.token))


class FencedMutex(Model):
    """A lock whose every grant has a higher token, and a resource that refuses lower tokens than it has seen.

    acquire {owner?} -> {token}; renew {token, owner?} -> {}; release {token, owner?} -> {};
    expire {token?, owner?} -> {}; write {token} -> {}

    An acquire that fails with "held" found it held; a renew or release that fails with "not_owner" was not the
    owner's with its current token; a write that fails with "stale" had a lower token than one before. A lease that
    may have ended is an `expire` of unknown outcome from its deadline on; without a token it ends the owner's grant,
    whose answer nobody has. The initial value is the last token before the history.
    """

    forms: ClassVar = {
        "acquire": Form(
            did="was granted token {r[token]}", returns=("token",), error="held", refused="found the lock held"
        ),
        "renew": Form(
            did="renewed token {a[token]}",  # no mere read: it settles which token a grant of unknown answer had
            arguments=("token",),
            error="not_owner",
            refused="was refused the renewal of token {a[token]}",
        ),
        "release": Form(
            did="released token {a[token]}",
            arguments=("token",),
            error="not_owner",
            refused="was refused the release of token {a[token]}",
        ),
        "expire": Form(did="saw token {a[token]} expire"),
        "write": Form(
            did="wrote with token {a[token]}",
            arguments=("token",),
            error="stale",
            refused="was refused the write with token {a[token]}",
        ),
    }
    types: ClassVar = {"token": int}
    default = 0
    initial_type = int

    def init(self) -> State:
        """Start free; the first token is higher than the initial value."""
        return _Grant(token=self.initial)

    def effect(self, op: Op) -> Hashable:
        """Whose operation it is matters, too."""
        return super().effect(op), _owner(op)

    def step(self, state: State, op: Op) -> State:
        """Grant what is free, guard what is guarded."""
        if op.name == "acquire":
            return _acquire(state, op)
        token = op.argument.get("token", state.token)  # an `expire` may not know it
        if op.name == "write":
            if (token < state.written) is not (op.outcome == "fail"):
                return IMPOSSIBLE
            return state if op.outcome == "fail" else state._replace(written=token)
        whose = (op.name == "expire" and "token" in op.argument) or state.owner == _owner(op)
        own = state.held and state.belongs(token) and whose
        if op.outcome == "fail":
            return IMPOSSIBLE if own and state.exact else state
        if not own:
            return IMPOSSIBLE
        known = state._replace(token=token, exact=True)
        return known if op.name == "renew" else known._replace(held=False, owner=None)


def _acquire(state: _Grant, op: Op) -> State:
    if op.outcome == "fail":
        return state if state.held else IMPOSSIBLE
    token = op.result.get("token", state.token + 1)
    if state.held or not isinstance(token, int) or token <= state.token:
        return IMPOSSIBLE
    return state._replace(held=True, owner=_owner(op), token=token, exact="token" in op.result)


def _owner(op: Op) -> Value:
    return op.argument.get("owner", op.client)
