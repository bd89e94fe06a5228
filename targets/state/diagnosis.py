"""What is wrong with a file, in words, and whether a crash alone explains it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from targets.state import documents, frames, layout, records
from targets.state.blueprint import Blueprint
from targets.state.errors import Unrecoverable


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file.

    `damage` should never happen. `torn` (an append cut short) and `behind` (a file that was about to be written)
    happen in every crash and lose nothing.
    """

    file: str
    kind: Literal["damage", "torn", "behind"]
    what: str


def diagnose(plan: Blueprint, files: Mapping[str, bytes]) -> Iterator[Finding]:
    """Compare what the files must hold with what they do hold."""
    for name, want in plan.files.items():
        have = files.get(name)
        if have != want or have is None:
            yield Finding(name, _kind(plan, name, have, want), describe(name, have, want))
    for name in files.keys() - plan.files.keys():
        if layout.is_snapshot(name) and documents.decode(files[name]) is None:
            yield Finding(name, "damage", describe(name, files[name], None))


def suspects(files: Mapping[str, bytes]) -> Iterator[Finding]:
    """Name the files that are damaged by themselves, where nothing says what they must hold."""
    for name, have in files.items():
        if frames.scan(have)[1] if layout.generation_of(name) is not None else documents.decode(have) is None:
            yield Finding(name, "damage", describe(name, have, None))


def check_end(plan: Blueprint, files: Mapping[str, bytes]) -> bool:
    """Return whether the journal ends in a whole record.

    Raises `Unrecoverable` where the rest may have been acknowledged. The mirror is a witness that it was not, as long
    as it is itself intact. If it is longer than what can be read of the journal, the bad record was durable. Without
    it, only what looks like an interrupted append may be cut.
    """
    _refuse_unknown_generations(plan, files)
    name, other = layout.journal(plan.generation), layout.mirror(plan.generation)
    have, want, mirror = files.get(name, b""), plan.files[name] or b"", files.get(other, b"")
    if have == want or not have.startswith(want):
        return True
    # An empty one witnesses nothing: a mirror is born with its header.
    intact = bool(mirror) and want.startswith(mirror) and len(mirror) >= plan.acknowledged
    longer = len(mirror) > len(want)
    if longer or not (intact or frames.is_beginning(have[len(want) :])):
        raise Unrecoverable("a record that may have been acknowledged is damaged", name, len(want), plan.head.seq + 1)
    return False


def _refuse_unknown_generations(plan: Blueprint, files: Mapping[str, bytes]) -> None:
    for name in sorted(files):
        if (layout.generation_of(name) or 0) > plan.generation:
            raise Unrecoverable(
                f"{describe(name, files[name], None)}, but it is the newest", name, 0, plan.head.seq + 1
            )


def _kind(plan: Blueprint, name: str, have: bytes | None, want: bytes | None) -> Literal["damage", "torn", "behind"]:
    if want is None:
        return "damage"
    if name == layout.STATE and have is None and not plan.marked:
        return "behind"
    if name == layout.mirror(plan.generation) and want.startswith(have or b""):
        return "behind" if len(have or b"") >= plan.acknowledged else "damage"
    if name == layout.journal(plan.generation) and have is not None and have.startswith(want):
        return "torn" if frames.is_beginning(have[len(want) :]) else "damage"
    return "damage"


def describe(name: str, have: bytes | None, want: bytes | None) -> str:
    """Say in one line what is wrong with a file that holds `have` and must hold `want` (None: unknown)."""
    if have is None:
        return "it is missing"
    at = first_difference(have, want or b"")
    if layout.generation_of(name) is None:
        return _describe_document(have, want, at)
    found, gaps = frames.scan(have)
    if gaps:
        return f"no whole record at offset {gaps[0].offset} ({gaps[0].end - gaps[0].offset} bytes)"
    if want is not None and want.startswith(have):
        return f"it ends at offset {len(have)}, {len(want) - len(have)} bytes are missing"
    owners = sorted({record.store for frame in found if (record := records.decode(frame.body))})
    return f"other records than expected from offset {at} on (of store {', '.join(owners) or 'unknown'})"


def _describe_document(have: bytes, want: bytes | None, at: int) -> str:
    document = documents.decode(have)
    if document is None:
        return f"it does not match its checksum ({len(have)} bytes)" + (f", wrong from offset {at}" if want else "")
    return f"it holds store {document.store} up to record {document.seq}: not what belongs here, an old copy perhaps"


def first_difference(one: bytes, other: bytes) -> int:
    """Return the offset of the first byte that differs, or the length of the shorter one."""
    same, length = 0, min(len(one), len(other))
    while same < length:  # halve what is left; byte by byte, 100 MB would take longer than the whole recovery
        middle = (same + length + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            length = middle - 1
    return same
