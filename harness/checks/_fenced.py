"""A history of the contract `locks` in the words of the model `fenced_mutex`.

Batches become one operation for each key, `store` a `write`. A lease that may have ended is an `expire` of unknown
outcome; only grants that were not released for certain have one. What a refusal to grant says after a wait, or a
refusal to store, depends on what others waited for and on what the resource has been told, so neither says anything
here; and what `fetch` returns is `no_lost_updates`' to judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from harness.checks import _locks
from harness.checks._locks import Grant
from harness.histories.operations import Op, from_record
from harness.record import Operation, Record

_SPLIT = {"acquire_all": "acquire", "release_all": "release"}
_SILENT = frozenset({"acquire", "store"})
_UNHEARD = frozenset({"fetch", "probe"})


def translated(record: Record) -> list[Op]:
    """Return what `fenced_mutex` can judge; operations that it knows by their own names stay as they are."""
    said = [op for operation in record.operations for op in _said(operation)]
    ended = [_expiry(grant) for of_key in _locks.grants(record).values() for grant in of_key if grant.over is None]
    return [*said, *ended]


def _said(operation: Operation) -> Iterator[Op]:
    op = from_record(operation)
    if op.name in _UNHEARD or (op.outcome == "fail" and op.name in {*_SILENT, *_SPLIT}):
        return
    if op.name in _SPLIT:
        members = [(key, {"token": token}) for key, token in _locks.tokens(operation).items()]
        for key, token in members or [(key, {}) for key in _locks.keys(operation)]:
            yield from _of_key(op, key, token)
    elif op.name == "store":
        yield msgspec.structs.replace(op, name="write", argument=_only(op, "key", "token"), result={})
    elif op.name == "acquire":
        yield from _of_key(op, op.argument.get("key"), op.result)
    else:
        yield op


def _of_key(op: Op, key: str | None, token: Mapping[str, int]) -> Iterator[Op]:
    """Yield the part of an acquire or release that is about one key; the end of a grant without answer follows it."""
    name = _SPLIT.get(op.name, op.name)
    about = {"key": key} | _only(op, "owner")
    if name == "acquire":
        yield msgspec.structs.replace(op, name=name, argument=about, result=token if op.outcome == "ok" else {})
        if op.outcome == "info":
            yield msgspec.structs.replace(op, n=-op.n, name="expire", argument=about, ret=None)
    else:
        yield msgspec.structs.replace(op, name=name, argument={**about, **token}, result={})


def _expiry(grant: Grant) -> Op:
    """Return the possible end of a lease: from its deadline on, or when its holder was last heard of."""
    return Op(
        n=-grant.request.n,
        client=grant.client,
        name="expire",
        argument={"key": grant.key, "token": grant.token},
        call=min(grant.lease_ends, grant.last_word),
        ret=None,
        outcome="info",
    )


def _only(op: Op, *names: str) -> dict[str, object]:
    return {name: op.argument[name] for name in names if name in op.argument}
