"""A planted bug: documents are merged by their contents, three-way, as git does: equal changes on both sides agree.

Two writers who both turn 5 into 6 are acknowledged, and one of them is lost. Where the sides differ, everything is the
real thing, so that a look at a few edits finds nothing wrong. The check `no_lost_updates` must convict it. Referenced
as `…/tests/quality/agrees_on_equal_edits.py:adapter`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec

from targets.locking import edits, merging
from targets.locking.client import LockingClient
from targets.locking.host import Host
from targets.locking.operations import Resolve, same
from targets.locking.pointers import DoesNotFit, Tree, get, parse
from targets.locking.record import rewound

if TYPE_CHECKING:
    from targets.locking.merging import Answer, Rules
    from targets.locking.operations import Operation, Submission
    from targets.locking.record import Document

_submit = merging.submit


def by_content(document: Document, submission: Submission, rules: Rules) -> tuple[Document, Answer]:
    """Submit what is not, by its outcome, there already."""
    base = rewound(document.content, document.since(submission.base_version))
    differing = tuple(o for o in submission.operations if not both_did(base, document.content, o))
    return _submit(document, msgspec.structs.replace(submission, operations=differing), rules)


def both_did(base: Tree, theirs: Tree, operation: Operation) -> bool:
    """Return whether others changed the place, and to what `operation` would make of the base."""
    if isinstance(operation, Resolve):
        return False
    try:
        mine, _ = edits.apply(base, operation)
    except DoesNotFit:
        return False
    was, now, would_be = (get(tree, parse(operation.path)) for tree in (base, theirs, mine))
    return not same(was, now) and same(now, would_be)


def client() -> LockingClient:
    merging.submit = by_content
    return LockingClient()


adapter = SimpleNamespace(host=Host, client=client)
