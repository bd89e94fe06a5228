"""What becomes of a submission: pure functions from one state of a document to the next.

Each acknowledged submission makes one version, so versions have no gaps, and is one commit in the log. Operations are
applied to the *newest* content. What to do with one that truly conflicts with what others committed since its base is
the policy's:

- `merge`: nobody is refused. The operation is not applied but kept beside what is there, in `conflicts`, until
  somebody resolves it. What follows it in the same submission, at the same place, goes with it.
- `reject`: nothing of the submission is applied; the writer is told what changed, and by whom.
- `last_write_wins`: it is applied; what it overwrote without its writer having seen it is noted in `dropped`.

**The log is bounded, and safe beyond its end.** For a base that is older, the document still knows which places were
touched since, and by whom, for the last `PLACES` of them; and that a submission is no repetition of a forgotten one, if
its agent has committed nothing since that base. Where either is not known, nothing can be proven disjoint, or new: then
`merge` keeps every operation as a conflict and `reject` refuses (`BaseTooOld`). `last_write_wins`, which must name
every edit that it drops, refuses any base older than the log. So no edit is lost, and none is applied twice, however
late its repetition comes. An attached agent's *last* commit is kept beyond the log: an agent that submits one thing at
a time, and repeats it until it is answered, always gets the first answer.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET

from targets.locking import edits
from targets.locking.conflicts import Collision, ConflictDetector, overlap
from targets.locking.edits import Trace
from targets.locking.operations import Delete, Edit, MoveRef, Resolve, Set, Submission, WriteFile, decode
from targets.locking.pointers import DoesNotFit, Path, Tree, get, parse
from targets.locking.record import Commit, Document, Json, changes, present, rewound
from targets.locking.refusals import BadSubmission, BaseTooOld, Rejected

Policy = Literal["merge", "reject", "last_write_wins"]
POLICIES: tuple[Policy, ...] = ("merge", "reject", "last_write_wins")

_AGAIN = {
    "error": "conflict",
    "hint": "inspect the document, decide on its newest version, and submit under a new request",
    "retryable": True,
}


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The policy, the commits that the log keeps, and the entries that `dropped` keeps (its count goes on)."""

    policy: Policy = "merge"
    log: int = 128
    dropped: int = 256


class Answer(NamedTuple):
    """What a submission made: the document's new version, and the conflicts in which its writer's side is kept."""

    version: int
    conflicts: list[Json]


def recall(document: Document, submission: Submission) -> Answer | None:
    """Return what `submission` was answered with before, if the log has it.

    Raises `BadSubmission` where the request was another one.
    """
    known = document.find(submission.request)
    if known is None:
        return None
    if known.digest != submission.digest:
        details = {"error": "request_reused", "version": known.version}
        message = f"request {submission.request!r} was other operations by {known.writer}: each request needs its own"
        raise BadSubmission(message, details)
    return Answer(known.version, known.conflicts)


def submit(document: Document, submission: Submission, rules: Rules) -> tuple[Document, Answer]:
    """Return the document after `submission`, which is not a repetition, and the answer.

    Raises `Rejected`, `BaseTooOld` or `BadSubmission`; `document` is never altered.
    """
    if submission.base_version > document.version:
        details = {"error": "base_ahead", "version": document.version}
        message = f"base_version {submission.base_version} is not yet: the document has version {document.version}"
        raise BadSubmission(f"{message}; inspect it and decide anew", details)
    return _Attempt(document, submission, rules).run()


class _Obstacle(NamedTuple):
    """Why an operation cannot simply be applied."""

    kind: str
    theirs: list[Collision]


class _Attempt:
    """One submission on its way into one version of a document."""

    def __init__(self, document: Document, submission: Submission, rules: Rules) -> None:
        self._document = document
        self._submission = submission
        self._rules = rules
        self._version = document.version + 1
        base, agent = submission.base_version, submission.agent
        self._behind = base < document.reaches_back_to
        is_new = document.agents.get(agent, document.version) <= base
        self._blind = self._behind and not (is_new and document.known_since <= base)
        self._since = document.since(base)
        # Of what is new and behind the log, its agent committed nothing since: all sightings are of others.
        self._detector = ConflictDetector(agent, self._since, document.sightings(base) if self._behind else ())
        self._content = document.content
        self._traces: list[Trace] = []
        self._conflicts: list[Json] = []
        self._kept: list[Path] = []
        self._resolved: list[Json] = []
        self._dropped: list[Json] = []

    def run(self) -> tuple[Document, Answer]:
        refused = {"merge": False, "reject": self._blind, "last_write_wins": self._behind}
        if refused[self._rules.policy]:
            raise self._too_old()
        for operation in self._submission.operations:
            if isinstance(operation, Resolve):
                self._resolve(operation)
            else:
                self._step(operation, self._obstacle(operation))
        if self._rules.policy == "reject" and self._conflicts:
            raise self._rejection()
        return self._document_after(), Answer(self._version, self._conflicts)

    def _step(self, edit: Edit, obstacle: _Obstacle | None) -> bool:
        """Apply `edit`, or do with it what the policy says. Return whether it was applied."""
        wins = self._rules.policy == "last_write_wins"
        if obstacle is None or wins:
            before = self._content
            try:
                self._content, trace = edits.apply(before, edit)
            except DoesNotFit as error:
                obstacle = obstacle or self._unfit(edit, error)
                if wins:
                    self._drop_mine(edit, error)
                    return False
            else:
                self._traces.append(trace)
                if obstacle is not None and trace.effect in {"write", "shift"}:
                    self._drop_theirs(edit, obstacle, before)
                return True
        self._conflicts.append(self._conflict(edit, obstacle))
        self._kept += [touch.path for touch in edits.touches(self._content, edit)]
        return False

    def _obstacle(self, edit: Edit) -> _Obstacle | None:
        if self._blind:
            return _Obstacle("base too old", [])
        path = parse(edit.path)
        if any(overlap(path, kept) for kept in self._kept):
            return _Obstacle("follows a conflict", [])
        if theirs := self._detector.collisions(edits.touches(self._content, edit)):
            return _Obstacle(self._kind(edit, theirs[0]), theirs)
        if not edits.expectation_holds(self._content, edit):
            return _Obstacle("expected another value", [])
        return None

    def _unfit(self, edit: Edit, error: DoesNotFit) -> _Obstacle:
        """Tell a conflict, where others changed what is around, from a mistake."""
        if theirs := self._detector.near(parse(edit.path)):
            return _Obstacle("no longer fits", theirs)
        message = f"operation on {edit.path!r} does not fit the document: {error}"
        raise BadSubmission(message, {"error": "does_not_fit", "path": edit.path})

    def _kind(self, edit: Edit, theirs: Collision) -> str:
        if isinstance(edit, MoveRef):
            return "two moves of one ref"
        if isinstance(edit, WriteFile):
            return "same file"
        if parse(theirs.trace.path) != parse(edit.path):
            return "path prefix"
        deleted = isinstance(edit, Delete) or get(self._content, parse(edit.path)) is UNSET
        return "delete/write" if deleted else "write/write"

    def _conflict(self, edit: Edit, obstacle: _Obstacle) -> Json:
        submission = self._submission
        newest = obstacle.theirs[0] if obstacle.theirs else None
        by = {"version": newest.version, "writer": newest.writer} if newest else {}
        base = {} if self._behind else present(_at(self._base, edit.path))
        return {
            "id": f"{self._version}.{len(self._conflicts)}",
            "kind": obstacle.kind,
            "path": edit.path,
            "base": {"version": submission.base_version, **base},
            "theirs": {**by, **present(_at(self._content, edit.path))},
            "mine": {
                "writer": submission.agent,
                "request": submission.request,
                "operation": msgspec.to_builtins(edit),
            },
        }

    @cached_property
    def _base(self) -> Tree:
        return rewound(self._document.content, self._since)

    def _drop_theirs(self, edit: Edit, obstacle: _Obstacle, before: Tree) -> None:
        winner = {"by": self._submission.agent, "at": self._version}
        for version, writer, trace in obstacle.theirs:
            lost = present(_at(before, trace.path))
            self._dropped.append({"path": trace.path, "version": version, "writer": writer, **lost, **winner})
        if not obstacle.theirs:
            self._dropped.append({"path": edit.path, **present(_at(before, edit.path)), **winner})

    def _drop_mine(self, edit: Edit, error: DoesNotFit) -> None:
        mine = {"version": self._version, "writer": self._submission.agent, "operation": msgspec.to_builtins(edit)}
        self._dropped.append({"path": edit.path, **mine, "why": str(error)})

    def _resolve(self, resolve: Resolve) -> None:
        ended = {conflict["id"] for conflict in self._resolved}
        conflict = _by_id(self._document.conflicts, resolve.id)
        if conflict is None or resolve.id in ended:
            self._resolve_late(resolve)
            return
        edit = self._decided(conflict, resolve)
        if edit is None or self._step(edit, self._obstacle(edit)):
            self._resolved.append(conflict)

    def _resolve_late(self, resolve: Resolve) -> None:
        """Another agent resolved it first: two decisions on one conflict conflict as well."""
        for commit in self._since:
            conflict = _by_id(commit.resolved, resolve.id)
            if conflict is not None and commit.writer != self._submission.agent:
                edit = self._decided(conflict, resolve) or _as_it_was(conflict)
                by = Collision(commit.version, commit.writer, Trace(edit.path, "write"))
                self._step(edit, _Obstacle("two resolutions", [by]))
                return
        if self._blind:
            raise self._too_old()
        message = f"there is no open conflict {resolve.id!r}; inspect the document for those that are"
        raise BadSubmission(message, {"error": "no_such_conflict", "id": resolve.id})

    def _decided(self, conflict: Json, resolve: Resolve) -> Edit | None:
        """Return the edit by which `resolve` ends `conflict`; None if everything stays as it is."""
        path, mine = conflict["path"], decode(conflict["mine"]["operation"])
        if resolve.value is not UNSET:
            as_file = isinstance(mine, WriteFile) and isinstance(resolve.value, str)
            return WriteFile(path, resolve.value) if as_file else Set(path, resolve.value)
        if resolve.choice == "theirs":
            return None
        if isinstance(mine, Set) or (isinstance(mine, MoveRef) and mine.to is not None):
            return Set(path, mine.value if isinstance(mine, Set) else mine.to)
        if isinstance(mine, Delete | MoveRef):
            return None if _at(self._content, path) is UNSET else Delete(path)
        return mine

    def _too_old(self) -> BaseTooOld:
        base, oldest = self._submission.base_version, self._document.reaches_back_to
        return BaseTooOld(
            f"base_version {base} is older than the log, which goes back to {oldest}: inspect and decide anew",
            {**_AGAIN, "version": self._document.version, "oldest": oldest},
        )

    def _rejection(self) -> Rejected:
        writers = sorted({theirs["writer"] for c in self._conflicts if "writer" in (theirs := c["theirs"])})
        base, version = self._submission.base_version, self._document.version
        paths = ", ".join(dict.fromkeys(repr(conflict["path"]) for conflict in self._conflicts))
        by = f", changed by {', '.join(writers)}" if writers else ""
        return Rejected(
            f"{paths}: decided on version {base}, but the document has version {version}{by}; nothing was applied",
            {
                **_AGAIN,
                "version": version,
                "writers": writers,
                "conflicts": [{k: v for k, v in conflict.items() if k != "id"} for conflict in self._conflicts],
                "diff": changes(self._document, base),
            },
        )

    def _document_after(self) -> Document:
        document, submission = self._document, self._submission
        commit = Commit(
            self._version, submission.agent, submission.digest, self._traces, self._conflicts, self._resolved
        )
        entries = [*document.dropped["entries"], *self._dropped]
        count = document.dropped["count"] + len(self._dropped)
        dropped = {"count": count, "entries": entries[max(0, len(entries) - self._rules.dropped) :]}
        return document.after(submission.request, commit, self._content, dropped, self._rules.log)


def _at(content: Tree, pointer: str) -> Tree:
    return get(content, parse(pointer))


def _by_id(conflicts: list[Json], id_: str) -> Json | None:
    return next((conflict for conflict in conflicts if conflict["id"] == id_), None)


def _as_it_was(conflict: Json) -> Edit:
    """Return the edit that puts the other side of a conflict back."""
    theirs, path = conflict["theirs"], conflict["path"]
    return Set(path, theirs["value"]) if "value" in theirs else Delete(path)
