"""Later grants have higher tokens, whatever happened in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.checks import _locks
from harness.checks._base import Verdict
from harness.checks._locks import Grant
from harness.record import Record
from harness.registry import check

_SHOWN = 5


@check("fencing_tokens_increase")
@dataclass(frozen=True, kw_only=True)
class FencingTokensIncrease:
    """A grant has a higher token than every grant of its key that was answered before it was asked for.

    No token is given twice. Grants that were asked for at the same time may have their tokens in either order.
    UNKNOWN where no key was granted twice.
    """

    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ()

    def judge(self, record: Record) -> Verdict:
        """Judge key by key."""
        grants = _locks.grants(record)
        wrong = [pair for each in grants.values() for pair in _wrong(each)]
        numbers = {"grants": sum(map(len, grants.values())), "wrong": len(wrong)}
        if wrong:
            before, grant = wrong[0]
            summary = (
                f"client {grant.client} was granted {grant.key} with token {grant.token} "
                f"after client {before.client} had been given token {before.token}"
            )
            places = tuple(_locks.line_of(record, one.request) for pair in wrong[:_SHOWN] for one in pair)
            return Verdict(status="FAIL", summary=summary, numbers=numbers, evidence=places)
        if all(len(each) < 2 for each in grants.values()):  # noqa: PLR2004  it takes two to compare
            return Verdict(status="UNKNOWN", summary="no lock was granted twice", numbers=numbers)
        summary = f"the tokens of {numbers['grants']} grants increase"
        return Verdict(status="PASS", summary=summary, numbers=numbers)


def _wrong(grants: Sequence[Grant]) -> Iterator[tuple[Grant, Grant]]:
    """Sweep over real time: yield a grant with an earlier one whose token is not lower, or with its token's first."""
    first: dict[int, Grant] = {}
    highest: Grant | None = None
    answered = 0
    for grant in sorted(grants, key=lambda each: each.request.called):
        while grants[answered].granted < grant.request.called:
            if highest is None or grants[answered].token > highest.token:
                highest = grants[answered]
            answered += 1
        twin = first.setdefault(grant.token, grant)
        if highest is not None and grant.token <= highest.token:
            yield highest, grant
        elif twin is not grant:
            yield twin, grant
