"""What must be in a document after many have edited it at once, and what must not."""

from __future__ import annotations

import bisect
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.checks._edits import Edit
from harness.record import Operation
from harness.wire import Json

_EDIT = re.compile(r"\d+:\d+ \w+")  # what the runner writes; targets may add texts of their own, such as digests


def contradictions(edits: Sequence[Edit], look: Operation) -> Iterator[str]:
    """Say what is wrong with one document's end state, each thing once.

    Of an acknowledged edit every appended item is there once, and every increment counts, unless its writer was told of
    a conflict there. What it set is there, or was replaced by its own writer or somebody who had seen it, or stands
    beside the content, among the conflicts. A refused one has left nothing. One of unknown outcome may be there, once.
    """
    content, shown = look.result.get("content") or {}, Counter(_texts(look.result.get("content")))
    disputed = set(_texts([member for name, member in look.result.items() if name != "content"]))
    paths = {path: _Writers.of(each) for path, each in _by_path(edits).items()}
    known: set[str] = set()
    for edit in edits:
        told = _told(edit)
        for operation in _operations(edit):
            if (text := _text(operation)) is not None:
                known.add(text)
                excused = text in told
                if not shown[text] and not excused and operation["op"] != "append":
                    excused = text in disputed or paths[operation["path"]].replaced(edit, text)
                yield from _misplaced(edit, operation, shown[text], excused=excused)
    foreign = sorted(text for text in shown.keys() - known if _EDIT.fullmatch(text))
    yield from (f"{text!r} is in {look.args['document']}, and nobody wrote it" for text in foreign)
    for path in {str(each["path"]) for edit in edits for each in _operations(edit) if each["op"] == "increment"}:
        yield from _miscounted(path, content.get(path, 0), edits)


def _misplaced(edit: Edit, operation: Json, times: int, *, excused: bool) -> Iterator[str]:
    where = f"{edit.about}/{operation['path']}"
    if edit.done is None:
        if times > (not edit.refused):
            yield f"edit {edit.id} is in {where} {'though it was refused' if edit.refused else f'{times} times'}"
    elif times > 1 or (not times and not excused and operation["op"] == "append"):
        yield f"edit {edit.id} was acknowledged and is in {where} {times} times"
    elif not times and not excused:
        yield f"edit {edit.id} was acknowledged, and {where} has lost it to somebody who had not seen it"


@dataclass(frozen=True)
class _Writers:
    """Who wrote to one path: those who were acknowledged, in order of their versions, and those who may have."""

    done: list[Edit]
    versions: list[int]
    unknown: list[Edit]

    @classmethod
    def of(cls, edits: Sequence[Edit]) -> _Writers:
        done = sorted((edit for edit in edits if edit.done), key=_version)
        unknown = [edit for edit in edits if edit.done is None and not edit.refused]
        return cls(done, [_version(edit) for edit in done], unknown)

    def replaced(self, edit: Edit, text: str) -> bool:
        """Return whether who wrote there next had seen the edit, or somebody may have who had.

        Passed over is who was told of a conflict with it: that one's side was kept beside it, and not in its place.
        """
        if edit.done is None:
            return False
        following = self.done[bisect.bisect_right(self.versions, _version(edit)) :]
        after = next((each for each in following if _had_seen(each, edit) or text not in _told(each)), None)
        return any(_had_seen(each, edit) for each in ([after] if after else []) + self.unknown)


def _had_seen(later: Edit, edit: Edit) -> bool:
    """Return whether the writer of `later` knew `edit`: it is its own, or not newer than what it had read."""
    base = (later.done or later.tries[-1]).args.get("base_version", 0)
    return later.client == edit.client or (isinstance(base, int) and base >= _version(edit))


def _by_path(edits: Sequence[Edit]) -> Mapping[str, Sequence[Edit]]:
    found: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        for path in {operation["path"] for operation in _operations(edit)}:
            found[path].append(edit)
    return found


def _version(edit: Edit) -> int:
    version = edit.done.result.get("version", 0) if edit.done else 0
    return version if isinstance(version, int) else 0


def _miscounted(path: str, count: object, edits: Sequence[Edit]) -> Iterator[str]:
    done = sum(_by(edit, path) for edit in edits if edit.done and not _disputes(edit, path))
    unknown = sum(_by(edit, path) for edit in edits if (_disputes(edit, path) if edit.done else not edit.refused))
    if not isinstance(count, int) or not done <= count <= done + unknown:
        among = f"{done} to {done + unknown}" if unknown else f"{done}"
        yield f"{path} counts {count} where {among} increments were made"


def _conflicts(edit: Edit) -> Sequence[Any]:
    """Return the conflicts that the writer was told of, in which its side is kept."""
    told = edit.done.result.get("conflicts") if edit.done else None
    return told if isinstance(told, list) else []


def _told(edit: Edit) -> set[str]:
    """Return every text in the conflicts that the writer was told of."""
    return set(_texts(_conflicts(edit)))


def _disputes(edit: Edit, path: str) -> bool:
    """Return whether the writer was told of a conflict at `path`: then its increment may be kept there, not counted."""
    return any(isinstance(each, dict) and str(each.get("path")).lstrip("/") == path for each in _conflicts(edit))


def _by(edit: Edit, path: str) -> int:
    return sum(each["by"] for each in _operations(edit) if each["op"] == "increment" and each["path"] == path)


def _operations(edit: Edit) -> Sequence[Json]:
    operations: Sequence[Json] = (edit.done or edit.tries[-1]).args.get("operations", ())
    return operations


def _text(operation: Json) -> str | None:
    """Return the text by which an operation can be found again."""
    return next((operation[name] for name in ("item", "value", "content") if name in operation), None)


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401  any JSON value
    """Yield every text in a value, however deep; names of members are not in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for member in value.values() for text in _texts(member))
    elif isinstance(value, list):
        yield from (text for item in value for text in _texts(item))
