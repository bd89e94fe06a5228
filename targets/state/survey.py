"""What the files of a folder say, each by itself: the first half of recovery. Pure functions on bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from targets.state import documents, frames, layout, records
from targets.state.documents import Document
from targets.state.errors import UnknownFormat, Unrecoverable
from targets.state.frames import Gap
from targets.state.records import FORMAT, Header, Record

# 8 KiB of damage are 65,536 candidates of 8 KiB to hash: half a second. Larger records rely on their other copies.
CORRECTABLE_BYTES = 8192


class Link(msgspec.Struct, frozen=True):
    """A record, its hash and the bytes of its frame."""

    record: Record
    digest: str
    frame: bytes


@dataclass(frozen=True)
class Survey:
    """What was found.

    `links` are this store's records by hash, whichever copy they were found in, so that each record needs only one
    good copy. `gaps` are the damaged stretches of each journal and mirror. `foreign` names files of another store.
    """

    store: str
    links: Mapping[str, Link]
    documents: Mapping[str, Document]
    gaps: Mapping[str, list[Gap]]
    foreign: frozenset[str]


def examine(files: Mapping[str, bytes]) -> Survey:
    """Read every file. Raises `UnknownFormat`, and `Unrecoverable` where the files do not agree whose they are."""
    found: dict[str, Document] = {}
    links: dict[str, list[Link]] = {}
    gaps: dict[str, list[Gap]] = {}
    scans: dict[bytes, tuple[list[Link], list[Gap]]] = {}  # a mirror usually equals its journal
    for name, data in files.items():
        if layout.generation_of(name) is not None:
            if data not in scans:
                scans[data] = _journal(name, data)
            links[name], gaps[name] = scans[data]
        elif (document := documents.decode(data)) is not None:
            _check_format(name, document.format)
            found[name] = document
    stores = {name: document.store for name, document in found.items()}
    stores |= {name: chain[0].record.store for name, chain in links.items() if chain}
    store = _elect(stores)
    return Survey(
        store=store,
        links={link.digest: link for chain in links.values() for link in chain if link.record.store == store},
        documents={name: document for name, document in found.items() if document.store == store},
        gaps=gaps,
        foreign=frozenset(name for name, owner in stores.items() if owner != store),
    )


def _journal(name: str, data: bytes) -> tuple[list[Link], list[Gap]]:
    links = []
    found, gaps = frames.scan(data)
    for frame in found:
        record = records.decode(frame.body)
        if record is None:
            gaps.append(Gap(frame.offset, frame.end))
            continue
        if isinstance(record.op, Header):
            _check_format(name, record.op.format)
        links.append(Link(record, frame.digest, data[frame.offset : frame.end]))
    return links, sorted(gaps, key=lambda gap: gap.offset)


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
    _, gaps = _journal(name, data)
    for gap in gaps:
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
