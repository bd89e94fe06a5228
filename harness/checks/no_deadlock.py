"""Nobody waits for a lock that nobody holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.checks import _locks
from harness.checks._base import Verdict
from harness.checks._locks import Grant, Request
from harness.clock import NS_PER_S
from harness.record import Record
from harness.registry import check
from harness.units import Seconds

_SHOWN = 5


_Held = Mapping[str, Sequence[tuple[int, int, int]]]  # key → begin, end, client


@dataclass(frozen=True)
class _Stuck:
    request: Request
    keys: frozenset[str]
    idle: int
    """For how long nobody can have held any of them."""


@check("no_deadlock")
@dataclass(frozen=True, kw_only=True)
class NoDeadlock:
    """Nobody waited longer than `patience` at a stretch while nobody can have held what it waited for.

    That is: none of the keys that it asked for, nor of those that others asked for together with one of these in the
    same time, and so on, since a waiter may stand behind one who waits for something else. A key can be held from
    `patience` before the acquire was answered until its release was, or its lease has ended at the latest. Waits of
    clients that a fault acted on do not count. UNKNOWN where nobody asked for a lock while it was held.
    """

    shorthand: ClassVar[str | None] = "patience"
    observes: ClassVar[tuple[str, ...]] = ()

    patience: Seconds = Seconds(1)
    """Longest acceptable stretch; as long as a backend is down, nobody can be granted anything."""

    def judge(self, record: Record) -> Verdict:
        """Judge every wait that was long enough."""
        requests, grants, struck = _locks.requests(record), _locks.grants(record), _locks.struck(record)
        held = self._held(requests, [grant for of_key in grants.values() for grant in of_key], struck)
        end = max((entry.t for entry in record.history), default=0)
        waited = sum(_met(request, held) for request in requests)
        waiting = [each for each in requests if each.operation.client not in struck]
        long = [each for each in waiting if min(each.ended, end) - each.operation.called > self.patience * NS_PER_S]
        checked = [_stuck(each, requests, held, end) for each in long]
        stuck = [each for each in checked if each.idle > self.patience * NS_PER_S]
        idle = max((each.idle for each in checked), default=0) / 1e6
        numbers = {"waited": waited, "stuck": len(stuck), "idle_ms": idle}
        if stuck:
            worst = max(stuck, key=lambda each: each.idle)
            summary = (
                f"client {worst.request.operation.client} waited {worst.idle / 1e6:.0f} ms for "
                f"{', '.join(worst.request.keys)} while nobody can have held {', '.join(sorted(worst.keys))}"
            )
            places = tuple(_locks.line_of(record, each.request.operation) for each in stuck[:_SHOWN])
            return Verdict(status="FAIL", summary=summary, numbers=numbers, evidence=places)
        if not waited:
            summary = "nobody asked for a lock while it was held, so nobody had to wait"
            return Verdict(status="UNKNOWN", summary=summary, numbers=numbers)
        summary = f"{waited} waited for a lock, none of them for nobody"
        return Verdict(status="PASS", summary=summary, numbers=numbers)

    def _held(self, requests: Sequence[Request], grants: Sequence[Grant], struck: Collection[int]) -> _Held:
        """Return when each key can have been held, and by whom; who was struck may have answered as late as can be."""
        held: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        patience = round(self.patience * NS_PER_S)
        for grant in grants:
            called, client = grant.request.called, grant.client
            begin = called if client in struck else max(called, grant.granted - patience)
            held[grant.key].append((begin, grant.possibly_until, client))
        for request in requests:
            if request.operation.outcome == "info":
                span = request.operation.called, request.may_hold_until, request.operation.client
                for key in request.keys:
                    held[key].append(span)
        return {key: sorted(spans) for key, spans in held.items()}


def _met(request: Request, held: _Held) -> bool:
    called, client = request.operation.called, request.operation.client
    return any(
        begin < called < end and whose != client for key in request.keys for begin, end, whose in held.get(key, ())
    )


def _stuck(request: Request, requests: Sequence[Request], held: _Held, end: int) -> _Stuck:
    """Find the longest stretch of a wait in which nobody can have held anything that matters."""
    begin, until = request.operation.called, min(request.ended, end)
    at_once = [each for each in requests if each.operation.called < until and each.ended > begin]
    keys = _connected(frozenset(request.keys), at_once)
    spans = sorted(
        (since, over)
        for key in keys
        for since, over, client in held.get(key, ())
        if over > begin and since < until and (since < begin or client != request.operation.client)
    )
    longest, free = 0, begin
    for since, over in spans:
        longest, free = max(longest, since - free), max(free, over)
    return _Stuck(request, keys, max(longest, until - free))


def _connected(keys: frozenset[str], requests: Sequence[Request]) -> frozenset[str]:
    while True:
        more = keys.union(*(each.keys for each in requests if not keys.isdisjoint(each.keys)))
        if more == keys:
            return keys
        keys = more
