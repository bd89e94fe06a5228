"""Edits that say who made them: what the runner `concurrent_writers` writes, read back from the record.

Under a lock or on a version, a value is `{"edit": id, "on": id of the edit that it replaced}`, so the final value of a
key leads back through all edits that are in it. In a document an edit is the operations of a request `id.attempt`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.record import Operation, Record, WorkloadBegan

STORES = frozenset({"store", "write"})
SUBMITS = frozenset({"submit"})
LOOKS = frozenset({"fetch", "read", "inspect"})


@dataclass
class Edit:
    """One edit of one key or document, with every try of it, in order."""

    id: str
    about: str
    tries: list[Operation] = field(default_factory=list)

    @property
    def client(self) -> int:
        """Who made it."""
        return self.tries[0].client

    @property
    def done(self) -> Operation | None:
        """The try that was acknowledged."""
        return next((each for each in self.tries if each.acknowledged), None)

    @property
    def refused(self) -> bool:
        """Return whether it is certainly not done."""
        return all(each.outcome == "fail" for each in self.tries)

    @property
    def again(self) -> bool:
        """Return whether more than one try was acknowledged."""
        return sum(each.acknowledged for each in self.tries) > 1


def edits(record: Record) -> list[Edit]:
    """Return every edit, in order of its first try."""
    found: dict[tuple[str, str], Edit] = {}
    for operation in record.operations:
        name, about = identity(operation), subject(operation)
        if name is not None:
            found.setdefault((name, about), Edit(name, about)).tries.append(operation)
    return list(found.values())


def identity(operation: Operation) -> str | None:
    """Return which edit an operation is a try of."""
    if operation.op in SUBMITS:
        return str(operation.args.get("request")).rpartition(".")[0]
    return made_by(operation.args.get("value")) if operation.op in STORES else None


def made_by(value: Any) -> str | None:  # noqa: ANN401  any JSON value
    """Return which edit made a value; None for one that does not say so, as before the first."""
    return value.get("edit") if isinstance(value, dict) else None


def subject(operation: Operation) -> str:
    """Return the key, or the document, that an operation is about."""
    return str(operation.args.get("key", operation.args.get("document")))


def last_looks(record: Record) -> Mapping[str, Operation]:
    """Return, by key or document, the last look at it after the quiet period."""
    looks = (each for each in record.operations if each.final and each.op in LOOKS and each.acknowledged)
    return {subject(each): each for each in looks}


def by_writer(record: Record) -> Mapping[int, Sequence[Edit]]:
    """Return the edits of every writer; one who took a dead one's place is the same writer."""
    began = record.of(WorkloadBegan)
    count = began[0].clients if began else 0
    found: dict[int, list[Edit]] = defaultdict(list, {writer: [] for writer in range(count)})
    for edit in edits(record):
        found[edit.client % count if count else edit.client].append(edit)
    return dict(found)
