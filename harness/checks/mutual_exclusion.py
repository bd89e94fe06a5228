"""A lock is one client's at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.checks import _locks
from harness.checks._base import Verdict
from harness.checks._locks import Grant, Request
from harness.record import Record
from harness.registry import check

_SHOWN = 5


@check("mutual_exclusion")
@dataclass(frozen=True, kw_only=True)
class MutualExclusion:
    """No two clients knew at the same time that they held the same lock.

    A client knows it from the answer to its acquire until it asks for the release, but no longer than its lease lasts,
    counted from when it can have been given the grant: a pause beyond the lease is no violation (that the value is safe
    then is `no_lost_updates`). UNKNOWN where nobody wanted a lock while another held it.
    """

    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ()

    def judge(self, record: Record) -> Verdict:
        """Judge key by key."""
        grants = _locks.grants(record)
        contended = sum(
            _contends(request, grants.get(key, ())) for request in _locks.requests(record) for key in request.keys
        )
        overlaps = [pair for key in grants for pair in _overlaps(grants[key])]
        numbers = {"grants": sum(map(len, grants.values())), "contended": contended, "overlaps": len(overlaps)}
        if overlaps:
            first, second = overlaps[0]
            summary = (
                f"{second.key} was granted to client {second.client} (token {second.token}) "
                f"{(first.surely_until - second.granted) / 1e6:.1f} ms before client {first.client} "
                f"(token {first.token}) gave it up"
            )
            places = tuple(_locks.line_of(record, grant.request) for pair in overlaps[:_SHOWN] for grant in pair)
            return Verdict(status="FAIL", summary=summary, numbers=numbers, evidence=places)
        if not contended:
            summary = "nobody wanted a lock while another held it, so nothing was tested"
            return Verdict(status="UNKNOWN", summary=summary, numbers=numbers)
        summary = f"of {numbers['grants']} grants, {contended} wanted while another held the lock, no two overlap"
        return Verdict(status="PASS", summary=summary, numbers=numbers)


def _contends(request: Request, grants: Sequence[Grant]) -> bool:
    """Return whether somebody else held the lock at some moment between the request and its answer."""
    called, ended, client = request.operation.called, request.ended, request.operation.client
    return any(called < grant.surely_until and grant.granted < ended and grant.client != client for grant in grants)


def _overlaps(grants: Sequence[Grant]) -> Iterator[tuple[Grant, Grant]]:
    """Yield grants with the one before them that was not over; `grants` are in order of their answers."""
    last: Grant | None = None
    for grant in grants:
        if grant.surely_until <= grant.granted:
            continue  # its lease was too short for anybody to know that it held
        if last is not None and grant.granted < last.surely_until:
            yield last, grant
        if last is None or grant.surely_until > last.surely_until:
            last = grant
