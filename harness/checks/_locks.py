"""Grants of locks as the clients knew of them: shared by every check of locks.

A client knows that it holds a lock from the answer to its acquire until it asks for the release, or until its lease
may have ended: at the earliest a lease after the grant can have been given, or after it asked for the last renewal that
was granted. A grant can have been given when it was asked for, but not before grants with lower tokens can have ended.
Whether a dead client still holds, nobody knows; it did at its last answer. The latest that a grant can have ended is
the answer to its release, or a lease after the *answer* to the acquire, or to the last renewal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from harness.clock import NS_PER_S
from harness.record import FaultInjected, FaultInjecting, Invoked, Operation, Record, Returned
from harness.wire import Json

ACQUIRES = frozenset({"acquire", "acquire_all"})
NEVER = 1 << 62
Killed = Mapping[int, int]


@dataclass(frozen=True)
class Request:
    """One acquire: which keys it wanted, and when it was over, granted or not. `ended` is `NEVER` for one cut off."""

    operation: Operation
    keys: tuple[str, ...]
    ended: int

    @property
    def may_hold_until(self) -> int:
        """When the grant of an acquire with unknown outcome has ended at the latest."""
        given = max(self.ended, self.operation.called + _ns(self.operation.args.get("wait_s")))
        return min(NEVER, given + _ns(self.operation.args.get("lease_s")))


@dataclass
class Grant:
    """One key granted to one client; the times as above."""

    key: str
    token: int
    request: Operation
    granted: int
    last_word: int
    given: int = 0
    released: int | None = None
    over: int | None = None
    renewals: list[Operation] = field(default_factory=list)

    @property
    def client(self) -> int:
        """Whose it is."""
        return self.request.client

    @cached_property
    def lease_ends(self) -> int:
        """When its lease ends at the earliest."""
        begun = max([self.given, *(each.called for each in self.renewals if each.acknowledged)])
        return begun + _ns(self.request.args.get("lease_s"))

    @cached_property
    def surely_until(self) -> int:
        """Until when the client knows that it holds the lock."""
        return min(self.last_word if self.released is None else self.released, self.lease_ends)

    @cached_property
    def possibly_until(self) -> int:
        """When it has ended at the latest."""
        answers = [
            NEVER if each.returned is None else each.returned for each in self.renewals if each.outcome != "fail"
        ]
        lease_over = max([self.granted, *answers]) + _ns(self.request.args.get("lease_s"))
        return min(NEVER if self.over is None else self.over, lease_over)


def requests(record: Record) -> list[Request]:
    """Return every acquire, in order of its call."""
    ended = {entry.n: entry.t for entry in record.history if isinstance(entry, Returned)}
    return [
        Request(operation, tuple(keys(operation)), ended.get(operation.n, NEVER))
        for operation in record.operations
        if operation.op in ACQUIRES
    ]


def grants(record: Record) -> Mapping[str, Sequence[Grant]]:
    """Return every grant that was answered, by key, in order of the answers."""
    last_words: dict[int, int] = {}
    for operation in record.operations:
        last_words[operation.client] = max(last_words.get(operation.client, 0), operation.returned or 0)
    found: dict[str, list[Grant]] = defaultdict(list)
    current: dict[tuple[int, str, int], Grant] = {}
    for operation in record.operations:
        if operation.op in ACQUIRES and operation.acknowledged:
            for key, token in tokens(operation).items():
                last_word = last_words[operation.client]
                grant = Grant(key, token, operation, operation.returned or 0, last_word)
                found[key].append(grant)
                current[operation.client, key, token] = grant
        elif operation.op in {"renew", "release", "release_all"}:
            for key, token in tokens(operation).items():
                if (mine := current.get((operation.client, key, token))) is not None:
                    _go_on(mine, operation)
    for of_key in found.values():
        _find_begin(of_key)
    return {key: sorted(each, key=lambda grant: grant.granted) for key, each in found.items()}


def _find_begin(grants: Sequence[Grant]) -> None:
    """Note when each grant of a key can have been given at the earliest."""
    over = 0
    for _, equal in groupby(sorted(grants, key=_token), _token):
        twins = list(equal)
        for grant in twins:
            grant.given = max(grant.request.called, over)
        over = max([over, *(grant.surely_until for grant in twins)])


def _token(grant: Grant) -> int:
    return grant.token


def killed(record: Record) -> Killed:
    """Return when each client that a fault killed was about to die."""
    began = {event.fault: event for event in record.of(FaultInjecting)}
    return {
        event.evidence["client"]: began[event.fault].t
        for event in record.of(FaultInjected)
        if "client" in event.evidence and event.fault in began and began[event.fault].kind == "process.kill"
    }


def struck(record: Record) -> frozenset[int]:
    """Return every client that a fault acted on, whatever it did."""
    return frozenset(event.evidence["client"] for event in record.of(FaultInjected) if "client" in event.evidence)


def line_of(record: Record, operation: Operation) -> str:
    """Return where the operation stands in the record, for people."""
    lines = {entry.n: line for line, entry in enumerate(record.history, 1) if isinstance(entry, Invoked)}
    return f"history.jsonl:{lines[operation.n]}: operation {operation.n} (client {operation.client}) {operation.op}"


def _go_on(grant: Grant, operation: Operation) -> None:
    if operation.op == "renew":
        grant.renewals.append(operation)
    elif grant.released is None:
        grant.released = operation.called
        grant.over = operation.returned if operation.acknowledged else None


def keys(operation: Operation) -> list[str]:
    """Return which keys an acquire asks for."""
    given = operation.args.get("keys", [operation.args.get("key")])
    return [str(key) for key in given]


def tokens(operation: Operation) -> dict[str, int]:
    """Return the tokens, by key, that an acquire was granted, or that a renewal or a release names."""
    given: Json = operation.result if operation.op in ACQUIRES else operation.args
    found = given.get("tokens") or {operation.args.get("key"): given.get("token")}
    return {str(key): token for key, token in found.items() if isinstance(token, int)}


def _ns(duration_s: object) -> int:
    return round(duration_s * NS_PER_S) if isinstance(duration_s, int | float) else 0
