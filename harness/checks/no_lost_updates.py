"""Every acknowledged edit is in the end state, once, or its writer knows that it is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.checks import _documents
from harness.checks._base import Verdict
from harness.checks._edits import SUBMITS, Edit, edits, last_looks, made_by
from harness.record import Operation, Record
from harness.registry import check


@check("no_lost_updates")
@dataclass(frozen=True, kw_only=True)
class NoLostUpdates:
    """Nobody's acknowledged edit was overwritten unseen, none was done twice, and none is there that nobody made.

    Guarded and versioned values name the edit that they were made on: from the final one, every acknowledged edit of
    the key can be reached. In documents, every appended item and every increment is there once; what was set is there,
    was replaced by somebody who had seen it, or stands among the conflicts. An edit of unknown outcome may be there, at
    most once, and a refused one must not be. UNKNOWN without an acknowledged edit, or without a final look at it.
    """

    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ()

    def judge(self, record: Record) -> Verdict:
        """Judge key by key, or document by document."""
        about: dict[str, list[Edit]] = defaultdict(list)
        for edit in edits(record):
            about[edit.about].append(edit)
        looks = last_looks(record)
        done = sum(edit.done is not None for each in about.values() for edit in each)
        unseen = sorted(name for name, each in about.items() if name not in looks and any(edit.done for edit in each))
        wrong = [text for name, each in about.items() if name in looks for text in _contradictions(each, looks[name])]
        numbers = {"acknowledged": done, "keys": len(about), "wrong": len(wrong)}
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            return Verdict(status="FAIL", summary=wrong[0] + more, numbers=numbers, evidence=tuple(wrong[1:6]))
        if not done or unseen:
            summary = f"no final look at {', '.join(unseen[:5])}" if unseen else "no edit was acknowledged"
            return Verdict(status="UNKNOWN", summary=summary, numbers=numbers)
        summary = f"all {done} acknowledged edits of {len(about)} keys are there"
        return Verdict(status="PASS", summary=summary, numbers=numbers)


def _contradictions(edits: Sequence[Edit], look: Operation) -> Iterator[str]:
    if any(attempt.op in SUBMITS for edit in edits for attempt in edit.tries):
        yield from _documents.contradictions(edits, look)
    else:
        yield from _broken_chain(edits, look)


def _broken_chain(edits: Sequence[Edit], look: Operation) -> Iterator[str]:
    """Follow the edits from the final one back to the first; who is not on the way is lost."""
    made = {edit.id: edit for edit in edits}
    within: dict[str, str | None] = {}  # edit → the one that was made on it
    above, current = None, made_by(look.result.get("value"))
    while current is not None and current in made and current not in within:
        within[current] = above
        if made[current].refused:
            yield f"edit {current} of {look.args['key']} is there though it was refused"
        above, current = current, _made_on(made[current])
    if current in within:
        yield f"edit {current} of {look.args['key']} is there twice: it is made on {above}, and {above} is made on it"
    elif current is not None:
        yield f"edit {current} is in {look.args['key']}, and nobody made it"
    else:
        yield from _lost(made, within)


def _lost(made: dict[str, Edit], within: dict[str, str | None]) -> Iterator[str]:
    winners = {_made_on(made[name]): name for name in within}
    for name, edit in made.items():
        if edit.done and name not in within:
            base = _made_on(edit)
            winner = f": {winners[base]}, too, was made on {base or 'nothing'}" if base in winners else ""
            yield f"edit {name} of {edit.about} was acknowledged and is lost{winner}"
        elif edit.again:
            yield f"edit {name} of {edit.about} was acknowledged twice"


def _made_on(edit: Edit) -> str | None:
    """Return what the edit was made on: as acknowledged, or else in its last try."""
    value = (edit.done or edit.tries[-1]).args["value"]
    base: str | None = value.get("on")
    return base
