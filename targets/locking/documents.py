"""Documents that many agents edit at once, each kept as one value of a backend. Promises: README.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import msgspec

from targets.locking import merging, record
from targets.locking.backend import TIMEOUT_S, UNCHANGED, Versioned, Versions
from targets.locking.errors import BadRequest
from targets.locking.merging import Answer, Policy, Rules
from targets.locking.operations import name, submission
from targets.locking.record import Document, Json
from targets.locking.refusals import DocumentFull, NotAttached

AGENTS = 256
QUIET_VERSIONS = 1000
"""How far a document must move on without an agent before a newcomer may take its place."""

_PREFIX = "document:"


class Documents:
    """The collaborative mode: agents attach to a document and submit typed operations against a version they saw.

    `policy` says what becomes of a true conflict (see `merging`). At most `limit` agents are attached to a document.
    The log keeps `log` commits, `dropped` that many entries. No call takes longer than `timeout_s`. Thread-safe as far
    as the backend is. All methods raise what the backend raises; results are plain JSON.

    **When an attachment ends**: by `detach`, or when the document is full and has seen `QUIET_VERSIONS` versions since
    the agent attached or last submitted: then a newcomer takes its place. Never by time: a paused agent, or a clock
    that jumps, frees nothing. In a document that nobody edits a crashed agent stays until somebody detaches it.
    """

    def __init__(
        self,
        backend: Versions,
        *,
        policy: Policy = "merge",
        limit: int = AGENTS,
        log: int = Rules().log,
        dropped: int = Rules().dropped,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if policy not in get_args(Policy):
            raise BadRequest(f"policy is one of {', '.join(get_args(Policy))}, got {policy!r}")
        if min(limit, log, dropped) < 1:
            raise BadRequest(f"limit, log and dropped are at least 1, got {limit}, {log} and {dropped}")
        self._backend = backend
        self._rules = Rules(policy=policy, log=log, dropped=dropped)
        self._limit = limit
        self._timeout_s = timeout_s

    def attach(self, document: str, agent: str) -> Json:
        """Let `agent` edit, and return the document's `version`. Again, it changes nothing. Raises `DocumentFull`."""
        agent = name("agent", agent)

        def change(found: Document) -> Document | None:
            return None if agent in found.agents else self._with_room(found).with_agent(agent)

        return {"version": self._update(document, agent, change).version}

    def detach(self, document: str, agent: str) -> Json:
        """End the attachment of `agent`, by whoever asks. No error if there is none."""
        agent = name("agent", agent)

        def change(found: Document) -> Document | None:
            return found.without_agent(agent) if agent in found.agents else None

        self._update(document, agent, change)
        return {}

    def submit(self, document: str, agent: str, base_version: int, request: str, operations: list[Json]) -> Json:
        """Apply `operations` (see `targets.locking.operations`) in one step, and return `version` and `conflicts`.

        `base_version` is the newest that `agent` has *read* (`inspect`), not that of its last answer, below which there
        may be edits by others that it has not seen. `conflicts` are those in which an operation is kept instead of
        applied. The same `request` again is answered as the first time, and done once.

        Raises `Rejected`, `BaseTooOld`, `NotAttached` or `BadRequest`. What is not `certainly_not_done` may have been.
        """
        asked = submission(agent, base_version, request, operations)
        answers: list[Answer] = []

        def change(found: Document) -> Document | None:
            answer = merging.recall(found, asked)
            after = None
            if answer is None:
                _check_attached(found, asked.agent)
                after, answer = merging.submit(found, asked, self._rules)
            answers.append(answer)
            return after

        self._update(document, asked.agent, change)
        version, conflicts = answers[-1]
        return {"version": version, "conflicts": list(map(_with_resolutions, conflicts))}

    def inspect(self, document: str) -> Json:
        """Return `content`, `version`, the open `conflicts`, what was `dropped`, the `agents`, and `reaches_back_to`.

        The last is the oldest base version whose edits can still be told from those of others.
        """
        found = self._read(document)
        return {
            "content": found.content,
            "version": found.version,
            "conflicts": list(map(_with_resolutions, found.conflicts)),
            "dropped": found.dropped,
            "agents": found.agents,
            "reaches_back_to": found.reaches_back_to,
        }

    def changes(self, document: str, base_version: int) -> list[Json]:
        """Return what changed since `base_version`, as far as the log goes back: path, base, now, edits (by whom)."""
        return record.changes(self._read(document), base_version)

    def _read(self, document: str) -> Document:
        return _decode(self._backend.read(_PREFIX + name("document", document), timeout_s=self._timeout_s))

    def _update(self, document: str, writer: str, change: Callable[[Document], Document | None]) -> Document:
        """Replace the document by `change(it)`, or leave it as it is at None; return what is there then."""

        def replace(stored: Versioned) -> object:
            after = change(_decode(stored))
            return UNCHANGED if after is None else msgspec.structs.asdict(after)

        key = _PREFIX + name("document", document)
        return _decode(self._backend.update(key, replace, writer=writer, timeout_s=self._timeout_s))

    def _with_room(self, found: Document) -> Document:
        """Return the document with room for one more agent."""
        if len(found.agents) < self._limit:
            return found
        quietest = min(found.agents, key=lambda agent: found.agents[agent])
        if found.version - found.agents[quietest] >= QUIET_VERSIONS:
            return found.without_agent(quietest)
        raise DocumentFull(
            f"{len(found.agents)} agents are attached, which is the limit; detach one, such as {quietest!r}, "
            f"last heard in version {found.agents[quietest]} of {found.version}",
            {"error": "full", "limit": self._limit, "agents": found.agents, "version": found.version},
        )


def _decode(stored: Versioned) -> Document:
    return Document() if stored.value is None else Document(**stored.value)


def _check_attached(found: Document, agent: str) -> None:
    if agent not in found.agents:
        details = {"error": "not_attached", "version": found.version}
        raise NotAttached(f"{agent!r} is not attached to the document; attach, then submit again", details)


def _with_resolutions(conflict: Json) -> Json:
    """Return `conflict` with the operations that would end it; a third is `resolve` with a `value` of one's own."""
    suggested = [{"op": "resolve", "id": conflict["id"], "choice": choice} for choice in ("mine", "theirs")]
    return {**conflict, "resolutions": suggested}
