"""What is wrong with a folder's files, where, and what can be done about it: for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from targets.state import documents, frames, layout, records
from targets.state.diagnosis import Finding, first_difference, suspects
from targets.state.errors import Unrecoverable
from targets.state.frames import Frame
from targets.state.recovery import Recovery, recover

_CORRECTED = "turn one flipped bit back: only so does the hash match"


@dataclass(frozen=True)
class Place:
    """A damaged stretch of a file, and the first and last of the records that should be there, where that is known."""

    offset: int
    length: int
    first: int | None
    last: int | None

    def __str__(self) -> str:
        what = f"offset {self.offset}, {self.length} bytes"
        if self.first is None:
            return what
        return f"{what}: record {self.first}" + (f" to {self.last}" if self.last != self.first else "")


@dataclass(frozen=True)
class Ailment:
    """One file: what is wrong, where, and how it is (or, in an unrecoverable folder, is not) mended.

    `kind` is that of `Finding`.
    """

    file: str
    kind: Literal["damage", "torn", "behind"]
    what: str
    places: tuple[Place, ...]
    remedy: str

    @property
    def harmless(self) -> bool:
        """Whether a crash alone explains it, so that nothing is lost and nothing was damaged."""
        return self.kind != "damage"


@dataclass(frozen=True)
class Checkup:
    """The verdict on a folder.

    `unborn` is a store whose creation was interrupted, so that nothing was ever acknowledged. `refusal` says why an
    unrecoverable one cannot be opened. `recovery` is what opening would do.
    """

    state: Literal["healthy", "damaged", "unrecoverable", "unborn"]
    ailments: tuple[Ailment, ...]
    superfluous: tuple[str, ...] = ()
    refusal: str = ""
    recovery: Recovery | None = None


def check_up(files: Mapping[str, bytes], unreadable: Mapping[str, str]) -> Checkup:
    """Examine the contents of a folder's files, by name; the `unreadable` ones are empty. Raises `UnknownFormat`."""
    if files.keys() <= {layout.snapshot(0)}:
        return Checkup("unborn", ())
    try:
        recovery = recover(files)
    except Unrecoverable as error:
        found = {finding.file: finding for finding in suspects(files)}
        return Checkup("unrecoverable", tuple(_hopeless(files, found, unreadable)), refusal=str(error))
    found = {finding.file: finding for finding in recovery.findings}
    found |= {name: Finding(name, "damage", why) for name, why in unreadable.items()}
    ailments = tuple(_ailment(recovery, files, finding) for _, finding in sorted(found.items()))
    healthy = all(ailment.harmless for ailment in ailments)
    superfluous = tuple(name for name in recovery.surplus if name not in found)
    return Checkup("healthy" if healthy else "damaged", ailments, superfluous, recovery=recovery)


def _hopeless(
    files: Mapping[str, bytes], found: Mapping[str, Finding], unreadable: Mapping[str, str]
) -> Iterator[Ailment]:
    for name in sorted(found.keys() | unreadable.keys()):
        what = unreadable.get(name) or found[name].what
        yield Ailment(name, "damage", what, _places(name, files[name], None), "leave it as it is")


def _ailment(recovery: Recovery, files: Mapping[str, bytes], finding: Finding) -> Ailment:
    want = recovery.files.get(finding.file)
    places = _places(finding.file, files.get(finding.file, b""), want)
    return Ailment(finding.file, finding.kind, finding.what, places, _remedy(recovery, files, finding))


def _remedy(recovery: Recovery, files: Mapping[str, bytes], finding: Finding) -> str:
    name = finding.file
    want = recovery.files.get(name)
    if finding.kind == "torn":
        return "cut the unfinished record off: it was never acknowledged"
    if want is None:
        return "give it up: no data depends on it, and a new snapshot and generation take its place"
    if layout.generation_of(name) is not None:
        return _remedy_of_log(name, files, want)
    source = _source(recovery, name)
    if source == name:
        return _CORRECTED
    return f"rebuild it from {'the journal' if source == 'journal' else f'{source} and the journal'}"


def _remedy_of_log(name: str, files: Mapping[str, bytes], want: bytes) -> str:
    lacking = _digests(want) - _digests(files.get(name, b""))
    twin = _twin(name)
    if lacking <= _digests(files.get(twin, b"")):
        return f"rewrite it from {twin}"
    return _CORRECTED


def _source(recovery: Recovery, name: str) -> str:
    """Return the file that a document is rebuilt from, or `journal` where that alone is enough."""
    if recovery.history is None:
        return recovery.source
    seq = layout.seq_of(name) if layout.is_snapshot(name) else recovery.plan.checkpoint
    found = recovery.history.entries_at(seq)
    return recovery.source if found is None else found[1]


def _twin(name: str) -> str:
    generation = layout.generation_of(name) or 0
    return layout.journal(generation) if layout.is_mirror(name) else layout.mirror(generation)


def _digests(log: bytes) -> set[str]:
    return {frame.digest for frame in frames.scan(log)[0]}


def _places(name: str, have: bytes, want: bytes | None) -> tuple[Place, ...]:
    """Return the stretches of `have` that are not as they must be."""
    if layout.generation_of(name) is None:
        return _places_of_document(have, want)
    if want is None:
        return tuple(Place(gap.offset, gap.end - gap.offset, None, None) for gap in frames.scan(have)[1])
    return tuple(_lacking(have, want)) or tuple(_misplaced(have, want))


def _places_of_document(have: bytes, want: bytes | None) -> tuple[Place, ...]:
    if not have or documents.decode(have):  # as a whole: missing, or whole and yet the wrong one
        return ()
    begin = first_difference(have, want) if want else 0
    end = len(have) - (first_difference(have[:begin:-1], want[:begin:-1]) if want else 0)
    return (Place(begin, end - begin, None, None),)


def _lacking(have: bytes, want: bytes) -> Iterator[Place]:
    """Yield where records of `want` are missing, each run of them once."""
    present = {frame.digest: frame for frame in frames.scan(have)[0]}
    at, run = 0, list[Frame]()
    for frame in frames.scan(want)[0]:
        here = present.get(frame.digest)
        if here is None:
            run.append(frame)
            continue
        if run:
            yield _place(at, here.offset, run)
        at, run = here.end, []
    if run:
        yield _place(at, len(have), run)


def _misplaced(have: bytes, want: bytes) -> Iterator[Place]:
    """Yield the stretch from the first to the last record that is whole and yet does not belong where it is."""
    wrong = [
        frame for frame in frames.scan(have)[0] if want[frame.offset : frame.end] != have[frame.offset : frame.end]
    ]
    if wrong:
        yield _place(wrong[0].offset, wrong[-1].end, wrong)
    elif len(have) > len(want):
        yield Place(len(want), len(have) - len(want), None, None)


def _place(begin: int, end: int, expected: list[Frame]) -> Place:
    numbers = [record.seq for frame in expected if (record := records.decode(frame.body))]
    return Place(begin, max(0, end - begin), min(numbers, default=None), max(numbers, default=None))
