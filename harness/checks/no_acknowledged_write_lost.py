"""Recovery point objective of zero: what the target acknowledged is there, once, and stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.checks._base import Verdict
from harness.record import Operation, Record
from harness.registry import check

_SHOWN = 5


@check("no_acknowledged_write_lost")
@dataclass(frozen=True, kw_only=True)
class NoAcknowledgedWriteLost:
    """No acknowledged write of a versioned store was lost, overwritten unseen, or changed.

    Versions make this exact and linear in the number of operations. Per key: no version is acknowledged twice; a
    write gets a higher version than every write and read that ended before it began; a read returns at least the
    newest version that was acknowledged or read before it began, and the very value that was acknowledged for it;
    no version appears that no write can have made. The end state comes from the reads after the quiet period.
    UNKNOWN without an acknowledged write, or where a written key has no final read.
    """

    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ()

    def judge(self, record: Record) -> Verdict:
        """Judge key by key."""
        keys: dict[str, list[Operation]] = defaultdict(list)
        for operation in record.operations:
            if operation.op in {"read", "write"}:
                keys[str(operation.args.get("key"))].append(operation)
        writes = sum(_acknowledged_write(operation) for operation in record.operations)
        lost = [fault for key, operations in sorted(keys.items()) for fault in _contradictions(key, operations)]
        numbers = {"acknowledged_writes": writes, "lost": len(lost)}
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            evidence = tuple(f"history.jsonl: {text}" for text in lost[:_SHOWN])
            return Verdict(status="FAIL", summary=f"{lost[0]}{more}", numbers=numbers, evidence=evidence)
        unread = [key for key, operations in keys.items() if _unread(operations)]
        if not writes or unread:
            summary = (
                f"no final read of {', '.join(sorted(unread)[:_SHOWN])}" if unread else "no write was acknowledged"
            )
            return Verdict(status="UNKNOWN", summary=summary, numbers=numbers)
        summary = f"all {writes} acknowledged writes of {len(keys)} keys are there"
        return Verdict(status="PASS", summary=summary, numbers=numbers)


def _acknowledged_write(operation: Operation) -> bool:
    return operation.op == "write" and operation.acknowledged


def _unread(operations: Sequence[Operation]) -> bool:
    written = any(map(_acknowledged_write, operations))
    return written and not any(each.final and each.op == "read" and each.acknowledged for each in operations)


def _contradictions(key: str, operations: Sequence[Operation]) -> Iterator[str]:
    """Say what is impossible about one key, each impossibility once."""
    maker: dict[int, Operation] = {}
    for write in filter(_acknowledged_write, operations):
        other = maker.setdefault(_version(write), write)
        if other is not write:
            yield f"version {_version(write)} of {key} was acknowledged to operation {other.n} and again to {write.n}"
    yield from _wrong_values(key, operations, maker)
    yield from _gone_back(key, operations)
    yield from _from_nowhere(key, operations, maker)


def _wrong_values(key: str, operations: Sequence[Operation], maker: dict[int, Operation]) -> Iterator[str]:
    for read in operations:
        write = maker.get(_version(read)) if read.op == "read" and read.acknowledged else None
        if write is not None and read.result.get("value") != write.args.get("value"):
            yield (
                f"operation {read.n} read {read.result.get('value')!r} as version {_version(read)} of {key}, "
                f"where operation {write.n} was acknowledged {write.args.get('value')!r}"
            )


def _gone_back(key: str, operations: Sequence[Operation]) -> Iterator[str]:
    """Sweep over real time: what had been seen when an operation began must not be missing from its answer."""
    answered = sorted((each for each in operations if each.returned is not None and each.acknowledged), key=_end)
    newest, seen_by, index = 0, None, 0
    for operation in sorted(answered, key=lambda each: each.called):
        while index < len(answered) and _end(answered[index]) < operation.called:
            if _version(answered[index]) > newest:
                newest, seen_by = _version(answered[index]), answered[index]
            index += 1
        version = _version(operation)
        if seen_by is not None and version < newest + (operation.op == "write"):
            yield (
                f"operation {operation.n} ({operation.op}) got version {version} of {key} after operation {seen_by.n} "
                f"({seen_by.op}) had got version {newest}: an acknowledged write is lost"
            )


def _from_nowhere(key: str, operations: Sequence[Operation], maker: dict[int, Operation]) -> Iterator[str]:
    """Versions that nobody was acknowledged for must have been made by writes whose outcome is unknown."""
    highest = max((_version(each) for each in operations if each.acknowledged), default=0)
    unknown = sum(each.op == "write" and each.outcome == "info" for each in operations)
    unexplained = highest - len(maker)
    if unexplained > unknown:
        yield f"{key} reached version {highest} by {len(maker)} acknowledged and at most {unknown} other writes"


def _version(operation: Operation) -> int:
    version = operation.result.get("version")
    return version if isinstance(version, int) else 0


def _end(operation: Operation) -> int:
    return operation.returned or 0
