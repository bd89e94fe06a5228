"""The adapter protocol, version 1: how the harness speaks with a system under test, in any language.

An adapter is a process that reads requests from its standard input and writes answers to its standard output, one
JSON object a line (UTF-8, at most 16 MiB). Its standard error is kept as a log. End of input means: clean up, exit.

    -> {"id": 7, "op": "write", "args": {"key": "k1", "value": 42}}
    <- {"id": 7, "ok": {"version": 3}}                              done
    <- {"id": 7, "fail": {"error": "conflict", "version": 5}}       certainly not done, now or later
    <- {"id": 7, "info": {"error": "connection lost"}}              unknown: done, not done, or done later
    <- {"event": "damage.detected", "data": {"handle": "state.json"}}   at any time, host role only

Requests are answered in order, one at a time; an operation that is not offered is answered with `fail` or `info`.
Unknown members are ignored on both sides, so the protocol can grow.

The first request says which role the process plays and must be answered with the same protocol version:

    hello    {"protocol": 1, "role": "host" | "client"} -> {"protocol": 1}

Host (one process a run):

    describe {}                                  -> {"name", "contracts": [..], "handles": {name: handle},
                                                     "events": [..], "failpoints": [..]}
    start    {"folder", "label", "options", "links"?} -> {"connect": anything}   ready to serve; passed on to clients
    layout   {"handle"}                          -> {"records": [[offset, length], ..]}          (optional)
    stop     {}                                  -> {}                      what it made outside `folder` is gone

`describe` is asked before `start` (names and types) and again before each fault (where things are *now*): a handle
is {"type": "process", "pid": 123}, {"type": "file", "path": ".."}, {"type": "folder", "path": ".."} or
{"type": "link", "address": "host:port"}; "pid", "path" and "address" are missing while there is none, as before
`start`. A process may say as "data" which folder it keeps all its files in: one that loses them finds it empty.
A link is a TCP connection from clients to something that `start` starts; `address` is where that listens.
Where faults shall act on a link, `start` gets `links`, {handle: "host:port"}, and its `connect` must lead clients to
that address instead. `folder` is an empty folder of the run: whatever the system keeps goes below it. `label` is in
the environment as BIGFIVE_LABEL too and must stay there for children: it is how the harness finds what is left over.
Restarting a killed service is the target's own job.

Client (one process each for the workload's clients and the prober; its number is in the environment, too, as
BIGFIVE_CLIENT, and nobody else's in this run, not even that of a client whose process died and was replaced):

    open     {"connect", "client", "timeout_s"}  -> {}     must succeed even while the system is down: connect later,
                                                           and again after each loss. No call may take longer than
                                                           `timeout_s`: answer info instead
    probe    {}                                  -> {}     a cheap real operation; ok only if the system serves
    close    {}                                  -> {}
    ...and the operations of the contract, see `CONTRACTS`.

Failpoints: where the environment has BIGFIVE_FAILPOINTS=<unix socket path> and BIGFIVE_FAILPOINT_NAMES=a,b, a target
that reaches a named place connects to the socket, writes {"failpoint": name, "pid": pid} and a newline, and waits
for one line: "go" or "die" (kill yourself with SIGKILL). A closed connection means "go".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from harness.errors import ProtocolViolation

PROTOCOL = 1
MAX_LINE_BYTES = 16 * 1024 * 1024
_SHOWN = 200  # characters of a bad line in an error message

Outcome = Literal["ok", "fail", "info"]
HandleType = Literal["process", "file", "folder", "link"]
Json = dict[str, Any]

LABEL_VARIABLE = "BIGFIVE_LABEL"
CLIENT_VARIABLE = "BIGFIVE_CLIENT"
FAILPOINTS_VARIABLE = "BIGFIVE_FAILPOINTS"
FAILPOINT_NAMES_VARIABLE = "BIGFIVE_FAILPOINT_NAMES"


@dataclass(frozen=True)
class Operation:
    """One operation of a contract: the members of its arguments and of its `ok` answer."""

    arguments: tuple[str, ...]
    optional: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()


CONTRACTS: Mapping[str, Mapping[str, Operation]] = {
    # A map of keys to JSON values. A key's version counts its successful writes from 1; 0 is "never written".
    # `write` with `expected_version` succeeds only on that version, else fails with {"error": "conflict",
    # "version": current}. An answered write survives every crash.
    "versioned_store": {
        "read": Operation(("key",), returns=("value", "version")),
        "write": Operation(("key", "value"), optional=("expected_version",), returns=("version",)),
    },
    # A lock for each key, and the value it guards. Owner is the client. `acquire` waits its turn for at most `wait_s`,
    # then fails with {"error": "held"}; a grant ends `lease_s` after it was given or renewed. A key's tokens increase
    # from grant to grant. `renew` and `release` by anybody but the holder fail with {"error": "not_owner"}. A
    # holder's `fetch` shows its token to what the lock guards, as its `store` does: a `store` with a token lower than
    # one seen so fails with {"error": "stale"}. `acquire_all` grants all its keys or none.
    "locks": {
        "acquire": Operation(("key", "wait_s", "lease_s"), returns=("token",)),
        "renew": Operation(("key", "token")),
        "release": Operation(("key", "token")),
        "acquire_all": Operation(("keys", "wait_s", "lease_s"), returns=("tokens",)),
        "release_all": Operation(("tokens",)),
        "fetch": Operation(("key",), returns=("value",)),
        "store": Operation(("key", "value", "token")),
    },
    # Documents that many agents edit at once; each is a JSON object, empty at first. `submit` applies typed operations
    # that were decided on `base_version`: the newest that the agent has read (`attach`, `inspect`); its own submissions
    # since then never conflict with it. A repeated `request` (unique in the document) is answered as the first time.
    # Each operation is {"op", "path", ..}: set {value, expected?}, increment {by}, append {item}, delete {expected?},
    # write_file {content}, move_ref {from, to}; or it ends a conflict: resolve {id, choice | value}, where choice is
    # "mine" or "theirs", without a path. A `path` without a leading "/" names one member of the root, whatever is in it
    # ("src/main.py"); with one it is a JSON pointer (RFC 6901): "/a/b" is member b of member a. `conflicts` lists where
    # both sides were kept, each with its `id` and `path`: of a submit, those in which an operation of its own was kept
    # instead of applied. A refused submit fails with {"error": "conflict", "version": current}; an agent over the limit
    # is refused by {"error": "full"}.
    "documents": {
        "attach": Operation(("document", "agent"), returns=("version",)),
        "detach": Operation(("document", "agent")),
        "submit": Operation(
            ("document", "agent", "base_version", "request", "operations"), returns=("version", "conflicts")
        ),
        "inspect": Operation(("document",), returns=("content", "version", "conflicts")),
    },
}


class Request(msgspec.Struct, frozen=True):
    """What the harness asks."""

    id: int
    op: str
    args: Json = {}


class Answer(msgspec.Struct, frozen=True):
    """What came back: `result` holds the members of `ok`, `fail` or `info`."""

    id: int
    outcome: Outcome
    result: Json


class Emitted(msgspec.Struct, frozen=True):
    """An event that the target reported by itself."""

    event: str
    data: Json


class _Line(msgspec.Struct):
    """Everything a line from an adapter may hold."""

    id: int | None = None
    ok: Json | None = None
    fail: Json | None = None
    info: Json | None = None
    event: str | None = None
    data: Json = {}


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_request = msgspec.json.Decoder(Request).decode


def encode_request(request: Request) -> bytes:
    """One line for an adapter's standard input."""
    return msgspec.json.encode(request) + b"\n"


def decode_request(line: bytes) -> Request:
    """Read what `encode_request` wrote (for adapters in Python). Raises `ProtocolViolation`."""
    try:
        return _decode_request(line)
    except msgspec.MsgspecError as error:
        raise ProtocolViolation(f"not a request: {error}: {_shorten(line)}") from error


def encode_answer(answer: Answer) -> bytes:
    """One line for an adapter's standard output."""
    return msgspec.json.encode({"id": answer.id, answer.outcome: answer.result}) + b"\n"


def encode_event(event: Emitted) -> bytes:
    """One event line for an adapter's standard output."""
    return msgspec.json.encode(event) + b"\n"


def decode_message(line: bytes) -> Answer | Emitted:
    """Read one line of an adapter. Raises `ProtocolViolation` for anything that is neither answer nor event."""
    try:
        parsed = _decode_line(line)
    except msgspec.MsgspecError as error:
        raise ProtocolViolation(f"not a protocol line ({error}): {_shorten(line)}") from error
    if parsed.event is not None:
        return Emitted(parsed.event, parsed.data)
    outcomes: list[tuple[Outcome, Json | None]] = [
        ("ok", parsed.ok),
        ("fail", parsed.fail),
        ("info", parsed.info),
    ]
    given = [(outcome, result) for outcome, result in outcomes if result is not None]
    if parsed.id is None or len(given) != 1:
        raise ProtocolViolation(
            f'an answer needs "id" and exactly one of "ok", "fail", "info" holding an object: {_shorten(line)}'
        )
    return Answer(parsed.id, given[0][0], given[0][1] or {})


class Lines:
    """Cut a byte stream into lines; a line over `MAX_LINE_BYTES` raises `ProtocolViolation`."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was read and return the lines it completed, without their newlines; blank ones are dropped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if max(map(len, (*lines, self._rest))) > MAX_LINE_BYTES:
            raise ProtocolViolation(f"a line of more than {MAX_LINE_BYTES >> 20} MiB")
        return [line for line in lines if line.strip()]


def _shorten(line: bytes) -> str:
    text = line.decode(errors="backslashreplace").rstrip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(line)} bytes)"
