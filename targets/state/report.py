"""A checkup in lines for people, and as an object for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from targets.state.checkup import Ailment, Checkup
from targets.state.inspection import View

_PLACES = 10
_VERDICTS = {
    "healthy": "healthy: nothing is damaged",
    "damaged": "damaged, and all of it can be repaired: nothing acknowledged is lost",
    "unrecoverable": "NOT RECOVERABLE: opening is refused, and nothing was changed",
    "repaired": "repaired: nothing acknowledged was lost",
    "unborn": "healthy: a store whose creation was interrupted; nothing was ever acknowledged, opening begins anew",
}


def lines(folder: Path, view: View, found: Checkup, *, done: bool = False) -> Iterator[str]:
    """Yield what a person wants to read: what is wrong, and what `restore` would do, or has `done`."""
    remedy = "restore did" if done else "restore would"
    yield f"store     {folder}: {_contents(found)}"
    if view.owner is not None:
        yield f"in use    by process {view.owner}: what follows was true at one moment, its files change"
    for ailment in found.ailments:
        yield from _about(ailment, remedy)
    for name in (*found.superfluous, *view.leftovers):
        yield f"spare     {name}: not needed any more; {remedy} remove it"
    if found.refusal:
        yield f"refused   {found.refusal}"
        yield "to do     put one good copy back of what is damaged: each record is needed in one copy only"
    yield f"verdict   {_VERDICTS['repaired' if done and found.state == 'damaged' else found.state]}"


def as_json(view: View, found: Checkup) -> dict[str, object]:
    """Return the same for programs."""
    done = found.recovery
    return {
        "state": found.state,
        "owner": view.owner,
        "store": done.store if done else None,
        "seq": done.reached.seq if done else None,
        "generation": done.generation if done else None,
        "keys": len(done.entries) if done else None,
        "files": {name: len(data) for name, data in view.files.items()},
        "findings": found.ailments,
        "superfluous": [*found.superfluous, *view.leftovers],
        "refusal": found.refusal or None,
    }


def _contents(found: Checkup) -> str:
    done = found.recovery
    if done is None:
        return "no readable state" if found.refusal else "no state yet"
    return f"id {done.store}, {len(done.entries)} keys, record {done.reached.seq}"


def _about(ailment: Ailment, remedy: str) -> Iterator[str]:
    yield f"{'note' if ailment.harmless else 'damage':<10}{ailment.file}: {ailment.what}"
    for place in ailment.places[:_PLACES]:
        yield f"          at {place}"
    if len(ailment.places) > _PLACES:
        yield f"          and at {len(ailment.places) - _PLACES} more places"
    yield f"          {remedy} {ailment.remedy}"
