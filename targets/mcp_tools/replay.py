"""Which requests may be sent a second time when nobody knows how far the first one got.

Reading is safe, and so is what says of itself that doing it twice is like doing it once: a tool with `readOnlyHint` or
`idempotentHint`, a call with an idempotency key *that the server says it honours* (a server that does not know the key
would act twice), and a tool that resumes (`_meta` of its listing: `bigfive/resumable`). Hints are the server's word; a
server that lies about them is replayed wrongly.
"""

from __future__ import annotations

import enum

import msgspec
from msgspec import Raw

from targets.mcp_tools import messages

CALL = "tools/call"
LIST = "tools/list"
CALL_META = "bigfive/call"
SAFE_METHODS = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "subscriptions/listen",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tasks/cancel",
    }
)


class Replay(enum.Enum):
    """Whether to send a request again."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    UNKNOWN = "unknown"


class _Hints(msgspec.Struct, frozen=True):
    read_only: bool | None = msgspec.field(default=None, name="readOnlyHint")
    idempotent: bool | None = msgspec.field(default=None, name="idempotentHint")


class _ToolMeta(msgspec.Struct, frozen=True):
    resumable: bool | None = msgspec.field(default=None, name="bigfive/resumable")


class _Tool(msgspec.Struct, frozen=True):
    name: str
    annotations: _Hints | None = None
    meta: _ToolMeta | None = msgspec.field(default=None, name="_meta")


class _Listing(msgspec.Struct, frozen=True):
    tools: list[_Tool]
    cursor: str | None = msgspec.field(default=None, name="nextCursor")


class _Idempotency(msgspec.Struct, frozen=True):
    idempotency: object = None


class _Capabilities(msgspec.Struct, frozen=True):
    tools: _Idempotency | None = None


class _Greeting(msgspec.Struct, frozen=True):
    capabilities: _Capabilities | None = None


class Tools:
    """What the server has said about its tools, and about keys."""

    def __init__(self) -> None:
        self._safe: dict[str, bool] = {}
        self._readers: set[str] = set()
        self._complete = False
        self._honours_keys = False

    def greeted(self, result: Raw) -> None:
        """Learn from the result of `initialize` or `server/discover`."""
        try:
            greeting = msgspec.json.decode(result, type=_Greeting)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        tools = greeting.capabilities.tools if greeting.capabilities else None
        declared = tools.idempotency if tools is not None else None
        self._honours_keys = declared is not None and declared is not False

    def listed(self, result: Raw) -> str | None:
        """Learn from a page of `tools/list`; return the cursor of the next page."""
        try:
            listing = msgspec.json.decode(result, type=_Listing)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unlisted()
            return None
        for tool in listing.tools:
            hints, meta = tool.annotations or _Hints(), tool.meta or _ToolMeta()
            self._readers.discard(tool.name)
            if hints.read_only:
                self._readers.add(tool.name)
            self._safe[tool.name] = bool(hints.read_only or hints.idempotent or meta.resumable)
        self._complete = self._complete or listing.cursor is None
        return listing.cursor

    def unlisted(self) -> None:
        """Take note that the server does not list its tools: what is not known is unsafe."""
        self._complete = True

    def changed(self) -> None:
        """Forget what the server says has changed."""
        self._safe.clear()
        self._readers.clear()
        self._complete = False

    def may_act(self, method: str, tool: str) -> bool:
        """Return whether a request may have effects, as far as is known."""
        return method not in SAFE_METHODS and tool not in self._readers

    def judge(self, method: str, tool: str, *, keyed: bool) -> Replay:
        """Say whether a request may be sent again."""
        if method != CALL:
            return Replay.SAFE if method in SAFE_METHODS else Replay.UNSAFE
        if keyed and self._honours_keys:
            return Replay.SAFE
        known = self._safe.get(tool)
        if known is None:
            return Replay.UNSAFE if self._complete else Replay.UNKNOWN
        return Replay.SAFE if known else Replay.UNSAFE


def key_of(params: messages.Params) -> str:
    """Return the idempotency key of a call, in the place of SEP-3182 or in ours; empty without one."""
    return params.key or params.meta.key or ""
