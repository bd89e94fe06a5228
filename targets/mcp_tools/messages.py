"""JSON-RPC as far as a supervisor needs it: envelopes, lines with a bound, and the errors that it answers with itself.

A message is decoded no deeper than its envelope: parameters and results stay bytes, so one of 64 MiB costs 64 MiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import UNSET, Raw, UnsetType

LIMIT_BYTES = 64 << 20
HEAD_BYTES = 4096

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
# Ours, outside of -32020 to -32099, which MCP keeps for itself.
INTERRUPTED = -32010
UNAVAILABLE = -32011
QUARANTINED = -32012

Id = int | str
_NOTHING = Raw(b"")
_AN_ID = re.compile(rb'"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")')

encode = msgspec.json.Encoder().encode


class Malformed(ValueError):
    """What came is not one JSON-RPC message; `code` is that of the error to answer with."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Message(msgspec.Struct, frozen=True):
    """The envelope of a request, a notification or a response."""

    id: Id | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw = _NOTHING
    result: Raw = _NOTHING
    error: Raw = _NOTHING

    @property
    def request_id(self) -> Id | None:
        """The id if this is a request, else None."""
        return self.id if self.method is not UNSET and isinstance(self.id, int | str) else None

    @property
    def answered_id(self) -> Id | None:
        """The id if this is a response, else None."""
        return self.id if self.method is UNSET and isinstance(self.id, int | str) else None

    @property
    def name(self) -> str:
        """The method; empty for a response."""
        return self.method or ""


class Meta(msgspec.Struct, frozen=True):
    """What is read of `_meta`."""

    token: Id | UnsetType = msgspec.field(default=UNSET, name="progressToken")
    key: str | UnsetType = msgspec.field(default=UNSET, name="bigfive/idempotencyKey")
    version: str | UnsetType = msgspec.field(default=UNSET, name="io.modelcontextprotocol/protocolVersion")


class Params(msgspec.Struct, frozen=True):
    """What is read of the parameters."""

    meta: Meta = msgspec.field(default_factory=Meta, name="_meta")
    name: str = ""
    uri: str = ""
    key: str | UnsetType = msgspec.field(default=UNSET, name="idempotencyKey")
    request_id: Id | UnsetType = msgspec.field(default=UNSET, name="requestId")
    token: Id | UnsetType = msgspec.field(default=UNSET, name="progressToken")
    progress: float | UnsetType = UNSET


_decode = msgspec.json.Decoder(Message).decode
_decode_params = msgspec.json.Decoder(Params).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def decode(line: bytes) -> Message:
    """Return the envelope of `line`. Raises `Malformed`."""
    if line.lstrip()[:1] == b"[":
        raise Malformed(INVALID_REQUEST, "batches are not supported: send each message on a line of its own")
    try:
        message = _decode(line)
    except msgspec.ValidationError as error:
        raise Malformed(INVALID_REQUEST, f"not a JSON-RPC message: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(PARSE_ERROR, f"not JSON: {error}") from error
    if message.method is UNSET and not isinstance(message.id, int | str) and not message.error:
        raise Malformed(INVALID_REQUEST, "not a JSON-RPC message: neither a method nor an id")
    return message


def parameters(message: Message) -> Params:
    """Return what is known of a message's parameters; of those that are unlike any known, nothing."""
    try:
        return _decode_params(message.params) if message.params else Params()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Params()


def fields(raw: bytes) -> dict[str, Raw]:
    """Return the members of a JSON object, undecoded; those of anything else are none."""
    try:
        return _decode_fields(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def with_meta(message: Message, extra: Mapping[str, object]) -> bytes:
    """Return the line of `message` with `extra` added to its `_meta`."""
    params = fields(message.params)
    meta = {**fields(params.get("_meta", _NOTHING)), **extra}
    return request(message.name, {**params, "_meta": meta}, message.id)


def request(method: str, params: Mapping[str, object] | Raw, id_: Id | UnsetType | None = UNSET) -> bytes:
    """Return the line of a request, or, without an id, of a notification."""
    head = {"jsonrpc": "2.0"} | ({} if id_ is UNSET else {"id": id_})
    return encode({**head, "method": method} | ({"params": params} if params else {})) + b"\n"


def response(id_: Id, result: object) -> bytes:
    """Return the line of a successful answer."""
    return encode({"jsonrpc": "2.0", "id": id_, "result": result}) + b"\n"


def failure(id_: Id | None, code: int, why: str, data: Mapping[str, object] | None = None) -> bytes:
    """Return the line of an error."""
    error = {"code": code, "message": why} | ({"data": data} if data else {})
    return encode({"jsonrpc": "2.0", "id": id_, "error": error}) + b"\n"


def id_within(head: bytes) -> Id | None:
    """Return what looks like the id at the beginning of a message that is too long to be read."""
    found = _AN_ID.search(head)
    try:
        return msgspec.json.decode(found[1], type=Id) if found else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class TooLong(msgspec.Struct, frozen=True):
    """Stands for a line above the limit, of which only the beginning was kept."""

    head: bytes


class Lines:
    """Cuts a stream into lines of at most `limit` bytes; holds no more of it than one such line."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    @property
    def rest(self) -> int:
        """Bytes of a line that has not ended."""
        return self._size

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """Yield the lines that `chunk` completes, without their newline; empty ones are dropped."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield from self._keep(end)
            line = b"".join(self._parts)
            skipped, self._parts, self._size, self._skipping = self._skipping, [], 0, False
            if not skipped and line.strip():
                yield line
        yield from self._keep(rest)

    def _keep(self, part: bytes) -> Iterator[TooLong]:
        if self._skipping or not part:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._limit:
            self._skipping = True
            head = b"".join(self._parts)[:HEAD_BYTES]
            self._parts, self._size = [], 0
            yield TooLong(head)
