"""What the files of a folder say, each by itself: the first half of recovery. Pure functions on bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from targets.state import documents, frames, layout, runs
from targets.state.documents import Document
from targets.state.errors import UnknownFormat, Unrecoverable
from targets.state.frames import Gap
from targets.state.records import FORMAT, Header
from targets.state.runs import Log, Run

# 8 KiB of damage are 65,536 candidates of 8 KiB to hash: half a second. Larger records rely on their other copies.
CORRECTABLE_BYTES = 8192


@dataclass(frozen=True)
class Survey:
    """What was found.

    `runs` are this store's records, whichever copy they were found in, so that each record needs only one good copy.
    `gaps` are the damaged stretches of each journal and mirror. `foreign` names files of another store.
    """

    store: str
    runs: Sequence[Run]
    documents: Mapping[str, Document]
    gaps: Mapping[str, list[Gap]]
    foreign: frozenset[str]


def examine(files: Mapping[str, bytes]) -> Survey:
    """Read every file. Raises `UnknownFormat`, and `Unrecoverable` where the files do not agree whose they are."""
    found = _documents(files)
    logs = _logs(files)
    stores = {name: document.store for name, document in found.items()}
    stores |= {name: log.runs[0].first.store for name, log in logs.items() if log.runs}
    store = _elect(stores)
    return Survey(
        store=store,
        runs=[run for log in logs.values() for run in log.runs if run.first.store == store],
        documents={name: document for name, document in found.items() if document.store == store},
        gaps={name: log.gaps for name, log in logs.items()},
        foreign=frozenset(name for name, owner in stores.items() if owner != store),
    )


def _documents(files: Mapping[str, bytes]) -> dict[str, Document]:
    found = {name: documents.decode(data) for name, data in files.items() if layout.generation_of(name) is None}
    intact = {name: document for name, document in found.items() if document is not None}
    for name, document in intact.items():
        _check_format(name, document.format)
    return intact


def _logs(files: Mapping[str, bytes]) -> dict[str, Log]:
    """Read journals and mirrors. A mirror usually equals its journal to the byte, and need not be read then."""
    logs: dict[str, Log] = {}
    for name, data in sorted(files.items()):
        generation = layout.generation_of(name)
        if generation is None:
            continue
        twin = layout.journal(generation)
        logs[name] = logs[twin] if twin in logs and data == files[twin] else runs.read(data)
        for run in logs[name].runs:
            if isinstance(run.first.op, Header):
                _check_format(name, run.first.op.format)
    return logs


def _check_format(name: str, found: int) -> None:
    if found != FORMAT:
        advice = f"this version of the store knows {FORMAT} only; open it with the version that wrote it"
        raise UnknownFormat(f"{name} has format {found}, {advice}")


def _elect(stores: Mapping[str, str]) -> str:
    """Return the id of the store that the files belong to: that of most of them.

    The two copies of one generation have one vote together where they agree: somebody who swaps journals swaps both.
    """
    votes = {(layout.generation_of(name) or name, store) for name, store in stores.items()}
    count = Counter(store for _, store in votes)
    most = max(count.values(), default=0)
    elected = [store for store in count if count[store] == most]
    if not elected:
        raise Unrecoverable("no file holds a single whole record", layout.STATE, 0, 1)
    if len(elected) > 1:
        names = ", ".join(f"{name} of {store}" for name, store in sorted(stores.items()))
        raise Unrecoverable(f"the files belong to different stores: {names}", layout.STATE, 0, 1)
    return elected[0]


def corrected(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return `files` with every damage undone that is a single flipped bit. The hash decides that it was one."""
    return {name: _correct_file(name, data) for name, data in files.items()}


def _correct_file(name: str, data: bytes) -> bytes:
    if layout.generation_of(name) is None:
        return data if documents.decode(data) else _flip_back(data, lambda bits: documents.decode(bits) is not None)
    for gap in runs.read(data).gaps:
        mended = _flip_back(data[gap.offset : gap.end], _is_whole_frame)
        data = data[: gap.offset] + mended + data[gap.end :]
    return data


def _is_whole_frame(data: bytes) -> bool:
    frame = frames.frame_at(data, 0)
    return frame is not None and frame.end == len(data)


def _flip_back(data: bytes, is_good: Callable[[bytes], bool]) -> bytes:
    if len(data) > CORRECTABLE_BYTES:
        return data
    candidate = bytearray(data)
    for index in range(len(data)):
        for bit in range(8):
            candidate[index] ^= 1 << bit
            if is_good(bytes(candidate)):
                return bytes(candidate)
            candidate[index] ^= 1 << bit
    return data
