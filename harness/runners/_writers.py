"""What one writer does, for each way of writing together: generators for `concurrent_writers`.

Every edit has an identity that no other has, `client:count`, so that one which is lost, done twice or invented can be
named. A guarded or versioned value says which edit made it and on top of which other: `{"edit": "3:7", "on": "1:2"}`.
So the last value of a key leads back through every edit that is in it, however many there are.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from harness.runners._base import Call, Conversation, Reply
from harness.wire import Json

HOLDER = "holder"
_BACKOFF_S = 0.02
_LONGEST_BACKOFF_S = 0.5
_RENEWALS = 3  # in the time of one lease
_LOOKS = 0.25  # share of collaborative edits before which the writer looks at the document
_FAR = 32  # versions that it knows to have passed since its last look, after which it looks in any case


@dataclass(frozen=True, kw_only=True)
class Writer:
    """One client: `keys` draws what an edit is about, `pause` how long (s) it takes between looking and changing."""

    client: int
    rng: random.Random
    keys: Callable[[], Sequence[str]]
    pause: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How locks are asked for: at most `wait_s` for each grant, which lasts `lease_s` unless it is renewed."""

    wait_s: float
    lease_s: float
    renew: bool

    def members(self) -> Json:
        """Return the arguments that every acquire has."""
        return {"wait_s": self.wait_s, "lease_s": self.lease_s}


def exclusive(writer: Writer, terms: Terms) -> Conversation:
    """Acquire, fetch, hold, store with the token, release. Who is refused gives the edit up."""
    for edit in _edits(writer):
        keys = writer.keys()
        tokens = yield from _acquire(keys, terms)
        if not tokens:
            continue
        yield from _change(edit, tokens, writer.pause(), terms)
        if len(keys) == 1:
            yield Call("release", {"key": keys[0], "token": tokens[keys[0]]}, 0.0)
        else:
            yield Call("release_all", {"tokens": tokens}, 0.0)


def _acquire(keys: Sequence[str], terms: Terms) -> Generator[Call, Reply, dict[str, int]]:
    """Return the token of every key, or none at all."""
    if len(keys) == 1:
        reply = yield Call("acquire", {"key": keys[0], **terms.members()})
        granted = {keys[0]: reply.result.get("token")}
    else:
        reply = yield Call("acquire_all", {"keys": list(keys), **terms.members()})
        given = reply.result.get("tokens")
        granted = {key: given.get(key) for key in keys} if isinstance(given, dict) else {}
    tokens = {key: token for key, token in granted.items() if isinstance(token, int)}
    return tokens if reply.outcome == "ok" and len(tokens) == len(keys) else {}


def _change(edit: str, tokens: dict[str, int], hold_s: float, terms: Terms) -> Conversation:
    """Change every key that is held; not at all if one cannot be read, or the lease is known to be lost."""
    seen = {}
    for key in tokens:
        reply = yield Call("fetch", {"key": key}, 0.0, HOLDER)
        if reply.outcome != "ok":
            return
        seen[key] = reply.result.get("value")
    every_s = terms.lease_s / _RENEWALS
    while terms.renew and hold_s > every_s:
        for number, (key, token) in enumerate(tokens.items()):
            reply = yield Call("renew", {"key": key, "token": token}, 0.0 if number else every_s, HOLDER)
            if reply.outcome == "fail":
                return
        hold_s -= every_s
    for number, (key, token) in enumerate(tokens.items()):
        value = _made(edit, seen[key])
        yield Call("store", {"key": key, "value": value, "token": token}, 0.0 if number else hold_s, HOLDER)


def optimistic(writer: Writer) -> Conversation:
    """Read, think, write on the version that was read; after a conflict read again, until it is done."""
    for edit in _edits(writer):
        [key] = writer.keys()
        pause: float | None = None
        for backoff in _backoffs(writer.rng):
            read = yield Call("read", {"key": key}, pause)
            version = read.result.get("version")
            if read.outcome != "ok" or not isinstance(version, int):
                break
            change = {"key": key, "value": _made(edit, read.result.get("value")), "expected_version": version}
            reply = yield Call("write", change, writer.pause())
            if not _conflict(reply):
                break
            pause = backoff


def collaborative(writer: Writer) -> Conversation:
    """Attach to a document, look at it now and then, submit operations on the version last *looked* at.

    Not on that of its last answer: below that there may be edits of others, and it would claim to have seen them. What
    was refused for a conflict is decided anew, after a look, and submitted again; what has an unknown outcome is
    submitted again as the same request, until the answer is known.
    """
    agent = f"agent-{writer.client}"
    seen: dict[str, int] = {}
    newest: dict[str, int] = {}
    for edit in _edits(writer):
        [document] = writer.keys()
        at: float | None = None
        if document not in seen:
            reply = yield Call("attach", {"document": document, "agent": agent})
            if not _saw(seen, document, reply):
                continue
            at = 0.0
        if writer.rng.random() < _LOOKS or newest.get(document, 0) - seen[document] > _FAR:
            reply = yield Call("inspect", {"document": document}, at)
            _saw(seen, document, reply)
            at = 0.0
        at = at if at is None else writer.pause()
        change = {"document": document, "agent": agent, "operations": _operations(edit, writer)}
        for attempt, backoff in enumerate(_backoffs(writer.rng)):
            request = {**change, "base_version": seen[document], "request": f"{edit}.{attempt}"}
            reply = yield from _until_known(Call("submit", request, at), writer.rng)
            _saw(newest, document, reply)
            if not _conflict(reply):
                break
            reply = yield Call("inspect", {"document": document}, backoff)
            _saw(seen, document, reply)
            at = writer.pause()


def _until_known(call: Call, rng: random.Random) -> Generator[Call, Reply, Reply]:
    """Repeat a request whose outcome is unknown. A refusal then says only that this try was not the one."""
    reply = yield call
    if reply.outcome != "info":
        return reply
    for backoff in _backoffs(rng):
        reply = yield Call(call.op, call.args, backoff)
        if reply.outcome == "ok" or _conflict(reply):
            break
    return reply


def _operations(edit: str, writer: Writer) -> list[Json]:
    """Draw one or two operations on shared and own members; each has a text of its own in it, if it has any."""
    own = f"own-{writer.client}"
    kinds: list[Json] = [
        {"op": "append", "path": "log", "item": f"{edit} log"},
        {"op": "increment", "path": "count", "by": 1},
        {"op": "set", "path": "shared", "value": f"{edit} shared"},
        {"op": "set", "path": own, "value": f"{edit} own"},
        {"op": "write_file", "path": f"{own}.txt", "content": f"{edit} file"},
    ]
    return writer.rng.sample(kinds, writer.rng.choice((1, 1, 2)))


def _edits(writer: Writer) -> Generator[str, None, None]:
    return (f"{writer.client}:{count}" for count in itertools.count(1))


def _made(edit: str, seen: object) -> Json:
    return {"edit": edit, "on": seen.get("edit") if isinstance(seen, dict) else None}


def _saw(versions: dict[str, int], document: str, reply: Reply) -> bool:
    """Remember the version that an answer names; return whether it named one."""
    version = reply.result.get("version")
    if isinstance(version, int):
        versions[document] = version
    return isinstance(version, int)


def _conflict(reply: Reply) -> bool:
    return reply.outcome == "fail" and reply.result.get("error") == "conflict"


def _backoffs(rng: random.Random) -> Generator[float, None, None]:
    """Yield pauses (s) that double on average, and differ, so that those who met once do not meet again."""
    return (rng.uniform(0, min(_BACKOFF_S * 2**turn, _LONGEST_BACKOFF_S)) for turn in itertools.count())
