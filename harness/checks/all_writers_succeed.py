"""A hundred per cent: nobody is refused, and nobody is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.checks import _locks
from harness.checks._base import Verdict
from harness.checks._edits import by_writer
from harness.record import Operation, Record
from harness.registry import check

_PREPARES = frozenset({"acquire", "acquire_all", "renew", "fetch", "read", "attach"})
_SHOWN = 5


@check("all_writers_succeed")
@dataclass(frozen=True, kw_only=True)
class AllWritersSucceed:
    """Every edit that any writer began was acknowledged in the end, and every writer has at least one.

    A conflict that is followed by a successful try of the same edit is no failure; a lock that is not granted in time
    is one. What a client had under way when a fault killed it does not count. UNKNOWN where a writer has made no edit,
    or where an outcome is unknown.
    """

    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ()

    def judge(self, record: Record) -> Verdict:
        """Judge every edit, and what had to precede it."""
        writers, killed = by_writer(record), _locks.killed(record)
        edits = [edit for each in writers.values() for edit in each if edit.client not in killed or edit.done]
        prepared = [each for each in record.operations if each.op in _PREPARES and not each.final]
        refused = [edit.tries[-1] for edit in edits if edit.refused] + _with("fail", prepared, killed)
        unknown = [edit.tries[-1] for edit in edits if not edit.done and not edit.refused]
        unknown += _with("info", prepared, killed)
        done = sum(edit.done is not None for edit in edits)
        idle = [writer for writer, each in sorted(writers.items()) if not any(edit.done for edit in each)]
        asked = done + len(refused) + len(unknown)
        numbers = {"writers": len(writers), "edits": done, "refused": len(refused), "unknown": len(unknown)}
        rate = f"{done} of {asked} edits of {len(writers)} writers succeeded"
        if refused:
            reason = refused[0].result.get("error", "no reason")
            summary = f"{rate}: client {refused[0].client} was refused {refused[0].op}: {reason}"
            places = tuple(_locks.line_of(record, each) for each in refused[:_SHOWN])
            return Verdict(status="FAIL", summary=summary, numbers=numbers, evidence=places)
        if idle or unknown or not writers:
            who = ", ".join(map(str, idle[:_SHOWN])) or "anybody"
            reason = f"no edit of {who} was acknowledged" if idle or not unknown else f"{len(unknown)} may have"
            return Verdict(status="UNKNOWN", summary=f"{rate}; {reason}", numbers=numbers)
        return Verdict(status="PASS", summary=rate, numbers=numbers)


def _with(outcome: str, operations: Sequence[Operation], killed: _locks.Killed) -> list[Operation]:
    return [each for each in operations if each.outcome == outcome and each.client not in killed]
