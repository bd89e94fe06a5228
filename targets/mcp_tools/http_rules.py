"""Who may speak to the HTTP front, and what a request's headers must say. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from targets.mcp_tools import messages
from targets.mcp_tools.http_wire import Request
from targets.mcp_tools.messages import Message

PATH = "/mcp"
SESSION, VERSION, METHOD, NAME = "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"
MODERN = ("2026-07-28",)
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
JSON = {"content-type": "application/json"}
# The statuses that the specification wants beside an error, where nothing was sent before it.
STATUS_OF = {
    messages.PARSE_ERROR: 400,
    messages.INVALID_REQUEST: 400,
    messages.INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    -32021: 400,
    UNSUPPORTED_VERSION: 400,
    -32601: 404,
}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri", "tasks/get": "taskId"}
_NAMED |= {"tasks/update": "taskId", "tasks/cancel": "taskId"}
_VERSION_META = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES_META = "io.modelcontextprotocol/clientCapabilities"


@dataclass(frozen=True)
class Refusal:
    """A status, and what to say."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Door:
    """Whom to let in: those who know the `token` (if there is one), under one of our `hosts`, from allowed `origins`.

    Loopback names are hosts of ours, and loopback pages allowed origins, always.
    """

    token: str = ""
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def refuses(self, request: Request) -> Refusal | None:
        """Return why a request is turned away. A name that resolves to us is not ours: that is DNS rebinding."""
        host = _host(f"//{request.headers.get('host', '')}")
        if host not in LOOPBACK | self.hosts:
            return Refusal(421, b"this Host is not served here; allow it with --host-name")
        origin = request.headers.get("origin")
        if origin is not None and origin not in self.origins and _host(origin) not in LOOPBACK:
            return Refusal(403, b"this Origin is not allowed here; allow it with --origin")
        shown = request.headers.get("authorization", "")
        if self.token and not hmac.compare_digest(shown.encode(), f"Bearer {self.token}".encode()):
            return Refusal(401, b"a bearer token is required", (("www-authenticate", "Bearer"),))
        if urlsplit(request.target).path.rstrip("/") != PATH:
            return Refusal(404, b"only /mcp is served here")
        return None


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def is_modern(request: Request) -> bool:
    """Return whether a request is of the stateless era. One with an unknown version is, so that it is told so."""
    version = request.headers.get(VERSION)
    return version is not None and version not in HANDSHAKE


def mismatch(request: Request, message: Message) -> tuple[int, str, dict[str, object]] | None:
    """Return the error of a stateless request whose headers and body disagree, as code, message and data."""
    if doubled := sorted({VERSION, METHOD, NAME} & request.repeated):
        return HEADER_MISMATCH, f"the header {doubled[0]} appears more than once", {}
    params = messages.fields(message.params)
    meta = messages.fields(params.get("_meta", msgspec.Raw()))
    if missing := [key for key in (_VERSION_META, _CAPABILITIES_META) if key not in meta]:
        return messages.INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}", {}
    version = _text(meta[_VERSION_META])
    field = _NAMED.get(message.name, "")
    for header, shown, said in (
        (VERSION, request.headers.get(VERSION), version),
        (METHOD, request.headers.get(METHOD), message.name),
        (NAME, _decoded(request.headers.get(NAME)), _text(params[field]) if field in params else None),
    ):
        if shown != said and (header != NAME or field in params):
            return HEADER_MISMATCH, f"the header {header} says {shown!r}, the body {said!r}", {}
    if version not in MODERN:
        about: dict[str, object] = {"supported": [*MODERN], "requested": version}
        return UNSUPPORTED_VERSION, f"protocol version {version} is not supported", about
    return None


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return None


def _decoded(value: str | None) -> str | None:
    """Undo the header encoding of values that are not plain: `=?base64?…?=`."""
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
