"""A document as it is stored: its content, and a log of what was committed last. Pure."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import UNSET

from targets.locking import edits
from targets.locking.edits import Effect, Touch, Trace
from targets.locking.pointers import Path, Tree, get, parse, show

Json = dict[str, Any]

LOG_BYTES = 1 << 20
"""Beyond its newest `ALWAYS_KEPT` commits the log ends early rather than grow larger than this."""
ALWAYS_KEPT = 32
PLACES = 256
"""Of so many places the document knows, beyond its log, who touched them last."""

Sighting = tuple[int, str, Touch]
"""A version, its writer, and a place that it touched."""


class Commit(msgspec.Struct, frozen=True, array_like=True):
    """One acknowledged submission, as the document's log keeps it.

    `conflicts` are those that it was answered with, `resolved` those that it ended.
    """

    version: int
    writer: str
    digest: str
    traces: list[Trace]
    conflicts: list[Json]
    resolved: list[Json]


_decode_commit = msgspec.json.Decoder(Commit).decode
_encode = msgspec.json.Encoder().encode


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document, as it is stored. Everything but `log` is JSON as it is shown.

    `agents` says in which version each attached agent submitted last, or else attached. `log` pairs requests with
    encoded commits, the oldest first: most are never looked at again, so decoding them each time would be the larger
    part of a submission. `last` is such a pair for each agent whose last commit has left the log.

    `older` says of each place and effect that has left the log in which version it was touched last, and by whom. It is
    complete after version `known_since`.
    """

    content: Tree = msgspec.field(default_factory=dict)
    version: int = 0
    conflicts: list[Json] = []
    dropped: Json = msgspec.field(default_factory=lambda: {"count": 0, "entries": []})
    agents: dict[str, int] = {}
    log: list[list[str]] = []
    last: dict[str, list[str]] = {}
    older: dict[str, list[Any]] = {}
    known_since: int = 0

    @property
    def reaches_back_to(self) -> int:
        """The oldest base version after which the log has every commit."""
        return self.version - len(self.log)

    def since(self, base_version: int) -> list[Commit]:
        """Return the commits after `base_version`, as far as the log has them, the oldest first."""
        wanted = max(0, len(self.log) - (self.version - base_version))
        return [_decode_commit(commit) for _, commit in self.log[wanted:]]

    def sightings(self, base_version: int) -> list[Sighting]:
        """Return who touched what after `base_version`, the newest of each place, as far as it has left the log."""
        split = ((version, writer, place.partition(" ")) for place, (version, writer) in self.older.items())
        return [
            (version, writer, Touch(parse(pointer), cast("Effect", effect)))
            for version, writer, (effect, _, pointer) in split
            if version > base_version
        ]

    def find(self, request: str) -> Commit | None:
        """Return the commit of `request`, if it is kept."""
        kept = (*self.log, *self.last.values())
        return next((_decode_commit(commit) for name, commit in kept if name == request), None)

    def with_agent(self, agent: str) -> Document:
        """Return the document with `agent` attached."""
        return msgspec.structs.replace(self, agents={**self.agents, agent: self.version})

    def without_agent(self, agent: str) -> Document:
        """Return the document without `agent`."""
        agents = {name: version for name, version in self.agents.items() if name != agent}
        return msgspec.structs.replace(self, agents=agents, last={k: v for k, v in self.last.items() if k != agent})

    def after(self, request: str, commit: Commit, content: Tree, dropped: Json, log: int) -> Document:
        """Return the document with one commit more, of which the newest `log` stay."""
        ended = {conflict["id"] for conflict in commit.resolved}
        agents = {**self.agents, commit.writer: commit.version}
        pairs = [*self.log, [request, _encode(commit).decode()]]
        forgotten = _surplus(pairs, log)
        last = {agent: pair for agent, pair in self.last.items() if agent != commit.writer}
        older, known_since = dict(self.older), self.known_since
        for pair in pairs[:forgotten]:
            old = _decode_commit(pair[1])
            _remember(older, old)
            if agents.get(old.writer) == old.version:
                last[old.writer] = pair
        while len(older) > PLACES:
            known_since = max(known_since, older.pop(min(older, key=lambda place: older[place][0]))[0])
        return Document(
            content=content,
            version=commit.version,
            conflicts=[c for c in self.conflicts if c["id"] not in ended] + commit.conflicts,
            dropped=dropped,
            agents=agents,
            log=pairs[forgotten:],
            last=last,
            older=older,
            known_since=known_since,
        )


def changes(document: Document, base_version: int) -> list[Json]:
    """Return what changed since `base_version`: path, {"value"} then and now (empty: nothing), and by whom.

    As far as the log goes back. A large value that was overwritten is shown as its digest.
    """
    since = document.since(base_version)
    base = rewound(document.content, since)
    edited: dict[Path, list[Json]] = {}
    for commit in since:
        for trace in commit.traces:
            by = {"version": commit.version, "writer": commit.writer}
            edited.setdefault(parse(trace.path), []).append(by)
    return [
        {"path": show(p), "base": present(get(base, p)), "now": present(get(document.content, p)), "edits": by}
        for p, by in edited.items()
    ]


def rewound(content: Tree, since: list[Commit]) -> Tree:
    """Return the content as it was before the commits `since`."""
    return edits.undo(content, [trace for commit in reversed(since) for trace in reversed(commit.traces)])


def present(value: Tree) -> Json:
    """Return the member that shows `value`; none where there is nothing."""
    return {} if value is UNSET else {"value": value}


def _surplus(log: list[list[str]], limit: int) -> int:
    """Return how many of the oldest commits go: over `limit`, or over `LOG_BYTES` and older than `ALWAYS_KEPT`."""
    surplus = max(0, len(log) - limit)
    size = sum(len(commit) for _, commit in log[surplus:])
    while size > LOG_BYTES and len(log) - surplus > ALWAYS_KEPT:
        size -= len(log[surplus][1])
        surplus += 1
    return surplus


def _remember(older: dict[str, list[Any]], commit: Commit) -> None:
    """Note in `older` which places a commit touched. Of a list that grew no index is kept: lists grow for ever."""
    for trace in commit.traces:
        for path, effect in trace.touches():
            place = f"growth {show(path[:-1])}" if effect == "item" else f"{effect} {show(path)}"
            older[place] = [commit.version, commit.writer]
